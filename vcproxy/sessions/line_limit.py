"""LineLimit: so many lines in the log for some time at most, and the number of the others.

For lines that outside events cause, as often as these want. One object for each listener and net
thread: see Service.share.

Tested in tests/sessions/test_line_limit.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level

LINES = 10
"""Enough to see what is wrong, and for whom."""


class LineLimit:
    """Counts lines. Subclasses are the kinds of lines, each with a time."""

    __slots__ = ("_began", "_left_out", "_lines")

    time_s: float
    """For so long there are LINES lines at most."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._lines = 0
        self._left_out = 0

    def log(self, engine: Engine, level: Level, text: str) -> None:
        """Log a line, with the number of those left out before it; or leave it out."""
        now = engine.now
        if now - self._began >= self.time_s:
            self._began, self._lines = now, 0
        self._lines += 1
        if self._lines > LINES:
            self._left_out += 1
            return
        if self._left_out:
            text += f" ({self._left_out} such lines were left out)"
            self._left_out = 0
        engine.log(level, text)


class DatagramLines(LineLimit):
    """The lines of datagram sessions.

    Each address that sends a datagram has a session, and addresses are easy to forge: while the
    server is away, a line for each session would be a line for each datagram.
    """

    __slots__ = ()
    time_s = 1.0


class SharedLines(LineLimit):
    """The lines of shared connections.

    A device that is switched off is asked for as often as its clients ask, for days.
    """

    __slots__ = ()
    time_s = 60.0
