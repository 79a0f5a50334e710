"""SharedConnection: one server connection that carries the requests of many clients.

There is one for each listener and engine. The first requester (a client) creates it; it closes when
the last requester has left. After a reload that changes nothing, new requesters share the
existing one. After any other reload the next requester creates a new one. The new one connects only
when the old one has answered its requests, closed its requesters, and closed itself, because a
server may allow only one connection.

Requesters and the shared connection are separate conversations that only queue events for each
other, so a requester that fails, stalls or leaves costs the others nothing.

    IDLE --a request--> CONNECTING --CONNECTED--> SERVING
      ^---- no server ------+                        |
      ^---- connection closed -----------------------+       the last requester leaves: CLOSED

Requests with the key None are sent at once, and answered in order. Of requests with an equal key
only the oldest is at the server, so that equal keys of two requesters cannot be confused. An
abandoned request that was sent stays pending until its answer arrives, which is dropped.

The connection is closed, and the next request opens another, when
- a request expires, and the server has sent nothing since it was submitted;
- a request expires while it waits for another one with the same key;
- there are too many abandoned requests that the server has not answered;
- replies can no longer be matched: see `split` of Splitter, and ExclusiveUse.

Tested in tests/messages/test_splitter.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.plugin_error import as_error
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.messages.framed_connection import FramedConnection
from vcproxy.messages.pending_requests import UNANSWERED, PendingRequests
from vcproxy.messages.split_request import (
    ConnectionRetired,
    Requester,
    RequesterLeft,
    RoomAvailable,
    SplitRequest,
    Unanswered,
    WaitingForRoom,
)
from vcproxy.messages.split_rules import Part, SplitRules
from vcproxy.upstream.connect_attempts import ConnectAttempts

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vio import VIO
    from vcproxy.sessions.service import Service

SUBMITTED, DEADLINE = "SUBMITTED", "DEADLINE"
"""Tags: requests were submitted; the deadline of the oldest request has passed."""
RETIRE, PREDECESSOR_CLOSED = "RETIRE", "PREDECESSOR_CLOSED"
"""Tags: the shared connection of a new configuration waits; that of the old one has closed."""


class SplitCounts(NamedTuple):
    """What a shared connection has, and what it waits for, at one moment."""

    server: str
    """The name of the connection to the server; empty: there is none."""
    open: int
    """Requests that are neither answered nor past their deadline."""
    longest_s: float
    """How long the oldest of them waits."""
    abandoned: int
    """Requests at the server that have no requester any more."""
    held_back: int
    """Requests that wait for the next connection."""
    unsent_bytes: int
    """Bytes of requests that are not sent yet."""
    waiting_for_room: int
    """Requesters that wait until they may submit more."""


class SharedConnection(Machine):
    """Sends all requests to one server, and to each requester its parts of the replies."""

    __slots__ = (
        "_attempts", "_connecting", "_connection", "_pending", "_predecessor", "_received_at",
        "_rules", "_service", "_submitted", "_successor", "_timer", "_unsent_bytes",
        "_waiting_requesters", "requesters",
    )  # fmt: skip

    ALIVE = State()
    IDLE = State(parent=ALIVE, initial=True)
    CONNECTING = State(parent=ALIVE)
    SERVING = State(parent=ALIVE)
    CLOSED = State(final=True)

    def __init__(self, engine: Engine, service: Service, rules: SplitRules) -> None:
        super().__init__(engine, Mutex(), name=f"{service.name} shared connection")
        self._service = service
        self._rules = rules
        self.requesters: dict[Requester, None] = {}
        """A requester adds itself; RequesterLeft removes it."""
        self._submitted: list[SplitRequest] = []  # requests submitted in this turn
        self._pending = PendingRequests(rules.orphans)
        self._received_at = 0.0  # when the server last sent anything
        self._unsent_bytes = 0
        self._waiting_requesters: list[Requester] = []
        self._timer: Action | None = None
        predecessor = service.persistent.get(SharedConnection)
        self._predecessor = predecessor if isinstance(predecessor, SharedConnection) else None
        self._successor: SharedConnection | None = None
        service.persistent[SharedConnection] = self
        self._connecting: NetVConnection | None = None
        self._connection: FramedConnection | None = None

    @property
    def full(self) -> bool:
        """Whether no more requests should be submitted for now: see WaitingForRoom."""
        return self._unsent_bytes >= SLAB or bool(self._connection and self._connection.full)

    def counts(self) -> SplitCounts:
        """Return what it has and what it waits for."""
        pending, connection = self._pending, self._connection
        first = next(iter(pending.open), None)
        return SplitCounts(
            server="" if connection is None else connection.name,
            open=len(pending.open) + len(self._submitted),
            longest_s=0.0 if first is None else self.engine.now - first.submitted_at,
            abandoned=pending.abandoned,
            held_back=len(pending.exclusive.waiting),
            unsent_bytes=self._unsent_bytes,
            waiting_for_room=len(self._waiting_requesters),
        )

    # -- requests ----------------------------------------------------------------------------

    def submit(self, request: SplitRequest) -> None:
        """Accept a request of a requester on the same engine.

        The requester gets PartArrived for each part of the answer, or Unanswered. The requests of
        one turn are handled together, by one event.
        """
        if not self._submitted:
            self.engine.schedule(self, SUBMITTED, None)
        self._submitted.append(request)
        self._unsent_bytes += len(request.encoded)

    @IDLE.on(SUBMITTED, to=(CONNECTING,))
    @CONNECTING.on(SUBMITTED)
    @SERVING.on(SUBMITTED, to=(IDLE,))
    def submitted(self, _: object) -> State | None:
        """Add the requests to those that are pending, and send what can be sent now."""
        submitted, self._submitted = self._submitted, []
        pending, connection = self._pending, self._connection
        for request in submitted:
            # requester is None: abandoned between submit and this event. Skip it.
            if request.requester is not None and pending.add(request) and connection is not None:
                connection.queue(request)
        self._flush()
        self._start_timer()
        if self.state is self.IDLE:
            return self.CONNECTING if pending.by_key and self._may_connect() else None
        return self._yield_connection()

    def _start_timer(self) -> None:
        if self._timer is None and self._pending.open:
            oldest = next(iter(self._pending.open))
            self._timer = self.engine.schedule_at(oldest.deadline, self, DEADLINE, None)

    def _yield_connection(self) -> State | None:
        """Close the connection if requesters wait and its current user is finished or has left."""
        exclusive, in_use = self._pending.exclusive, self._pending.by_key
        waiting = exclusive.waiting and self._connection is not None
        if not waiting or (in_use and exclusive.holder in self.requesters):
            return None
        self._start_over()
        return self.IDLE

    def _start_over(self) -> None:
        """Close the connection. The requests that waited for the next one are sent on it first."""
        waiting = self._pending.exclusive.waiting
        self._close()
        self._pending = PendingRequests(self._rules.orphans, waiting)
        for number, request in enumerate(waiting):
            if not self._submitted:
                self.engine.schedule(self, SUBMITTED, None)
            self._submitted.insert(number, request)
            self._unsent_bytes += len(request.encoded)

    def _flush(self) -> None:
        if self._connection is not None:
            self._unsent_bytes -= self._connection.flush()

    @ALIVE.on(WaitingForRoom)
    def room_requested(self, waiting: WaitingForRoom) -> None:
        """Send the requester RoomAvailable as soon as there is room for more requests."""
        self._waiting_requesters.append(waiting.requester)
        self._notify_room()

    def _notify_room(self) -> None:
        if self._waiting_requesters and not self.full:
            for requester in self._waiting_requesters:
                self.engine.deliver_soon(requester, RoomAvailable, RoomAvailable())
            self._waiting_requesters.clear()

    # -- reloads -----------------------------------------------------------------------------

    def serves(self, service: Service) -> bool:
        """Return whether requesters of `service` may share this connection."""
        over = self.mutex.ended or self.state is self.CLOSED or self._successor is not None
        return not over and self._service.origin == service.origin

    def _may_connect(self) -> bool:
        """Return whether the predecessor has closed. If not, retire it."""
        predecessor = self._predecessor
        if predecessor is None or predecessor.mutex.ended or predecessor.state is self.CLOSED:
            self._predecessor = None
            return True
        self.engine.schedule(predecessor, RETIRE, self)
        return False

    @ALIVE.on(RETIRE)
    def retire(self, successor: SharedConnection) -> None:
        """Close each requester after its answers; then `successor` may connect."""
        if self._successor is None:
            self._successor = successor
            for requester in self.requesters:
                self.engine.deliver_soon(requester, ConnectionRetired, ConnectionRetired())

    @ALIVE.on(PREDECESSOR_CLOSED)
    def predecessor_closed_before(self, _: object) -> None:
        """Ignore the event: `_may_connect` has already detected that the predecessor closed."""

    @IDLE.on(PREDECESSOR_CLOSED, to=(CONNECTING,))
    def predecessor_closed(self, _: object) -> State | None:
        """Connect if there are requests."""
        self._predecessor = None
        return self.CONNECTING if self._pending.by_key else None

    # -- the server --------------------------------------------------------------------------

    @CONNECTING.enter
    def connect(self) -> None:
        """Connect to a server of the upstream."""
        service = self._service
        assert service.upstream is not None
        self._attempts = ConnectAttempts((service.upstream,), timeout=service.connect_s)
        self._connecting = self._attempts.connect(self)

    @CONNECTING.on(Event.ERROR, to=(IDLE,))
    def connect_failed(self, server: NetVConnection) -> State | None:
        """Try the next server."""
        if self._attempts.failed(server):
            self._log(f"server {server.name} failed: {server.error}; trying the next")
            server.do_io_close()
            self._connecting = self._attempts.connect(self)
            return None
        self._pending.exclusive.waiting.clear()
        return self._drop(f"server {server.name} failed: {server.error}; no server is left")

    @CONNECTING.on(Event.CONNECTED, to=(SERVING, IDLE))
    def connected(self, server: NetVConnection) -> State:
        """Send the requests that are pending."""
        connection = FramedConnection(self, server, self._rules.framing)
        self._connection, self._connecting = connection, None
        self._received_at = self.engine.now
        for key in self._pending.by_key:
            for request in self._pending.to_send(key):
                connection.queue(request)
        self._flush()
        self._notify_room()
        return self._yield_connection() or self.SERVING

    @SERVING.on(Event.WRITE_READY)
    def writable(self, vio: VIO) -> None:
        """Notify waiting requesters: some requests were sent, so there may be room."""
        self._notify_room()

    @SERVING.on(Event.READ_READY, Event.EOS, to=(IDLE,))
    def replies_arrived(self, vio: VIO) -> State | None:
        """Split the replies, and send each requester its parts."""
        connection, split = self._connection, self._rules.split
        assert connection is not None
        received = connection.input
        self._received_at = self.engine.now
        parts: list[Part] = []
        without_parts = 0  # replies
        try:
            while (reply := received.take()) is not None:
                before = len(parts)
                parts.extend(split(reply))
                without_parts += len(parts) == before
        except BaseException as raised:
            error = as_error(raised)
            # Later parts can no longer be matched with requests: the connection is closed.
            history = Machine.crashed(self, error)
            self.engine.log("error", f"{self.name}: split() failed\n{history}", error)
            return self._drop("split() failed")
        unmatched = self._distribute(connection, parts, without_parts)
        if unmatched and self._rules.orphans == "reconnect":
            return self._drop("unmatched reply part")
        if received.stopped:
            return self._drop(connection.end_reason())
        self._flush()
        self._notify_room()
        return self._yield_connection()

    @SERVING.on(Event.ERROR, to=(IDLE,))
    def failed(self, vio: VIO) -> State | None:
        """Read the replies that arrived before the connection failed, then drop it."""
        assert self._connection is not None
        received = self._connection.input
        if received.read_rest() or not received.vio.over:
            return None
        return self.replies_arrived(vio)

    @SERVING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=IDLE)
    def timed_out(self, vio: VIO) -> None:
        """Drop the connection: one of its timeouts has passed."""
        self._drop(f"{vio.name}: connection timed out")

    def _distribute(self, connection: FramedConnection, parts: list[Part], unmatched: int) -> int:
        """Send each requester its parts; return how many replies and parts match no request."""
        assigned = self._pending.assign(parts)
        self.engine.queue.extend(assigned.events)
        for request in assigned.to_send:
            connection.queue(request)
        unmatched += assigned.unmatched
        if unmatched and not self._service.counts["orphan"]:
            self._log("unmatched reply part; further ones are only counted")
        self._count("late", assigned.late)
        self._count("orphan", unmatched)
        return unmatched

    # -- requests that are not answered ------------------------------------------------------

    def _abandon(self, request: SplitRequest) -> None:
        if self._pending.abandon(request):
            self._unsent_bytes -= len(request.encoded)

    @ALIVE.on(DEADLINE, to=(IDLE,))
    def deadline_passed(self, _: object) -> State | None:
        """Abandon the requests whose deadline has passed: see the module."""
        self._timer = None
        pending, now = self._pending, self.engine.now
        expired = pending.expired(now)
        failure = pending.failure(expired, self._received_at, now) if self._connection else ""
        timed_out = [request for request in expired if request.requester is not None]
        for request in timed_out:
            self._send_unanswered(request, "timed out: no answer")
            self._abandon(request)
        for request in expired:
            pending.open.pop(request, None)
        self._count("timed_out", len(timed_out))
        if failure or pending.has_too_many_abandoned:
            return self._drop(failure or UNANSWERED)
        self._start_timer()
        self._notify_room()
        return self._yield_connection()

    @ALIVE.on(RequesterLeft, to=(IDLE, CLOSED))
    def requester_left(self, left: RequesterLeft) -> State | None:
        """Abandon the requests of a requester that has ended. Close after the last requester."""
        self.requesters.pop(left.requester, None)
        for request in left.requests:
            if request in self._pending.open:
                self._abandon(request)
        if not self.requesters:
            return self.CLOSED
        if self._pending.has_too_many_abandoned:
            return self._drop(UNANSWERED)
        self._notify_room()
        return self._yield_connection()

    def _drop(self, why: str) -> State:
        """Close the connection; all its requests fail. The next request opens another one."""
        unanswered = self._pending.unanswered
        self._log(f"{why}; {len(unanswered)} requests are not answered")
        self._count("unanswered", len(unanswered))
        for request in unanswered:
            self._send_unanswered(request, why)
        self._start_over()
        self._notify_room()
        return self.IDLE

    def _send_unanswered(self, request: SplitRequest, why: str) -> None:
        if request.requester is not None:
            self.engine.deliver_soon(request.requester, Unanswered, Unanswered(request, why))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        elif self._connecting is not None:
            self._connecting.do_io_close()
        self._connection = self._connecting = None
        self._unsent_bytes = sum(len(request.encoded) for request in self._submitted)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- ends --------------------------------------------------------------------------------

    def finished(self) -> None:
        """Close the connection and unregister: the next requester creates a new one."""
        self._close()
        self._unregister()

    def crashed(self, error: Exception) -> str:
        """Fail all requests, so that no requester waits for an answer."""
        for request in (*self._pending.open, *self._submitted):
            self._send_unanswered(request, "the shared connection failed")
        for requester in self._waiting_requesters:
            self.engine.deliver_soon(requester, RoomAvailable, RoomAvailable())
        self._unregister()
        return super().crashed(error)

    def _unregister(self) -> None:
        if self._service.persistent.get(SharedConnection) is self:
            del self._service.persistent[SharedConnection]
        if self._successor is not None:
            self.engine.schedule(self._successor, PREDECESSOR_CLOSED, None)

    def _count(self, what: str, times: int = 1) -> None:
        if times:
            self._service.counts[what] += times

    def _log(self, text: str) -> None:
        self.engine.log("info", f"{self.name}: {text}")
