"""Dates: events at a time of day, which follow the clock of the system when it is set."""

from __future__ import annotations

from collections.abc import Hashable
from math import ceil
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.scheduler import Action

CHECK_S = 10.0
"""The longest time between two looks at the time of day: how late a jump of it is noticed."""

LEAST_S = 0.1
"""The shortest such time: the time of day is known to a second, so the last look may be early."""


class DateAction(Continuation):
    """An event at a date, and the handle to cancel it; from `Engine.schedule_at_date`.

    It comes never early, at once if the date is past, and at most a second late. It follows the
    clock of the system when that is set forwards or back, which is noticed within 10 s.
    """

    __slots__ = ("_action", "_data", "_key", "_owner", "when")

    def __init__(self, owner: Continuation, when: float, key: Hashable, data: object) -> None:
        super().__init__(owner.engine, owner.mutex)
        self.when = when
        """Seconds since 1970, UTC."""
        self._owner = owner
        self._key = key
        self._data = data
        self._action: Action = self._next()

    def __repr__(self) -> str:
        return f"<DateAction {self.when} of {self._owner!r}>"

    def cancel(self) -> None:
        """Drop the event, also when it is in the queue already."""
        self._action.cancel()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Look at the time of day."""
        self._action = self._next()

    def _next(self) -> Action:
        engine: Engine = self.engine
        left = ceil(self.when) - engine.wall
        if engine.wall >= self.when:
            return engine.schedule(self._owner, self._key, self._data)
        wait = min(max(left - 1.0, LEAST_S), CHECK_S)
        return engine.schedule_in(wait, self, Event.TIMEOUT, None)
