"""Splitter: the base of plugins that share one server connection among many clients.

Each client is a requester: its requests go to the shared connection, which sends them together with
those of the others, splits the replies (SharedConnection.replies_arrived calls `split`), and
returns the parts that belong to the requester. A requester that has ended its direction still gets
the answers to its requests. One that does not read its answers is closed, because the others cannot
wait for it.

    READING --the client has ended--> ENDED --all requests are answered--> CLOSED
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.event import Event
from vcproxy.engine.scheduler import Action
from vcproxy.framing.framing import Framing, lines
from vcproxy.machine.state import State
from vcproxy.messages.shared_connection import SharedConnection
from vcproxy.messages.split_request import (
    ConnectionRetired,
    PartArrived,
    RequesterLeft,
    RoomAvailable,
    SplitRequest,
    Unanswered,
    WaitingForRoom,
)
from vcproxy.messages.split_rules import Orphans, Part, SplitRules
from vcproxy.messages.verdict import Reject, Resend
from vcproxy.sessions.session import Session
from vcproxy.sessions.streams import InputStream, OutputStream

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.sessions.service import Service


class Splitter(Session):
    """One client of a shared server connection. A subclass matches requests with reply parts.

        class Batch(Splitter):
            def key(self, request):
                return json.loads(request)["id"]

            @classmethod
            def split(cls, reply, options):
                for answer in json.loads(reply):
                    yield Part(answer["id"], json.dumps(answer).encode(), last=answer["done"])

    `key` and `unanswered` are called on the session of the client that sent the request: `self` may
    hold what belongs to that client. `split` is called on the class, because a reply belongs to no
    single client: it has the reply and the options, and no session.

    Without overrides, each request is answered by one reply, in the order of the requests.
    """

    needs_upstream = True
    alpn_refused = frozenset({"h2"})  # a framing of messages cannot read its streams
    one_worker = "its clients share one connection to the server"

    framing: Framing = lines()
    """How requests are framed, and the parts of replies that go to clients."""
    replies: Framing | None = None
    """How the server's replies are framed. None: like requests. Read from the class; where it
    depends on the options, override `split_rules`."""
    orphans: Orphans = "drop"
    """What happens to a part that no request waits for. Read from the class, like `replies`."""
    timeout_s: float = 30.0
    """Seconds that a request waits for the last part of its answer."""
    window: int = 16
    """Requests of one client that may be pending; with more, the client is not read."""
    backlog: int = 1 << 20
    """Bytes of answers that a client may leave unread before it is closed."""

    __slots__ = ("_connection", "_delayed", "_messages", "_requests", "_waits_for_room", "ticket")

    TALKING = State()
    READING = State(parent=TALKING, initial=True)
    ENDED = State(parent=TALKING)
    CLOSED = State(final=True)

    answers: OutputStream

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if isinstance(cls.__dict__.get("split"), FunctionType):
            raise TypeError(
                f"{cls.__qualname__}.split() is called for replies to all clients, without a "
                "session: write @classmethod def split(cls, reply, options)"
            )

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        self.answers = OutputStream(self, client)
        self._messages = InputStream(self, client, self.framing)
        self._requests: dict[SplitRequest, None] = {}  # not answered yet, the oldest first
        self._delayed: Reject | Resend | None = None  # sent after all requests are answered
        self._waits_for_room = False  # RoomAvailable was requested
        self._connection: SharedConnection | None = None
        self.ticket = Action(self, PartArrived, None, 0.0, 0.0)
        """Identifies this requester to the shared connection: all its events are queued with it."""

    @classmethod
    def unused_methods(cls, options: Any) -> Mapping[str, str]:
        """See Session: all clients share one server connection."""
        return {"servers": "the shared connection is one to the listener's upstream"}

    # -- for authors -------------------------------------------------------------------------

    def key(self, request: bytes) -> Hashable | Reject | Resend:
        """Return the key that the parts of the answer have in common. To be overridden.

        `request` is one message without its framing, `self` the session of its client. None: parts
        are matched by the order of requests. A Reject or Resend is sent to the client, when its
        earlier requests are answered, and the request is not sent. An exception ends this client's
        conversation.
        """
        return None

    @classmethod
    def split(cls, reply: bytes, options: Any) -> Iterable[Part]:
        """Return or yield the parts of one reply. To be overridden.

        `reply` is one message without its framing, `options` the plugin's Options. There is no
        session: the parts of one reply may belong to many clients. An exception closes the server
        connection, because later parts can no longer be matched with requests; its requests are
        unanswered.
        """
        return (Part(None, reply),)

    @classmethod
    def split_rules(cls, options: Any) -> SplitRules:
        """Return how replies are framed and split, and what happens to orphans. To be overridden
        where that depends on the options; called once for each shared connection.
        """
        split = partial(cls.split, options=options)
        return SplitRules(cls.replies or cls.framing, split, cls.orphans)

    def unanswered(self, request: bytes, why: str) -> bytes | None:
        """Return the message for the client whose request is not answered. To be overridden.

        It timed out, or the server connection failed; `why` is text for people. None closes the
        client's connection.
        """
        return None

    # -- requests ----------------------------------------------------------------------------

    @READING.enter
    def start_reading(self) -> None:
        """Join the shared connection before the first request, to keep it open."""
        self._join()

    def _join(self) -> SharedConnection:
        """Join the listener's shared connection and return it; create it if there is none."""
        service = self.service
        connection = service.persistent.get(SharedConnection)
        if not isinstance(connection, SharedConnection) or not connection.serves(service):
            rules = self.split_rules(service.options)
            connection = SharedConnection(self.engine, service, rules)
            connection.start()
        connection.requesters[self.ticket] = None
        if self.record is not None and service.upstream is not None:
            self.record.upstream = service.upstream.name
        self._connection = connection
        return connection

    @READING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, RoomAvailable, to=(ENDED, CLOSED))
    def take_requests(self, event: VIO | RoomAvailable) -> State | None:
        """Submit the requests that have arrived, while there is room for them and their answers."""
        if type(event) is RoomAvailable:
            self._waits_for_room = False
        connection = self._connection
        if connection is None or connection.mutex.ended:  # failed, with its requests
            connection = self._join()
        messages, requests = self._messages, self._requests
        while len(requests) < self.window and not self.answers.full:
            if self._delayed is not None:
                if requests:
                    return None
                target = self._refuse(self._delayed)
                if target is not None:
                    return target
            elif connection.full:
                self._wait_for_room(connection)
                return None
            else:
                message = messages.take()
                if message is None:
                    return self._input_ended() if messages.stopped else None
                self._submit(connection, message)
        return None

    def _submit(self, connection: SharedConnection, message: bytes) -> None:
        key = self.key(message)
        if key is not None:
            if isinstance(key, Reject | Resend):
                self._delayed = key
                return
            hash(key)  # an unhashable key must fail here, not in the shared connection
        encoded = self._messages.framing.encode(message) or EMPTY
        now = self.engine.now
        request = SplitRequest(self.ticket, key, message, encoded, now, now + self.timeout_s)
        self._requests[request] = None
        self.count("requests")
        connection.submit(request)

    def _refuse(self, verdict: Reject | Resend) -> State | None:
        """Send the answer of a verdict, after all earlier requests have been answered."""
        self._delayed = None
        self.answers.send(verdict.answer)
        self.count(verdict.counter)
        record = self.record
        if record is not None:
            record.verdict(type(verdict).__name__.lower())
            if not verdict.keep:
                record.note("V", "a request was rejected", "V")
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
        part = arrived.part
        self.answers.send(self._messages.framing.encode(part.data) or EMPTY)
        if self.answers.reader.avail > self.backlog:
            self.count("slow")
            if self.record is not None:
                self.record.note("G", "the client does not read its answers")
            self.log("closed: the client does not read its answers")
            self.close(ConnectionError("the client does not read its answers"))
            return self.CLOSED
        return self._answered(arrived.request) if part.last else None

    @TALKING.on(Unanswered, to=(ENDED, CLOSED))
    def request_failed(self, unanswered: Unanswered) -> State | None:
        """Send the message that `unanswered` returns; if it is None, close."""
        answer = self.unanswered(unanswered.request.message, unanswered.why)
        if answer is None:
            self.log(f"closed: its request is not answered: {unanswered.why}")
            if self.record is not None:
                self.record.note("S", unanswered.why)
            return self.CLOSED
        self.answers.send(self._messages.framing.encode(answer))
        return self._answered(unanswered.request)

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
        self._messages.close()
        super().finished()

    def crashed(self, error: Exception) -> str:
        """Leave the shared connection after a crash: pending answers are dropped."""
        self._leave()
        return super().crashed(error)

    def _leave(self) -> None:
        if self._connection is not None:
            left = RequesterLeft(self.ticket, tuple(self._requests))
            self.engine.schedule(self._connection, RequesterLeft, left)
