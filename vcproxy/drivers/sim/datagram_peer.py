"""DatagramPeer: a scripted end of datagrams, outside the engine: a client or server of a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.datagrams import LARGEST
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.drivers.sim.post import Place, SimSocket


def _ignore(data: bytes, source: Place) -> None:
    """The script wants no word of what comes: it looks at `received`."""


class DatagramPeer:
    """Sends what it is told to, and keeps what it gets."""

    def __init__(self, sock: SimSocket) -> None:
        self.received: list[bytes] = []
        """The datagrams that came, in that order."""
        self.sources: list[Place] = []
        """Where each of them came from."""
        self.refused = 0
        """How often nobody was where it sent to."""
        self.on_datagram: Callable[[bytes, Place], None] = _ignore
        """Called with each that comes, and where it came from."""
        self._sock = sock
        sock.on_edge = self._take

    @property
    def address(self) -> Address:
        """Where it is."""
        return Address("udp", *self._sock.local)

    def send(self, data: bytes, to: Place | None = None) -> None:
        """Send one datagram: to its server, or `to` somebody."""
        target = to or self._sock.peer
        assert target is not None, "to whom?"
        self._sock.post.send(self._sock, data, target)

    def close(self) -> None:
        """Be there no more."""
        self._sock.close()

    def _take(self) -> None:
        while self._sock.readable:
            try:
                data, source = self._sock.recvfrom(LARGEST)
            except ConnectionRefusedError:
                self.refused += 1
                continue
            self.received.append(data)
            self.sources.append(source)
            self.on_datagram(data, source)
