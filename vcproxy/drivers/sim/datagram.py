"""Datagrams in the simulated driver: it uses the ports of real sockets on simulated sockets.

Tested in tests/sim/test_datagrams.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from vcproxy.drivers.datagram_sessions import DatagramSessions, SessionPort
from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.unix_sessions import UnixSessions, session_name
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.drivers.sim.datagram_network import SimSocket
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.drivers.sim.unix_network import SimUnixSocket
    from vcproxy.engine.listener import Listener
    from vcproxy.engine.sources.datagrams import HostPort


class SimHandler(Protocol):
    def on_readable(self) -> None:
        """Read: a datagram has arrived."""

    def on_writable(self) -> None:
        """Resume writing: the socket can send again."""


class SimWatch:
    """Watches one socket, as level-triggered epoll does."""

    handler: SimHandler

    def __init__(self, driver: PortDriver, sock: SimSocket | SimUnixSocket) -> None:
        self._driver = driver
        self._sock = sock
        self._reads = self._writes = False
        sock.on_edge = self._check

    def set_interest(self, reads: bool, writes: bool) -> None:
        """See SetInterest."""
        self._reads, self._writes = reads, writes
        self._check()

    def ready(self) -> None:
        """Call the handler, in the turn after the event."""
        if self._writes and self._sock.writable:
            self.handler.on_writable()
        if self._reads and self._sock.readable:
            self.handler.on_readable()
        self._check()

    def _check(self) -> None:
        sock = self._sock
        if (self._reads and sock.readable) or (self._writes and sock.writable):
            self._driver.edge(self)


class SimDatagramPort(DatagramPort):
    """A DatagramPort whose driver calls are traced."""

    __slots__ = ("_driver",)

    def __init__(self, driver: PortDriver, sock: SimSocket | SimUnixSocket) -> None:
        watch = SimWatch(driver, sock)
        watch.handler = self
        super().__init__(sock, watch.set_interest, sock.send)
        self._driver = driver

    def on_readable(self) -> None:
        """See DatagramPort."""
        self._driver.trace_call("readable", self.vc)
        super().on_readable()

    def _deliver(self, data: bytes) -> None:
        self._driver.trace_call("received", self.vc, len(data), crc32(data))
        super()._deliver(data)


class SimDatagramListener(DatagramSessions):
    """Listens for datagrams at an address. Its driver calls are traced."""

    def __init__(self, driver: PortDriver, sock: SimSocket, listener: Listener) -> None:
        self.driver = driver
        watch = SimWatch(driver, sock)
        watch.handler = self
        self.address = Address("udp", *sock.local)
        super().__init__(driver.engine, listener, sock, watch.set_interest, show, self._room)

    def _room(self) -> bool:
        limit = self.driver.max_sessions
        return limit is None or len(self.ports) < limit

    def port(self, peer: HostPort) -> SessionPort:
        """See DatagramSessions."""
        return SimSessionPort(self, peer)


class SimUnixListener(UnixSessions):
    """Listens for Unix datagrams at a path."""

    def __init__(
        self, driver: PortDriver, sock: SimUnixSocket, address: Address, listener: Listener
    ) -> None:
        watch = SimWatch(driver, sock)
        watch.handler = self
        self.address = address
        super().__init__(
            driver.engine,
            listener,
            sock,
            watch.set_interest,
            lambda place: session_name(str(place)),
            lambda: driver.max_sessions is None or len(self.ports) < driver.max_sessions,
        )


class SimSessionPort(SessionPort):
    """A SessionPort whose driver calls are traced."""

    __slots__ = ("_driver",)

    def __init__(self, sessions: SimDatagramListener, peer: HostPort) -> None:
        super().__init__(sessions, peer)
        self._driver = sessions.driver

    def receive(self, data: bytes) -> None:
        """See SessionPort."""
        self._driver.trace_call("arrived", self.vc, len(data), crc32(data))
        super().receive(data)


def show(place: object) -> str:
    """Return an address as text."""
    assert isinstance(place, tuple)
    return f"{place[0]}:{place[1]}"
