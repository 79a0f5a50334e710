"""SimulatedProxy: a plugin between scripted clients and servers, in memory and in virtual time.

    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"ping")
        proxy.run()
        assert server.received == b"ping"

It runs the plugin only: no configuration is read, and the operating system is not involved.

A program is tested in the same way. Clients connect to the addresses in its options, by the name of
the option: `proxy.client("subscribers")`. Each address that it connects to is a scripted server:

    options = Relay.Options(subscribers=(HERE,), targets=(Address.parse("tcp://sink:1"),))
    with SimulatedProxy(Relay, options=options) as proxy:
            subscriber, target = proxy.client("subscribers"), proxy.server("tcp://sink:1")

        Tested in tests/testing/test_proxy.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from ipaddress import ip_network
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from vcproxy.access_log.log import AccessLog, AccessLogSettings
from vcproxy.access_log.record import SessionRecord
from vcproxy.config.plugin import options_type, overrides
from vcproxy.drivers.sim import DatagramPeer, NetworkFaults, Peer, SimulatedServer, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import OwnedCall
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.proxy_protocol.senders import TrustedSenders
from vcproxy.sessions.program import Program
from vcproxy.sessions.programs import Programs
from vcproxy.sessions.service import Service
from vcproxy.sessions.session import Session
from vcproxy.sessions.session_messages import SessionMessages
from vcproxy.testing.simulated_bus import SimulatedBus
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import UpstreamSettings
from vcproxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import HandshakeResult
    from vcproxy.engine.continuation import Continuation
    from vcproxy.instruments.instrument import Sample

    Acceptor: TypeAlias = Callable[[NetVConnection], Continuation | None]

NAME = "proxy"
"""The name of the listener."""


class SimulatedProxy:
    """One listener with a plugin, and its upstream.

    Args:
        plugin: the class; each client gets a session of it, or all share one program.
        servers: the names of the upstream's servers, in order. Empty: there is no upstream.
        upstreams: other upstreams that the plugin may use: their names, and those of their servers.
        filters: the filters of the plugin, in order.
        on_connect: functions by server name, called with the server's end of each connection.
        refusing: the servers that refuse connections. The name of a server from the options is
            its URI.
        upstream_settings: balancing, limits and health checks of the upstream; None: the defaults.
        options: the options of the plugin; None: its defaults, as without [listener.options].
            Connections to tls:// addresses in them are without TLS.
        handshake: the result of the clients' TLS handshakes, only simulated; None: no TLS.
        name, token: the listener's name and the engine's token: an HTTP proxy writes both into Via.
        proxy_protocol: whether each client begins with a PROXY header, which it must send first.
        datagrams: whether clients and servers have udp:// addresses: see `datagram_client`.
        server_datagrams: whether the servers have them, where the clients do not, or vice versa;
            None: as the clients.
        max_connections: the maximum of simultaneous clients.
        answers: the results of the plugin's calls, in order; if one is an exception, it is raised.
            None: the functions are really called.
        seed, faults: see Simulation. Without faults the network is instant and loses nothing.

    The timeouts have the names that they have in Service; the default is no limit.
    """

    def __init__(
        self,
        plugin: type[Session | Program],
        servers: Sequence[str] = ("server",),
        *,
        upstreams: Mapping[str, Sequence[str]] | None = None,
        filters: Sequence[object] = (),
        on_connect: Mapping[str, Callable[[Peer], None]] | None = None,
        refusing: Sequence[str] = (),
        upstream_settings: UpstreamSettings | None = None,
        options: object = None,
        handshake: HandshakeResult | None = None,
        name: str = NAME,
        token: str = "",
        proxy_protocol: bool = False,
        datagrams: bool = False,
        server_datagrams: bool | None = None,
        max_connections: int = 10_000,
        answers: Iterable[object] | None = None,
        connect_s: float = 0.0,
        inactivity_s: float = 0.0,
        active_s: float = 0.0,
        half_close: bool = True,
        seed: int = 0,
        faults: NetworkFaults | None = None,
    ) -> None:
        if options is None:
            options = _default_options(plugin)
        _refuse_unused_methods(plugin, options)
        self.sim = Simulation(seed, faults)
        self.bus = SimulatedBus(self.sim)
        """Sends messages to methods declared with `on_message`."""
        self.sessions: list[Session] = []
        """One for each accepted client, in order."""
        self.listeners: list[Listener] = []
        """Its listener, and those of the addresses in options."""
        self._plugin = plugin
        self.printed: list[str] = []
        """The lines printed by the program on standard error."""
        self._records: list[bytes] = []
        self._driver = driver = self.sim.driver(NAME)
        driver.calls.results = None if answers is None else iter(answers)
        self.driver = driver
        self.engine = driver.engine
        self.engine.token = token
        self._senders = TrustedSenders([ip_network("0.0.0.0/0")]) if proxy_protocol else None
        scheme = "udp" if datagrams else "tcp"
        servers_have = datagrams if server_datagrams is None else server_datagrams
        behind = "udp" if servers_have else "tcp"
        self._handshake = handshake
        shared = {"upstream": servers, **(upstreams or {})}
        known = {name: [Address(behind, each, 1) for each in of] for name, of in shared.items()}
        made = {
            name: Upstream(self.engine, name, map(Server, of), upstream_settings)
            for name, of in known.items()
            if of
        }
        self.service = Service(
            name=name,
            options=options,
            upstream=made.get("upstream"),
            upstreams=made,
            filters=tuple(partial(_identity, each) for each in filters),
            connect_s=connect_s,
            inactivity_s=inactivity_s,
            active_s=active_s,
            half_close=half_close,
            access_log=AccessLog(
                self.engine, AccessLogSettings(target=None), self._records.append, self._wall
            ),
        )
        named = {address.host: address for address in chain(*known.values())}
        named |= {str(each): each for each in chain(*plugin.connects(options).values())}
        self._servers: dict[str, SimulatedServer] = {}
        self._datagram_servers: dict[str, DatagramPeer] = {}
        for name, address in named.items():
            if name in refusing:
                continue
            if address.scheme == "udp":
                self._datagram_servers[name] = self.sim.datagram_server(address)
            else:
                self._servers[name] = self.sim.server(address, (on_connect or {}).get(name))
        self._taken = dict.fromkeys(self._servers, 0)
        self.programs = Programs(self.engine, self.printed.append)
        """Contains the program, if any. Use it to deliver a Signal, or to stop the program."""
        front = scheme if handshake is None else "tls"
        addresses: dict[str, Sequence[Address]] = {"": [Address(front, NAME)]}
        if issubclass(plugin, Program):
            addresses |= plugin.binds(options)
        accept = self._acceptor(plugin)
        if issubclass(plugin, Session) and plugin.receives_messages:
            receiver = SessionMessages(self.engine, self.service.name, plugin)
            self.engine.schedule(OwnedCall(receiver, receiver.start), Event.TIMEOUT, None)
        self._addresses = {
            option: [
                driver.listen(place, self._listener(option, accept, max_connections))
                for place in places
            ]
            for option, places in addresses.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sim.__exit__(kind, error, traceback)

    @property
    def program(self) -> Program:
        """The program. Raises KeyError if the plugin is a session."""
        return self.programs[self.service.name]

    def client(self, option: str = "", number: int = 0, client_ip: str = "") -> Peer:
        """Return a client that connects when the simulation runs next.

        `option`, `number`: the option, and which of its addresses to connect to; "": the address of
        the listener.
        `client_ip`: the client's IP address; "": any.
        """
        place = self._addresses[option][number]
        return self.sim.client(place, client_ip=client_ip, handshake=self._handshake)

    def datagram_client(self) -> DatagramPeer:
        """Return a client of a proxy with `datagrams`."""
        return self.sim.datagram_client(self._addresses[""][0])

    def datagram_server(self, name: str = "server") -> DatagramPeer:
        """Return the server, in a proxy whose servers have datagrams."""
        return self._datagram_servers[name]

    def server(self, name: str = "server") -> Peer:
        """Run until the server has a new connection; return its server end. Raises Stuck."""
        peers = self._servers[name].peers
        taken = self._taken[name]
        self.sim.run(until=lambda: len(peers) > taken and peers[taken].connected)
        self._taken[name] = taken + 1
        return peers[taken]

    def connections(self, name: str = "server") -> int:
        """Return the number of connections to the server so far."""
        return len(self._servers[name].peers)

    def peers(self, name: str = "server") -> list[Peer]:
        """Return the server ends of all connections so far. To wait for a new one, use `server`."""
        return self._servers[name].peers

    def run(self) -> None:
        """Run until no event is left. Configured timeouts are events, too, so they expire."""
        self.sim.run()

    def elapse(self, seconds: float) -> None:
        """Run for this many virtual seconds."""
        self.sim.elapse(seconds)

    @property
    def stopped(self) -> bool:
        """Whether the plugin has stopped the proxy; the simulation continues."""
        return self._driver.stopped

    @property
    def reloads(self) -> int:
        """How often the plugin has requested a reload."""
        return self._driver.rescans

    def metric(self, name: str, **labels: str) -> Sample:
        """Return the value of a Counter or Gauge of the plugin for these labels; 0: none was set.
        Of a Histogram: the observations in each bucket, then their sum."""
        for values in self.engine.instruments.values():
            if values.instrument.name == name.removesuffix("_total"):
                for place, sample in values.samples():
                    if place == labels:
                        return sample  # type: ignore[no-any-return]
        return 0

    @property
    def log(self) -> list[str]:
        """The log lines, as "level: text"."""
        return [f"{level}: {text}" for _, level, text in self.sim.log]

    @property
    def access_log(self) -> list[dict[str, object]]:
        """The records of the access log, in the order in which they were written."""
        return [json.loads(line) for line in self._records]

    def _wall(self) -> float:
        return self.engine.wall + self.engine.now % 1

    def _record(self, client: NetVConnection) -> SessionRecord:
        assert self.service.access_log is not None
        return SessionRecord(self.service.access_log, client)

    def _listener(self, option: str, accept: Acceptor, max_connections: int) -> Listener:
        name = f"{NAME}.{option}".rstrip(".")
        listener = Listener(name, accept, self.engine, max_connections=max_connections)
        listener.tls = self._handshake
        listener.recorder = self._record
        listener.senders = self._senders
        listener.notes_local = True
        listener.refuser = self._refuse
        self.listeners.append(listener)
        return listener

    def _refuse(self, client: NetVConnection) -> None:
        if issubclass(self._plugin, Session):
            self._plugin.refuse(client, self.service)
        else:
            client.do_io_close()

    def _acceptor(self, plugin: type[Session | Program]) -> Acceptor:
        if issubclass(plugin, Program):
            return self.programs.acceptor(plugin, self.service)

        def accept(client: NetVConnection) -> None:
            session = plugin(client, self.service)
            self.sessions.append(session)
            session.start()

        return accept


def _identity(made: object) -> object:
    return made


def _refuse_unused_methods(plugin: type[Session | Program], options: object) -> None:
    """Raise TypeError for a method that would never be called, as `vcproxy -t` refuses it."""
    for method, why in plugin.unused_methods(options).items():
        if overrides(plugin, method):
            raise TypeError(f"{plugin.__name__} overrides {method}(), which is never called: {why}")


def _default_options(plugin: type) -> object:
    """Return the options of a plugin that is used without any; None: it has none.

    Raises TypeError if it has options that must be given.
    """
    kind = options_type(plugin)
    try:
        return None if kind is None else kind()
    except TypeError as error:
        raise TypeError(
            f"{error}: pass options={plugin.__name__}.Options(...) to SimulatedProxy"
        ) from None
