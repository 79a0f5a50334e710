"""Deaths: how many workers have died lately. More than a few mean that a restart does not help."""

from __future__ import annotations

from collections import deque

LIMIT = 5
"""A worker that dies of one bad connection or configuration is replaced; a fifth death in the
period shows that it dies again and again."""

PERIOD_S = 10.0
"""Seconds: a start takes less than one, so that five deaths at the start are within the period."""


class Deaths:
    """Counts deaths in a sliding period."""

    def __init__(self, limit: int = LIMIT, period_s: float = PERIOD_S) -> None:
        self.limit = limit
        self.period_s = period_s
        self._at: deque[float] = deque(maxlen=limit)

    def add(self, now: float) -> bool:
        """Count one death; return whether `limit` of them are within the period.

        `now`: seconds of a clock that never goes back.
        """
        self._at.append(now)
        return len(self._at) == self.limit and now - self._at[0] <= self.period_s
