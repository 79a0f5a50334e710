"""Splitter: the base of plugins that share one server connection among many sources.

Each client is a source: its requests go to the hub, which merges them with those of the others, and
the parts of the replies that are its own come back. A source that has ended still gets what it is
owed; one that does not read what it is owed is closed, for the others cannot wait for it.

    READING --the client has said all--> ENDED --nothing is owed any more--> CLOSED
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import EMPTY
from vcproxy.engine.scheduler import Action
from vcproxy.framing.framing import Framing, lines
from vcproxy.machine.state import State
from vcproxy.messages.shared_connection import SharedConnection
from vcproxy.messages.sharing import (
    Orphans,
    Part,
    PartArrived,
    Retired,
    RoomAgain,
    SourceGone,
    SplitRequest,
    Unanswered,
    Waiting,
)
from vcproxy.messages.verdict import Reject, Resend
from vcproxy.sessions.session import Session
from vcproxy.sessions.streams import InputStream, OutputStream

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.sessions.service import Service


class Splitter(Session):
    """One source of a shared server. A subclass says whose a request and a part of a reply are.

        class Batch(Splitter):
            def key(self, request):
                return json.loads(request)["id"]

            def split(self, reply):
                for answer in json.loads(reply):
                    yield Part(answer["id"], json.dumps(answer).encode(), last=answer["done"])

    As it is, each request is answered by one reply, in the order of the requests.
    """

    needs_upstream = True
    alpn_refused = frozenset({"h2"})  # a framing of messages does not find its streams

    framing: Framing = lines()
    """How requests are framed, and the parts of replies that go to clients."""
    replies: Framing | None = None
    """How the server's replies are framed. None: like requests."""
    orphans: Orphans = "drop"
    """What becomes of a part that no request waits for."""
    timeout_s: float = 30.0
    """How long a request waits for the last part of its answer."""
    window: int = 16
    """Requests of one source that are under way before it is read on."""
    backlog: int = 1 << 20
    """Bytes of answers that a source may leave unread before it is closed."""

    __slots__ = ("_asked", "_hub", "_messages", "_patient", "_unturned", "ticket")

    TALKING = State()
    READING = State(parent=TALKING, initial=True)
    ENDED = State(parent=TALKING)
    CLOSED = State(final=True)

    answers: OutputStream

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        self.answers = OutputStream(self, client)
        self._messages = InputStream(self, client, self.framing)
        self._asked: dict[SplitRequest, None] = {}
        self._unturned: Reject | Resend | None = None
        self._patient = False  # the hub tells when there is room
        self.ticket = Action(self, PartArrived, None, 0.0, 0.0)
        """What all events from the hub hang on: one object, not one for each."""

    @classmethod
    def unused_methods(cls, options: Any) -> Mapping[str, str]:
        """See Session: all sources share one connection."""
        return {"servers": "the connection that all share is one to the listener's upstream"}

    # -- for authors -------------------------------------------------------------------------

    def key(self, request: bytes) -> Hashable | Reject | Resend:
        """Find what the parts of the answer will be known by. To be overridden.

        None: by their order. A Reject or Resend goes back instead of an answer. An exception ends
        this source, closed.
        """
        return None

    def split(self, reply: bytes) -> Iterator[Part]:
        """Take one reply apart. To be overridden.

        Any source is asked, whoever the reply is for: it must rest on the reply and the options
        alone. An exception ends the connection to the server: nobody can tell what is whose.
        """
        yield Part(None, reply)

    def unanswered(self, request: bytes, why: str) -> bytes | None:
        """Return the message for a request that will not be answered; None closes the source.

        It was too slow, or the server has gone; `why` is for people. To be overridden.
        """
        return None

    # -- asking ------------------------------------------------------------------------------

    @READING.enter
    def joining(self) -> None:
        """Share the server with all who are there, or be the first."""
        hub = self.service.persistent.get(SharedConnection)
        if not isinstance(hub, SharedConnection) or not hub.serves(self.service):
            hub = SharedConnection(self.engine, self.service)
            hub.start()
        hub.sources[self] = None
        self._hub = hub

    @READING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, RoomAgain, to=(ENDED, CLOSED))
    def moved(self, event: VIO | RoomAgain) -> State | None:
        """Take what has come, as far as there is room for it and for its answers."""
        if type(event) is RoomAgain:
            self._patient = False
        if self._hub.mutex.ended:  # it crashed, and told what it owed
            self.joining()
        messages, asked, hub = self._messages, self._asked, self._hub
        while len(asked) < self.window and not self.answers.full:
            if self._unturned is not None:
                if asked:
                    return None
                target = self._refuse(self._unturned)
                if target is not None:
                    return target
            elif hub.full:
                self._wait()
                return None
            else:
                message = messages.take()
                if message is None:
                    return self._no_more() if messages.stopped else None
                self._ask(message)
        return None

    def _ask(self, message: bytes) -> None:
        key = self.key(message)
        if key is not None:
            if isinstance(key, Reject | Resend):
                self._unturned = key
                return
            hash(key)  # one that cannot be a key must fail here, not in the hub
        wire = self._messages.framing.encode(message) or EMPTY
        now = self.engine.now
        request = SplitRequest(self, key, message, wire, now, now + self.timeout_s)
        self._asked[request] = None
        self.count("asked")
        self._hub.ask(request)

    def _refuse(self, verdict: Reject | Resend) -> State | None:
        """Say it in its turn: when all that was asked before has been answered."""
        self._unturned = None
        self.answers.send(verdict.answer)
        if isinstance(verdict, Resend):
            self.count("resent")
            return None
        self.count("rejected")
        return None if verdict.keep else self.CLOSED

    def _wait(self) -> None:
        if not self._patient:
            self._patient = True
            self.engine.schedule(self._hub, Waiting, Waiting(self))

    def _no_more(self) -> State:
        """The client is not heard any more: in order, or for a fault."""
        fault = self._messages.fault
        if fault is not None:
            self.count(fault.name.lower())
            self.log(f"{fault.value}; no further input is read")
        return self.ENDED if self._asked else self.CLOSED

    @ENDED.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, RoomAgain)
    def ignored(self, event: VIO | RoomAgain) -> None:
        """It is not heard any more."""

    # -- being answered ----------------------------------------------------------------------

    @TALKING.on(PartArrived, to=(ENDED, CLOSED))
    def delivered(self, delivery: PartArrived) -> State | None:
        """Pass on what is one's own."""
        part = delivery.part
        self.answers.send(self._messages.framing.encode(part.data) or EMPTY)
        if self.answers.reader.avail > self.backlog:
            self.count("slow")
            self.log("closed: it does not read its answers")
            self.close(ConnectionError("it does not read its answers"))
            return self.CLOSED
        return self._answered(delivery.request) if part.last else None

    @TALKING.on(Unanswered, to=(ENDED, CLOSED))
    def given_up(self, unanswered: Unanswered) -> State | None:
        """Say so, or leave."""
        answer = self.unanswered(unanswered.request.message, unanswered.why)
        if answer is None:
            self.log(f"closed: {unanswered.why}")
            return self.CLOSED
        self.answers.send(self._messages.framing.encode(answer))
        return self._answered(unanswered.request)

    @TALKING.on(Retired, to=(ENDED, CLOSED))
    def retired(self, _: Retired) -> State | None:
        """Take no more: what has been asked is still answered."""
        if self.state is self.ENDED:
            return None
        self.log("closed when it has its answers: the configuration has changed")
        return self.ENDED if self._asked else self.CLOSED

    def _answered(self, request: SplitRequest) -> State | None:
        asked = self._asked
        held_up = len(asked) >= self.window or self._unturned is not None
        del asked[request]
        if self.state is self.READING:
            return self.moved(self.answers.vio) if held_up else None
        return None if asked else self.CLOSED

    # -- ends --------------------------------------------------------------------------------

    @TALKING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def broke(self, vio: VIO) -> None:
        """The client has broken, or nothing moves. What it had not asked yet is not asked: nobody
        waits for the answer."""
        error = vio.error or TimeoutError("connection timed out")
        if not self.was_probe:
            self.log(f"{vio.name}: {error}")
        self.close(error)

    def finished(self) -> None:
        """Leave the hub, and close."""
        self._leave()
        self._messages.close()
        super().finished()

    def crashed(self, error: Exception) -> str:
        """What was asked is owed to nobody any more."""
        self._leave()
        return super().crashed(error)

    def _leave(self) -> None:
        self.engine.schedule(self._hub, SourceGone, SourceGone(self, tuple(self._asked)))
