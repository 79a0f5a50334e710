"""Running: the real program in its own process, observed by a test.

Tested in tests/testing/test_pytest_plugin.py, and used by all of tests/e2e.
"""

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
"""Time limit of each wait. On an idle machine a wait takes less than a second."""

VCPROXY = (sys.executable, "-m", "vcproxy")


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Poll until a condition is true. Raises AssertionError with `what` after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"condition not reached: {what}"
        threading.Event().wait(0.01)


class Running:
    """A process of `vcproxy -c FILE`, from its log line "ready" to its end.

    A thread reads its standard error; `log` returns everything read so far.
    """

    def __init__(
        self,
        file: Path,
        *,
        wrapper: Sequence[str] = (),
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
    ) -> None:
        """Start the process and wait until it is ready.

        `wrapper`: a command to run it with, such as a tracer.
        """
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
        self._closed = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.expected_tracebacks: int | None = 0
        """The number of tracebacks that `stop` must find in the log; None: any number."""
        self.status: int | None = None
        try:
            self.wait_for("^ready$")
        except AssertionError:
            self.kill()
            raise
        self.idle_descriptors = self.descriptors()
        """`descriptors()` right after the start."""

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                self._lines.append(line.decode().rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def log(self) -> str:
        """Everything that the process has printed on standard error."""
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str, times: int = 1) -> str:
        """Wait until at least `times` lines of the log match; return the last of them."""
        found: list[str] = []

        def matched() -> bool:
            found[:] = [line for line in self._lines if re.search(pattern, line)]
            return len(found) >= times or self._closed

        with self._changed:
            self._changed.wait_for(matched, PATIENCE_S)
        assert len(found) >= times, f"no line {pattern!r} in the log:\n{self.log}"
        return found[-1]

    # -- listeners ---------------------------------------------------------------------------

    def uris(self, name: str) -> list[str]:
        """Return the addresses of a listener, with the real ports."""
        return re.findall(rf"^listening {re.escape(name)} (\S+)$", self.log, re.MULTILINE)

    def uri(self, name: str) -> str:
        """Return the only address of a listener."""
        (one,) = self.uris(name)
        return one

    def port(self, name: str) -> int:
        """Return the only port of a listener."""
        return int(self.uri(name).rpartition(":")[2])

    def connect(self, name: str) -> socket.socket:
        """Connect to a listener, without TLS. Streams only."""
        return connect(self.uri(name))

    # -- the process -------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def poll(self) -> int | None:
        """Return the exit status; None while the process runs."""
        return self._process.poll()

    def descriptors(self) -> int:
        """Return the number of open descriptors.

        Without pipes, because bridges keep them in a pool; without those of child processes, which
        the plugin supervise starts just after the proxy is ready; and without those that watch
        files, which the control opens with its first client.
        """
        left_out = "pipe:", "anon_inode:[pidfd]", "anon_inode:inotify"
        return sum(not target.startswith(left_out) for target in self._open())

    def pipes(self) -> int:
        """Return the number of open pipe ends."""
        return sum(target.startswith("pipe:") for target in self._open())

    def _open(self) -> Iterator[str]:
        for fd in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                yield os.readlink(fd)
            except FileNotFoundError:
                pass

    def resident(self) -> int:
        """Return the resident memory of the process in bytes."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def wait(self) -> int:
        """Wait for the end of the process; return its exit status."""
        self.status = self._process.wait(PATIENCE_S)
        self._reader.join()
        return self.status

    def stop(self) -> None:
        """Check that no connection is left, then end the process with SIGTERM.

        May be called twice. Raises AssertionError if descriptors are still open, if the
        exit status is not 0, or for unexpected tracebacks in the log.
        """
        if self.status is None:
            eventually(
                lambda: self.descriptors() <= self.idle_descriptors,
                f"only {self.idle_descriptors} descriptors are open, as at the start",
            )
            self.signal(signal.SIGTERM)
            self.wait()
        assert self.status == 0, f"exit status {self.status}, log:\n{self.log}"
        assert self.expected_tracebacks in (None, self.log.count("Traceback")), self.log

    def kill(self) -> None:
        """End the process with SIGKILL and close all pipes to it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def connect(uri: str) -> socket.socket:
    """Connect to a URI, without TLS. The socket has a timeout of PATIENCE_S."""
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
    """A function that starts the program with the text of a configuration."""

    def __call__(
        self, text: str, *, wrapper: tuple[str, ...] = (), stdin: int = ..., stdout: int = ...
    ) -> Running:
        """See Running."""


@contextmanager
def starting(directory: Path) -> Iterator[Starter]:
    """Yield a function that starts the program; at the end, stop every program started.

    The configuration files are written to `folder`. Raises AssertionError: see Running.stop.
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
