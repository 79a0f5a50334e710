"""Fetches: requests of the proxy's own, and the whole answers to them.

each: SEEKING --CONNECTED--> ASKING --its answer--> OVER
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.held_memory import HeldMemory
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.vio import VIO
from vcproxy.http.message.body import body_reader
from vcproxy.http.message.forwarding import to_server
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.message.parsing import head_end, parse_response
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.proxy.body_buffer import BodyBuffer
from vcproxy.http.proxy.wire import Wire
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.http.message.limits import MessageLimits
    from vcproxy.upstream.upstream import Upstream

BODY_LIMIT = 1 << 20
"""Bytes of an answer that is kept whole: as much as a filter sees of others, see Phases."""

MOST_COPIES = 256
"""Copies on their way at a time: with bodies of 1 MiB, no more than the default memory."""

COPY_S = 30.0
"""Seconds for the answer to a copy: that of a mirror that is well does not take longer."""

LATE = "LATE"
"""Tag: the answer's time is up."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """All are answered; in the order of the requests."""

    answers: list[Response]
    name: str = "fetches"


class Fetch(Machine):
    """Has one request answered by an upstream, and its answer whole."""

    __slots__ = (
        "_answer", "_fetches", "_gathering", "_keep", "_late", "_method", "_number", "_said",
        "_server", "_side",
    )  # fmt: skip

    SEEKING = State(initial=True)
    ASKING = State()
    OVER = State(final=True)

    def __init__(self, fetches: Fetches, number: int, request: Request) -> None:
        super().__init__(fetches.engine, fetches.mutex, name=f"{fetches.name} {number}")
        self._fetches = fetches
        self._number = number
        request = request.copy()
        request.body = len(request.content)  # a client's body is not here, nor asked for
        request.expects_continue = False
        self._method = request.method
        self._said = to_server(request, fetches.sender) + request.content
        self._keep = HeldMemory(self)
        self._keep.hold(len(self._said))
        self._server: NetVConnection | None = None
        self._side = Wire(self)
        self._gathering: BodyBuffer | None = None
        self._answer: Response | None = None
        self._late: Action | None = None

    @SEEKING.enter
    def seeking(self) -> None:
        """Have a connection."""
        fetches = self._fetches
        self._late = self.engine.schedule_in(fetches.timeout_s, self, LATE, None)
        self._server = fetches.upstream.connect(self, timeout=fetches.timeout_s)

    @SEEKING.on(Event.CONNECTED, to=ASKING)
    def connected(self, server: NetVConnection) -> None:
        """Send it."""
        self._side.attach(server)
        self._side.begin(self._said)
        self._said = b""
        self._keep.hold(0)

    @SEEKING.on(Event.ERROR, to=OVER)
    def refused(self, server: NetVConnection) -> None:
        """Nobody is there."""
        late = isinstance(server.error, TimeoutError)
        self._answer = Response(504 if late else 502)

    @ASKING.on(Event.READ_READY, Event.EOS, Event.ERROR, to=(OVER,))
    def told(self, vio: VIO) -> State | None:
        """Some of the answer."""
        side = self._side
        try:
            while self._gathering is None:
                data = side.take()
                end = head_end(data, self._fetches.limits)
                if end < 0:
                    side.pending = data
                    if side.over:
                        raise BadMessage(502, "it ended without an answer", "RFC 9112 8")
                    return None
                side.pending = data[end:]
                head = parse_response(data[:end], self._fetches.limits, self._method)
                if head.status >= 200:
                    self._answer = head
                    reader = body_reader(head.body, self._fetches.limits, 502)
                    self._gathering = BodyBuffer(self, reader, BODY_LIMIT, 502)
            whole = self._gathering.take(side)
        except BadMessage:
            self._answer = Response(502)
            return self.OVER
        if whole is None:
            return None
        assert self._answer is not None
        self._answer.content = whole
        if self._answer.persistent and side.quiet:
            server, self._server = self._server, None
            assert server is not None
            side.let_go()
            self._fetches.upstream.give(server)
        return self.OVER

    @SEEKING.on(LATE, to=OVER)
    @ASKING.on(LATE, to=OVER)
    def late(self, _: object) -> None:
        """It has taken too long."""
        self._answer = Response(504)

    @ASKING.on(Event.WRITE_READY)
    def went(self, vio: VIO) -> None:
        """The request goes."""

    def finished(self) -> None:
        """Say what became of it."""
        assert self._late is not None
        self._late.cancel()
        self._gathering = None
        self._keep.hold(0)
        if self._server is not None:
            self._server.do_io_close()
        self._side.close()
        assert self._answer is not None
        self._fetches.answered(self._number, self._answer)


class Fetches:
    """Several requests at once; `owner` gets Fetched when all are answered.

    Their bodies are their `content`. Raises ValueError for one that cannot be sent.
    """

    def __init__(
        self,
        owner: Continuation,
        upstream: Upstream,
        requests: Sequence[Request],
        limits: MessageLimits,
        sender: ClientFields,
        timeout_s: float,
    ) -> None:
        self.engine, self.mutex = owner.engine, owner.mutex
        self.name = "fetch"
        self.upstream = upstream
        self.limits = limits
        self.sender = sender
        self.timeout_s = timeout_s
        self._owner = owner
        self._answers: list[Response | None] = [None] * len(requests)
        self._fetches = [Fetch(self, number, each) for number, each in enumerate(requests)]

    def start(self) -> None:
        """Ask them all. Nothing is called back inline."""
        for fetch in self._fetches:
            fetch.start()
        self._tell()

    def cancel(self) -> None:
        """Nobody waits for the answers any more."""
        for fetch in self._fetches:
            self.engine.schedule(fetch, LATE, None)

    def answered(self, number: int, answer: Response) -> None:
        """One is over."""
        self._answers[number] = answer
        self._tell()

    def _tell(self) -> None:
        answers = [each for each in self._answers if each is not None]
        if len(answers) == len(self._answers):
            self.engine.schedule(self._owner, Fetched, Fetched(answers))


class RequestMirror(Continuation):
    """Sends copies of requests, one for each listener and net thread, and drops the answers."""

    __slots__ = ("_going",)

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, Mutex())
        self._going = 0

    def send(
        self,
        upstream: Upstream,
        request: Request,
        body: bytes,
        limits: MessageLimits,
        sender: ClientFields,
    ) -> bool:
        """Send one; return whether it could be: not while MOST_COPIES are on their way."""
        if self._going >= MOST_COPIES:
            return False
        copy = request.copy()
        copy.content = body
        fetches = Fetches(self, upstream, (copy,), limits, sender, COPY_S)
        self._going += 1
        with self.mutex.hold(self.engine):
            fetches.start()
        return True

    def handle_event(self, key: Hashable, data: object) -> None:
        """One is answered, or never will be."""
        self._going -= 1
