"""Timeline: virtual time, and what happens in it. Nothing here waits."""

import heapq
from collections.abc import Callable


class Timeline:
    """The time of a simulation. It moves only by jumping to what happens next.

    What happens at one moment happens in the order it was arranged in.
    """

    __slots__ = ("_heap", "_order", "now")

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the simulation began."""
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._order = 0

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Have `act` called at that time, or now if it has passed; never inline."""
        self._order += 1
        heapq.heappush(self._heap, (max(when, self.now), self._order, act))

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Have `act` called after that many seconds; never inline."""
        self.at(self.now + seconds, act)

    def next_time(self) -> float | None:
        """When something happens next; None: nothing is arranged."""
        return self._heap[0][0] if self._heap else None

    def step(self) -> None:
        """Jump to what happens next, and let it happen."""
        self.now, _, act = heapq.heappop(self._heap)
        act()
