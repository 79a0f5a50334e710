"""LineLimit: so many lines in the log for some time at most, and the number of the others.

For lines that outside events cause, as often as these want. Tested in
tests/sessions/test_line_limit.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level

LINES = 10
"""Enough to see what is wrong, and for whom."""

LIMIT_S = 60.0
"""Some causes last for days: a device is switched off, and is asked for as often as clients ask."""


class LineLimit:
    """Counts lines of one kind: LINES of them are logged in each time."""

    __slots__ = ("_began", "_left_out", "_lines", "_time_s")

    def __init__(self, time_s: float) -> None:
        self._time_s = time_s
        self._began = float("-inf")
        self._lines = 0
        self._left_out = 0

    def log(self, engine: Engine, level: Level, text: str) -> None:
        """Log a line, with the number of those left out before it; or leave it out."""
        now = engine.now
        if now - self._began >= self._time_s:
            self._began, self._lines = now, 0
        self._lines += 1
        if self._lines > LINES:
            self._left_out += 1
            return
        if self._left_out:
            text += f" ({self._left_out} such lines were left out)"
            self._left_out = 0
        engine.log(level, text)


class LineLimits:
    """The limits of one listener on one net thread, by kind: see Service.share."""

    def __init__(self) -> None:
        self._limits: dict[str, LineLimit] = {}

    def of(self, kind: str, time_s: float = LIMIT_S) -> LineLimit:
        """Return the limit of a kind of lines. `kind`: a word that no peer can choose, because each
        is kept; `time_s`: of a kind that is new."""
        limit = self._limits.get(kind)
        if limit is None:
            limit = self._limits[kind] = LineLimit(time_s)
        return limit
