"""Session: the base class of plugins. It owns a client VC and, where it needs one, a server VC."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vcproxy.access_log.author_fields import author_fields
from vcproxy.admission.refusal import Refusal
from vcproxy.engine.address import PACKETS
from vcproxy.engine.failures import Exhausted
from vcproxy.framing.framing import UNFRAMED, Framing, lines
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State, flatten
from vcproxy.sessions.line_limit import LineLimits
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.sessions.message_reader import Message, MessageReader
from vcproxy.sessions.streams import OutputStream
from vcproxy.sessions.tunnel_start import TunnelStart
from vcproxy.tunnels.done import Reason, TunnelDone
from vcproxy.tunnels.two_way import TwoWayTunnel
from vcproxy.upstream.connect_attempts import ConnectAttempts

if TYPE_CHECKING:
    from vcproxy.access_log.record import SessionRecord
    from vcproxy.config.positions import KeyPath
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.net import NetVConnection
    from vcproxy.proxy_protocol.header import ProxyHeader
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.connect_attempts import Backend

LINES = lines()
"""The framing of a session that has none of its own."""


class Session(Machine):
    """The connection of one client. A subclass declares its states; see Machine.

    A session is created and started when a client's connection is established, and runs under the
    client's mutex. It connects to no server before `connect`, `connect_first` or `lend`. In its
    final state it closes its VCs, after the client has received all that was sent with `answer`.
    An exception ends the session and closes its VCs.

    A session that declares a receiver for Message reads its client: it gets each message that
    `framing` finds while its state has such a receiver. When it enters such a state again, it must
    call `read_messages`. See MessageReader for how the input ends. `lend` passes the tunnel all
    bytes that were read but not delivered.
    """

    vcproxy_plugin: ClassVar[bool] = True
    needs_upstream: ClassVar[bool | None] = None
    """True: a listener must name an upstream; False: it must not; None: it may."""
    datagrams: ClassVar[bool] = False
    """Whether the plugin may listen at udp://: True if it handles single datagrams correctly."""
    mixes_datagrams: ClassVar[bool] = False
    """Whether its clients may have datagrams and its servers streams, or the other way round: True
    if it forwards whole messages, and not bytes."""
    alpn_refused: ClassVar[frozenset[str]] = frozenset()
    """ALPN names of application protocols that the plugin does not support: its listener may not
    offer them. Empty for a plugin that forwards bytes unchanged."""
    one_worker: ClassVar[str] = ""
    """Why one process must serve all its clients: with several workers, worker 1 does. Empty: each
    worker serves the clients that it accepts."""
    framing: Framing = LINES
    """How the client's bytes are split into messages, where it receives Message. Decoding
    must not depend on earlier messages: bytes that are lent to a tunnel are decoded again."""
    datagram_framing: Framing | None = None
    """How messages are framed in datagrams. A datagram has whole messages, or is damaged: see
    DatagramDecoder. UNFRAMED: it is one message. None: like `framing`; but it is one message if
    the class has no `framing` of its own."""
    _message_states: ClassVar[frozenset[State]] = frozenset()  # the states that receive Message

    __slots__ = (
        "_attempts",
        "_final_error",
        "_message_reader",
        "answers",
        "client",
        "options",
        "server",
        "service",
    )

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._message_states = frozenset(state for state in cls.states if Message in flatten(state))

    @property
    def client_framing(self) -> Framing:
        """How the client's messages are framed: see `framing` and `datagram_framing`."""
        framing = self.framing
        if not self.client.message_oriented:
            return framing
        return self.datagram_framing or (UNFRAMED if framing is LINES else framing)

    @classmethod
    def with_options(cls) -> type[Session]:
        """Return the class that serves a listener which has options: by default, this class.

        A plugin that does something else with options than without may return another class. Then
        its own class has no `Options`, and costs nothing of what the other one needs.
        """
        return cls

    @classmethod
    def needs_bind(cls, options: Any) -> bool | None:
        """Return True: its listener must have a `bind`; False: it must not; None: it may."""
        return True

    @classmethod
    def connects(cls, options: Any) -> Mapping[str, Sequence[Address]]:
        """Return the addresses it connects to besides its upstream, by the option that names them.

        If one of them is tls://, `service.connect_tls` is set, and the option `tls`, an
        UpstreamTls, names the certificates to trust. To be overridden.
        """
        return {}

    @classmethod
    def upstreams(cls, options: Any) -> Mapping[KeyPath, str | None]:
        """Return the upstreams that the options name, by the path of each name in the options.

        They are in `service.upstreams`. None stands for the listener's upstream, which must exist.
        To be overridden, except for names of the type UpstreamName, which are found without it.
        """
        return {}

    @classmethod
    def unused_methods(cls, options: Any) -> Mapping[str, str]:
        """Return the methods that are never called with these options, and the reason for each.

        `-t` refuses a class that overrides one of them: its code would have no effect. To be
        overridden by base classes of plugins.
        """
        return {}

    @classmethod
    def notes(cls, options: Any) -> Mapping[str, str]:
        """Return remarks on options that are valid, by the option: `-t` prints them. To be
        overridden."""
        return {}

    counts_requests: ClassVar[bool] = False
    """Whether the listener's `rate` is for requests, which the plugin counts itself, with
    `within_rate` or `service.admission`; False: it is for connections."""

    @classmethod
    def forwards(cls, options: Any) -> Callable[[str], bool] | None:
        """Return whether a peer is a proxy that names its clients in each request, by its address:
        then the plugin checks these with `service.admission`. None: no peer is.

        To be overridden with `counts_requests`.
        """
        return None

    @classmethod
    def refuse(cls, client: NetVConnection, service: Service) -> None:
        """Close a client that is not served; `client.refusal` is the reason: see Refusal.

        To be overridden where the protocol has a way to report the reason. It is not called for
        clients at tls://, which are closed before their handshake: the handshake costs too much.
        """
        client.do_io_close()

    def drain(self) -> None:
        """End what can be ended without harm: `service.draining` is True.

        It is called when the proxy is about to stop and waits for open connections, or when new
        connections are served by a new configuration. The mutex is held; a tunnel may have both
        VCs. To be overridden; the default does nothing, and the session continues.
        """

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client.engine, client.mutex, name=client.name)
        self.client = client
        client.session = self
        self.service = service
        self.options: Any = service.options
        """The plugin's options; a typed plugin declares `options: Options` in its class."""
        self.server: NetVConnection | None = None
        self.answers: OutputStream | None = None
        """The output to the client; None until `answer` is used."""
        self._message_reader: MessageReader | None = None
        self._final_error: Exception | None = None
        self._attempts: ConnectAttempts | None = None
        client.set_inactivity_timeout(service.inactivity_s)
        if service.active_s:
            client.set_active_timeout(service.active_s)

    def start(self) -> None:
        """Enter the initial state, and start to read messages if a state receives them."""
        if self._message_states:
            self._message_reader = MessageReader(self)
            self._message_reader.start()
        super().start()

    # -- the server --------------------------------------------------------------------------

    def connect(self, place: Backend, *, notify: Continuation | None = None) -> None:
        """Connect to a server; for an upstream, to the server that its balancing chooses.

        `notify` (default: the session), a continuation under the same mutex, gets CONNECTED or
        ERROR with the VC.
        """
        self._connect((place,), notify)

    def servers(self) -> Sequence[Backend]:
        """Return the backends to try, in order, at least one. By default this is the upstream,
        which has several servers. To be overridden.
        """
        assert self.service.upstream is not None, "there is no upstream: set needs_upstream = True"
        return (self.service.upstream,)

    def connect_first(self, *, notify: Continuation | None = None) -> None:
        """Connect to the first of `servers`: see `connect`."""
        self._connect(self.servers(), notify)

    def connect_next(self, *, notify: Continuation | None = None) -> bool:
        """Close the failed server and connect to the next one. False: none is left."""
        failed, attempts = self.server, self._attempts
        assert failed is not None, "no server has failed: call connect_first() before"
        assert attempts is not None
        again = attempts.failed(failed)
        record = self.record
        if record is not None and again:
            record.tried.append(failed.name)
        failed.do_io_close()
        then = "trying the next" if again else "no server is left"
        text = f"server {failed.name} failed: {failed.error}; {then}"
        if isinstance(failed.error, Exhausted):
            self.engine.shortage.warn(f"{self.name}: {text}")
        else:
            self.log(text)
        self.server = attempts.connect(notify or self) if again else None
        if record is not None and again:
            record.server = self.server
        return again

    def _connect(self, places: Sequence[Backend], notify: Continuation | None) -> None:
        attempts = ConnectAttempts(
            places,
            client=self.client.peer_address,
            origin=self.client,
            timeout=self.service.connect_s,
        )
        self._attempts = attempts
        self.server = attempts.connect(notify or self)
        if self.client.record is not None:
            self._note_server(places[0])

    def _note_server(self, place: Backend) -> None:
        """Note the upstream, and the connection to its server, in the record of the access log."""
        record = self.record
        assert record is not None
        record.server = self.server
        record.upstream = getattr(place, "name", None)

    def lend(self, tunnel: type[TwoWayTunnel] = TwoWayTunnel, **options: Any) -> None:
        """Lend client and server to a tunnel, until TunnelDone.

        Without a server it connects to one first; if no server can be reached, TunnelDone reports
        that. The tunnel starts after the client has received all answers, and begins with the bytes
        of the client that were read but not delivered as messages.
        """
        options.setdefault("half_close", self.service.half_close)
        reader, self._message_reader = self._message_reader, None
        if reader is None and self.answers is None and self.server is not None:
            self._attempts = None  # no other server is tried after this one
            tunnel(self, self.client, self.server, **options).start()
            return
        unread = None if reader is None else reader.give_back()
        options.setdefault("request", unread)

        def start(server: NetVConnection) -> None:
            tunnel(self, self.client, server, **options).start()

        def fail(done: TunnelDone) -> None:
            self.engine.schedule(self, TunnelDone, done)
            if unread is not None:
                unread.close()

        TunnelStart(self, start, fail).start()

    # -- the client --------------------------------------------------------------------------

    @property
    def record(self) -> SessionRecord | None:
        """What becomes the record in the access log; None: there is none."""
        return self.client.record  # type: ignore[return-value]  # the only kind there is

    @property
    def access_fields(self) -> dict[str, object]:
        """Fields for the record in the access log, by name: whatever JSON can show, at best texts
        and numbers. Without an access log, what is set here has no effect."""
        return author_fields(self.record)

    @property
    def client_address(self) -> str:
        """The client's IP address; empty if it has none, as on a Unix socket."""
        return self.client.peer_address

    @property
    def proxied(self) -> ProxyHeader | None:
        """What a load balancer has announced of the client's connection: its addresses, and
        perhaps its TLS; None: the connection has no PROXY header."""
        return self.client.proxied

    def within_rate(self) -> bool:
        """Count a request of the client; return whether the listener's `rate` allows it.

        For a plugin with `counts_requests`. One that exceeds the rate is counted and logged as
        refused. Datagrams were counted when they arrived.
        """
        client, admission = self.client, self.service.admission
        rates = None if admission is None else admission.requests
        if rates is None or (client.message_oriented and client.peer != PACKETS):
            return True
        exceeded = rates.take(rates.keys(client.peer_address), self.engine.now)
        if exceeded is None:
            return True
        if client.listener is not None:
            why = f"more than {exceeded[1].text}"
            client.listener.count_refusal(self.engine, Refusal.RATE, client.peer_address, why)
        return False

    def answer(self, data: bytes) -> None:
        """Send bytes to the client, unchanged. Not to be called while the client is lent."""
        if self.answers is not None:
            self.answers.send(data)
        elif data:
            self.answers = OutputStream(self._message_reader or self, self.client, data)

    def read_messages(self) -> None:
        """Resume reading messages, in a state that receives Message after one that did not."""
        if self._message_reader is not None:
            self._message_reader.resume()

    @property
    def reads_messages(self) -> bool:
        """Whether the session can receive a Message now: its state does, and the client reads
        answers."""
        answers = self.answers
        return self.state in self._message_states and not (answers is not None and answers.full)

    # -- the end -----------------------------------------------------------------------------

    def ended_cleanly(self, done: TunnelDone) -> bool:
        """Whether a tunnel has ended in order. For datagrams, inactivity is the only end."""
        return done.reason.clean or (
            self.client.message_oriented and done.reason is Reason.INACTIVITY
        )

    @property
    def was_probe(self) -> bool:
        """Whether the client reset its connection before a byte was moved either way.

        That is the TCP health check of a load balancer: it is not logged.
        """
        return isinstance(self.client.error, ConnectionResetError) and not self.client.moved

    def log(self, text: object, level: Level = "info") -> None:
        """Log a line that begins with the session's name. `level`: "debug", "info", "warning" or
        "error". Lines of datagram sessions are left out when there are too many: see
        LineLimit."""
        line = f"{self.name}: {text}"
        if self.client.message_oriented:
            # Each address that sends a datagram has a session, and addresses are easy to forge.
            self.service.share(LineLimits).of("datagrams", 1.0).log(self.engine, level, line)
        else:
            self.engine.log(level, line)

    def log_seldom(self, kind: str, text: object, level: Level = "info") -> None:
        """Log a line that any client can cause: of each kind ten in a minute at most, for all
        clients of the listener; the next one has the number of those left out.

        `kind`: a word that no peer can choose, because each is kept.
        """
        limit = self.service.share(LineLimits).of(kind)
        limit.log(self.engine, level, f"{self.name}: {text}")

    def count(self, what: str) -> None:
        """Add one to a counter in the service's `counts`."""
        self.service.counts[what] += 1

    def fail(self, why: str) -> None:
        """Close both sides with a reset after an error of the plugin; log the machine's history."""
        self.count("failed")
        if self.record is not None:
            self.record.note("I", why)
        history = "\n".join(map(str, self.history()))
        plugin = type(self).__qualname__
        self.engine.log("error", f"{plugin} {self!r} failed; it is closed: {why}\n{history}")
        self.close(ConnectionError(why))

    def close(self, error: Exception | None = None) -> None:
        """Close both VCs; with an error their peers see a reset, not an orderly end."""
        self.client.do_io_close(error)
        if self.server is not None:
            self.server.do_io_close(error)

    def reset_after_answers(self, error: Exception) -> None:
        """Make the final state close with a reset, after all answers were sent."""
        self._final_error = error

    def finished(self) -> None:
        """Close both VCs, the client after its answers are sent."""
        self._message_reader = None
        if self.answers is not None and not self.client.closed:
            LingeringClose(self.client, self.answers.reader, self._final_error).start()
            if self.server is not None:
                self.server.do_io_close(self._final_error)
        else:
            if self.answers is not None:
                self.answers.close()
            self.close()
