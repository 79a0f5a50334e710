"""Backoff: the delays between attempts to reach a target that fails.

The delay doubles with each attempt, and half of it is random, so that many clients that lost one
server at the same time do not all return at the same time (Brooker, "Exponential Backoff And
Jitter", AWS Architecture Blog, 2015: his "equal jitter"). His "full jitter" spreads many clients
better, but may not wait at all; here few clients connect, and a minimum delay matters more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class Backoff:
    """The delays of one target.

    Args:
        random: the engine's source of randomness.
        initial_s: the first delay: long enough for a short failure, and too short to matter.
        max_s: the longest delay: a target that returns is found within half a minute.
    """

    __slots__ = ("_initial_s", "_max_s", "_random", "delay_s")

    def __init__(self, random: Random, initial_s: float = 0.1, max_s: float = 30.0) -> None:
        self._random = random
        self._initial_s = initial_s
        self._max_s = max_s
        self.delay_s = initial_s
        """The next delay, before it is made random."""

    def next_s(self) -> float:
        """Return the seconds to wait now, at random between half the delay and all of it."""
        delay_s = self.delay_s
        self.delay_s = min(2 * delay_s, self._max_s)
        return self._random.uniform(delay_s / 2, delay_s)

    def lasted(self, seconds: float) -> bool:
        """Record how long a connection lasted; return whether the delays start again.

        They do if the connection lasted longer than the next delay. So a target that accepts
        connections and drops them at once is tried less and less often.
        """
        if seconds <= self.delay_s:
            return False
        self.delay_s = self._initial_s
        return True
