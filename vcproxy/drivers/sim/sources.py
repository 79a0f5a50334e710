"""SimSources: the sources of one engine, opened in a simulation.

Tested in tests/conformance/test_sources.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.drivers.sim import datagram_sources
from vcproxy.engine.datagrams import Datagrams

if TYPE_CHECKING:
    from vcproxy.drivers.datagram_source import DatagramSource
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.engine.commands import CloseSource, OpenSource, SendDatagram


class SimSources:
    """Performs the commands of sources. What it opens is kept by the number of the source."""

    def __init__(self, driver: PortDriver, network: Network) -> None:
        self._driver = driver
        self._network = network
        self._sockets: dict[int, DatagramSource] = {}

    def open(self, command: OpenSource) -> None:
        """Open a source."""
        source = command.source
        if not source.live:
            return  # closed in the same turn
        if isinstance(source, Datagrams):
            sockets = datagram_sources.opened(self._driver, self._network.datagrams, source)
            if sockets is not None:
                self._sockets[source.number] = sockets

    def close_source(self, command: CloseSource) -> None:
        """Close a source."""
        sockets = self._sockets.pop(command.source.number, None)
        if sockets is not None:
            sockets.close()

    def send(self, command: SendDatagram) -> None:
        """Send a datagram."""
        sockets = self._sockets.get(command.source.number)
        if sockets is not None:
            sockets.send(command.data, command.to)

    def close(self) -> None:
        """Close all."""
        for sockets in self._sockets.values():
            sockets.close()
        self._sockets.clear()
