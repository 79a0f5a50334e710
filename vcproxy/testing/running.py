"""Running: the real program as a process of its own, watched from outside."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Protocol

PATIENCE_S = 15.0
"""What never takes a second on an idle machine may take this long on a busy one."""

VCPROXY = (sys.executable, "-m", "vcproxy")


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that only looking at it tells. Raises AssertionError naming it."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"still not so: {what}"
        threading.Event().wait(0.01)


class Running:
    """`vcproxy -c FILE`, from "ready" until it has ended as asked.

    Its standard error is read by a thread as it comes; `log` is all of it so far.
    """

    def __init__(
        self,
        file: Path,
        *,
        wrapper: Sequence[str] = (),
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
    ) -> None:
        """Start it and wait until it is ready. `wrapper` is a command that runs a command."""
        self.file = file
        self._process = subprocess.Popen(
            [*wrapper, *VCPROXY, "-c", str(file)],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        self.pid = self._process.pid
        self.stdin, self.stdout = self._process.stdin, self._process.stdout
        self._lines: list[str] = []
        self._over = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.mistakes: int | None = 0
        """Tracebacks that the test has asked for; None: any number."""
        self.status: int | None = None
        try:
            self.wait_for("^ready$")
        except AssertionError:
            self.kill()
            raise
        self.at_rest = self.descriptors()
        """Descriptors open when nothing is going on, pooled pipes not counted."""

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                self._lines.append(line.decode().rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    @property
    def log(self) -> str:
        """What it has printed on standard error."""
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str, times: int = 1) -> str:
        """Wait until a line of the log matches, or that many; return the last of them."""
        found: list[str] = []

        def said() -> bool:
            found[:] = [line for line in self._lines if re.search(pattern, line)]
            return len(found) >= times or self._over

        with self._changed:
            self._changed.wait_for(said, PATIENCE_S)
        assert len(found) >= times, f"no line {pattern!r} in its log:\n{self.log}"
        return found[-1]

    # -- where it listens --------------------------------------------------------------------

    def uris(self, name: str) -> list[str]:
        """The addresses of a listener, ports resolved."""
        return re.findall(rf"^listening {re.escape(name)} (\S+)$", self.log, re.MULTILINE)

    def uri(self, name: str) -> str:
        """The only address of a listener."""
        (one,) = self.uris(name)
        return one

    def port(self, name: str) -> int:
        """The only port of a listener."""
        return int(self.uri(name).rpartition(":")[2])

    def connect(self, name: str) -> socket.socket:
        """Connect to a listener, plainly, over whatever it listens on but datagrams."""
        return connect(self.uri(name))

    # -- the process -------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def poll(self) -> int | None:
        """Return its exit status, None while it runs."""
        return self._process.poll()

    def descriptors(self) -> int:
        """Descriptors it has open, apart from pipes: bridges keep those in a pool."""
        return sum(not target.startswith("pipe:") for target in self._open())

    def pipes(self) -> int:
        """Pipe ends it has open."""
        return sum(target.startswith("pipe:") for target in self._open())

    def _open(self) -> Iterator[str]:
        for fd in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                yield os.readlink(fd)
            except FileNotFoundError:
                pass

    def resident(self) -> int:
        """Bytes of memory it uses."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def wait(self) -> int:
        """Wait until it has ended by itself; return its exit status."""
        self.status = self._process.wait(PATIENCE_S)
        self._reader.join()
        return self.status

    def stop(self) -> None:
        """See that it is at rest again, then end it as an operator does. Twice is harmless."""
        if self.status is None:
            eventually(
                lambda: self.descriptors() <= self.at_rest,
                f"{self.at_rest} descriptors open, as before",
            )
            self.signal(signal.SIGTERM)
            self.wait()
        assert self.status == 0, f"exit status {self.status}, log:\n{self.log}"
        assert self.mistakes in (None, self.log.count("Traceback")), self.log

    def kill(self) -> None:
        """Leave nothing behind, whatever has happened."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def connect(uri: str) -> socket.socket:
    """Connect to a URI, plainly. The socket waits PATIENCE_S at most."""
    scheme, _, rest = uri.partition(":")
    if scheme != "unix":
        host, _, port = rest.removeprefix("//").rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE_S)
    try:
        sock.connect(rest)
    except OSError:
        sock.close()
        raise
    return sock


class Starter(Protocol):
    """Starts the program on a configuration, given as text."""

    def __call__(
        self, text: str, *, wrapper: tuple[str, ...] = (), stdin: int = ..., stdout: int = ...
    ) -> Running:
        """See Running."""


@contextmanager
def starting(directory: Path) -> Iterator[Starter]:
    """Start programs, with their configurations in a folder.

    At the end each must come to rest, and end with status 0 and no traceback: AssertionError.
    """
    numbers = count()
    started: list[Running] = []

    def start(
        text: str,
        *,
        wrapper: tuple[str, ...] = (),
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
    ) -> Running:
        file = directory / f"proxy-{next(numbers)}.toml"
        file.write_text(text)
        running = Running(file, wrapper=wrapper, stdin=stdin, stdout=stdout)
        started.append(running)
        return running

    try:
        yield start
        for running in started:
            running.stop()
    finally:
        for running in started:
            running.kill()
