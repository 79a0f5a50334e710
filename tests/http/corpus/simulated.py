"""Simulated: runs the corpus on vcproxy, in memory and in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.http.corpus.origin import Origin
from vcproxy.config.loader import load
from vcproxy.drivers.sim import Peer, Simulation, Stuck
from vcproxy.engine.address import Address
from vcproxy.testing.configured import ConfiguredProxy

CONFIGURATION = """\
[[listener]]
name = "corpus"
bind = "tcp://{bind}"
plugin = "{plugin}"
upstream = "origin"

[upstream.origin]
servers = ["tcp://{server}"]
"""
"""The configuration of the tested proxy, simulated or real."""


class SimulatedClient:
    """See Client."""

    def __init__(self, sim: Simulation, peer: Peer) -> None:
        self._sim = sim
        self._peer = peer
        self.send, self.end, self.close = peer.send, peer.end, peer.close

    @property
    def received(self) -> bytes:
        """See Client."""
        return bytes(self._peer.received)

    @property
    def over(self) -> bool:
        """See Client."""
        return self._peer.ended or self._peer.error is not None

    def wait(self, until: Callable[[], bool]) -> None:
        """See Client. If nothing else happens, virtual time passes until the proxy's time
        limits."""
        try:
            self._sim.run(until=lambda: self.over or until())
        except Stuck:
            pass


class SimulatedWorld:
    """See World."""

    def __init__(self, proxy: ConfiguredProxy, server: Address) -> None:
        self.origin = Origin()
        self.log = proxy.sim.log
        """The time, level and text of each line of the proxy's log."""
        self._proxy = proxy
        proxy.sim.server(server, self._connected)

    def _connected(self, peer: Peer) -> None:
        peer.on_data = self.origin.connection(peer).feed
        peer.on_end = peer.close

    def client(self) -> SimulatedClient:
        """See World."""
        return SimulatedClient(self._proxy.sim, self._proxy.client("corpus"))

    def pause(self) -> None:
        """See World. A millisecond suffices: the simulated network has no delay."""
        self._proxy.sim.elapse(0.001)


@contextmanager
def simulated(
    directory: Path, plugin: str = "http_proxy", more: str = ""
) -> Iterator[SimulatedWorld]:
    """A simulated proxy and its origin; the configuration is written to the folder.

    `more`: tables of the configuration besides those of the listener and its upstream.
    """
    bind, server = "10.0.0.1:80", "10.0.0.2:80"
    file = directory / "corpus.toml"
    file.write_text(more + CONFIGURATION.format(bind=bind, plugin=plugin, server=server))
    with ConfiguredProxy(load(file)) as proxy:
        yield SimulatedWorld(proxy, Address.parse(f"tcp://{server}"))
