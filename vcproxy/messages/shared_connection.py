"""SharedConnection: one server connection that carries the requests of many clients.

There is one for each listener and upstream. The first requester (a client) creates it; it closes
when the last requester has left. After a reload that changes nothing, new requesters share the
existing one. After any other reload the next requester creates a new one. The new one connects only
when those of the old configuration have answered their requests, closed their requesters, and
closed themselves, because a server may allow only one connection.
They are separate conversations that only queue events for each other, so a requester that fails,
stalls or leaves costs the others nothing.

    IDLE --a request--> CONNECTING --CONNECTED--> SERVING
      ^---- no server ------+                        |
      ^---- connection closed -----------------------+       the last requester leaves: CLOSED

Requests with the key None are answered in order. Of requests with an equal key only the oldest is
at the server, so that equal keys of two requesters cannot be confused. An abandoned request that
was sent stays pending until its answer arrives, which is dropped. See PendingRequests.

The connection is closed when
- `silences` requests in a row have expired, and the server has sent nothing since each was sent;
- a request expires whose late answer could be taken for that of the next one: see ConnectionHealth;
- a request expires while it waits for another one with the same key that has expired;
- there are too many abandoned requests that the server has not answered;
- replies can no longer be matched: `split` has failed, or see ExclusiveUse.
Requests at the server are then unanswered, or sent again; those not sent yet are sent on the next
connection, which is opened at once for them, or else for the next request.

Tested in tests/messages/test_splitter.py and test_devices.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.plugin_error import as_error
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.messages.connection_health import UNANSWERED, ConnectionHealth, free_at_of
from vcproxy.messages.framed_connection import FramedConnection
from vcproxy.messages.late_answers import INFINITE
from vcproxy.messages.outcomes import Lost, failures
from vcproxy.messages.pending_requests import PendingRequests
from vcproxy.messages.requesters import Requesters
from vcproxy.messages.split_counts import SplitCounts, counts_of
from vcproxy.messages.split_request import (
    ConnectionRetired,
    RequesterLeft,
    RequestFailed,
    SplitRequest,
    SubscriptionLost,
    WaitingForRoom,
)
from vcproxy.messages.split_rules import Part, SplitRules
from vcproxy.messages.succession import PREDECESSOR_CLOSED, RETIRE, Succession, upstream_of
from vcproxy.messages.unanswered import Unanswered
from vcproxy.sessions.line_limit import LineLimits
from vcproxy.upstream.connect_attempts import ConnectAttempts

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vio import VIO
    from vcproxy.sessions.service import Service

SUBMITTED, DEADLINE = "SUBMITTED", "DEADLINE"
"""Tags: requests were submitted; the deadline of the oldest request has passed."""


class SharedConnection(Machine):
    """Sends all requests to one server, and to each requester its parts of the replies."""

    __slots__ = (
        "_attempts", "_connecting", "_connection", "_health", "_notified", "_pending",
        "_succession", "_timer", "_upstream", "requesters", "rules", "service",
    )  # fmt: skip

    ALIVE = State()
    IDLE = State(parent=ALIVE, initial=True)
    CONNECTING = State(parent=ALIVE)
    SERVING = State(parent=ALIVE)
    CLOSED = State(final=True)

    def __init__(self, engine: Engine, service: Service, place: str, rules: SplitRules) -> None:
        """`place`: the name of the upstream. Raises LookupError if the service has no such one."""
        super().__init__(engine, Mutex(), name=f"{service.name} shared connection")
        self.service = service
        self._upstream = upstream_of(service, place)
        self._succession = Succession(self, service, place)
        self.rules = rules
        self.requesters = Requesters(engine, rules.orphans)
        """A requester joins itself; RequesterLeft removes it."""
        self._pending = PendingRequests(rules)
        self._health = ConnectionHealth(rules.silences)
        self._notified = False  # SUBMITTED is queued
        self._timer: Action | None = None
        self._connecting: NetVConnection | None = None
        self._connection: FramedConnection | None = None

    @property
    def place(self) -> str:
        """The name of the upstream."""
        return self._succession.place

    @property
    def full(self) -> bool:
        """Whether no more requests should be submitted for now: see WaitingForRoom."""
        pending, connection = self._pending, self._connection
        if pending.unsent_bytes >= SLAB or (pending.fresh_ids.size and pending.fresh_ids.full):
            return True
        return connection is not None and connection.full

    def counts(self) -> SplitCounts:
        """Return what it has and what it waits for."""
        server = "" if self._connection is None else self._connection.name
        return counts_of(self._pending, self.requesters, server, self.engine.now)

    # -- requests ----------------------------------------------------------------------------

    def fresh_id(self, size: int) -> int:
        """Return an id for the next request: see Splitter.fresh_id."""
        return self._pending.fresh_ids.next(size)

    def submit(self, request: SplitRequest) -> None:
        """Accept a request of a requester on the same engine.

        The requester gets PartArrived for each part of the answer, or RequestFailed.
        """
        pending = self._pending
        if pending.shared is not None or request.shares is not None:
            shared = pending.share(request, self.engine.now)
            if not isinstance(shared, SplitRequest):  # another request is sent for it
                self._count("shared")
                self.engine.queue.extend(shared)
                return
            request = shared
        if pending.add(request, self.engine.now):
            connection = self._connection
            assert connection is not None
            connection.queue(request.encoded)
        elif pending.at_limit and self._timer is not None and self._timer.when <= request.deadline:
            return  # what ends the first of those at the server sends this one
        if not self._notified:
            self._notify()

    @IDLE.on(SUBMITTED, PREDECESSOR_CLOSED, to=(CONNECTING,))
    @CONNECTING.on(SUBMITTED)
    @SERVING.on(SUBMITTED, to=(IDLE,))
    def submitted(self, _: object) -> State | None:
        """Send the requests that can be sent now."""
        self._notified = False
        self._flush()
        self._start_timer()
        if self.state is self.IDLE:
            may_connect = self._pending.unsent and self._succession.may_connect()
            return self.CONNECTING if may_connect else None
        return self._give_up()

    def _start_timer(self) -> None:
        deadline, timer = self._pending.next_deadline, self._timer
        if deadline == INFINITE or (timer is not None and timer.when <= deadline):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self.engine.schedule_at(deadline, self, DEADLINE, None)

    def _give_up(self) -> State | None:
        """Close the connection if abandoned requests clog it, or its next user waits for it."""
        exclusive, in_use = self._pending.exclusive, self._pending.by_key
        if self._pending.is_clogged:
            return self._drop(UNANSWERED)
        waiting = exclusive.waiting and self._connection is not None
        if not waiting or (in_use and exclusive.holder in self.requesters):
            return None
        self._close()
        self._pending.start_over(self.engine.now)
        self._notify()
        return self.IDLE

    def _notify(self) -> None:
        self._notified = True
        self.engine.schedule(self, SUBMITTED, None)

    def _flush(self) -> None:
        """Send what can be sent now."""
        connection = self._connection
        if connection is not None:
            pending = self._pending
            while (request := pending.take(self.engine.now)) is not None:
                connection.queue(request.encoded)
            connection.flush()

    @ALIVE.on(WaitingForRoom, to=(IDLE,))
    def room_requested(self, waiting: WaitingForRoom) -> State | None:
        """Send the requester RoomAvailable as soon as there is room for more requests."""
        self.requesters.wait_for_room(waiting.requester)
        self._notify_room()
        return self._give_up()

    def _notify_room(self) -> None:
        if self.requesters.waiting and not self.full:
            self.requesters.notify_room()

    # -- reloads -----------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.mutex.ended or self.state is self.CLOSED

    def serves(self, service: Service) -> bool:
        """Return whether requesters of `service` may share this connection."""
        return not self.closed and self._succession.serves(service)

    @ALIVE.on(RETIRE)
    def retire(self, successor: SharedConnection) -> None:
        """Close each requester after its answers; then `successor` may connect."""
        if self._succession.retire(successor):
            self.requesters.send(ConnectionRetired, ConnectionRetired())

    @ALIVE.on(PREDECESSOR_CLOSED)
    def predecessor_closed_before(self, _: object) -> None:
        """Ignore the event: `may_connect` has already detected that the predecessor closed."""

    # -- the server --------------------------------------------------------------------------

    @CONNECTING.enter
    def connect(self) -> None:
        """Connect to a server of the upstream."""
        self._attempts = ConnectAttempts((self._upstream,), timeout=self.service.connect_s)
        self._connecting = self._attempts.connect(self)

    @CONNECTING.on(Event.ERROR, to=(IDLE,))
    def connect_failed(self, server: NetVConnection) -> State | None:
        """Try the next server."""
        if self._attempts.failed(server):
            self._log(f"server {server.name} failed: {server.error}; trying the next")
            server.do_io_close()
            self._connecting = self._attempts.connect(self)
            return None
        why = f"server {server.name} failed: {server.error}; no server is left"
        return self._drop(why, Unanswered.NO_SERVER)

    @CONNECTING.on(Event.CONNECTED, to=(SERVING, IDLE))
    def connected(self, server: NetVConnection) -> State:
        """Send the requests that are pending."""
        self._connection = FramedConnection(self, server, self.rules.framing)
        self._connecting = None
        self._health.received(self.engine.now)
        self._pending.connected = True
        self._flush()
        self._start_timer()
        self._notify_room()
        return self._give_up() or self.SERVING

    @SERVING.on(Event.WRITE_READY)
    def writable(self, vio: VIO) -> None:
        """Notify waiting requesters: some requests were sent, so there may be room."""
        assert self._connection is not None
        self._connection.writable()
        self._notify_room()

    @SERVING.on(Event.READ_READY, Event.EOS, to=(IDLE,))
    def replies_arrived(self, vio: VIO) -> State | None:
        """Split the replies, and send each requester its parts."""
        connection = self._connection
        assert connection is not None
        self._health.received(self.engine.now)
        try:
            parts, without_parts = connection.take_parts(self.rules.split)
        except BaseException as raised:
            error = as_error(raised)
            history = Machine.crashed(self, error)
            self.engine.log("error", f"{self.name}: split() failed\n{history}", error)
            return self._drop("split() failed", Unanswered.UNMATCHED)
        unmatched = self._distribute(parts, without_parts)
        if unmatched and self.rules.orphans == "reconnect":
            return self._drop("unmatched reply part", Unanswered.UNMATCHED)
        if connection.input.stopped:
            return self._drop(connection.end_reason())
        self._flush()
        self._notify_room()
        return self._give_up()

    @SERVING.on(Event.ERROR, to=(IDLE,))
    def failed(self, vio: VIO) -> State | None:
        """Read the replies that arrived before the connection failed, then drop it."""
        assert self._connection is not None
        received = self._connection.input
        return None if received.read_rest() or not received.vio.over else self.replies_arrived(vio)

    @SERVING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=(IDLE,))
    def timed_out(self, vio: VIO) -> State:
        """Drop the connection: one of its timeouts has passed."""
        return self._drop(f"{vio.name}: connection timed out")

    def _distribute(self, parts: list[Part], unmatched: int) -> int:
        """Send each requester its parts; return how many replies and parts match no request."""
        assigned = self._pending.assign(parts, self.engine.now, self.requesters.receivers)
        self.engine.queue.extend(assigned.events)
        if assigned.damaged:
            self._log(f"damaged reply: {assigned.damaged[0]}; it is dropped", "damaged")
            self._count("damaged_replies", len(assigned.damaged))
            self._report(assigned.lost, "unanswered")
        unmatched += assigned.unmatched
        if unmatched:
            self._log("unmatched reply part; it is dropped", "orphan")
        self._count("late", assigned.late)
        self._count("orphan", unmatched)
        return unmatched

    # -- requests that are not answered ------------------------------------------------------

    @ALIVE.on(DEADLINE, to=(IDLE,))
    def deadline_passed(self, _: object) -> State | None:
        """Abandon the requests whose deadline has passed, or send them again: see the module."""
        self._timer = None
        pending, now = self._pending, self.engine.now
        expired, failure = pending.expired(now), ""
        if self._connection is not None:
            failure = self._health.failure(pending, expired, now)
        lost = pending.overdue(expired, now, closes=bool(failure))
        self._report(lost, "timed_out")
        if failure:
            return self._drop(failure, expired=len(lost.failed))
        self._flush()
        self._start_timer()
        self._notify_room()
        return self._give_up()

    @ALIVE.on(RequesterLeft, to=(IDLE, CLOSED))
    def requester_left(self, left: RequesterLeft) -> State | None:
        """Abandon the requests of a requester that has ended. Close after the last requester; a
        line only when no late answer can come any more."""
        self.requesters.leave(left.requester)
        for request in left.requests:
            self._pending.leave(request)
        if not len(self.requesters):
            if (free_at := free_at_of(self._pending)) <= self.engine.now:
                return self.CLOSED
            self.engine.schedule_at(free_at, self, RequesterLeft, RequesterLeft(left.requester, ()))
        self._flush()
        self._notify_room()
        return self._give_up()

    def _drop(self, why: str, reason: Unanswered | None = None, expired: int = 0) -> State:
        """Close the connection. See PendingRequests.lost for what becomes of the requests."""
        connected = self._connection is not None
        self._close()
        lost = self._pending.lost(self.engine.now, reason or Unanswered.CONNECTION_LOST)
        self._log(f"{why}; requests not answered: {expired + len(lost.failed)}")
        self._report(lost, "unanswered")
        if connected:
            receivers = self.requesters.receivers()
            self.requesters.send(SubscriptionLost, SubscriptionLost(why), receivers)
        self._notify()
        self._notify_room()
        return self.IDLE

    def _report(self, lost: Lost, counter: str) -> None:
        """Send the requesters the failures of their requests, and count them."""
        for failed in lost.failed:
            self.engine.deliver_soon(failed.request.requester, RequestFailed, failed)
        self._count(counter, len(lost.failed))
        self._count("repeated", len(lost.repeated))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        elif self._connecting is not None:
            self._connecting.do_io_close()
        self._connection = self._connecting = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def finished(self) -> None:
        """Close the connection and unregister: the next requester creates a new one."""
        self._close()
        self._succession.leave()

    def crashed(self, error: Exception) -> str:
        """Fail all requests, so that no requester waits for an answer."""
        requests = (*self._pending.sent, *self._pending.unsent)
        failed = [each for of in requests for each in failures(of, Unanswered.FAILED)]
        self._report(Lost(failed, []), "unanswered")
        self.requesters.notify_room()
        self._succession.leave()
        return super().crashed(error)

    def _count(self, what: str, times: int = 1) -> None:
        if times:
            self.service.counts[what] += times

    def _log(self, text: str, kind: str = "shared connection") -> None:
        limit = self.service.share(LineLimits).of(kind)
        limit.log(self.engine, "info", f"{self.name}: {text}")
