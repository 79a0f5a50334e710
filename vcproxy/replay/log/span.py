"""Span: a part of the time that a log took."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Span:
    """From a time up to another, in seconds since the log began."""

    begin: float = 0.0
    end: float = inf

    def __contains__(self, at: float) -> bool:
        return self.begin <= at < self.end

    def meets(self, began: float, last: float) -> bool:
        """Whether what began and ended then was going on within it."""
        return began < self.end and last >= self.begin
