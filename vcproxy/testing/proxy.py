"""SimulatedProxy: a plugin between scripted clients and servers, in memory and in virtual time.

    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"ping")
        proxy.run()
        assert server.received == b"ping"

It runs the plugin only: no configuration is read, and nothing of the operating system is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from vcproxy.business.service import Service
from vcproxy.business.session import Session
from vcproxy.drivers.sim import DatagramPeer, Faults, Peer, Simulation
from vcproxy.drivers.sim import Server as Answerer
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.upstream.servers import RoundRobin, Server


class SimulatedProxy:
    """One listener that a plugin serves, and its upstream.

    Args:
        plugin: the class; a session of it is made for each client.
        servers: the names of the upstream's servers, in order. None: there is no upstream.
        refusing: those of them that refuse connections.
        options: the plugin's own.
        datagrams: whether clients and servers are at udp://: see `datagram_client`.
        max_connections: clients at a time.
        seed, faults: see Simulation. Without faults all is instant and nothing is lost.

    Times are as in Service, but without limit unless they are given.
    """

    def __init__(
        self,
        plugin: type[Session],
        servers: Sequence[str] = ("server",),
        *,
        refusing: Sequence[str] = (),
        options: object = None,
        datagrams: bool = False,
        max_connections: int = 10_000,
        connect_s: float = 0.0,
        inactivity_s: float = 0.0,
        active_s: float = 0.0,
        half_close: bool = True,
        seed: int = 0,
        faults: Faults | None = None,
    ) -> None:
        self.sim = Simulation(seed, faults)
        self.sessions: list[Session] = []
        """One for each client that was accepted, in that order."""
        scheme = "udp" if datagrams else "tcp"
        addresses = [Address(scheme, name, 1) for name in servers]
        self.service = Service(
            name="proxy",
            options=options,
            upstream=RoundRobin([Server(address) for address in addresses]) if servers else None,
            connect_s=connect_s,
            inactivity_s=inactivity_s,
            active_s=active_s,
            half_close=half_close,
        )
        self._plugin = plugin
        there = [address for address in addresses if address.host not in refusing]
        self._servers: dict[str, Answerer] = {}
        self._datagram_servers: dict[str, DatagramPeer] = {}
        for address in there:
            if datagrams:
                self._datagram_servers[address.host] = self.sim.datagram_server(address)
            else:
                self._servers[address.host] = self.sim.server(address)
        self._met = dict.fromkeys(self._servers, 0)
        driver = self.sim.driver("proxy")
        self.engine = driver.engine
        listener = Listener("proxy", self._accept, self.engine, max_connections=max_connections)
        self._address = driver.listen(Address(scheme, "proxy"), listener)

    def __enter__(self) -> SimulatedProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sim.__exit__(kind, error, traceback)

    def client(self) -> Peer:
        """A client that connects as soon as something is run."""
        return self.sim.client(self._address)

    def datagram_client(self) -> DatagramPeer:
        """A client of the proxy, where that has `datagrams`."""
        return self.sim.datagram_client(self._address)

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
    def log(self) -> list[str]:
        """The lines that were logged, as "level: text"."""
        return [f"{level}: {text}" for _, level, text in self.sim.log]

    def _accept(self, client: NetVConnection) -> None:
        session = self._plugin(client, self.service)
        self.sessions.append(session)
        session.start()
