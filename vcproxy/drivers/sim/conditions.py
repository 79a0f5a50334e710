"""Conditions: the clock, the randomness and the faults of a simulated network.

Tested in tests/drivers/test_sim.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from vcproxy.drivers.sim.faults import NetworkFaults, Span
    from vcproxy.drivers.sim.virtual_clock import VirtualClock

FIRST_FREE_PORT = 40_000


class Conditions:
    """The clock, randomness and faults that all links and sockets of a network share."""

    def __init__(self, clock: VirtualClock, random: Random, faults: NetworkFaults) -> None:
        self.clock = clock
        self.random = random
        self.faults = faults
        self.partitioned_until = 0.0
        self._last_port = FIRST_FREE_PORT - 1

    def happens(self, chance: float) -> bool:
        """Return whether an event of this probability happens now."""
        return chance > 0 and self.random.random() < chance

    def span(self, span: Span) -> float:
        """Return a random duration within a range, in seconds."""
        shortest, longest = span
        return self.random.uniform(shortest, longest) if longest else 0.0

    def portion(self, count: int) -> int:
        """Return how many of `count` bytes a read or write moves."""
        if self.happens(self.faults.one_byte):
            return min(count, 1)
        if count and self.happens(self.faults.short):
            return self.random.randint(1, count)
        return count

    def partition(self, seconds: float) -> None:
        """Stop the network for a time: segments in flight arrive afterwards."""
        self.partitioned_until = max(self.partitioned_until, self.clock.now + seconds)

    def free_port(self) -> int:
        """Return a port that is not in use."""
        self._last_port += 1
        return self._last_port
