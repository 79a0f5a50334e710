"""SimulatedProxy: a plugin between scripted clients and servers, in memory and in virtual time.

    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"ping")
        proxy.run()
        assert server.received == b"ping"

It runs the plugin only: no configuration is read, and nothing of the operating system is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType, TracebackType

from vcproxy.business.service import Service
from vcproxy.business.session import Session
from vcproxy.drivers.sim import Faults, Peer, Simulation
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
        upstreams: other upstreams by name, and the names of their servers.
        refusing: those servers that refuse connections.
        options: the plugin's own.
        seed, faults: see Simulation. Without faults all is instant and nothing is lost.

    Times are as in Service, but without limit unless they are given.
    """

    def __init__(
        self,
        plugin: type[Session],
        servers: Sequence[str] = ("server",),
        *,
        upstreams: Mapping[str, Sequence[str]] = MappingProxyType({}),
        refusing: Sequence[str] = (),
        options: object = None,
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

        def known(names: Sequence[str]) -> RoundRobin:
            return RoundRobin([Server(Address("tcp", name, 1)) for name in names])

        self.service = Service(
            name="proxy",
            options=options,
            upstream=known(servers) if servers else None,
            upstreams={name: known(listed) for name, listed in upstreams.items()},
            connect_s=connect_s,
            inactivity_s=inactivity_s,
            active_s=active_s,
            half_close=half_close,
        )
        self._plugin = plugin
        self._servers: dict[str, Answerer] = {
            name: self.sim.server(Address("tcp", name, 1))
            for name in (*servers, *chain.from_iterable(upstreams.values()))
            if name not in refusing
        }
        self._met = dict.fromkeys(self._servers, 0)
        driver = self.sim.driver("proxy")
        self.engine = driver.engine
        listener = Listener("proxy", self._accept, self.engine)
        self._address = driver.listen(Address("tcp", "proxy"), listener)

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
