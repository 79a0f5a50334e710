"""LineWriter: writes lines to a target, in its own thread.

The caller never waits for a slow pipe, disk, terminal or network. The targets are `LineFile` and
`SyslogSender`. Tested in tests/app/logs/test_log.py.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

QUEUE = 1 << 20
"""Maximum bytes in the queue of the program's log: some thousand lines, more than are logged at a
start or reload."""

FLUSH_S = 2.0
"""How long `close` waits for a slow target, in seconds."""

_REOPEN = b""
"""A queue entry that means: reopen the target. Lines contain a newline: none of them is empty."""

Pause: TypeAlias = Callable[[float], bool]
"""Waits so many seconds; returns True, without waiting, once the writer is being closed."""


class LineTarget(Protocol):
    """Where lines are written to. Its methods are called in the writer's thread only."""

    failing: bool
    """Whether the last write has failed."""
    reason: str
    """Why the last write that failed has failed."""

    def write(self, lines: Sequence[bytes], pause: Pause) -> int:
        """Write lines, each with a newline; return how many were written before one failed."""

    def reopen(self) -> str:
        """Open it again; return why that failed, "" if it did not."""

    def close(self) -> None:
        """Release it."""


class LineWriter:
    """Writes lines to one target, in order. Any thread may call its methods.

    A line is dropped and counted if the queue is full or the target does not accept it. When the
    target accepts lines again, the number of dropped lines and the reason are written first. The
    first line starts the thread.
    """

    def __init__(
        self,
        target: LineTarget,
        *,
        note: Callable[[str], str] | None = None,
        report: Callable[[str], None] | None = None,
        limit: int = QUEUE,
        every_s: float = 0.0,
    ) -> None:
        """Make it.

        Args:
            target: where to write to; the writer closes it.
            note: formats a line of the writer itself, such as the number of dropped lines, which is
                written to the target before later lines.
            report: called instead with the text of such a line, if the target is for records only.
                Both are called in the writer's thread.
            limit: maximum bytes in the queue.
            every_s: seconds for which lines are collected before they are written. Each write
                costs the threads that log a moment, as only one of them runs at a time.
        """
        self._target = target
        self._note = note
        self._report = report
        self._limit = limit
        self._every_s = every_s
        self._collecting = False  # the thread waits for more lines, unless they are very many
        self.dropped = 0
        """Number of lines dropped so far."""
        self._lock = threading.RLock()  # held directly where each call of a function counts
        self._changed = threading.Condition(self._lock)
        self._queue: list[bytes] = []
        self._bytes = 0  # bytes in the queue
        self._overflow = 0  # lines dropped by a full queue since it was last emptied
        self._unwritten = 0  # lines that were queued and are not yet written
        self._closing = False
        self._thread: threading.Thread | None = None
        # used only in the writer's thread:
        self._lost = 0  # lines dropped and not yet reported
        self._reason = ""  # why the last of these lines was dropped

    def start(self) -> None:
        """Start the thread, if it does not run: RuntimeError now, rather than at the first line."""
        with self._changed:
            self._start()

    def write(self, line: str) -> None:
        """Queue a line; a newline is added."""
        self.put(_line(line))

    def put(self, octets: bytes) -> None:
        """Queue a line with its newline."""
        with self._lock:
            size = self._bytes + len(octets)
            full = size > self._limit and self._queue
            if self._overflow or full:  # until the queue is empty: one gap, not several
                self._overflow += 1
                self.dropped += 1
                return
            if self._closing:
                self.dropped += 1
                return
            self._unwritten += 1
            self._queue.append(octets)
            self._bytes = size
            if not self._collecting or 2 * size > self._limit:
                self._wake()

    def reopen(self) -> None:
        """Write the lines queued so far, then reopen the target: a file has been moved away.

        If this fails, the old one stays in use, and the reason is written to it.
        """
        with self._lock:
            self._queue.append(_REOPEN)
            if not self._collecting:
                self._wake()

    def close(self, timeout_s: float = FLUSH_S) -> int:
        """Write the queued lines, for at most `timeout_s` seconds. Later lines are dropped and
        counted.

        Return how many of them were not written.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is None:
            self._target.close()
        else:
            self._thread.join(timeout_s)
        return self._unwritten

    def _wake(self) -> None:
        self._start()
        self._changed.notify()

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, daemon=True, name="vcproxy log")
            # The thread inherits the signal mask: block all signals for it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                thread.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._thread = thread

    # -- in the writer's thread --------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._queue or self._closing):
                    self._changed.wait()
                if self._every_s and not self._closing:
                    self._collecting = True
                    self._changed.wait(self._every_s)
                    self._collecting = False
                lines, self._queue, self._bytes = self._queue, [], 0
                overflow, self._overflow = self._overflow, 0
            if not lines:
                self._target.close()
                return
            while _REOPEN in lines:
                here = lines.index(_REOPEN)
                self._put(lines[:here])
                if failed := self._target.reopen():
                    self._put([], failed)
                lines = lines[here + 1 :]
            self._put(lines)
            if overflow:
                self._lost += overflow
                if not self._target.failing:
                    self._reason = "the queue was full, as the target was too slow"
                    self._put([])

    def _put(self, lines: Sequence[bytes], *notes: str) -> None:
        """Write notes and lines; if lines were dropped before, write their number first."""
        if self._lost:
            lost = "1 line was" if self._lost == 1 else f"{self._lost} lines were"
            notes = (f"{lost} dropped from the log: {self._reason}", *notes)
        noted = [] if self._note is None else [_line(self._note(each)) for each in notes]
        whole = self._target.write([*noted, *lines], self._pause)
        if self._target.failing:
            self._reason = self._target.reason
        if whole or not self._target.failing:
            self._lost = 0
            for each in notes:
                if self._report is not None:
                    self._report(each)
        written = max(whole - len(noted), 0)
        self._lost += len(lines) - written
        with self._changed:
            self._unwritten -= written
            self.dropped += len(lines) - written

    def _pause(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._closing, seconds)


def _line(text: str) -> bytes:
    return text.encode(errors="backslashreplace") + b"\n"
