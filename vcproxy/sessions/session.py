"""Session: the base of plugins. It owns a client VC and, when it wants one, a server VC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vcproxy.engine.failures import Exhausted
from vcproxy.framing.framing import Framing, lines
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State, flatten
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.sessions.message_reader import Message, MessageReader
from vcproxy.sessions.streams import OutputStream
from vcproxy.sessions.tunnel_start import TunnelStart
from vcproxy.tunnels.done import Reason, TunnelDone
from vcproxy.tunnels.two_way import TwoWayTunnel
from vcproxy.upstream.attempts import Attempts

if TYPE_CHECKING:
    from vcproxy.config.place import KeyPath
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.attempts import Place


class Session(Machine):
    """One client's conversation. A subclass declares its states; see Machine.

    It is made and started when a client's connection is established, and runs under the client's
    mutex. Nothing touches a server before `connect` or `seek`. In its final state it closes what it
    owns, after the client has been told what was said with `answer`. An exception ends it, closed.

    One that declares a receiver for Message hears its client: each message that `framing` finds,
    while its state has such a receiver; `hear` says that it has one again. See MessageReader for
    the end of what can be heard. `lend` gives all that was not heard to the tunnel.
    """

    vcproxy_plugin: ClassVar[bool] = True
    needs_upstream: ClassVar[bool | None] = None
    """True: a listener must name an upstream; False: it must not; None: as it likes."""
    datagrams: ClassVar[bool] = False
    """Whether it may listen at udp://: what it does is right for one datagram at a time."""
    alpn_refused: ClassVar[frozenset[str]] = frozenset()
    """Application protocols, by their names in ALPN, that it does not speak: its listener may not
    offer them. None, where bytes are passed on as they come."""
    framing: Framing = lines()
    """How the client's messages are told apart, where they are heard. Each must be found whatever
    stood before it: what is lent is found anew."""
    _listening: ClassVar[frozenset[State]] = frozenset()  # the states that receive Message

    __slots__ = (
        "_attempts",
        "_hearing",
        "_parting",
        "answers",
        "client",
        "options",
        "server",
        "service",
    )

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._listening = frozenset(state for state in cls.states if Message in flatten(state))

    @classmethod
    def needs_bind(cls, options: Any) -> bool | None:
        """Return True: its listener must have a `bind`; False: it must not; None: as it likes."""
        return True

    @classmethod
    def connects(cls, options: Any) -> Mapping[str, Sequence[Address]]:
        """Return where it connects to beside its upstream: addresses, by the option with them.

        If one of them is tls:// there is `service.connect_tls`, and the option `tls`, an
        UpstreamTls, says whom to trust. To be overridden.
        """
        return {}

    @classmethod
    def upstreams(cls, options: Any) -> Mapping[KeyPath, str | None]:
        """Return the upstreams that the options name, by the path of each name in the options.

        They are in `service.upstreams`. None: the listener's upstream is meant, and must be there.
        To be overridden, but for names of the type UpstreamName, which are found without it.
        """
        return {}

    @classmethod
    def uncalled(cls, options: Any) -> Mapping[str, str]:
        """Return the methods that are not called with these options, and why: `-t` refuses a class
        that overrides one of them, for what it should do would be left undone. To be overridden by
        bases of plugins.
        """
        return {}

    @classmethod
    def notes(cls, options: Any) -> Mapping[str, str]:
        """Return what is worth knowing of options that are right, by the option: `-t` says it. To
        be overridden."""
        return {}

    @classmethod
    def refuse(cls, client: NetVConnection, service: Service) -> None:
        """Turn away one more client of an address that has `limits.max_per_client` connections:
        close it. To be overridden, where there is a way to say why. Of those at tls:// none comes
        here: they are closed before their handshake, which costs too much."""
        client.do_io_close()

    def drain(self) -> None:
        """The proxy is about to stop and waits for a time, or serves new connections by another
        configuration: `service.closing` is True. End what can be ended without harm. The mutex is
        held, and a tunnel may have both VCs. To be overridden; as it is, the session goes on."""

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client.engine, client.mutex, name=client.name)
        self.client = client
        client.served_by = self
        self.service = service
        self.options: Any = service.options
        """The plugin's own; a typed plugin declares `options: Options` in its class."""
        self.server: NetVConnection | None = None
        self.answers: OutputStream | None = None
        """The way to the client, once `answer` has been used."""
        self._hearing: MessageReader | None = None
        self._parting: Exception | None = None
        self._attempts: Attempts | None = None
        client.set_inactivity_timeout(service.inactivity_s)
        client.set_active_timeout(service.active_s)

    def start(self) -> None:
        """Enter the initial state, and begin to hear."""
        if self._listening:
            self._hearing = MessageReader(self)
            self._hearing.start()
        super().start()

    # -- the server --------------------------------------------------------------------------

    def connect(self, place: Place, *, told: Continuation | None = None) -> None:
        """Ask for the server VC: CONNECTED or ERROR follows, with the VC.

        They are for `told`, a continuation under the same mutex; for the session, if left out. Of
        an upstream it is a connection to the server whose turn it is.
        """
        self._attempts = self._connecting((place,), told)

    def servers(self) -> Sequence[Place]:
        """Return what to try, in order, at least one: the upstream, which has several servers. To
        be overridden.
        """
        assert self.service.upstream is not None, "there is no upstream: set needs_upstream = True"
        return (self.service.upstream,)

    def seek(self, *, told: Continuation | None = None) -> None:
        """Connect to the first of `servers`: see `connect`."""
        self._attempts = self._connecting(self.servers(), told)

    def seek_on(self, *, told: Continuation | None = None) -> bool:
        """The server failed: close it, and connect to the next. False: none is left."""
        failed, attempts = self.server, self._attempts
        assert failed is not None, "seek() first: no server has failed"
        assert attempts is not None
        again = attempts.failed(failed)
        failed.do_io_close()
        then = "trying the next" if again else "no server is left"
        text = f"server {failed.name} failed: {failed.error}; {then}"
        if isinstance(failed.error, Exhausted):
            self.engine.shortage.warn(f"{self.name}: {text}")
        else:
            self.log(text)
        self.server = attempts.connect(told or self) if again else None
        return again

    def _connecting(self, places: Sequence[Place], told: Continuation | None) -> Attempts:
        attempts = Attempts(places, client=self.client_address, timeout=self.service.connect_s)
        self.server = attempts.connect(told or self)
        return attempts

    def lend(self, tunnel: type[TwoWayTunnel] = TwoWayTunnel, **options: Any) -> None:
        """Lend client and server to a tunnel: TunnelDone brings them back.

        Without a server it seeks one first; where there is none, TunnelDone says so. The tunnel
        begins behind what was answered, and with what the client has said and nobody has heard.
        """
        hearing, self._hearing = self._hearing, None
        if hearing is None and self.answers is None and self.server is not None:
            half_close = self.service.half_close
            tunnel(self, self.client, self.server, half_close=half_close, **options).start()
        else:
            unheard = None if hearing is None else hearing.give_back()
            TunnelStart(self, tunnel, options, unheard).start()

    # -- the client --------------------------------------------------------------------------

    @property
    def client_address(self) -> str:
        """The client's IP address; empty where it has none, as on a Unix socket."""
        return self.client.peer_address

    def answer(self, data: bytes) -> None:
        """Say something to the client, as it stands, while no tunnel has it."""
        if self.answers is not None:
            self.answers.say(data)
        elif data:
            self.answers = OutputStream(self._hearing or self, self.client, data)

    def hear(self) -> None:
        """Go on hearing, in a state that receives Message, after one that did not."""
        if self._hearing is not None:
            self._hearing.go_on()

    @property
    def hears(self) -> bool:
        """Whether it takes a Message now: its state does, and the client reads the answers."""
        answers = self.answers
        return self.state in self._listening and not (answers is not None and answers.full)

    # -- the end -----------------------------------------------------------------------------

    def as_usual(self, done: TunnelDone) -> bool:
        """Whether a tunnel has ended in order. Datagrams have no end but that no more come."""
        return done.reason.clean or (
            self.client.message_oriented and done.reason is Reason.INACTIVITY
        )

    @property
    def only_checked(self) -> bool:
        """Whether the client has reset its connection before a byte went either way, as a load
        balancer does that checks whether somebody accepts: that is worth no line."""
        return isinstance(self.client.error, ConnectionResetError) and not self.client.moved

    def log(self, text: object) -> None:
        """Log a line, with the session's name before it."""
        self.engine.log("info", f"{self.name}: {text}")

    def count(self, what: str) -> None:
        """Count one more of something in the service's `counts`."""
        self.service.counts[what] += 1

    def fail(self, why: str) -> None:
        """Something here is broken: close, abnormally on both sides; the log has the history."""
        self.count("failed")
        history = "\n".join(map(str, self.history()))
        who = type(self).__qualname__
        self.engine.log("error", f"{who} {self!r} failed; it is closed: {why}\n{history}")
        self.close(ConnectionError(why))

    def close(self, error: Exception | None = None) -> None:
        """Close both VCs; with an error their peers see a reset, not an orderly end."""
        self.client.do_io_close(error)
        if self.server is not None:
            self.server.do_io_close(error)

    def part(self, error: Exception) -> None:
        """Have the client see a reset at the end, behind all that was answered."""
        self._parting = error

    def finished(self) -> None:
        """The machine is over: nothing stays open behind it."""
        self._hearing = None
        if self.answers is not None and not self.client.closed:
            LingeringClose(self.client, self.answers.reader, self._parting).start()
            if self.server is not None:
                self.server.do_io_close(self._parting)
        else:
            if self.answers is not None:
                self.answers.close()
            self.close()
