"""Queue: connections that wait until some server has room, in the order in which they came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.outgoing import Outgoing
    from vcproxy.upstream.server import Server
    from vcproxy.upstream.settings import Queueing

LATE = "LATE"
"""Tag: who came first has waited for too long."""


class QueueFull(ConnectionError):
    """No server has room, and as many wait already as may."""


class QueueTimeout(TimeoutError):
    """No server has had room in time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A connection, and what matters for the choice of its server."""

    outgoing: Outgoing
    key: str
    tried: Collection[Server]
    timeout: float
    """Seconds for connecting, once that begins."""
    kept: bool = False
    """Whether a connection that has served before will do."""


class Queue(Continuation):
    """Who waits. All have the same time, so that one timer, for the first, serves all."""

    __slots__ = ("_terms", "_timing", "waiting")

    def __init__(self, engine: Engine, terms: Queueing) -> None:
        super().__init__(engine, Mutex())
        self._terms = terms
        self._timing = False
        self.waiting: dict[NetVConnection, Wanted] = {}
        """The first first."""

    def join(self, wanted: Wanted) -> None:
        """Wait, at the end of the queue. The VC fails with QueueFull or, later, QueueTimeout."""
        terms, vc = self._terms, wanted.outgoing.vc
        if len(self.waiting) >= terms.size:
            vc.fail(QueueFull(f"no server has room, and {terms.size} wait already"))
            return
        self.waiting[vc] = wanted
        if terms.timeout and not self._timing:
            self._time(self.engine.now + terms.timeout)

    def leave(self, vc: NetVConnection) -> None:
        """Wait no more, if it did."""
        self.waiting.pop(vc, None)

    @property
    def first(self) -> Wanted | None:
        """Whose turn it is."""
        for vc, wanted in self.waiting.items():
            if not vc.closed:  # else it has left, and that is not known here yet
                return wanted
        return None

    def serve(self, room: Callable[[], bool], admit: Callable[[Wanted], bool]) -> None:
        """As long as there is room, offer it to one after the other: who is admitted leaves."""
        admitted = []
        for vc, wanted in self.waiting.items():
            if not room():
                break
            if admit(wanted):
                admitted.append(vc)
        for vc in admitted:
            del self.waiting[vc]

    def handle_event(self, key: Hashable, data: object) -> None:
        """Fail those who have waited for too long."""
        self._timing = False
        limit = self._terms.timeout
        while self.waiting:
            vc, wanted = next(iter(self.waiting.items()))
            until = wanted.outgoing.created_at + limit
            if until > self.engine.now:
                self._time(until)
                return
            del self.waiting[vc]
            late = show_duration(limit)
            vc.fail(QueueTimeout(f"timed out: no server has had room for {late}"))

    def _time(self, when: float) -> None:
        self._timing = True
        self.engine.schedule_at(when, self, LATE, None)
