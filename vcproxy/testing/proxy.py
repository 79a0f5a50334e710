"""SimulatedProxy: a plugin between scripted clients and servers, in memory and in virtual time.

    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"ping")
        proxy.run()
        assert server.received == b"ping"

It runs the plugin only: no configuration is read, and nothing of the operating system is used.

A program is tested as a session is. Where its options name addresses, clients come in there too,
`proxy.client("subscribers")`, and what it connects to is a scripted server:

    options = Relay.Options(subscribers=(HERE,), targets=(Address.parse("tcp://sink:1"),))
    with SimulatedProxy(Relay, options=options) as proxy:
        subscriber, target = proxy.client("subscribers"), proxy.server("tcp://sink:1")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from vcproxy.drivers.sim import DatagramPeer, NetworkFaults, Peer, Simulation
from vcproxy.drivers.sim import SimulatedServer as Answerer
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.sessions.program import Program
from vcproxy.sessions.programs import Programs
from vcproxy.sessions.service import Service
from vcproxy.sessions.session import Session
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import UpstreamSettings
from vcproxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import HandshakeResult
    from vcproxy.engine.continuation import Continuation

    Acceptor: TypeAlias = Callable[[NetVConnection], Continuation | None]

NAME = "proxy"
"""The listener's."""


class SimulatedProxy:
    """One listener that a plugin serves, and its upstream.

    Args:
        plugin: the class; a session of it is made for each client, or one program for all.
        servers: the names of the upstream's servers, in order. None: there is no upstream.
        upstreams: other upstreams that the plugin may choose from, by name, and their servers.
        filters: those of the plugin, in their order.
        on_connect: the script of a server, by its name, for each of its connections.
        refusing: those that refuse connections. A server that the options name goes by its URI.
        terms: how the upstream's servers are balanced, limited and checked; None: plainly.
        options: the plugin's own. Their addresses are met in plain, tls:// ones too.
        handshake: what the handshakes of clients have told, if they come by TLS. It is not spoken.
        name, token: the listener's name, and what tells this process from others: both are in the
            mark that an HTTP proxy leaves in Via.
        datagrams: whether clients and servers are at udp://: see `datagram_client`.
        max_connections: clients at a time.
        answers: what the plugin's calls return, one after the other, in place of making them; an
            exception is raised. None: they are made.
        seed, faults: see Simulation. Without faults all is instant and nothing is lost.

    Times are as in Service, but without limit unless they are given.
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
        terms: UpstreamSettings | None = None,
        options: object = None,
        handshake: HandshakeResult | None = None,
        name: str = NAME,
        token: str = "",
        datagrams: bool = False,
        max_connections: int = 10_000,
        answers: Iterable[object] | None = None,
        connect_s: float = 0.0,
        inactivity_s: float = 0.0,
        active_s: float = 0.0,
        half_close: bool = True,
        seed: int = 0,
        faults: NetworkFaults | None = None,
    ) -> None:
        self.sim = Simulation(seed, faults)
        self.sessions: list[Session] = []
        """One for each client that was accepted, in that order."""
        self.printed: list[str] = []
        """What a program has written on standard error."""
        self._driver = driver = self.sim.driver(NAME)
        driver.call_results = None if answers is None else iter(answers)
        self.driver = driver
        self.engine = driver.engine
        self.engine.token = token
        scheme = "udp" if datagrams else "tcp"
        self._handshake = handshake
        shared = {"upstream": servers, **(upstreams or {})}
        known = {name: [Address(scheme, each, 1) for each in of] for name, of in shared.items()}
        made = {
            name: Upstream(self.engine, name, map(Server, of), terms)
            for name, of in known.items()
            if of
        }
        self.service = Service(
            name=name,
            options=options,
            upstream=made.get("upstream"),
            upstreams=made,
            filters=tuple(partial(_itself, each) for each in filters),
            connect_s=connect_s,
            inactivity_s=inactivity_s,
            active_s=active_s,
            half_close=half_close,
        )
        named = {address.host: address for address in chain(*known.values())}
        named |= {str(each): each for each in chain(*plugin.connects(options).values())}
        self._servers: dict[str, Answerer] = {}
        self._datagram_servers: dict[str, DatagramPeer] = {}
        for name, address in named.items():
            if name in refusing:
                continue
            if address.scheme == "udp":
                self._datagram_servers[name] = self.sim.datagram_server(address)
            else:
                self._servers[name] = self.sim.server(address, (on_connect or {}).get(name))
        self._met = dict.fromkeys(self._servers, 0)
        self.programs = Programs(self.engine, self.printed.append)
        """The one program, if the plugin is one: it can be told of a Signal, or stopped."""
        front = scheme if handshake is None else "tls"
        doors: dict[str, Sequence[Address]] = {"": [Address(front, NAME)]}
        if issubclass(plugin, Program):
            doors |= plugin.binds(options)
        accept = self._acceptor(plugin)
        self._doors = {
            option: [
                driver.listen(place, self._listener(option, accept, max_connections))
                for place in places
            ]
            for option, places in doors.items()
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
        """The program. Raises KeyError for a session."""
        return self.programs[self.service.name]

    def client(self, option: str = "", number: int = 0, here: str = "") -> Peer:
        """A client that connects as soon as something is run.

        It comes in at the listener's own address, or at one that an option names; its own IP
        address is `here`, or any.
        """
        place = self._doors[option][number]
        return self.sim.client(place, here=here, handshake=self._handshake)

    def datagram_client(self) -> DatagramPeer:
        """A client of the proxy, where that has `datagrams`."""
        return self.sim.datagram_client(self._doors[""][0])

    def datagram_server(self, name: str = "server") -> DatagramPeer:
        """That server, where the proxy has `datagrams`."""
        return self._datagram_servers[name]

    def server(self, name: str = "server") -> Peer:
        """Run until that server is connected to once more; return its end. Raises Stuck."""
        peers = self._servers[name].peers
        met = self._met[name]
        self.sim.run(until=lambda: len(peers) > met and peers[met].connected)
        self._met[name] = met + 1
        return peers[met]

    def connections(self, name: str = "server") -> int:
        """How often that server has been connected to."""
        return len(self._servers[name].peers)

    def peers(self, name: str = "server") -> list[Peer]:
        """The server's ends of all connections to it so far: `server` waits for one more."""
        return self._servers[name].peers

    def run(self) -> None:
        """Run until nothing is left to happen; time limits that were given pass, too."""
        self.sim.run()

    def elapse(self, seconds: float) -> None:
        """Run for so long, in virtual seconds."""
        self.sim.elapse(seconds)

    @property
    def stopped(self) -> bool:
        """Whether the plugin has stopped the proxy; here all goes on."""
        return self._driver.stopped

    @property
    def reloads(self) -> int:
        """How often the plugin has had the proxy reload."""
        return self._driver.rescans

    @property
    def log(self) -> list[str]:
        """The lines that were logged, as "level: text"."""
        return [f"{level}: {text}" for _, level, text in self.sim.log]

    def _listener(self, option: str, accept: Acceptor, max_connections: int) -> Listener:
        name = f"{NAME}.{option}".rstrip(".")
        listener = Listener(name, accept, self.engine, max_connections=max_connections)
        listener.tls = self._handshake
        return listener

    def _acceptor(self, plugin: type[Session | Program]) -> Acceptor:
        if issubclass(plugin, Program):
            return self.programs.acceptor(plugin, self.service)

        def accept(client: NetVConnection) -> None:
            session = plugin(client, self.service)
            self.sessions.append(session)
            session.start()

        return accept


def _itself(made: object) -> object:
    return made
