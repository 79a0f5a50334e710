"""Deadlines: one timer for all sessions of a listener that wait for the same time.

A timer for each of them would cost more than the rest of what a short wait needs: most are over
long before it expires.

Tested in tests/sessions/test_deadlines.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import takewhile
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine

LATE = "LATE"
"""Tag: the time has passed."""


class Deadlines(Continuation):
    """Delivers LATE, with `seconds`, to each continuation that has waited for that time; 0: to
    none. All are of one engine."""

    __slots__ = ("_ends", "_running", "_seconds")

    def __init__(self, engine: Engine, seconds: float) -> None:
        super().__init__(engine, Mutex())
        self._seconds = seconds
        self._ends: dict[Continuation, float] = {}  # in the order of the deadlines
        self._running = False

    def begin(self, waiting: Continuation) -> None:
        """Begin to wait. It waits once at a time."""
        if not self._seconds:
            return
        when = self.engine.now + self._seconds
        self._ends[waiting] = when
        if not self._running:
            self._running = True
            self.engine.schedule_at(when, self, Event.TIMEOUT, None)

    def end(self, waiting: Continuation) -> None:
        """End a wait: nothing is delivered any more, unless it is queued already."""
        self._ends.pop(waiting, None)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle the timer."""
        ends, now = self._ends, self.engine.now
        for waiting, _ in list(takewhile(lambda end: end[1] <= now, ends.items())):
            del ends[waiting]
            self.engine.schedule(waiting, LATE, self._seconds)
        first = next(iter(ends.values()), None)
        self._running = first is not None
        if first is not None:
            self.engine.schedule_at(first, self, Event.TIMEOUT, None)
