"""Line writer: lines for a file or a descriptor, written by a thread of its own.

Whoever writes a line never waits for the reader of a pipe, for a disk or for a terminal.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

QUEUE = 1 << 20
"""Bytes that wait for a slow target: some thousand lines, more than a start or a reload makes."""

FLUSH_S = 2.0
"""How long `close` waits for a slow target, in seconds."""

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK: opening a FIFO that nobody reads fails (ENXIO) instead of waiting for a reader."""

_REOPEN = b""
"""In the queue: here the file is opened anew. A line is never empty, it has its newline."""


class LineWriter:
    """Writes lines to one target, in order. Any thread may call its methods.

    A line that does not fit into the queue, and one that the target refuses, is dropped and
    counted; where they are missing, the count and the reason are written as soon as the target
    takes lines again. The thread is started by the first line.
    """

    def __init__(
        self,
        target: Path | int,
        *,
        note: Callable[[str], str],
        broken: Callable[[str], None],
    ) -> None:
        """Write to a file, which is opened for appending, or to a descriptor, which stays open.

        Args:
            target: the file or the descriptor.
            note: makes a line of what the writer itself reports. Called on the writer's thread.
            broken: called with the reason, on the writer's thread, when the target refuses lines;
                again only after it has taken some.

        Raises:
            OSError: the file cannot be opened.
        """
        self._path = target if isinstance(target, Path) else None
        self._fd = _open(target) if isinstance(target, Path) else target
        self._note = note
        self._broken = broken
        self.dropped = 0
        """Lines dropped since the beginning."""
        self._changed = threading.Condition()
        self._queue: list[bytes] = []
        self._bytes = 0  # in the queue
        self._overflow = 0  # lines dropped because it was full, since it was last taken
        self._closing = False
        self._thread: threading.Thread | None = None
        # of the thread:
        self._lost = 0  # lines dropped and not yet reported
        self._reason = ""  # why the last of them was
        self._failing = False  # the target refused the last line
        self._torn = False  # what it took last is a part of a line

    def write(self, line: str) -> None:
        """Have a line written; its newline is added."""
        octets = line.encode(errors="backslashreplace") + b"\n"
        with self._changed:
            full = self._queue and self._bytes + len(octets) > QUEUE
            if self._overflow or full:  # one gap, not several, until the queue has been taken
                self._overflow += 1
                self.dropped += 1
            else:
                self._append(octets)

    def reopen(self) -> None:
        """Open the file anew at its path, behind all lines so far: it has been moved away.

        If that fails, the file in use stays, and a line there says why.
        """
        with self._changed:
            self._append(_REOPEN)

    def close(self, patience_s: float = FLUSH_S) -> None:
        """Write what waits, for so many seconds at most. No line may follow."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is None:
            self._release()
        else:
            self._thread.join(patience_s)

    def _append(self, octets: bytes) -> None:
        self._queue.append(octets)
        self._bytes += len(octets)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="vcproxy log")
            # Threads inherit which signals are blocked: none is for this one.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            self._thread.start()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._changed.notify()

    # -- on its thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._queue or self._closing):
                    self._changed.wait()
                lines, self._queue, self._bytes = self._queue, [], 0
                overflow, self._overflow = self._overflow, 0
            if not lines:
                self._release()
                return
            while _REOPEN in lines:
                here = lines.index(_REOPEN)
                self._put(lines[:here])
                self._open_anew()
                lines = lines[here + 1 :]
            self._put(lines)
            if overflow:
                self._lost += overflow
                if not self._failing:
                    self._reason = "they came faster than they could be written"
                    self._put([])

    def _put(self, lines: Sequence[bytes]) -> None:
        """Write lines, and before them how many are missing."""
        missing = 1 if self._lost else 0
        if missing:
            lost = "1 line was" if self._lost == 1 else f"{self._lost} lines were"
            note = self._note(f"{lost} dropped from the log: {self._reason}")
            lines = [note.encode() + b"\n", *lines]
        whole = self._write(lines)
        if whole >= missing:
            self._lost = 0
        refused = len(lines) - max(whole, missing)
        self._lost += refused
        with self._changed:
            self.dropped += refused

    def _write(self, lines: Sequence[bytes]) -> int:
        """Write lines as far as the target takes them; return how many went out whole."""
        start = int(self._torn)
        data = memoryview(b"\n" * start + b"".join(lines))
        written = 0
        try:
            while written < len(data):
                try:
                    written += os.write(self._fd, data[written:])
                except BlockingIOError:
                    self._wait_for_room()
        except OSError as error:
            self._reason = _reason(error)
            if not self._failing:
                self._failing = True
                self._broken(self._reason)
        else:
            self._failing = False
        if written:
            self._torn = data[written - 1] != ord("\n")
        _, *ends = accumulate(map(len, lines), initial=start)
        return sum(end <= written for end in ends)

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll()

    def _open_anew(self) -> None:
        if self._path is None:
            return
        try:
            fresh = _open(self._path)
        except OSError as error:
            text = f"cannot reopen the log {self._path}: {_reason(error)}; the open file stays"
            self._put([self._note(text).encode() + b"\n"])
            return
        os.close(self._fd)
        self._fd = fresh
        self._torn = False

    def _release(self) -> None:
        if self._path is not None:
            os.close(self._fd)


def _open(path: Path) -> int:
    return os.open(path, _FLAGS, 0o666)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
