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

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.plugin_error import as_error
from vcproxy.framing.decoding import Damaged
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.messages.framed_connection import FramedConnection
from vcproxy.messages.fresh_ids import FreshIds
from vcproxy.messages.pending_requests import UNANSWERED, PendingRequests
from vcproxy.messages.split_request import (
    ConnectionLost,
    ConnectionRetired,
    Requester,
    RequesterLeft,
    RequestFailed,
    RoomAvailable,
    SplitRequest,
    WaitingForRoom,
)
from vcproxy.messages.split_rules import Part, SplitRules
from vcproxy.messages.unanswered import Unanswered
from vcproxy.upstream.connect_attempts import ConnectAttempts

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vio import VIO
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.upstream import Upstream

SUBMITTED, DEADLINE = "SUBMITTED", "DEADLINE"
"""Tags: requests were submitted; the deadline of the oldest request has passed."""
RETIRE, PREDECESSOR_CLOSED = "RETIRE", "PREDECESSOR_CLOSED"
"""Tags: the shared connection of a new configuration waits; that of the old one has closed."""


def upstream_of(service: Service, name: str) -> Upstream:
    """Return an upstream of a listener. Raises LookupError for another name."""
    if service.upstream is not None and service.upstream.name == name:
        return service.upstream
    if name in service.upstreams:
        return service.upstreams[name]
    raise LookupError(f"{service.name}: place() has named {name!r}, which is no upstream of its")


class SplitCounts(NamedTuple):
    """What a shared connection has, and what it waits for, at one moment."""

    server: str
    """The name of the connection to the server; empty: there is none."""
    open: int
    """Requests that are neither answered nor past their deadline."""
    in_flight: int
    """Those of them that are at the server."""
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
        "_attempts", "_connecting", "_connection", "_notified", "_pending", "_predecessor",
        "_received_at", "_service", "_silences", "_successor", "_timer", "_waiting_requesters",
        "fresh_ids", "place", "requesters", "rules", "upstream",
    )  # fmt: skip

    ALIVE = State()
    IDLE = State(parent=ALIVE, initial=True)
    CONNECTING = State(parent=ALIVE)
    SERVING = State(parent=ALIVE)
    CLOSED = State(final=True)

    def __init__(self, engine: Engine, service: Service, place: str, rules: SplitRules) -> None:
        """`place`: the name of the upstream. Raises LookupError if the service has no such one."""
        super().__init__(engine, Mutex(), name=f"{service.name} shared connection")
        self.upstream = upstream_of(service, place)
        self._service = service
        self.place = place
        self.rules = rules
        self.requesters: dict[Requester, bool] = {}
        """Whether it is subscribed to orphans, by requester. A requester adds itself; RequesterLeft
        removes it."""
        self._notified = False  # SUBMITTED is queued
        self._received_at = 0.0  # when the server last sent anything
        self._silences = 0  # requests in a row that were not answered, while nothing arrived
        self._waiting_requesters: list[Requester] = []
        self._timer: Action | None = None
        self.fresh_ids = FreshIds()
        """The ids of requests that are neither answered nor dropped."""
        self._pending = PendingRequests(rules.orphans, self.fresh_ids, rules.in_flight)
        self._predecessor = SharedConnection.of(service, place)
        self._successor: SharedConnection | None = None
        service.persistent[SharedConnection, place] = self
        self._connecting: NetVConnection | None = None
        self._connection: FramedConnection | None = None

    @staticmethod
    def of(service: Service, place: str) -> SharedConnection | None:
        """Return the latest shared connection of a listener to an upstream; None: there is none."""
        found = service.persistent.get((SharedConnection, place))
        return found if isinstance(found, SharedConnection) else None

    @property
    def full(self) -> bool:
        """Whether no more requests should be submitted for now: see WaitingForRoom."""
        return (
            self._pending.unsent_bytes >= SLAB
            or self.fresh_ids.full
            or bool(self._connection and self._connection.full)
        )

    def counts(self) -> SplitCounts:
        """Return what it has and what it waits for."""
        pending, connection = self._pending, self._connection
        firsts = [next(iter(each), None) for each in (pending.sent, pending.unsent)]
        return SplitCounts(
            server="" if connection is None else connection.name,
            open=pending.open,
            in_flight=len(pending.sent),
            longest_s=max(
                (self.engine.now - each.submitted_at for each in firsts if each), default=0
            ),
            abandoned=pending.abandoned,
            held_back=len(pending.exclusive.waiting),
            unsent_bytes=pending.unsent_bytes,
            waiting_for_room=len(self._waiting_requesters),
        )

    # -- requests ----------------------------------------------------------------------------

    def submit(self, request: SplitRequest) -> None:
        """Accept a request of a requester on the same engine.

        The requester gets PartArrived for each part of the answer, or RequestFailed. The requests
        of one turn are sent together, by one event.
        """
        if not self._notified:
            self._notified = True
            self.engine.schedule(self, SUBMITTED, None)
        self.fresh_ids.use(request.fresh_id)
        if self._pending.add(request):
            self._send(request)

    def _send(self, request: SplitRequest) -> None:
        assert self._connection is not None
        self._connection.queue(request)
        self._pending.note_sent(request, self.engine.now)

    @IDLE.on(SUBMITTED, to=(CONNECTING,))
    @CONNECTING.on(SUBMITTED)
    @SERVING.on(SUBMITTED, to=(IDLE,))
    def submitted(self, _: object) -> State | None:
        """Send the requests that can be sent now."""
        self._notified = False
        self._flush()
        self._start_timer()
        if self.state is self.IDLE:
            return self.CONNECTING if self._pending.unsent and self._may_connect() else None
        return self._yield_connection()

    def _start_timer(self) -> None:
        deadline, timer = self._pending.next_deadline, self._timer
        if deadline is None or (timer is not None and timer.when <= deadline):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self.engine.schedule_at(deadline, self, DEADLINE, None)

    def _yield_connection(self) -> State | None:
        """Close the connection if requesters wait and its current user is finished or has left."""
        exclusive, in_use = self._pending.exclusive, self._pending.by_key
        waiting = exclusive.waiting and self._connection is not None
        if not waiting or (in_use and exclusive.holder in self.requesters):
            return None
        self._start_over(())
        return self.IDLE

    def _start_over(self, repeated: Iterable[SplitRequest]) -> None:
        """Close the connection. What was not sent, or is to be `repeated`, is sent on the next."""
        old = self._pending
        self._close()
        unsent = (*repeated, *old.unsent)
        self.fresh_ids.keep(each.fresh_id for each in unsent)
        new = self._pending = PendingRequests(
            self.rules.orphans, self.fresh_ids, self.rules.in_flight
        )
        now = self.engine.now
        for request in unsent:
            if request.sent:
                request.sent, request.deadline = False, now + request.queue_timeout_s
            request.copies = 0
            new.add(request)
        if unsent and not self._notified:
            self._notified = True
            self.engine.schedule(self, SUBMITTED, None)

    def _flush(self) -> None:
        """Send what can be sent now."""
        connection = self._connection
        if connection is not None:
            pending = self._pending
            while pending.waiting and (request := pending.take()) is not None:
                self._send(request)
            connection.flush()

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
        return self.CONNECTING if self._pending.unsent else None

    # -- the server --------------------------------------------------------------------------

    @CONNECTING.enter
    def connect(self) -> None:
        """Connect to a server of the upstream."""
        self._attempts = ConnectAttempts((self.upstream,), timeout=self._service.connect_s)
        self._connecting = self._attempts.connect(self)

    @CONNECTING.on(Event.ERROR, to=(IDLE,))
    def connect_failed(self, server: NetVConnection) -> State | None:
        """Try the next server."""
        if self._attempts.failed(server):
            self._log(f"server {server.name} failed: {server.error}; trying the next")
            server.do_io_close()
            self._connecting = self._attempts.connect(self)
            return None
        return self._drop(
            f"server {server.name} failed: {server.error}; no server is left",
            Unanswered.NO_SERVER,
        )

    @CONNECTING.on(Event.CONNECTED, to=(SERVING, IDLE))
    def connected(self, server: NetVConnection) -> State:
        """Send the requests that are pending."""
        self._connection = FramedConnection(self, server, self.rules.framing)
        self._connecting = None
        self._received_at = self.engine.now
        self._silences = 0
        self._pending.connected = True
        self._flush()
        self._start_timer()
        self._notify_room()
        return self._yield_connection() or self.SERVING

    @SERVING.on(Event.WRITE_READY)
    def writable(self, vio: VIO) -> None:
        """Notify waiting requesters: some requests were sent, so there may be room."""
        self._notify_room()

    @SERVING.on(Event.READ_READY, Event.EOS, to=(IDLE,))
    def replies_arrived(self, vio: VIO) -> State | None:
        """Split the replies, and send each requester its parts."""
        connection, split = self._connection, self.rules.split
        assert connection is not None
        received = connection.input
        self._received_at = self.engine.now
        self._silences = 0
        parts: list[Part] = []
        without_parts = 0  # replies
        try:
            while (reply := received.take()) is not None:
                if isinstance(reply, Damaged):
                    return self._drop(f"damaged reply: {reply.why}")
                before = len(parts)
                parts.extend(split(reply))
                without_parts += len(parts) == before
        except BaseException as raised:
            error = as_error(raised)
            # Later parts can no longer be matched with requests: the connection is closed.
            history = Machine.crashed(self, error)
            self.engine.log("error", f"{self.name}: split() failed\n{history}", error)
            return self._drop("split() failed", Unanswered.UNMATCHED)
        unmatched = self._distribute(parts, without_parts)
        if unmatched and self.rules.orphans == "reconnect":
            return self._drop("unmatched reply part", Unanswered.UNMATCHED)
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

    def _distribute(self, parts: list[Part], unmatched: int) -> int:
        """Send each requester its parts; return how many replies and parts match no request."""
        assigned = self._pending.assign(parts, self._receivers)
        self.engine.queue.extend(assigned.events)
        unmatched += assigned.unmatched
        if unmatched and not self._service.counts["orphan"]:
            self._log("unmatched reply part; further ones are only counted")
        self._count("late", assigned.late)
        self._count("orphan", unmatched)
        return unmatched

    def _receivers(self) -> Iterable[Requester]:
        """Return the requesters that get parts that no request waits for."""
        match self.rules.orphans:
            case "broadcast":
                return tuple(self.requesters)
            case "subscribers":
                return tuple(each for each, subscribed in self.requesters.items() if subscribed)
        return ()

    # -- requests that are not answered ------------------------------------------------------

    @ALIVE.on(DEADLINE, to=(IDLE,))
    def deadline_passed(self, _: object) -> State | None:
        """Abandon the requests whose deadline has passed, or send them again: see the module."""
        self._timer = None
        pending, now = self._pending, self.engine.now
        expired = pending.expired(now)
        failure = self._failure(expired) if self._connection is not None else ""
        for request in expired:
            self._expire(request, failure)
        if failure or pending.has_too_many_abandoned:
            return self._drop(failure or UNANSWERED)
        self._flush()
        self._start_timer()
        self._notify_room()
        return self._yield_connection()

    def _failure(self, expired: list[SplitRequest]) -> str:
        """Return why the connection must be closed for these requests; "": it stays open."""
        silent = [each for each in expired if each.sent and each.sent_at >= self._received_at]
        self._silences += len(silent)
        if silent and self._silences >= self.rules.silences:
            silent_s = self.engine.now - self._received_at
            return f"timed out: the server has sent nothing for {silent_s:.1f} s"
        return self._pending.failure(expired)

    def _expire(self, request: SplitRequest, failure: str) -> None:
        """End the time of a request. `failure`: why the connection is closed after this."""
        pending = self._pending
        if request.sent and not request.abandoned and self._may_repeat(request):
            self._count("repeated")
            if not failure:  # else it is sent on the next connection
                pending.repeat(request, self.engine.now + request.queue_timeout_s)
            return
        pending.sent.pop(request, None)
        if not request.abandoned:
            self._count("timed_out")
            why = Unanswered.NO_ANSWER if request.was_sent else Unanswered.NOT_SENT
            self._send_unanswered(request, why)
            pending.abandon(request)

    @staticmethod
    def _may_repeat(request: SplitRequest) -> bool:
        return request.attempts > 0 and not request.answered

    @ALIVE.on(RequesterLeft, to=(IDLE, CLOSED))
    def requester_left(self, left: RequesterLeft) -> State | None:
        """Abandon the requests of a requester that has ended. Close after the last requester."""
        self.requesters.pop(left.requester, None)
        pending = self._pending
        for request in left.requests:
            if request in pending.sent or request in pending.unsent:
                pending.abandon(request)
        if not self.requesters:
            return self.CLOSED
        if pending.has_too_many_abandoned:
            return self._drop(UNANSWERED)
        self._flush()
        self._notify_room()
        return self._yield_connection()

    def _drop(self, why: str, reason: Unanswered = Unanswered.CONNECTION_LOST) -> State:
        """Close the connection. The requests at the server fail, or are sent again on the next
        connection; without any connection, all fail."""
        repeated: list[SplitRequest] = []
        failed: list[SplitRequest] = []
        for request in self._pending.at_server():
            (repeated if self._may_repeat(request) else failed).append(request)
        if self._connection is None:
            failed += self._pending.unsent
        self._log(f"{why}; {len(failed)} requests are not answered")
        self._count("unanswered", len(failed))
        for request in failed:
            lost = reason is Unanswered.NO_SERVER and request.was_sent
            self._send_unanswered(request, Unanswered.CONNECTION_LOST if lost else reason)
        if self._connection is None:
            for request in failed:
                self._pending.abandon(request)
        else:
            for requester in self._receivers():
                self.engine.deliver_soon(requester, ConnectionLost, ConnectionLost(why))
        self._start_over(repeated)
        self._notify_room()
        return self.IDLE

    def _send_unanswered(self, request: SplitRequest, why: Unanswered) -> None:
        if not request.abandoned:
            self.engine.deliver_soon(request.requester, RequestFailed, RequestFailed(request, why))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        elif self._connecting is not None:
            self._connecting.do_io_close()
        self._connection = self._connecting = None
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
        for request in (*self._pending.sent, *self._pending.unsent):
            self._send_unanswered(request, Unanswered.FAILED)
        for requester in self._waiting_requesters:
            self.engine.deliver_soon(requester, RoomAvailable, RoomAvailable())
        self._unregister()
        return super().crashed(error)

    def _unregister(self) -> None:
        if SharedConnection.of(self._service, self.place) is self:
            del self._service.persistent[SharedConnection, self.place]
        if self._successor is not None:
            self.engine.schedule(self._successor, PREDECESSOR_CLOSED, None)

    def _count(self, what: str, times: int = 1) -> None:
        if times:
            self._service.counts[what] += times

    def _log(self, text: str) -> None:
        self.engine.log("info", f"{self.name}: {text}")
