"""Queue: connections that wait until a server has room, in the order of their requests.

Tested in tests/upstream/test_upstream.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.failures import NoRoom
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.outgoing import Outgoing
    from vcproxy.upstream.server import Server
    from vcproxy.upstream.settings import QueueSettings

TIMED_OUT = "TIMED_OUT"
"""Tag: the first connection may have waited for too long."""


class QueueFull(NoRoom):
    """No server has room, and the queue is full."""


class QueueTimeout(TimeoutError):
    """No server had room in time."""


@dataclass(slots=True)  # not frozen, for speed: see engine/commands.py
class ConnectRequest:
    """A requested connection, and the conditions for its server."""

    outgoing: Outgoing
    key: str
    """Requests with equal keys belong to one server, if the balancing policy uses keys."""
    tried: Collection[Server]
    """Servers that must not be used again."""
    timeout: float
    """Seconds for connecting, without the time in the queue."""
    reuse: bool = False
    """Whether an existing idle connection may be used."""
    preferred: Server | None = None
    """The server to use, as long as it `keeps` its clients; None: the policy chooses."""


class Queue(Continuation):
    """The waiting requests. All have the same timeout, so one timer, for the first, is enough."""

    __slots__ = (
        "_settings", "_timer_set", "added", "preferring", "refused", "timed_out", "waiting",
    )  # fmt: skip

    def __init__(self, engine: Engine, settings: QueueSettings) -> None:
        super().__init__(engine, Mutex())
        self._settings = settings
        self._timer_set = False
        self.waiting: dict[NetVConnection, ConnectRequest] = {}
        """The oldest first."""
        self.added = self.refused = self.timed_out = 0
        """Requests so far that had to wait; that found the queue full; that waited for too long."""
        self.preferring = False
        """Whether a request has ever waited for a server of its own."""

    def add(self, request: ConnectRequest) -> None:
        """Append a request. Its VC fails with QueueFull now, or with QueueTimeout later."""
        settings, vc = self._settings, request.outgoing.vc
        if len(self.waiting) >= settings.size:
            self.refused += 1
            vc.fail(QueueFull(f"no server has room, and {settings.size} connections wait already"))
            return
        self.added += 1
        self.waiting[vc] = request
        if request.preferred is not None:
            self.preferring = True
        if settings.timeout and not self._timer_set:
            self._set_timer(self.engine.now + settings.timeout)

    def remove(self, vc: NetVConnection) -> None:
        """Remove the request of a VC, if it waits."""
        self.waiting.pop(vc, None)

    @property
    def first(self) -> ConnectRequest | None:
        """The oldest request."""
        for vc, request in self.waiting.items():
            if not vc.closed:  # a request whose VC is closed is removed later, by Upstream.vc_gone
                return request
        return None

    def serve(self, room: Callable[[], bool], admit: Callable[[ConnectRequest], bool]) -> None:
        """While there is room, call `admit` with each request in order; remove those it admits."""
        admitted = []
        for vc, request in self.waiting.items():
            if not room():
                break
            if admit(request):
                admitted.append(vc)
        for vc in admitted:
            del self.waiting[vc]

    def handle_event(self, key: Hashable, data: object) -> None:
        """Fail the requests that have waited for too long."""
        self._timer_set = False
        limit = self._settings.timeout
        while self.waiting:
            vc, request = next(iter(self.waiting.items()))
            until = request.outgoing.created_at + limit
            if until > self.engine.now:
                self._set_timer(until)
                return
            del self.waiting[vc]
            self.timed_out += 1
            text = f"timed out: no server had room within {show_duration(limit)}"
            vc.fail(QueueTimeout(text))

    def _set_timer(self, when: float) -> None:
        self._timer_set = True
        self.engine.schedule_at(when, self, TIMED_OUT, None)
