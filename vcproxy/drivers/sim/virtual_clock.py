"""VirtualClock: the time of a simulation, and the calls scheduled in it.

Tested in tests/drivers/test_sim.py.
"""

import heapq
from collections.abc import Callable


class VirtualClock:
    """Virtual time. It does not run by itself: it jumps to the time of the next scheduled call.

    Calls scheduled for the same time are made in the order in which they were scheduled.
    """

    __slots__ = ("_heap", "_order", "now")

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the start of the simulation."""
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._order = 0

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Run `call` at virtual time `when`, or now if that is past. Always deferred."""
        self._order += 1
        heapq.heappush(self._heap, (max(when, self.now), self._order, call))

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Run `call` after a number of seconds. Always deferred."""
        self.at(self.now + seconds, call)

    def next_time(self) -> float | None:
        """Return the time of the next call; None: none is scheduled."""
        return self._heap[0][0] if self._heap else None

    def step(self) -> None:
        """Set the time to that of the next call, and run it."""
        self.now, _, call = heapq.heappop(self._heap)
        call()
