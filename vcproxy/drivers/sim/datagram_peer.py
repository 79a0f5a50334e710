"""DatagramPeer: a scripted datagram client or server, outside the engine.

Tested in tests/sim/test_datagrams.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.datagrams import LARGEST
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.drivers.sim.datagram_network import SimSocket
    from vcproxy.engine.sources.datagrams import HostPort


def _ignore(data: bytes, source: HostPort) -> None:
    """Ignore received data: the script reads `received`."""


class DatagramPeer:
    """Sends data for a test script, and keeps what it receives."""

    def __init__(self, sock: SimSocket) -> None:
        self.received: list[bytes] = []
        """The datagrams received, in their order."""
        self.sources: list[HostPort] = []
        """The source of each of them."""
        self.refused = 0
        """How many sends were refused: no socket at the destination."""
        self.on_datagram: Callable[[bytes, HostPort], None] = _ignore
        """Called with each datagram and its source."""
        self._sock = sock
        sock.on_edge = self._receive

    @property
    def address(self) -> Address:
        """Its own address."""
        return Address("udp", *self._sock.local)

    def send(self, data: bytes, to: HostPort | None = None) -> None:
        """Send one datagram, to the connected server or to an address."""
        target = to or self._sock.peer
        assert target is not None, "not connected: the destination `to` is missing"
        self._sock.network.send(self._sock, data, target)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _receive(self) -> None:
        while self._sock.readable:
            try:
                data, source = self._sock.recvfrom(LARGEST)
            except ConnectionRefusedError:
                self.refused += 1
                continue
            self.received.append(data)
            self.sources.append(source)
            self.on_datagram(data, source)
