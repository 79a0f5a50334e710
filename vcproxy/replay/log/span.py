"""Span: a part of the time of a log. Tested in tests/replay/log/test_show.py."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Span:
    """From one time to another (excluded), in seconds since the log began."""

    begin: float = 0.0
    end: float = inf

    def __contains__(self, at: float) -> bool:
        return self.begin <= at < self.end

    def overlaps(self, began: float, last: float) -> bool:
        """Whether something with this first and last time was open within the span."""
        return began < self.end and last >= self.begin
