"""A plugin in front of a scripted server, in simulation."""

from __future__ import annotations

from collections.abc import Callable

from vcproxy.drivers.sim import Peer, SimulatedServer, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.engine.log_function import Level
from vcproxy.engine.net import NetVConnection
from vcproxy.sessions.service import Service
from vcproxy.sessions.session import Session
from vcproxy.upstream.server import Server as Upstreamed
from vcproxy.upstream.upstream import Upstream

BACK = Address.parse("tcp://back:1")

Script = Callable[[Peer, bytes], None]
"""Called for a server, with each piece of data that it receives."""


class World:
    """A proxy with one plugin, and the server behind it."""

    def __init__(
        self,
        sim: Simulation,
        plugin: type[Session],
        script: Script | None = None,
        *,
        options: object = None,
        inactivity_s: float = 300.0,
    ) -> None:
        self.sim = sim
        self.mistakes: list[Exception] = []
        self.logged: list[str] = []
        self.back: SimulatedServer | None = None
        if script is not None:
            self.serve(script)
        driver = sim.driver("proxy", log=self._log)
        self.engine = driver.engine
        self.service = Service(
            "front",
            options=options,
            upstream=Upstream(driver.engine, "back", [Upstreamed(BACK)]),
            inactivity_s=inactivity_s,
        )
        self.sessions: list[Session] = []

        def accept(client: NetVConnection) -> None:
            self.sessions.append(plugin(client, self.service))
            self.sessions[-1].start()

        listener = Listener("front", accept, driver.engine, max_connections=100_000)
        self.address = driver.listen(Address.parse("tcp://front:1"), listener)

    def serve(self, script: Script) -> None:
        """Start the server."""

        def connected(peer: Peer) -> None:
            peer.on_data = lambda data: script(peer, data)
            peer.on_end = peer.close

        self.back = self.sim.server(BACK, connected)

    def client(self, *sent: bytes) -> Peer:
        """Return a client that sends these pieces at once."""
        peer = self.sim.client(self.address)
        for data in sent:
            peer.send(data)
        return peer

    @property
    def at_server(self) -> bytes:
        """All bytes that the servers received."""
        assert self.back is not None
        return b"".join(bytes(peer.received) for peer in self.back.peers)

    @property
    def servers(self) -> list[Peer]:
        """A peer for each connection that the proxy made."""
        return [] if self.back is None else self.back.peers

    def settle(self) -> None:
        """Run until no event is left; check that no connection and no memory is left."""
        self.sim.run()
        self.sessions.clear()
        assert not self.engine.vcs
        assert self.engine.memory.used == 0

    def _log(self, level: Level, text: str, error: Exception | None = None) -> None:
        self.logged.append(text)
        if error is not None:
            self.mistakes.append(error)


def shout(peer: Peer, data: bytes) -> None:
    """Answer in upper case."""
    peer.send(data.upper())


def silent(peer: Peer, data: bytes) -> None:
    """Answer nothing."""
