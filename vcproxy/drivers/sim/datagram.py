"""Datagrams in the simulated driver: the ports of real ones, told what an epoll would tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.sources import SourcePort, Sources
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.drivers.sim.driver import SimDriver
    from vcproxy.drivers.sim.post import Place, SimSocket
    from vcproxy.engine.listener import Listener


class _Owner(Protocol):
    def readable(self) -> None:
        """There is something to read."""

    def may_write(self) -> None:
        """The socket takes more."""


class Watch:
    """What a driver tells the owner of a socket, as level-triggered epoll would."""

    owner: _Owner

    def __init__(self, driver: SimDriver, sock: SimSocket) -> None:
        self._driver = driver
        self._sock = sock
        self._reads = self._writes = False
        sock.on_edge = self._look

    def want(self, reads: bool, writes: bool) -> None:
        """See Want."""
        self._reads, self._writes = reads, writes
        self._look()

    def ready(self) -> None:
        """Tell the owner what is so, in the turn after it became so."""
        if self._writes and self._sock.writable:
            self.owner.may_write()
        if self._reads and self._sock.readable:
            self.owner.readable()
        self._look()

    def _look(self) -> None:
        sock = self._sock
        if (self._reads and sock.readable) or (self._writes and sock.writable):
            self._driver.woken[self] = None


class SimDatagramPort(DatagramPort):
    """A DatagramPort whose calls are noted."""

    __slots__ = ("_driver",)

    def __init__(self, driver: SimDriver, sock: SimSocket) -> None:
        watch = Watch(driver, sock)
        watch.owner = self
        super().__init__(sock, watch.want, sock.send)
        self._driver = driver

    def readable(self) -> None:
        """See DatagramPort."""
        self._driver.note("readable", self.vc)
        super().readable()

    def _bring(self, data: bytes) -> None:
        self._driver.note("received", self.vc, len(data), crc32(data))
        super()._bring(data)


class SimSources(Sources):
    """Sources whose calls are noted."""

    def __init__(self, driver: SimDriver, sock: SimSocket, listener: Listener) -> None:
        self.driver = driver
        watch = Watch(driver, sock)
        watch.owner = self
        self.address = Address("udp", *sock.local)
        super().__init__(driver.engine, listener, sock, watch.want, show, self._has_room)

    def _has_room(self) -> bool:
        most = self.driver.most_sessions
        return most is None or len(self.ports) < most

    def port(self, peer: Place) -> SourcePort:
        """See Sources."""
        return SimSourcePort(self, peer)


class SimSourcePort(SourcePort):
    """A SourcePort whose calls are noted."""

    __slots__ = ("_driver",)

    def __init__(self, sources: SimSources, peer: Place) -> None:
        super().__init__(sources, peer)
        self._driver = sources.driver

    def take(self, data: bytes) -> None:
        """See SourcePort."""
        self._driver.note("arrived", self.vc, len(data), crc32(data))
        super().take(data)


def show(place: object) -> str:
    """Write a place for logs."""
    assert isinstance(place, tuple)
    return f"{place[0]}:{place[1]}"
