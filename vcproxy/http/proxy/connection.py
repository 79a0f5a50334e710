"""HttpProxy: the session of one client connection. It serves its requests one after the other.

    READING_HEAD --a head--> SERVING --its exchange is KEPT--> READING_HEAD
       | INSIDE_HEAD: a part of a head was read       |
       +--> CLOSED <----------------------------------+

Heads are read here; each valid one begins an Exchange, which gets all events until it ends.
Pipelined requests stay in the buffer: one request is served at a time, so responses keep the order
of requests. Tested in tests/http/proxy/test_keep_alive.py, test_clients.py and test_times.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar

from vcproxy.admission.refusal import Refusal
from vcproxy.engine.continuation import OwnedCall
from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.http.filters import SERVER_PHASES, Phases
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.messages import Request
from vcproxy.http.message.parsing import HEAD_END, head_end
from vcproxy.http.proxy.client_side import DEADLINE, ClientSide
from vcproxy.http.proxy.direct_path import DirectPath
from vcproxy.http.proxy.exchange import Exchange
from vcproxy.http.proxy.failure import Failure, invalid_request
from vcproxy.http.proxy.listener_context import ListenerContext
from vcproxy.http.proxy.options import Options as HttpOptions
from vcproxy.http.proxy.own_responses import error_response
from vcproxy.http.proxy.refused_message import refused_message
from vcproxy.http.proxy.sent_request import SentRequest
from vcproxy.machine.machine import HistoryEntry
from vcproxy.machine.state import ANY, State
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.sessions.session import Session
from vcproxy.tunnels.done import TunnelDone

if TYPE_CHECKING:
    from vcproxy.config.positions import KeyPath
    from vcproxy.engine.net import NetVConnection
    from vcproxy.machine.table import Record
    from vcproxy.sessions.service import Service

NEXT_REQUEST = "NEXT_REQUEST"
"""Tag: another request may have arrived, or the service is draining."""

QUIET_S = 1.0
"""Seconds without traffic until a client's connection is closed while the service is closing: at
once, it might be closed just as the next request is sent, which would then fail."""


class HttpProxy(Phases, Session):
    """Serves HTTP/1.1 to one client: a reverse or forward proxy, or both. See Options.

    A subclass may override methods of Phases. It then acts as the first filter, before those of its
    options.
    """

    Options = HttpOptions
    options: HttpOptions
    alpn_refused = frozenset({"h2"})  # only HTTP/1.1 and 1.0 are supported

    counts_requests = True

    parts = (Exchange,)

    __slots__ = ("_head_began_s", "_lingers", "_version", "direct", "exchange", "requests", "side")

    BETWEEN_REQUESTS = State()
    READING_HEAD = State(parent=BETWEEN_REQUESTS, initial=True)
    INSIDE_HEAD = State(parent=BETWEEN_REQUESTS)
    SERVING = State()
    CLOSED = State(final=True)

    REQUEST_READ: ClassVar[Record] = (READING_HEAD, Event.READ_READY, "OS")
    RESPONSE_READ: ClassVar[Record] = (SERVING, Event.READ_READY, "OS")
    """The events of a request that takes the direct path, for the history."""

    _altered: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # A subclass may override phases: they run as filters. The direct path does not call the
        # other methods.
        cls._altered = any(
            getattr(cls, name) is not value
            for name, value in vars(HttpProxy).items()
            if isinstance(value, FunctionType) and not name.startswith("__")
        )

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        client.set_inactivity_timeout(0)  # the listener's timeout is for tunnels only
        own = self if self.own_phases() else None
        self.side = ClientSide(self, client, service, self.options, own)
        """What its exchanges share."""
        if self.side.log is not None:
            self.side.log.follow(self)
        self.exchange: Exchange | None = None
        """The request that is being served."""
        self.requests = 0
        """Requests that this connection has carried."""
        self._head_began_s = 0.0  # when the first part of an incomplete head was received
        self._version = 11  # the version of HTTP in the last request
        self.direct: DirectPath | None = None
        """Passes requests on without an exchange; None: all requests take the ordinary path."""
        admission = service.admission
        permitted = admission is None or admission.permits(client.peer_address)
        if permitted and self.engine.direct and self.side.chains.direct and not self._altered:
            self.direct = DirectPath(self)
        self._lingers = False  # whether the client may still be sending as the connection is closed

    @classmethod
    def forwards(cls, options: HttpOptions) -> Callable[[str], bool] | None:
        """See Session: the proxies in `trusted`, if their fields are used."""
        named = options.trusted and options.client_from != "connection"
        return options.trusts if named else None

    @classmethod
    def upstreams(cls, options: HttpOptions) -> Mapping[KeyPath, str | None]:
        """See Session."""
        return options.upstreams

    @classmethod
    def unused_methods(cls, options: HttpOptions) -> Mapping[str, str]:
        """See Session."""
        unused = {"servers": "the upstream is chosen by routes: override route()"}
        if not options.uses_servers:
            why = "every route has an answer of its own, so no request is sent to a server"
            unused |= dict.fromkeys(SERVER_PHASES, why)
        return unused

    def handle_event(self, key: Hashable, data: object) -> None:
        """See Machine. Any event except WRITE_READY takes a request that is in flight off the
        direct path.

        An exchange ignores WRITE_READY as well.
        """
        direct = self.direct
        if direct is not None and direct.response.server is not None:
            if key is Event.WRITE_READY:
                self.remember((self.SERVING, key, "OS"))
                return
            direct.response.leave()
        super().handle_event(key, data)

    @property
    def state(self) -> State:
        """See Machine. A request that is in flight on the direct path is being served."""
        direct = self.direct
        served = direct is not None and direct.response.server is not None
        return self.SERVING if served else self._state

    # -- the next request --------------------------------------------------------------------

    @READING_HEAD.enter
    def await_request(self) -> None:
        """Wait for the first or the next request."""
        wire, idle_s = self.side.wire, self.options.timeouts.idle
        if not self.requests:
            wire.attach(self.client)
            wire.send_first(b"")
        self.side.deadline.set(QUIET_S if self.service.draining else idle_s)
        if wire.has_news:
            self._read_next()
        else:
            wire.receive_at_once()
            if self.direct is not None:
                self.direct.arm()

    @BETWEEN_REQUESTS.on(
        Event.READ_READY, Event.WRITE_READY, Event.EOS, NEXT_REQUEST,
        to=(READING_HEAD, INSIDE_HEAD, SERVING, CLOSED),
    )  # fmt: skip
    def request_readable(self, _: object) -> State | None:
        """Read the next request, if its head is complete and the client reads its responses."""
        side, wire = self.side, self.side.wire
        if wire.full:
            return None
        pending = wire.pending
        seen = len(pending) if pending and self.state is self.INSIDE_HEAD else 0
        # If `pending` holds a complete head, the input after it stays in the bounded buffer.
        data = wire.take(1 if pending and HEAD_END in pending[2:] else side.limits.head + 3)
        try:
            end = head_end(data, side.limits, seen=seen)
            if end < 0:
                return self._unfinished(data)
            request = side.listener.heads.request(data[:end])
        except BadMessage as problem:
            problem.message = data.removeprefix(b"\r\n")
            return self._reject(problem)
        if end < len(data):
            wire.pending = data[end:]
            wire.count_pending()
        return self._serve(request, Request, request, self.engine.now)

    def _read_next(self) -> None:
        """Read the next request, which has arrived, in the next turn: a connection that was read in
        this turn is not reused in it."""
        engine = self.engine
        if engine.reading:
            engine.schedule(OwnedCall(self, self.drain), NEXT_REQUEST, None)
        else:
            engine.schedule(self, NEXT_REQUEST, None)

    def _unfinished(self, data: bytes) -> State | None:
        side, wire = self.side, self.side.wire
        if wire.over:
            if not data:
                return self.CLOSED
            why = "connection closed inside the request head"
            return self._reject(BadMessage(400, why, "RFC 9112 8"))
        wire.pending = data
        wire.count_pending()
        if data and self.state is not self.INSIDE_HEAD:
            self._head_began_s = self.engine.now
            side.deadline.set(self.options.timeouts.head)
            return self.INSIDE_HEAD
        if not data and self.service.draining:
            side.deadline.set(max(self.client.moved_at + QUIET_S - self.engine.now, 0.001))
        return None

    @BETWEEN_REQUESTS.on(Event.ERROR, to=(READING_HEAD, INSIDE_HEAD, SERVING, CLOSED))
    def client_ended(self, _: VIO) -> State | None:
        """Close if the client's connection failed. If TLS ended without close_notify, still serve
        the request that arrived before."""
        error = self.client.error
        if error is None:
            return self.request_readable(None)
        if self.side.log is not None and self.state is self.INSIDE_HEAD:
            self.side.log.cut(error, self._head_began_s, self.requests + 1)
        return self.CLOSED

    @READING_HEAD.on(DEADLINE, to=(CLOSED,))
    def idle_too_long(self, _: object) -> State | None:
        """Close: no request arrived in time."""
        return None if self.side.deadline.early() else self.CLOSED

    @INSIDE_HEAD.on(DEADLINE, to=(CLOSED,))
    def head_timed_out(self, _: object) -> State | None:
        """Answer 408: the head of a request is not complete in time."""
        if self.side.deadline.early():
            return None
        return self._reject(BadMessage(408, "request head too slow", "RFC 9110 15.5.9"))

    BETWEEN_REQUESTS.goes(Event.ACTIVE_TIMEOUT, CLOSED)

    @BETWEEN_REQUESTS.on(Event.INACTIVITY_TIMEOUT, TunnelDone)
    def ignored(self, _: object) -> None:
        """Ignore the event: an old timeout of a tunnel, or a tunnel that was stopped."""

    def _reject(self, problem: BadMessage) -> State:
        """Send an error response to an invalid request, and close the connection."""
        self._lingers = True
        failure = invalid_request(problem)
        if problem.status != 408:
            refused_message(problem, self.engine, listener=self.service.name, client=self.name)
        self.log(f"{failure.status} for an invalid request: {failure}")
        self.count(str(failure.status))
        self.side.listener.counts.refused(failure.status)
        if self.side.log is not None:
            inside = self.state is self.INSIDE_HEAD
            began_s = self._head_began_s if inside else self.engine.now
            self.side.log.invalid(problem, began_s, self.requests + 1)
        response = error_response(failure, self.options.via)
        head = self.side.head(response, self._version, False, len(response.content))
        self.side.wire.send(head + response.content)
        return self.CLOSED

    # -- its exchange ------------------------------------------------------------------------

    @READING_HEAD.on(SentRequest, to=(SERVING, READING_HEAD, CLOSED))
    def resume(self, sent: SentRequest) -> State | None:
        """Go on with a request that was sent on the direct path."""
        return self._serve(sent.request, SentRequest, sent, sent.began_s)

    def _serve(self, request: Request, key: Hashable, data: object, began_s: float) -> State:
        self.requests += 1
        self._version = request.version
        keep = request.persistent and self.requests < self.options.limits.requests
        self.exchange = exchange = Exchange(self.side, request, began_s, keep)
        exchange.start()
        exchange.handle_event(key, data)
        return self.SERVING if exchange.result is None else self._after(exchange)

    @SERVING.on(ANY, to=(READING_HEAD, CLOSED))
    def pass_on(self, key: Hashable, data: object) -> State | None:
        """Pass the event to the exchange. When the exchange ends, read the next request or
        close."""
        exchange = self.exchange
        assert exchange is not None
        exchange.handle_event(key, data)
        return None if exchange.result is None else self._after(exchange)

    @SERVING.on(Event.READ_READY, to=(READING_HEAD, CLOSED))
    def readable(self, vio: VIO) -> State | None:
        """See `pass_on`. A method of its own saves a call for the most frequent event."""
        exchange = self.exchange
        assert exchange is not None
        exchange.handle_event(Event.READ_READY, vio)
        return None if exchange.result is None else self._after(exchange)

    @SERVING.on(NEXT_REQUEST)
    def served_later(self, _: object) -> None:
        """Ignore the event: the next request is read after this one."""

    def _after(self, exchange: Exchange) -> State:
        self.exchange = None
        if exchange.result is Exchange.KEPT:
            return self.READING_HEAD
        self._lingers = not exchange.keep_alive
        return self.CLOSED

    # -- the end -----------------------------------------------------------------------------

    def drain(self) -> None:
        """See Session: close the connection if no request is in progress or has arrived."""
        self.engine.schedule(self, NEXT_REQUEST, None)

    def __repr__(self) -> str:
        return super().__repr__() if self.exchange is None else repr(self.exchange)

    def history(self) -> Iterator[HistoryEntry]:
        """Yield the last events of the connection, then those of the request that is served."""
        yield from super().history()
        if self.state is not self._state:
            yield HistoryEntry(self.name, *self.REQUEST_READ)
        if self.exchange is not None:
            yield from self.exchange.history()

    @classmethod
    def refuse(cls, client: NetVConnection, service: Service) -> None:
        """See Session: answer 403 or 429, and close."""
        if client.refusal is Refusal.DENIED:
            from vcproxy.http.proxy.admitting import denial  # most proxies admit all clients

            failure = denial()
        else:
            why = "too many connections from this address"
            failure = Failure(429, "client", why, "http_request_denied")
        service.counts[str(failure.status)] += 1
        via = service.options.via  # type: ignore[attr-defined]
        response = error_response(failure, via)
        buffer = client.engine.buffer()
        reader = buffer.reader()
        context = ListenerContext.of(service, client.engine)
        log = context.follow(client)
        if log is not None:
            log.excess(failure, client.opened_at)
        context.counts.refused(failure.status)
        head = context.heads.to_client(
            response, pseudonym=via, version=11, keep=False, body=len(response.content)
        )
        buffer.write(head + response.content)
        LingeringClose(client, reader).start()

    def finished(self) -> None:
        """Close the client's connection when its output has been sent."""
        self.side.deadline.cancel()
        if self.client.closed:
            self.side.wire.close()
        else:
            self.side.wire.close_gracefully(linger=self._lingers)
        # Both refer to this machine, and a cycle would outlive the connection.
        if self.direct is not None:
            self.direct.close()
            self.direct = None
        del self.side
