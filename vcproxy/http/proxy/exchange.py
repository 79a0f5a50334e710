"""Exchange: what a machine has that takes requests from a client and answers them.

Its two sides, the transaction that is under way, the filters, one timer, and its own answers.
Nothing is decided here about what comes next: HttpProxy does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from vcproxy.engine.calls import Called
from vcproxy.engine.plugin_error import as_error
from vcproxy.http.message.messages import Body, Request, Response
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.proxy.own_responses import own_answer, sendable
from vcproxy.http.proxy.balance_key import cookie
from vcproxy.http.proxy.deadline import NEVER, Deadline
from vcproxy.http.proxy.subrequests import Fetched, Fetches
from vcproxy.http.proxy.filters import SERVED, Ask, FilterChain, Phases, Step, Then, Wait
from vcproxy.http.proxy.listener_context import ListenerContext
from vcproxy.http.proxy.options import Options as HttpOptions
from vcproxy.http.proxy.transaction import Failure, Party, Transaction
from vcproxy.http.proxy.wire import PIPELINED, Wire
from vcproxy.machine.state import State
from vcproxy.messages.verdict import Defer
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.sessions.session import Session

if TYPE_CHECKING:
    from vcproxy.config.positions import KeyPath
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.http.proxy.body_buffer import BodyBuffer
    from vcproxy.http.proxy.body_transfer import BodyTransfer
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.server import Server
    from vcproxy.upstream.upstream import Upstream

DUE, NEXT, RESUMED = "DUE", "NEXT", "RESUMED"
"""Tags: a time may be up; there may be another request; a filter has waited."""


class Suspended(NamedTuple):
    """A phase that waits: what judges what it waits for, and what follows."""

    verdict: Then | None
    steps: Iterator[Step]
    then: Callable[[], State | None]
    pause: State
    body: bytes | None


class Exchange(Phases, Session):
    """The base of HttpProxy: see there."""

    Options = HttpOptions
    options: HttpOptions
    alpn_refused = frozenset({"h2"})  # it speaks HTTP/1.1 and 1.0

    __slots__ = (
        "_alarm", "_begun", "_bodiless", "_body", "_chain", "_client", "_common", "_consumed",
        "_down", "_framing", "_gathering", "_keep", "_limits", "_sender", "_server", "_suspended",
        "_tried", "_up", "_version", "_waited", "requests", "tx",
    )  # fmt: skip

    WAITING: ClassVar[State]
    CLOSED: ClassVar[State]

    tx: Transaction
    """The request that is under way, or was last."""

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        client.set_inactivity_timeout(0)  # it has timeouts of its own; this one is for tunnels
        self.requests = 0
        """How many have come on this connection."""
        self._limits = self.options.limits
        self._client = Wire(self, PIPELINED)
        self._server = Wire(self)
        self._common = common = ListenerContext.of(service, self.engine)
        self._chain = FilterChain.of((self, *common.filters)) if self.own_phases() else common.chain
        self._sender: ClientFields | None = None
        self._keep = True  # whether another request may follow
        self._consumed = True  # whether all of the request has been taken from the client
        self._bodiless = False  # whether the client expects no body, as behind HEAD
        self._begun = False  # whether some of the next head has come
        self._version = 11  # the client's
        self._body = b""  # as it goes on, of the request; or of an answer that a filter wanted
        self._framing: Body = 0  # of the request's
        self._gathering: BodyBuffer | None = None  # a whole body, until it has gone on
        self._up: BodyTransfer | None = None
        self._down: BodyTransfer | None = None
        self._tried: list[Server] = []
        self._suspended: Suspended | None = None
        self._waited: Action | Fetches | None = None  # what is to be given up with the request
        self._alarm = Deadline(self, DUE)

    @classmethod
    def upstreams(cls, options: HttpOptions) -> Mapping[KeyPath, str | None]:
        """See Session."""
        return options.upstreams

    @classmethod
    def unused_methods(cls, options: HttpOptions) -> Mapping[str, str]:
        """See Session."""
        unused_methods = {"servers": "who is asked is said by routes: override route()"}
        if not options.asks:
            why = "every route has an answer of its own, and no server is asked"
            unused_methods |= dict.fromkeys(SERVED, why)
        return unused_methods

    def _key(self) -> str | None:
        """What says which requests belong to one server, if the upstream asks for that."""
        assert self.tx.upstream is not None
        kind, _, name = self.tx.upstream.terms.hash_by.partition(":")
        fields = self.tx.request.fields
        if kind == "header":
            return fields.get(name)
        if kind == "cookie":
            return cookie(fields, name)
        return None

    @property
    def sender(self) -> ClientFields:
        """What servers are told of this client."""
        if self._sender is None:
            client = self.client
            self._sender = self._common.sender(client.peer_address, client.secure)
        return self._sender

    # -- filters -----------------------------------------------------------------------------

    def _run(
        self,
        steps: Iterable[Step],
        then: Callable[[], State | None],
        pause: State,
        body: bytes | None = None,
    ) -> State | None:
        """Call the filters of a phase, one after the other, then go on.

        One may answer, and so be the last; or take time, in the state `pause`. With a `body`, what
        one returns takes its place.
        """
        steps = iter(steps)
        for step in steps:
            try:
                verdict = step(self.tx) if body is None else step(self.tx, body)
                if body is not None and type(verdict) is bytes:
                    body = verdict
                elif isinstance(verdict, Response):
                    return self._answer(sendable(verdict))
                elif verdict is not None:
                    self._wait_for(verdict, getattr(step, "__qualname__", "a phase"))
                    self._suspended = Suspended(verdict.then, steps, then, pause, body)
                    self._server.keep()
                    self._within()
                    return None if self.state is pause else pause
            except BaseException as mistake:
                return self._faulty(as_error(mistake), "plugin")
        if body is not None:
            self._body = body
        return then()

    def _wait_for(self, verdict: object, who: str) -> None:
        if isinstance(verdict, Defer):
            self.engine.call(self, verdict.fn, *verdict.args, deadline=verdict.deadline_s)
        elif isinstance(verdict, Wait):
            self._waited = self.engine.schedule_in(verdict.seconds, self, RESUMED, None)
        elif isinstance(verdict, Ask):
            upstream = verdict.upstream or self.tx.upstream or self.service.upstream
            if upstream is None:
                raise ValueError("Ask: there is no upstream: name one")
            self._waited = fetches = Fetches(
                self, upstream, verdict.requests, self._limits, self.sender, verdict.timeout_s
            )
            fetches.start()
        else:
            may = "None, a Response, Defer, Ask or Wait"
            raise TypeError(f"{who} returned {verdict!r}: it must be {may}")

    def _resume(self, told: Called | Fetched | None) -> State | None:
        """What a filter waited for is here."""
        waited = self._suspended
        assert waited is not None
        self._suspended = self._waited = None
        if isinstance(told, Called):
            if told.error is not None:
                self.log(f"a filter's call failed: {type(told.error).__name__}: {told.error}")
                why = "what it was to be judged by is not there"
                return self._fail(500, "plugin", why, "proxy_internal_error")
            value = told.value
        else:
            value = told.answers if told is not None else None

        def resumed(tx: Transaction, *_: bytes) -> object:
            return value if waited.verdict is None else waited.verdict(tx, value)

        resumed.__qualname__ = getattr(waited.verdict, "__qualname__", "what a phase waited for")
        return self._run(chain((resumed,), waited.steps), waited.then, waited.pause, waited.body)

    def _bound(self, steps: tuple[Step, ...]) -> tuple[Callable[[bytes], bytes], ...]:
        return tuple(partial(step, self.tx) for step in steps)

    # -- the transaction -----------------------------------------------------------------------

    def _begin(self, request: Request) -> None:
        self.requests += 1
        self._keep = request.persistent and self.requests < self.options.limits.requests
        self._version = request.version
        self._framing = request.body
        self._bodiless = request.method == "HEAD"
        self._consumed = request.body == 0
        self._begun = False
        self._body = b""
        self._tried.clear()
        self.tx = Transaction(self, request)

    def _fail(self, status: int, party: Party, why: str, error: str) -> State:
        return self._failed(Failure(status, party, why, error))

    def _faulty(self, fault: Exception, party: Party) -> State:
        """Nothing of it goes on: a side has said what it must not, or a filter has failed."""
        return self._failed(self._failure_of(fault, party))

    def _failure_of(self, fault: Exception, party: Party) -> Failure:
        """Log a fault, and return what it comes to: a filter's, unless it is a BadMessage of this
        side's."""
        if isinstance(fault, BadMessage):
            if party == "client":
                return Failure(fault.status, party, str(fault), "http_request_error")
            self.log(f"{self.tx!r}: {fault}")  # what is quoted there may be meant for somebody else
            why = f"what it sends is against {fault.rfc}"
            return Failure(502, party, why, "http_protocol_error")
        self.engine.log("error", f"{self.name}: a filter failed at {self.tx!r}", fault)
        return Failure(500, "plugin", type(fault).__name__, "proxy_internal_error")

    def _refuse(self, problem: BadMessage) -> State:
        """What cannot be taken for a request is the last on its connection."""
        self._keep = self._consumed = False
        failure = self._failure_of(problem, "client")
        self.log(f"{failure.status}: {failure}")
        self.count(str(failure.status))
        answer = own_answer(failure, self.options.via)
        self._client.say(self._head(answer, False, len(answer.content)) + answer.content)
        return self.CLOSED

    def _failed(self, failure: Failure) -> State:
        """No server's answer can be had: ours, or that of a filter, takes its place."""
        tx = self.tx
        tx.failure = failure
        self._report(f"{failure.status} to", failure)
        self.count(str(failure.status))
        if failure.party == "server":
            self._blame_server(failure.why)
        if failure.party == "client" and failure.status != 404:
            self._keep = False
        answer = own_answer(failure, self.options.via)
        for step in self._chain.error:
            try:
                answer = sendable(step(tx) or answer)
            except BaseException as mistake:
                error = as_error(mistake)
                self.engine.log("error", f"{self.name}: a filter failed at an error", error)
        return self._answer(answer)

    def _answer(self, answer: Response) -> State:
        """Say something in place of a server, which is asked no more."""
        tx = self.tx
        self._drop_server()
        tx.response = answer
        keep = self._may_keep
        content = answer.content
        head = self._head(answer, keep, len(content))
        self._client.say(head if self._bodiless else head + content)
        return self._end(keep)

    def _head(self, response: Response, keep: bool, body: int | None) -> bytes:
        """A response's head, as the client gets it."""
        return self._common.heads.to_client(
            response, pseudonym=self.options.via, version=self._version, keep=keep, body=body
        )

    @property
    def _may_keep(self) -> bool:
        """Whether the client's connection may serve another request behind the answer."""
        return self._keep and self._consumed and not self.service.draining

    @property
    def _most(self) -> int:
        """Bytes that the request's body may have; 0: no limit."""
        route = self.tx.route
        return self.options.limits.body if route is None else self.options.max_body(route)

    @property
    def _left_s(self) -> float:
        """What is left of the request's time."""
        active = self.options.timeouts.active
        return self.tx.began_s + active - self.engine.now if active else NEVER

    def _within(self, seconds: float = 0) -> None:
        """What comes next may take so long, 0: for ever; but no longer than the request may."""
        if self.options.timeouts.active:
            seconds = min(seconds or NEVER, max(self._left_s, 0.001))
        self._alarm.set(seconds)

    def _end(self, keep: bool) -> State:
        """The transaction is over."""
        self._gathering = None
        self._body = b""
        for step in self._chain.done:
            try:
                step(self.tx)
            except BaseException as mistake:
                error = as_error(mistake)
                self.engine.log("error", f"{self.name}: a filter failed in done", error)
        return self.WAITING if keep else self.CLOSED

    def _abort(self, failure: Failure) -> State:
        """An answer had begun and cannot be ended: who reads it must see that it is cut."""
        self.tx.failure = failure
        self._report("cut", failure)
        if failure.party == "server":
            self._blame_server(failure.why)
        error = ConnectionAbortedError(str(failure))
        self._drop_server(error)
        self.client.do_io_close(error)
        return self._end(keep=False)

    def _report(self, what: str, failure: Failure) -> None:
        """Log a failure, and who was asked: the client is not told of servers' addresses."""
        tx = self.tx
        asked = tx.server or (f"upstream {tx.upstream.name}" if tx.upstream is not None else "")
        self.log(f"{what} {tx!r}{asked and f' at {asked}'}: {failure}")

    @property
    def _abandoned(self) -> Failure | None:
        """Why the client is no longer served; None: it is.

        One that has only ended its direction may wait for its answer (RFC 9112, 9.6), unless
        `abort_on_close` says that no client of this listener does.
        """
        if self.client.error is not None:
            why = str(self.client.error)
        elif self.options.abort_on_close and self._client.over:
            why = "it closed its connection"
        else:
            return None
        return Failure(0, "client", why, "connection_terminated")

    def _left(self) -> State | None:
        """The client's connection has broken, or it sends no more."""
        abandoned = self._abandoned
        return None if abandoned is None else self._abort(abandoned)

    def mirror(self, upstream: Upstream, body: bytes) -> None:
        """See Transaction.mirror."""
        if not self._common.mirror.send(upstream, self.tx.request, body, self._limits, self.sender):
            self.count("unmirrored")

    def drain(self) -> None:
        """See Session: the connection of a client that asks nothing just now is closed."""
        self.engine.schedule(self, NEXT, None)

    @classmethod
    def refuse(cls, client: NetVConnection, service: Service) -> None:
        """See Session: say 429."""
        why = "too many connections come from its address"
        failure = Failure(429, "client", why, "http_request_denied")
        service.counts["429"] += 1
        via = service.options.via  # type: ignore[attr-defined]
        answer = own_answer(failure, via)
        buffer = client.engine.buffer()
        reader = buffer.reader()
        head = ListenerContext.of(service, client.engine).heads.to_client(
            answer, pseudonym=via, version=11, keep=False, body=len(answer.content)
        )
        buffer.write(head + answer.content)
        LingeringClose(client, reader).start()

    def _blame_server(self, why: str) -> None:
        """A request has failed. (What could not be connected, the upstream knows of.)"""
        if self.tx.upstream is not None and self.server is not None and self.server.open:
            self.tx.upstream.failed(self.server, why)

    def _drop_server(self, error: Exception | None = None) -> None:
        for delivery in (self._up, self._down):
            if delivery is not None:
                delivery.stop()
        self._up = self._down = None
        if self.server is not None:
            self.server.do_io_close(error)
            self.server = None
            self._server.close()

    def finished(self) -> None:
        """Nothing stays open; the client is told what was said to it first."""
        self._alarm.cancel()
        self._gathering = None
        if self._waited is not None:
            self._waited.cancel()
        self._drop_server()
        self._server.close()
        if self.client.closed:
            self._client.close()
        else:
            self._client.leave(linger=not self._keep)
