"""Scheduler: events that are due now, later, or again and again."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation


SWEEP_AT = 1024
"""So many timers before cancelled ones are looked for: fewer are not worth a look."""


class Ticket(Protocol):
    """What a queued event hangs on; it is dropped when the ticket has died meanwhile."""

    cont: Continuation | None
    live: bool
    pending: bool


class Action:
    """A scheduled event, and the handle to cancel it.

    Only its continuation cancels it, under its mutex; after `cancel()` it is never delivered.
    `pending` is cleared by the delivery.
    """

    __slots__ = ("cont", "data", "key", "live", "pending", "period", "when")

    def __init__(
        self, cont: Continuation, key: Hashable, data: object, when: float, period: float
    ) -> None:
        self.cont: Continuation | None = cont
        self.key = key
        self.data = data
        self.when = when
        self.period = period
        self.live = True
        self.pending = True

    def cancel(self) -> None:
        """Drop the event, whether it waits for its time or in the queue."""
        self.live = False
        self.cont = self.data = None


class Scheduler:
    """The queue of events due now, and a heap of those due later.

    Events of one time come in the order they were scheduled in, so a run repeats itself.
    """

    __slots__ = ("_order", "_sweep_at", "now", "queue", "timers")

    def __init__(self) -> None:
        self.now = 0.0
        self.queue: deque[tuple[Ticket, Hashable, object]] = deque()
        self.timers: list[tuple[float, int, Action]] = []
        self._order = 0
        self._sweep_at = SWEEP_AT

    def soon(self, action: Action) -> None:
        """Queue an event behind those already queued."""
        self.queue.append((action, action.key, action.data))

    def later(self, action: Action) -> None:
        """Queue an event when its time has come, and every `period` after that if not 0."""
        self._order += 1
        heapq.heappush(self.timers, (action.when, self._order, action))
        if len(self.timers) >= self._sweep_at:
            self._sweep()

    def clock(self, now: float) -> float:
        """Set the time, queue what has come due, return the time: it never runs backwards."""
        if now > self.now:
            self.now = now
        timers = self.timers
        while timers and timers[0][0] <= self.now:
            action = heapq.heappop(timers)[2]
            if action.live:
                self.soon(action)
                if action.period:
                    # From now, not from when it was due (Traffic Server's rule): a thread that
                    # was held up owes no burst of missed ticks.
                    action.when = self.now + action.period
                    self.later(action)  # no sweep: it takes the place that was just left
        return self.now

    def postpone(self, seconds: float) -> None:
        """Have all timers come due so much later, in the same order."""
        for _, _, action in self.timers:
            action.when += seconds
        self.timers[:] = [(when + seconds, order, action) for when, order, action in self.timers]

    def next_deadline(self) -> float | None:
        """When the earliest timer is due, or None. Cancelled timers on top are dropped."""
        timers = self.timers
        while timers and not timers[0][2].live:
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    def _sweep(self) -> None:
        """Drop the cancelled timers: most are, since most connections end before their limits."""
        self.timers[:] = [entry for entry in self.timers if entry[2].live]
        heapq.heapify(self.timers)
        self._sweep_at = max(SWEEP_AT, 2 * len(self.timers))
