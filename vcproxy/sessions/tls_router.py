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
    ClientHelloReader,
    InvalidClientHello,
    NotTls,
    alert,
)
from vcproxy.sessions.forwarding import Forwarding
from vcproxy.sessions.tls_routes import TlsRoute, TlsRoutingOptions, canonical_name
from vcproxy.tunnels.done import TunnelDone

if TYPE_CHECKING:
    from vcproxy.config.positions import KeyPath
    from vcproxy.engine.connection_record import ByLetter
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vio import VIO
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.connect_attempts import Backend

KNOWN = "KNOWN"
"""Tag: the listener has terminated TLS, so its names are there already."""

LATE = "LATE"
"""Tag: the time for a handshake has passed."""


class TlsRouter(Forwarding):
    """Tunnels each client to an upstream of its options, by the server name (SNI) and the
    application protocols (ALPN) in its ClientHello."""

    __slots__ = ("_hello", "_late", "_memory", "_opening", "route")

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
        self._hello: ClientHelloReader | None = None
        self._late: Action | None = None
        self._memory: HeldMemory | None = None
        self._opening: Reader | None = None
        """What the client has sent before its server was connected."""
        self.route: TlsRoute | None = None
        """The route of the client; None: it is not chosen yet."""

    def servers(self) -> Sequence[Backend]:
        """Return the upstream of the route."""
        assert self.route is not None
        service, name = self.service, self.route.upstream
        upstream = service.upstream if name is None else service.upstreams[name]
        assert upstream is not None
        return (upstream,)

    @property
    def route_label(self) -> str:
        """What of its route has matched the client; "": the route is not chosen yet."""
        route, client = self.route, self.client
        if route is None:
            return ""
        alpn = [] if client.alpn is None else client.alpn.split(",")
        return route.label("" if client.sni is None else canonical_name(client.sni), alpn)

    # -- the ClientHello ---------------------------------------------------------------------

    @READING.enter
    def reading(self) -> None:
        """Begin to read, for the time of a handshake at most."""
        client, engine = self.client, self.engine
        if client.secure:
            client.do_io_read(self, 0, engine.no_buffer)
            engine.schedule(self, KNOWN, None)
            return
        buffer = engine.buffer(LIMIT)
        self._opening = buffer.reader()
        client.do_io_read(self, None, buffer)
        limit_s = 0.0 if client.listener is None else client.listener.handshake_s
        if limit_s:
            self._late = engine.schedule_in(limit_s, self, LATE, limit_s)

    @READING.leave
    def read(self) -> None:
        """Free what only the reading needs."""
        self._hello = self._memory = None
        if self._late is not None:
            self._late.cancel()
            self._late = None

    @READING.on(KNOWN, to=(CONNECTING, CLOSED))
    def known(self, _: object) -> State:
        """Choose by the names that the listener's own TLS handshake had."""
        alpn = self.client.alpn
        return self._choose(self.client.sni, () if alpn is None else (alpn,))

    @READING.on(Event.READ_READY, to=(CONNECTING, CLOSED))
    def received(self, _: VIO) -> State | None:
        """Choose once the ClientHello is complete."""
        opening, reader = self._opening, self._hello
        assert opening is not None
        data = opening.peek()
        if reader is None:
            reader = self._hello = ClientHelloReader()
        try:
            hello = reader.feed(data[reader.size :])
        except NotTls:
            return self._choose_plain()
        except InvalidClientHello as invalid:
            listener, client = self.service.name, self.name
            self.engine.refused.add(
                "ClientHello", str(invalid), data, listener=listener, client=client
            )
            return self._refuse("C", "invalid", f"invalid ClientHello: {invalid}", invalid.alert)
        if hello is None:
            self._memory = self._memory or HeldMemory(self)
            self._memory.hold(reader.held)
            return None
        name, alpn = hello
        self.client.sni, self.client.alpn = name, ",".join(alpn) or None
        return self._choose(name, alpn)

    def _choose(self, name: str | None, alpn: Sequence[str]) -> State:
        """Choose the route of a TLS client."""
        route = self.options.table.find("" if name is None else canonical_name(name), alpn)
        if route is None:
            whose = "a client without server name" if name is None else f'server name "{name}"'
            offered = f" and ALPN {','.join(alpn)}" if alpn else ""
            why = f"no route for {whose}{offered}"
            return self._refuse("P", "no_route", why, UNRECOGNIZED_NAME)
        return self._take(route)

    def _choose_plain(self) -> State:
        """Choose the route of a client without TLS."""
        route = self.options.table.plain
        if route is None:
            return self._refuse("C", "no_tls", "the client does not begin with TLS")
        return self._take(route)

    def _take(self, route: TlsRoute) -> State:
        self.route = route
        if self.record is not None:
            self.record.route = self.route_label
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
        self.connect_first()

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
