"""Ticks: events at the points of a grid in time, as a source. Missed points are counted.

eventdispatcher has such timers (section 4: "ticks stay on the original grid"). Its events come from
the engine's timers, so no driver is needed, and in a simulation the time is virtual.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, ClassVar

from vcproxy.engine.continuation import OwnTimer
from vcproxy.engine.event import Event
from vcproxy.engine.sources.source import PRIORITY, Source
from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.scheduler import Action

SHORTEST_S = 0.001
"""The shortest interval: epoll waits in milliseconds, so more ticks would only be missed."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A point of the grid is reached."""

    name: str
    missed: int = 0
    """The points before it, since the last event, for which there was none: the thread was busy or
    stopped, an earlier tick was not delivered yet, or the source was disabled."""


class Ticks(Source):
    """A tick every `every_s` seconds, the first after `first_s`. The event: Tick.

    Ticks are never early. A late one does not shift the following ones: they stay on the grid that
    begins at the creation. At most one is waiting to be delivered. For an interval that begins
    anew with each event there is `engine.schedule_every`.
    """

    __slots__ = ("_at_s", "_last", "_own", "_timer", "every_s")

    driven: ClassVar[bool] = False

    def __init__(
        self,
        cont: Continuation,
        name: str,
        every_s: float,
        first_s: float | None = None,
        priority: int = PRIORITY,
    ) -> None:
        """`first_s`: seconds until the first tick, 0 or more; None: `every_s`. Raises ValueError
        for an interval under 1 ms."""
        if every_s < SHORTEST_S:
            raise ValueError(f"{name}: every_s is {every_s}: it must be at least {SHORTEST_S}")
        if first_s is not None and first_s < 0:
            raise ValueError(f"{name}: first_s is {first_s}: it must not be negative")
        super().__init__(cont, name, priority)
        self.every_s = every_s
        self._at_s = self.opened_at + (every_s if first_s is None else first_s)  # of point 0
        self._last = -1  # the last point for which there was an event
        self._own = OwnTimer(self.engine, self._due)
        self._timer: Action = self._next(0)

    @property
    def detail(self) -> str:
        """See Source."""
        return f"every {show_duration(self.every_s)}"

    def set_watched(self, enabled: bool) -> None:
        """See Source: stop or start the timer."""
        self._timer.cancel()
        if enabled:
            self._timer = self._next(self._point() + 1)

    def close(self) -> None:
        """See Source."""
        if self.cont is not None:
            self._timer.cancel()
            del self._own  # it refers to this object: nothing is left to the garbage collector
        super().close()

    def _next(self, point: int) -> Action:
        at = max(self._at_s + point * self.every_s, self.engine.now)
        return self.engine.schedule_at(at, self._own, Event.TIMEOUT, None)

    def _point(self) -> int:
        """Return the last point of the grid that is not in the future; -1: none."""
        now, at, every = self.engine.now, self._at_s, self.every_s
        point = max(floor((now - at) / every), -1)
        # Division and multiplication round differently: a point must be as `_next` computes it.
        while at + (point + 1) * every <= now:
            point += 1
        while point >= 0 and at + point * every > now:
            point -= 1
        return point

    def _due(self) -> None:
        """Queue the tick of the last point, and set the timer for the next."""
        point = self._point()
        if point > self._last and not self.pending:
            self.pending = True
            self.queue(Tick(self.name, point - self._last - 1))
            self._last = point
        self._timer = self._next(point + 1)
