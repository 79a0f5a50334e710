"""What kill -9 of workers costs their clients, at 1,000 requests a second."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import socket
import tempfile
import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from vcproxy.testing.running import Running

from .peer import LOOPBACK, Failed, Peer
from .workloads import Sample

WORKERS = 4
INTERVAL_S = 2.8
"""Between two kills: with WORKERS, each has served for more than 10 s when it is killed again, so
that each restart is immediate."""
RATE = 1000
CONNECTIONS = 32
REQUESTS = 20
"""Requests on each connection: so about 50 connections a second are opened."""
PATIENCE_S = 10.0

PAGE = '[[listener]]\nname = "page"\nbind = "tcp://127.0.0.1:0"\nplugin = "page"\n'
PROXY = f"""
[proxy]
workers = {WORKERS}

[supervise]
intensity = 20
period = "1m"

[[listener]]
name = "in"
bind = "tcp://127.0.0.1:0"
plugin = "http_proxy"
upstream = "page"

[upstream.page]
servers = ["tcp://127.0.0.1:{{port}}"]
"""
GET = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


@dataclass
class Results:
    """What became of the requests."""

    served: int = 0
    lost: int = 0
    """Requests whose connection ended before their answer."""
    refused: int = 0
    """Connections that were not accepted."""
    strange: list[str] = field(default_factory=list)


class Load(threading.Thread):
    """Sends requests at a rate, whatever becomes of those before."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.results = Results()
        self._port = port
        self._asked_to_end = threading.Event()
        self._poll = select.epoll()
        self._idle: deque[socket.socket] = deque()
        self._open: dict[int, tuple[socket.socket, int]] = {}
        """By descriptor: the connection, and the requests that it may still send."""
        self._answers: dict[int, bytes] = {}
        """The received part of each answer that is awaited, by descriptor."""

    def end(self) -> Results:
        """Stop, and return the results."""
        self._asked_to_end.set()
        self.join()
        return self.results

    def run(self) -> None:
        """Send a request each 1 / RATE seconds."""
        due = time.monotonic()
        while not self._asked_to_end.is_set():
            now = time.monotonic()
            if now >= due:
                due += 1 / RATE
                self._send()
            for fd, _ in self._poll.poll(max(due - time.monotonic(), 0.0)):
                if fd in self._open:
                    self._receive(fd)
        deadline = time.monotonic() + PATIENCE_S
        while self._answers and time.monotonic() < deadline:
            for fd, _ in self._poll.poll(0.1):
                self._receive(fd)
        self.results.lost += len(self._answers)
        for sock, _ in self._open.values():
            sock.close()
        self._poll.close()

    def _send(self) -> None:
        if not self._idle and len(self._open) < CONNECTIONS:
            self._connect()
        if self._idle:
            sock = self._idle.popleft()
            self._answers[sock.fileno()] = b""
            try:
                sock.send(GET)
            except OSError:
                self._lose(sock.fileno())

    def _connect(self) -> None:
        try:
            sock = socket.create_connection((LOOPBACK, self._port), PATIENCE_S)
        except OSError as error:
            self.results.refused += 1
            self.results.strange.append(errno.errorcode.get(error.errno or 0, str(error)))
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open[sock.fileno()] = sock, REQUESTS
        self._poll.register(sock.fileno(), select.EPOLLIN)
        self._idle.append(sock)

    def _receive(self, fd: int) -> None:
        sock, left = self._open[fd]
        try:
            received = sock.recv(1 << 16)
        except OSError:
            received = b""
        if not received:
            self._lose(fd)
            return
        answer = self._answers.get(fd, b"") + received
        head, end, body = answer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            self._answers[fd] = answer
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self.results.strange.append(head.partition(b"\r\n")[0].decode())
        self.results.served += 1
        del self._answers[fd]
        if left > 1:
            self._open[fd] = sock, left - 1
            self._idle.append(sock)
        else:
            self._close(fd)

    def _lose(self, fd: int) -> None:
        """A connection has ended; an idle one costs nothing."""
        self.results.lost += self._answers.pop(fd, None) is not None
        self._close(fd)

    def _close(self, fd: int) -> None:
        sock, _ = self._open.pop(fd)
        if sock in self._idle:
            self._idle.remove(sock)
        sock.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


@dataclass(frozen=True, slots=True)
class Kills:
    """Workers are killed in turn. The cost is the longest time until one serves again; the rate is
    requests that were lost, for each kill."""

    name: str
    title: str
    kills: int
    cost_unit: str = "ms"
    rate_unit: str = "lost/kill"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed if a connection was refused, or something is left over."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            page = start(stack, folder / "page.toml", PAGE)
            text = PROXY.format(port=page.port("page"))
            proxy = start(stack, folder / "proxy.toml", text)
            load = Load(proxy.port("in"))
            load.start()
            try:
                time.sleep(INTERVAL_S * WORKERS)  # all have served for 10 s
                before = left_over(proxy)
                taken_s = [replaced_s(proxy, kill) for kill in range(self.kills)]
                eventually_equal(proxy, before)
            finally:
                results = load.end()
        if results.refused or results.strange:
            raise Failed(f"{results.refused} connections refused; {results.strange[:5]}")
        if results.lost > self.kills * CONNECTIONS:
            raise Failed(f"{results.lost} requests were lost")
        ordered = sorted(taken_s)
        middle, longest = ordered[len(ordered) // 2], ordered[-1]
        return Sample(longest * 1e3, results.lost / self.kills, middle * 1e6, longest * 1e6)


def start(stack: ExitStack, file: Path, text: str) -> Running:
    """Start a proxy."""
    file.write_text(text)
    running = Running(file)
    stack.callback(running.kill)
    return running


def replaced_s(proxy: Running, kill: int) -> float:
    """Kill the worker whose turn it is; return the seconds until a new one serves."""
    number = kill % WORKERS + 1
    line = rf"INFO worker {number}: \d+ descriptors allow"  # it begins to serve
    starts = len(re.findall(line, proxy.log))
    begin = time.monotonic()
    os.kill(workers(proxy)[number], signal.SIGKILL)
    proxy.wait_for(line, starts + 1)
    taken_s = time.monotonic() - begin
    time.sleep(max(INTERVAL_S - taken_s, 0.0))
    return taken_s


def workers(proxy: Running) -> dict[int, int]:
    """Return the processes of the workers by number."""
    children = Path(f"/proc/{proxy.pid}/task/{proxy.pid}/children").read_text().split()
    found = {}
    for pid in children:
        for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            if word.startswith(b"--number="):
                found[int(word.removeprefix(b"--number="))] = int(pid)
    return found


def left_over(proxy: Running) -> tuple[int, int, int]:
    """Return the processes, the descriptors and the threads of the master."""
    threads = len(list(Path(f"/proc/{proxy.pid}/task").iterdir()))
    return len(workers(proxy)), proxy.descriptors() + proxy.pipes(), threads


def eventually_equal(proxy: Running, before: tuple[int, int, int]) -> None:
    """Raises Failed if the master has more processes, descriptors or threads than before."""
    after = left_over(proxy)
    if after != before:
        raise Failed(f"processes, descriptors, threads of the master: {before}, then {after}")


def workloads(seconds: float) -> dict[str, Kills]:
    """Return the workload; `seconds`: 1 for a full run."""
    kills = max(round(20 * seconds), WORKERS)
    return {"kills": Kills("kills", f"{kills} workers killed, until replaced", kills)}
