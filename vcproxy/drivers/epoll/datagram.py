"""Datagram sockets under epoll: how they are opened, and what epoll is asked about them."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Protocol

from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.epoll.accepting import show
from vcproxy.drivers.epoll.multicast import interface_index, join, send_on
from vcproxy.drivers.sources import Sources

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener

RECEIVED = 4 * 1024 * 1024
"""Bytes of datagrams the kernel keeps for us, if it lets us (net.core.rmem_max): a burst while the
net thread is busy elsewhere."""


class DatagramListener(Sources):
    """Listens for datagrams at an address, as an AcceptPort does for connections."""

    def __init__(self, driver: EpollDriver, listener: Listener, address: Address) -> None:
        sock = bound(address)
        self.asked = address
        self.address = address.with_port(sock.getsockname()[1])
        watch = _Watch(driver, sock)
        watch.owner = self
        descriptors = driver.descriptors
        super().__init__(
            driver.engine, listener, sock, watch.want, show, lambda: descriptors.room_for_session
        )

    def resume(self) -> None:
        """Go on for the listener that it has now. It never pauses: who is too many is dropped."""
        self.losses.name = self.listener.name


class _Owner(Protocol):
    def readable(self) -> None:
        """There is something to read, or an error to be met by reading."""

    def may_write(self) -> None:
        """The socket takes more."""


class _Watch:
    """What epoll is asked about one socket, and tells its owner."""

    owner: _Owner

    def __init__(self, driver: EpollDriver, sock: socket.socket) -> None:
        self._driver = driver
        self._fd = sock.fileno()
        self._mask = 0

    def want(self, reads: bool, writes: bool) -> None:
        """See Want. Level-triggered: what is left over is told again."""
        mask = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if writes else 0)
        if mask == self._mask:
            return
        if not mask:
            self._driver.forget(self._fd)
        elif not self._mask:
            self._driver.watch(self._fd, self, mask)
        else:
            self._driver.rewatch(self._fd, mask)
        self._mask = mask

    def ready(self, mask: int) -> None:
        """Take an event."""
        if mask & select.EPOLLOUT:
            self.owner.may_write()
        if mask & ~select.EPOLLOUT:
            self.owner.readable()


def port(driver: EpollDriver, sock: socket.socket) -> DatagramPort:
    """Make the port of a socket that is one VC's. Raises OSError: the system watches no more."""
    watch = _Watch(driver, sock)
    watch.owner = made = DatagramPort(sock, watch.want, sock.send)
    try:
        made.read()
    except OSError:
        sock.close()
        raise
    return made


# -- sockets ---------------------------------------------------------------------------------


def bound(address: Address) -> socket.socket:
    """Open a socket that gets what is sent to an address. Of a multicast group it is a member.

    Raises OSError, worded for people.
    """
    family, _, _, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    sock = _open(family)
    try:
        if address.multicast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # many may hear one group
            join(sock, address)
            where = _group(address)
        sock.bind(where)
    except OSError:
        sock.close()
        raise
    return sock


def connected(address: Address) -> socket.socket:
    """Open a socket that sends to a numeric address, and hears its answers. Raises OSError."""
    sock = _open(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    try:
        if address.multicast:
            send_on(sock, address)
            sock.connect(_group(address))
        else:
            sock.connect((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock


def _group(address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    """The sockaddr of a group: in IPv6 most of them say little without their interface."""
    place = address.host, address.port
    if ":" not in address.host:
        return place
    return (*place, 0, interface_index(address.parameter("interface")))


def _open(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
    return sock
