"""DatagramLog: the log lines of a listener's datagram sessions: so many in a second at most.

Each address that sends a datagram has a session, and addresses are easy to forge: while the server
is away, a line for each session would be a line for each datagram.

Tested in tests/sessions/test_datagram_log.py.
"""

from __future__ import annotations

LINES = 10
"""The most lines of one listener in a second: enough to see what is wrong, and for whom."""


class DatagramLog:
    """Counts lines. One for each listener and net thread."""

    __slots__ = ("_left_out", "_lines", "_second")

    def __init__(self) -> None:
        self._second = -1.0
        self._lines = 0
        self._left_out = 0

    def line(self, text: str, now: float) -> str:
        """Return what is logged for a line: the line, with the number of those left out before it;
        "": nothing, as there were too many. `now`: seconds."""
        if now - self._second >= 1.0:
            self._second, self._lines = now, 0
        self._lines += 1
        if self._lines > LINES:
            self._left_out += 1
            return ""
        left_out, self._left_out = self._left_out, 0
        return f"{text} ({left_out} lines of other senders were left out)" if left_out else text
