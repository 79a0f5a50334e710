"""Splitter: the base of plugins that share one server connection among many clients.

Each client is a requester: its requests go to the shared connection, which sends them together with
those of the others, splits the replies (SharedConnection.replies_arrived calls `split`), and
returns the parts that belong to the requester. A requester that has ended its direction still gets
the answers to its requests. One that does not read its answers is closed, because the others cannot
wait for it.

    READING --the client has ended--> ENDED --all requests are answered--> CLOSED
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.event import Event
from vcproxy.engine.scheduler import Action
from vcproxy.framing.decoding import Damaged
from vcproxy.machine.state import State
from vcproxy.messages.keyed import Keyed
from vcproxy.messages.shared_connection import SharedConnection
from vcproxy.messages.split_request import (
    ConnectionRetired,
    OrphanArrived,
    PartArrived,
    RequesterLeft,
    RequestFailed,
    RoomAvailable,
    SplitRequest,
    SubscriptionLost,
    WaitingForRoom,
)
from vcproxy.messages.splitter_hooks import SplitterHooks
from vcproxy.messages.succession import is_replaced, latest
from vcproxy.messages.verdict import Reject, Resend
from vcproxy.messages.verdict_notes import note_verdict
from vcproxy.sessions.streams import InputStream, OutputStream

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.sessions.service import Service


class Splitter(SplitterHooks):
    """One client of a shared server connection. A subclass matches requests with reply parts.

        class Batch(Splitter):
            def key(self, request):
                return json.loads(request)["id"]

            @classmethod
            def split(cls, reply, options):
                for answer in json.loads(reply):
                    yield Part(answer["id"], json.dumps(answer).encode(), last=answer["done"])

    `split` is called on the class, because a reply belongs to no single client: it has the reply
    and the options, and no session. All other methods are called on the session of the client that
    sent the request: `self` may hold what belongs to that client.

    Without overrides, each request is answered by one reply, in the order of the requests.
    """

    __slots__ = (
        "_connection",
        "_connections",
        "_delayed",
        "_fresh_id",
        "_held",
        "_messages",
        "_requests", "_retiring",
        "_subscribed",
        "_waits_for_room",
        "ticket",
    )  # fmt: skip

    TALKING = State()
    READING = State(parent=TALKING, initial=True)
    ENDED = State(parent=TALKING)
    CLOSED = State(final=True)

    answers: OutputStream

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        self.answers = OutputStream(self, client)
        self._messages = InputStream(self, client, self.framing)
        # Requests that are not answered yet, the oldest first, each with where it was submitted.
        self._requests: dict[SplitRequest, SharedConnection] = {}
        self._held: bytes | None = None  # a request that waits for room where it is submitted
        self._retiring = False  # ConnectionRetired follows
        self._delayed: Reject | Resend | None = None  # sent after all requests are answered
        self._waits_for_room = False  # RoomAvailable was requested
        self._connection: SharedConnection | None = None  # that of the latest request
        self._connections: dict[str, SharedConnection] = {}  # all that it has joined, by upstream
        self._fresh_id: int | None = None  # the result of fresh_id() for the next request
        self._subscribed = False
        self.ticket = Action(self, PartArrived, None, 0.0, 0.0)
        """Identifies this requester to the shared connection: all its events are queued with it."""

    # -- for authors -------------------------------------------------------------------------

    def fresh_id(self, size: int) -> int:
        """Return an id from 0 to `size - 1` that no other request at the server uses. For `key`.

        That includes requests that wait to be sent, and those without a client whose answer has not
        arrived. The id belongs to the request that `key` returns. If all are in use, clients are
        not read until one is free.
        """
        assert self._connection is not None, "place() has named no upstream"
        self._fresh_id = self._connection.fresh_id(size)
        return self._fresh_id

    @property
    def subscribed(self) -> bool:
        """Whether this client gets parts that no request waits for, if `orphans` is
        "subscribers". May be set at any time."""
        return self._subscribed

    @subscribed.setter
    def subscribed(self, subscribed: bool) -> None:
        self._subscribed = subscribed
        for connection in self._connections.values():
            connection.requesters.join(self.ticket, subscribed)

    # -- requests ----------------------------------------------------------------------------

    @READING.enter
    def start_reading(self) -> None:
        """Join the shared connection before the first request, to keep it open."""
        if self.service.upstream is not None:
            self._connection = self._join(self.service.upstream.name)

    def _join(self, place: str) -> SharedConnection | None:
        """Join the listener's shared connection to an upstream, and return it; create it if there
        is none. None: the client is to be closed, because there is a new configuration, whose
        connections must not wait for those of this one. Raises LookupError if the listener has no
        such upstream."""
        service = self.service
        connection = self._connections.get(place)
        if connection is not None and not connection.mutex.ended:
            return connection
        connection = latest(service, place)
        if connection is None or not connection.serves(service):
            if is_replaced(service):
                self._retiring = True
                self.engine.deliver_soon(self.ticket, ConnectionRetired, ConnectionRetired())
                return None
            rules = self.split_rules(service.options, place)
            connection = SharedConnection(self.engine, service, place, rules)
            connection.start()
        connection.requesters.join(self.ticket, self._subscribed)
        if self.record is not None:
            self.record.upstream = place
        self._connections[place] = connection
        return connection

    @READING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, RoomAvailable, to=(ENDED, CLOSED))
    def take_requests(self, event: VIO | RoomAvailable) -> State | None:
        """Submit the requests that have arrived, while there is room for them and their answers."""
        if type(event) is RoomAvailable:
            self._waits_for_room = False
        messages, requests = self._messages, self._requests
        while len(requests) < self.window and not self.answers.full:
            if self._delayed is not None:
                if requests:
                    return None
                target = self._refuse(self._delayed)
                if target is not None:
                    return target
                continue
            message = self._held
            if message is None:
                taken = messages.take()
                if taken is None:
                    return self._input_ended() if messages.stopped else None
                if isinstance(taken, Damaged):
                    self._refuse_damaged(taken)
                    continue
                message = taken
                if self._places:
                    self._choose(message)
            connection = self._connection
            if connection is not None and connection.mutex.ended:  # failed, with its requests
                connection = self._connection = self._join(connection.place)
            if self._retiring:
                return None
            if connection is not None and connection.full:
                self._held = message
                self._wait_for_room(connection)
                return None
            self._held = None
            self._submit(message)
            if messages.drained and self._delayed is None:
                return None
        return None

    def _choose(self, message: bytes) -> None:
        """Set the shared connection of a request."""
        place, upstream = self.place(message), self.service.upstream
        if place is None and upstream is not None:
            place = upstream.name
        self._connection = None if place is None else self._join(place)

    def _submit(self, message: bytes) -> None:
        """Submit a request to its shared connection, or keep the verdict on it in `_delayed`."""
        connection = self._connection
        key: Any = self.key(message)
        rewritten, shares, fresh = None, None, self._fresh_id
        if fresh is not None:
            self._fresh_id = None
        if key is not None:
            if isinstance(key, Reject | Resend):
                self._delayed = key
                note_verdict(self, message, key)
                return
            if isinstance(key, Keyed):
                key, rewritten, shares = key
            hash(key)  # an unhashable key must fail here, not in the shared connection
        if connection is None:
            raise LookupError(f"{self.name}: place() returned None: its listener has no upstream")
        framing = connection.rules.forwarding or self._messages.framing
        encoded = framing.encode(message if rewritten is None else rewritten) or EMPTY
        now = self.engine.now
        wait_s = self.queue_timeout_s
        request = SplitRequest(
            self.ticket, key, message, encoded, now, now + wait_s, self.timeout_s, wait_s
        )
        request.fresh_id = fresh
        request.shares = shares
        request.restored = rewritten is not None
        request.attempts = self.attempts
        self._requests[request] = connection
        self.service.counts["requests"] += 1
        connection.submit(request)

    def _refuse_damaged(self, damaged: Damaged) -> None:
        self.count("damaged")
        self.log_seldom("damaged", f"damaged message: {damaged.why}; it is not forwarded")
        verdict = self._delayed = self.damaged(*damaged)
        if not isinstance(verdict, Reject | Resend):
            raise TypeError(f"damaged() returned {verdict!r}: it must be Reject or Resend")
        why = verdict.why or f"damaged message: {damaged.why}"
        note_verdict(self, damaged.data, replace(verdict, why=why))

    def _refuse(self, verdict: Reject | Resend) -> State | None:
        """Send the answer of a verdict, after all earlier requests have been answered."""
        self._delayed = None
        self.answers.send(verdict.answer)
        self.count(verdict.counter)
        return None if verdict.keep else self.CLOSED

    def _wait_for_room(self, connection: SharedConnection) -> None:
        if not self._waits_for_room:
            self._waits_for_room = True
            self.engine.schedule(connection, WaitingForRoom, WaitingForRoom(self.ticket))

    def _input_ended(self) -> State:
        """End reading: the client has half-closed, or its input has invalid framing."""
        fault = self._messages.fault
        if fault is not None:
            self.count(fault.name.lower())
            if self.record is not None:
                self.record.note("V", fault.value, "V")
            self.log(f"{fault.value}; no further input is read")
        return self.ENDED if self._requests else self.CLOSED

    @ENDED.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, RoomAvailable)
    def ignore(self, event: VIO | RoomAvailable) -> None:
        """Read nothing more."""

    # -- answers -----------------------------------------------------------------------------

    @TALKING.on(PartArrived, to=(ENDED, CLOSED))
    def part_arrived(self, arrived: PartArrived) -> State | None:
        """Send the part to the client."""
        request, part = arrived
        data = self.restore(request.message, part.data) if request.restored else part.data
        target = self._send(data, part.last and len(self._requests) == 1)
        return self._answered(request) if target is None and part.last else target

    @TALKING.on(OrphanArrived, to=(CLOSED,))
    def orphan_arrived(self, arrived: OrphanArrived) -> State | None:
        """Send what `orphan` returns to the client."""
        data = self.orphan(arrived.part)
        return None if data is None else self._send(data)

    def _send(self, message: bytes, last: bool = False) -> State | None:
        """Send a message to the client; close it if it has not read too much.

        `last`: no more answers are expected now. The driver may write it at once, which costs less;
        several of a turn are written together.
        """
        wire = self._messages.framing.encode(message) or EMPTY
        client = self.client
        if last and not client.message_oriented:
            wire = wire[client.send_at_once(wire) :]
        self.answers.send(wire)
        if self.answers.reader.avail <= self.backlog:
            return None
        self.count("slow")
        if self.record is not None:
            self.record.note("G", "the client does not read its answers")
        self.log("closed: the client does not read its answers")
        self.close(ConnectionError("the client does not read its answers"))
        return self.CLOSED

    @TALKING.on(RequestFailed, to=(ENDED, CLOSED))
    def request_failed(self, failed: RequestFailed) -> State | None:
        """Send the message that `unanswered` returns; if it is None, close."""
        if self.record is not None:
            self.record.verdict(failed.why.name.lower())
        answer = self.unanswered(failed.request.message, failed.why)
        if answer is None:
            self.log(f"closed: its request is not answered: {failed.why}")
            if self.record is not None:
                self.record.note("S", failed.why)
            return self.CLOSED
        return self._send(answer) or self._answered(failed.request)

    @TALKING.on(SubscriptionLost, to=(CLOSED,))
    def connection_lost(self, lost: SubscriptionLost) -> State | None:
        """Send the message that `lost` returns; if it is None, close."""
        message = self.lost(lost.why)
        if message is not None:
            return self._send(message)
        self.log(f"closed: no longer subscribed: {lost.why}")
        if self.record is not None:
            self.record.note("S", lost.why)
        return self.CLOSED

    @TALKING.on(ConnectionRetired, to=(ENDED, CLOSED))
    def retired(self, _: ConnectionRetired) -> State | None:
        """Read no more requests; those submitted are still answered."""
        if self.state is self.ENDED:
            return None
        self.log("the configuration has changed: closing after the pending answers")
        return self.ENDED if self._requests else self.CLOSED

    def _answered(self, request: SplitRequest) -> State | None:
        requests = self._requests
        blocked = len(requests) >= self.window or self._delayed is not None
        del requests[request]
        if self.state is self.READING:
            return self.take_requests(self.answers.vio) if blocked else None
        return None if requests else self.CLOSED

    # -- ends --------------------------------------------------------------------------------

    @TALKING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def failed(self, vio: VIO) -> None:
        """Close after an error or a timeout of the client. Requests read but not yet submitted
        are dropped, because no client is left to get the answers."""
        error = vio.error or TimeoutError("connection timed out")
        if not self.was_probe:
            self.log(f"{vio.name}: {error}")
        self.close(error)

    def finished(self) -> None:
        """Leave the shared connection, and close."""
        self._leave()
        self._held = None
        self._messages.close()
        super().finished()

    def crashed(self, error: Exception) -> str:
        """Leave the shared connection after a crash: pending answers are dropped."""
        self._leave()
        return super().crashed(error)

    def _leave(self) -> None:
        for connection in self._connections.values():
            requests = tuple(each for each, at in self._requests.items() if at is connection)
            left = RequesterLeft(self.ticket, requests)
            self.engine.schedule(connection, RequesterLeft, left)
