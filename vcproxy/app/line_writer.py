"""LineWriter: writes lines to a file or a descriptor, in its own thread.

The caller never waits for a slow pipe, disk or terminal. Tested in tests/app/test_log.py.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

QUEUE = 1 << 20
"""Maximum bytes in the queue: some thousand lines, more than are logged at a start or reload."""

FLUSH_S = 2.0
"""How long `close` waits for a slow target, in seconds."""

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK: opening a FIFO without a reader fails (ENXIO) instead of waiting for one."""

_REOPEN = b""
"""A queue entry that means: reopen the file. Lines contain a newline, so none of them is empty."""


class LineWriter:
    """Writes lines to one target, in order. Any thread may call its methods.

    A line is dropped and counted if the queue is full or the target does not accept it. When the
    target accepts lines again, the number of dropped lines and the reason are written first. The
    first line starts the thread.
    """

    def __init__(
        self,
        target: Path | int,
        *,
        note: Callable[[str], str],
        broken: Callable[[str], None],
    ) -> None:
        """Open a file for appending, or use a descriptor, which `close` leaves open.

        Args:
            target: the file or the descriptor.
            note: formats a line of the writer itself, such as the number of dropped lines. Called
                in the writer's thread.
            broken: called with the reason, in the writer's thread, when a write fails; called again
                only after a write has succeeded.

        Raises:
            OSError: the file cannot be opened.
        """
        self._path = target if isinstance(target, Path) else None
        self._fd = _open(target) if isinstance(target, Path) else target
        self._note = note
        self._broken = broken
        self.dropped = 0
        """Number of lines dropped so far."""
        self._changed = threading.Condition()
        self._queue: list[bytes] = []
        self._bytes = 0  # bytes in the queue
        self._overflow = 0  # lines dropped by a full queue since it was last emptied
        self._closing = False
        self._thread: threading.Thread | None = None
        # used only in the writer's thread:
        self._lost = 0  # lines dropped and not yet reported
        self._reason = ""  # why the last of these lines was dropped
        self._failing = False  # the last write failed
        self._torn = False  # the last line in the target is incomplete

    def write(self, line: str) -> None:
        """Queue a line; a newline is added."""
        octets = line.encode(errors="backslashreplace") + b"\n"
        with self._changed:
            full = self._queue and self._bytes + len(octets) > QUEUE
            if self._overflow or full:  # until the queue is empty: one gap, not several
                self._overflow += 1
                self.dropped += 1
            else:
                self._append(octets)

    def reopen(self) -> None:
        """Write the lines queued so far, then reopen the file at its path: it has been moved away.

        If this fails, the old file stays in use, and the reason is written to it.
        """
        with self._changed:
            self._append(_REOPEN)

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Write the queued lines, for at most `timeout_s` seconds. Do not call `write` after it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is None:
            self._release()
        else:
            self._thread.join(timeout_s)

    def _append(self, octets: bytes) -> None:
        self._queue.append(octets)
        self._bytes += len(octets)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="vcproxy log")
            # The thread inherits the signal mask: block all signals for it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            self._thread.start()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._changed.notify()

    # -- in the writer's thread --------------------------------------------------------------

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
                self._reopen_file()
                lines = lines[here + 1 :]
            self._put(lines)
            if overflow:
                self._lost += overflow
                if not self._failing:
                    self._reason = "the queue was full, as the target was too slow"
                    self._put([])

    def _put(self, lines: Sequence[bytes]) -> None:
        """Write lines; if lines were dropped before, write their number first."""
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
        """Write lines until a write fails; return the number of lines written completely."""
        start = int(self._torn)
        data = memoryview(b"\n" * start + b"".join(lines))
        _, *ends = accumulate(map(len, lines), initial=start)
        written = 0
        try:
            while written < len(data):
                try:
                    written += os.write(self._fd, data[written : _whole_lines(ends, written)])
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
        return sum(end <= written for end in ends)

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll()

    def _reopen_file(self) -> None:
        if self._path is None:
            return
        try:
            fresh = _open(self._path)
        except OSError as error:
            text = (
                f"cannot reopen the log {self._path}: {_reason(error)}; the open file stays in use"
            )
            self._put([self._note(text).encode() + b"\n"])
            return
        os.close(self._fd)
        self._fd = fresh
        self._torn = False

    def _release(self) -> None:
        if self._path is not None:
            os.close(self._fd)


def _whole_lines(ends: Sequence[int], written: int) -> int:
    """Return the end of the next lines to write: as many lines as are sure to stay together.

    Several processes may write to one pipe or socket. A write of more than PIPE_BUF bytes may be
    mixed with those of others (pipe(7)). A longer line is written alone. `ends`: where each line
    ends.
    """
    together = bisect_right(ends, written + select.PIPE_BUF) - 1
    return ends[max(together, bisect_right(ends, written))]


def _open(path: Path) -> int:
    return os.open(path, _FLAGS, 0o666)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
