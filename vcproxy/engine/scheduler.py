"""Scheduler: events that are due now, later, or at an interval."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation


SWEEP_AT = 1024
"""The number of timers at which the removal of cancelled ones begins."""


class Ticket(Protocol):
    """The owner of a queued event, which is dropped if the ticket is no longer `live`."""

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
        """Drop the event, also when it is in the queue already."""
        self.live = False
        self.cont = self.data = None


class Scheduler:
    """The queue of events due now, and a heap of those due later.

    Events of one time are delivered in the order of scheduling, so a run is reproducible.
    """

    __slots__ = ("_order", "_sweep_at", "now", "queue", "timers")

    def __init__(self) -> None:
        self.now = 0.0
        self.queue: deque[tuple[Ticket, Hashable, object]] = deque()
        self.timers: list[tuple[float, int, Action]] = []
        self._order = 0
        self._sweep_at = SWEEP_AT

    def soon(self, action: Action) -> None:
        """Queue an event after those already queued."""
        self.queue.append((action, action.key, action.data))

    def later(self, action: Action) -> None:
        """Queue an event at its time, and then every `period` seconds if not 0."""
        self._order += 1
        heapq.heappush(self.timers, (action.when, self._order, action))
        if len(self.timers) >= self._sweep_at:
            self._sweep()

    def clock(self, now: float) -> float:
        """Set the time, queue what is due, return the time, which never runs backwards."""
        if now > self.now:
            self.now = now
        timers = self.timers
        while timers and timers[0][0] <= self.now:
            action = heapq.heappop(timers)[2]
            if action.live:
                self.soon(action)
                if action.period:
                    # The period starts now, not when the timer was due (Traffic Server's rule): so
                    # there is no burst of missed ticks after a delay.
                    action.when = self.now + action.period
                    self.later(action)  # the number of timers is unchanged: no sweep is needed
        return self.now

    def postpone(self, seconds: float) -> None:
        """Postpone all timers, in the same order."""
        for _, _, action in self.timers:
            action.when += seconds
        self.timers[:] = [(when + seconds, order, action) for when, order, action in self.timers]

    def next_deadline(self) -> float | None:
        """Return when the earliest timer is due, or None. Cancelled ones on top are removed."""
        timers = self.timers
        while timers and not timers[0][2].live:
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    def _sweep(self) -> None:
        """Remove cancelled timers: most are, because most connections end before a timeout."""
        self.timers[:] = [entry for entry in self.timers if entry[2].live]
        heapq.heapify(self.timers)
        self._sweep_at = max(SWEEP_AT, 2 * len(self.timers))
