"""Backoff: how long to wait before the next try, where the last one has failed.

The delay doubles with each try, and half of it is left to chance: those who lost one server at one
time do not come back at one time (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015: his "equal jitter"). His "full jitter" spreads a crowd better, but may wait for nothing: where
only a few knock, what must be kept is a least delay between two knocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class Backoff:
    """The delays of one target.

    Args:
        random: what chance is.
        first_s: the first delay: who only stumbled is back by then, and is missed by nobody.
        most_s: the longest delay: who comes back is found within half a minute.
    """

    __slots__ = ("_first_s", "_most_s", "_random", "delay_s")

    def __init__(self, random: Random, first_s: float = 0.1, most_s: float = 30.0) -> None:
        self._random = random
        self._first_s = first_s
        self._most_s = most_s
        self.delay_s = first_s
        """The next delay, before chance takes its part."""

    def next_s(self) -> float:
        """How many seconds to wait now: between half the delay and all of it."""
        delay_s = self.delay_s
        self.delay_s = min(2 * delay_s, self._most_s)
        return self._random.uniform(delay_s / 2, delay_s)

    def lasted(self, seconds: float) -> bool:
        """Hear how long a connection has lasted; return whether the delays begin anew.

        They do where it was longer than the next delay: a target that takes a connection and drops
        it at once is knocked at ever more seldom.
        """
        if seconds <= self.delay_s:
            return False
        self.delay_s = self._first_s
        return True
