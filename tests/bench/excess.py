"""What clients that send or request too much cost others: `python -m tests.bench.excess`.

A crowd of clients does one thing in excess, while a well-behaved client requests small responses.
Reported: how many of the small responses arrived and how late, the growth of the proxy's memory per
client of the crowd, and the proxy's CPU time. Everything runs on loopback, and is stopped at the
end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from .http.peers import HTTP_PEERS
from .peer import LOOPBACK, Failed, free_port, listens, running
from .revision import ROOT

PATIENCE_S = 2.0
"""A small response that takes longer counts as lost."""

SETTLE_S = 20.0
"""Maximum time in which the crowd sends before the measurement; see `settle`."""

SMALL = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"
ENDLESS = b"GET /endless HTTP/1.1\r\nHost: bench\r\n\r\n"
ONES = b"GET /ones HTTP/1.1\r\nHost: bench\r\n\r\n"
KIB_64 = 64 << 10


# -- the server behind --------------------------------------------------------------------------


async def origin(port: int) -> None:
    """Serve until killed: a small body, endless chunks, or a MiB in chunks of one byte."""

    block = (b"400\r\n%b\r\n" % bytes(1024)) * 64

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET /small"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + bytes(1024))
                    await writer.drain()
                    continue
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                if head.startswith(b"GET /ones"):
                    for _ in range(1024):
                        writer.write(b"1\r\nx\r\n" * 1024)
                        await writer.drain()
                    writer.write(b"0\r\n\r\n")
                while head.startswith(b"GET /endless"):
                    writer.write(block)
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = socket.create_server((LOOPBACK, port), backlog=4096)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KIB_64)
    server = await asyncio.start_server(serve, sock=listening)
    async with server:
        await server.serve_forever()


@contextmanager
def serving() -> Iterator[int]:
    port = free_port()
    command = (sys.executable, "-m", "tests.bench.excess", "--origin", str(port))
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        while not listens(port):
            time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


# -- the crowd ------------------------------------------------------------------------------------


class Crowd:
    """Clients that send requests and do not read the responses."""

    def __init__(self, port: int, size: int, payload: bytes, most: int) -> None:
        self.clients: list[socket.socket] = []
        self._payload, self._most = payload, most
        for _ in range(size):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((LOOPBACK, port))
            client.setblocking(False)
            self.clients.append(client)
        self._sent = dict.fromkeys(self.clients, 0)

    def ask(self) -> None:
        """Send for each client as much as the proxy accepts."""
        for client in self.clients:
            try:
                while self._sent[client] < self._most:
                    self._sent[client] += client.send(self._payload)
            except OSError:
                pass

    @property
    def closed(self) -> int:
        """Return how many connections the proxy has closed."""
        gone = 0
        for client in self.clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            state = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            gone += state != 1  # TCP_ESTABLISHED
        return gone

    def leave(self) -> None:
        for client in self.clients:
            client.close()


def resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def small(port: int) -> float | None:
    """Request a small response on a new connection; return the time it took, None if it failed."""
    began = time.monotonic()
    try:
        with socket.create_connection((LOOPBACK, port), PATIENCE_S) as client:
            client.settimeout(PATIENCE_S)
            client.sendall(SMALL)
            got = 0
            while got < 1024:
                data = client.recv(4096)
                if not data:
                    return None
                got += len(data)
    except OSError:
        return None
    took = time.monotonic() - began
    return took if took < PATIENCE_S else None


def settle(crowd: Crowd, pid: int) -> None:
    """Send from the crowd until the proxy uses next to no CPU for it."""
    end = time.monotonic() + SETTLE_S
    busy = 1.0
    while busy > 0.02 and time.monotonic() < end:
        spent = cpu_s(pid)
        for _ in range(50):
            crowd.ask()
            time.sleep(0.01)
        busy = cpu_s(pid) - spent


def crowded(payload: bytes, most: int) -> Callable[[int, int, int, float], str]:
    """Return a measurement: a crowd sends `payload`; another client requests small responses."""

    def measure(pid: int, port: int, clients: int, seconds: float) -> str:
        small(port)
        before, spent = resident_kib(pid), cpu_s(pid)
        crowd = Crowd(port, clients, payload, most)
        took: list[float | None] = []
        try:
            settle(crowd, pid)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                crowd.ask()
                took.append(small(port))
                time.sleep(0.01)
            grown = resident_kib(pid) - before
            came = [each for each in took if each is not None]
            late = (
                f"median {median(came) * 1e3:.1f} ms, worst {max(came) * 1e3:.0f} ms"
                if came
                else "-"
            )
            return (
                f"{len(came)} of {len(took)} small answers, {late}; "
                f"{grown / clients:.0f} KiB for each of {clients}; {crowd.closed} closed; "
                f"CPU {cpu_s(pid) - spent:.2f} s"
            )
        finally:
            crowd.leave()

    return measure


def ones(pid: int, port: int, clients: int, seconds: float) -> str:
    """Measure the CPU time for a body of 1 MiB in chunks of one byte (6 MiB on the wire)."""
    costs = []
    for _ in range(3):
        spent = cpu_s(pid)
        with socket.create_connection((LOOPBACK, port)) as client:
            client.settimeout(30)
            client.sendall(ONES)
            tail = b""
            while not tail.endswith(b"0\r\n\r\n"):
                data = client.recv(KIB_64)
                if not data:
                    raise Failed("the answer was cut")
                tail = (tail + data)[-8:]
        costs.append(cpu_s(pid) - spent)
    return f"{median(costs) / 6 * 1e3:.0f} ms of CPU for a MiB of chunks of one byte"


SCENES: dict[str, Callable[[int, int, int, float], str]] = {
    "unread": crowded(ENDLESS, len(ENDLESS)),
    "pipelined": crowded(SMALL * 800, 4 << 20),
    "ones": ones,
}


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.excess", description=__doc__)
    parser.add_argument("--origin", type=int, help=argparse.SUPPRESS)
    parser.add_argument("-p", "--peers", default="vcproxy-http,haproxy-http")
    parser.add_argument("-s", "--scenes", default=",".join(SCENES))
    parser.add_argument("-n", "--clients", type=int, default=900)
    parser.add_argument("--seconds", type=float, default=10.0)
    chosen = parser.parse_args()
    if chosen.origin:
        asyncio.run(origin(chosen.origin))
        return
    for scene in chosen.scenes.split(","):
        for name in chosen.peers.split(","):
            with ExitStack() as stack:
                server = stack.enter_context(serving())
                pid, port = stack.enter_context(running(HTTP_PEERS[name], server))
                result = SCENES[scene](pid, port, chosen.clients, chosen.seconds)
            print(f"{scene:10} {name:14} {result}", flush=True)


if __name__ == "__main__":
    main()
