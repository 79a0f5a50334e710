"""TlsRouter: connects each client to the upstream that its ClientHello chooses, and moves bytes.

TLS is not decrypted: the server has the certificate, and what the client has sent reaches it
unchanged. Where the listener itself terminates TLS (tls://), the names of that handshake are used.

    READING --a route matches--> CONNECTING --CONNECTED--> RELAYING --TunnelDone--> CLOSED
       |                             +------ no server is left, the client failed -----^
       +------ no route, invalid, too late, the client failed -------------------------+

Tested in tests/sessions/test_tls_router.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from vcproxy.engine.event import Event
from vcproxy.engine.held_memory import HeldMemory
from vcproxy.engine.units import show_duration
from vcproxy.machine.state import State
from vcproxy.protocols.tls_client_hello import (
    LIMIT,
    UNRECOGNIZED_NAME,
    ClientHello,
    ClientHelloReader,
    InvalidClientHello,
    NotTls,
    alert,
    read_whole,
)
from vcproxy.sessions.deadlines import LATE, Deadlines
from vcproxy.sessions.forwarding import Forwarding
from vcproxy.sessions.tls_routes import TlsRoute, TlsRoutingOptions
from vcproxy.tunnels.done import TunnelDone

if TYPE_CHECKING:
    from vcproxy.config.positions import KeyPath
    from vcproxy.engine.connection_record import ByLetter
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.connect_attempts import Backend

KNOWN = "KNOWN"
"""Tag: the listener has terminated TLS, so its names are there already."""


class TlsRouter(Forwarding):
    """Tunnels each client to an upstream of its options, by the server name (SNI) and the
    application protocols (ALPN) in its ClientHello."""

    __slots__ = ("_backend", "_deadlines", "_hello", "_memory", "_opening", "route")

    Options: TypeAlias = TlsRoutingOptions
    options: TlsRoutingOptions

    READING = State(initial=True)
    CONNECTING, RELAYING = State(), State()
    CLOSED = State(final=True)

    @classmethod
    def upstreams(cls, options: TlsRoutingOptions) -> Mapping[KeyPath, str | None]:
        """See Session."""
        return options.upstreams

    @classmethod
    def notes(cls, options: TlsRoutingOptions) -> Mapping[str, str]:
        """See Session."""
        return options.notes

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        self._backend: Backend | None = None
        self._deadlines: Deadlines | None = None
        self._hello: ClientHelloReader | None = None
        self._memory: HeldMemory | None = None
        self._opening: Reader | None = None
        """What the client has sent before its server was connected."""
        self.route: TlsRoute | None = None
        """The route of the client; None: it is not chosen yet."""

    @property
    def route_label(self) -> str:
        """What of its route has matched the client; "": the route is not chosen yet."""
        route, client = self.route, self.client
        if route is None:
            return ""
        return route.label(client.sni, [] if client.alpn is None else client.alpn.split(","))

    # -- the ClientHello ---------------------------------------------------------------------

    @READING.enter
    def reading(self) -> None:
        """Begin to read, for the time of a handshake at most."""
        client, engine, shared = self.client, self.engine, self.service.shared
        if client.secure:
            client.do_io_read(self, 0, engine.no_buffer)
            engine.schedule(self, KNOWN, None)
            return
        buffer = engine.buffer(LIMIT)
        self._opening = buffer.reader()
        client.do_io_read(self, None, buffer)
        deadlines: Deadlines | None = shared.get(Deadlines)  # type: ignore[assignment]
        if deadlines is None:
            limit_s = 0.0 if client.listener is None else client.listener.handshake_s
            deadlines = shared[Deadlines] = Deadlines(engine, limit_s)
        deadlines.begin(self)
        self._deadlines = deadlines

    @READING.leave
    def read(self) -> None:
        """Free what only the reading needs."""
        if self._deadlines is not None:
            self._deadlines.end(self)
        self._deadlines = self._hello = self._memory = None

    @READING.on(KNOWN, to=(CONNECTING, CLOSED))
    def known(self, _: object) -> State:
        """Choose by the names that the listener's own TLS handshake had."""
        alpn = self.client.alpn
        return self._choose(self.client.sni, () if alpn is None else (alpn,))

    @READING.on(Event.READ_READY, to=(CONNECTING, CLOSED))
    def received(self, _: VIO) -> State | None:
        """Choose once the ClientHello is complete."""
        assert self._opening is not None
        data = self._opening.peek()
        try:
            hello = read_whole(data) if self._hello is None else None
            if hello is None and (hello := self._read_on(data)) is None:
                return None
        except NotTls:
            route = self.options.table.plain
            if route is None:
                return self._refuse("C", "no_tls", "the client does not begin with TLS")
            return self._take(route)
        except InvalidClientHello as invalid:
            listener, name = self.service.name, self.name
            self.engine.refused.add(
                "ClientHello", str(invalid), data, listener=listener, client=name
            )
            return self._refuse("C", "invalid", f"invalid ClientHello: {invalid}", invalid.alert)
        client, (sni, alpn) = self.client, hello
        client.sni, client.alpn = sni, ",".join(alpn) or None
        return self._choose(sni, alpn)

    def _read_on(self, data: bytes) -> ClientHello | None:
        """Read a ClientHello that comes in several records or pieces. Raises NotTls and
        InvalidClientHello."""
        if self._hello is None:
            self._hello, self._memory = ClientHelloReader(), HeldMemory(self)
        assert self._memory is not None
        hello = self._hello.feed(data[self._hello.size :])
        self._memory.hold(self._hello.held)
        return hello

    def _choose(self, name: str | None, alpn: Sequence[str]) -> State:
        """Choose the route of a TLS client."""
        route = self.options.table.find(name, alpn)
        if route is not None:
            return self._take(route)
        whose = "a client without server name" if name is None else f'server name "{name}"'
        offered = f" and ALPN {','.join(alpn)}" if alpn else ""
        return self._refuse("P", "no_route", f"no route for {whose}{offered}", UNRECOGNIZED_NAME)

    def _take(self, route: TlsRoute) -> State:
        self.route = route
        service, upstream = self.service, route.upstream
        self._backend = service.upstream if upstream is None else service.upstreams[upstream]
        if self.client.record is not None:
            self.record.route = self.route_label  # type: ignore[union-attr]
        return self.CONNECTING

    def _refuse(self, by: ByLetter, kind: str, why: str, number: int = 0) -> State:
        """Close the client, after an alert, unless `number` is 0 or TLS has been terminated."""
        self.count("refused")
        self.log_seldom(kind, f"{why}; connection closed")
        if self.record is not None:
            self.record.note(by, why, "H")
        if number and not self.client.secure:
            self.answer(alert(number))
        return self.CLOSED

    @READING.on(Event.EOS, Event.ERROR, to=CLOSED)
    def ended_early(self, vio: VIO) -> None:
        """Close: the client has ended before its ClientHello was complete. If it has sent nothing,
        it was a TCP health check, and is not logged."""
        sent = self.client.bytes_read
        why = f"the client has left after {sent} bytes of its ClientHello"
        if sent:
            self.log_seldom("left", why)
        if self.record is not None:
            self.record.note("C", str(vio.error or why), "H")

    @READING.on(LATE, to=CLOSED)
    def late(self, limit_s: float) -> None:
        """Close: the ClientHello was not complete in time."""
        self._time_out(f"no complete ClientHello came within {show_duration(limit_s)}")

    @READING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def timed_out(self, _: VIO) -> None:
        """Close: a timeout of the client has expired before the one for the handshake."""
        self._time_out("connection timed out before its ClientHello was complete")

    def _time_out(self, why: str) -> None:
        self.log_seldom("late", f"{why}; connection closed")
        if self.record is not None:
            self.record.note("c", why, "H")

    # -- the server --------------------------------------------------------------------------

    @CONNECTING.enter
    def connecting(self) -> None:
        """Connect to the first server of the route."""
        assert self._backend is not None
        self.connect(self._backend)

    @CONNECTING.on(Event.READ_READY, Event.EOS)
    def received_more(self, _: VIO) -> None:
        """Do nothing: the tunnel sends it to the server, and then ends that direction."""

    CONNECTING.on(Event.ERROR, to=(CLOSED,))(Forwarding.failed)
    CONNECTING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)(Forwarding.expired)
    CONNECTING.goes(Event.CONNECTED, RELAYING)

    @RELAYING.enter
    def relaying(self) -> None:
        """Lend both sides to a tunnel, with what the client has sent up to now."""
        opening, self._opening = self._opening, None
        self.lend(request=opening)

    RELAYING.on(TunnelDone, to=CLOSED)(Forwarding.relayed)

    def finished(self) -> None:
        """Close both sides; free what was not forwarded."""
        super().finished()
        if self._opening is not None:
            self._opening.close()
