"""Datagram sockets of the epoll driver: opening them, and watching them with epoll."""

from __future__ import annotations

import select
import socket
from select import EPOLLOUT
from typing import TYPE_CHECKING, Protocol

from vcproxy.drivers.datagram_sessions import DatagramSessions
from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.epoll.accepting import AcceptDriver, Divided, bind_divided, show
from vcproxy.drivers.epoll.multicast import interface_index, join, send_on

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener

RECEIVED = 4 * 1024 * 1024
"""Receive buffer in bytes, up to net.core.rmem_max: it holds a burst that comes while the net
thread serves other connections."""


class DatagramListener(DatagramSessions):
    """A listening datagram socket. It opens a session for each new source of datagrams."""

    def __init__(
        self,
        driver: AcceptDriver,
        listener: Listener,
        address: Address,
        inherited: socket.socket | None = None,
    ) -> None:
        """Receive from an inherited socket, or bind one. Raises OSError."""
        sock = bound(address) if inherited is None else inherited
        self.requested = address
        self.address = address.with_port(sock.getsockname()[1])
        watch = DatagramWatch(driver, sock)
        watch.handler = self
        descriptors = driver.descriptors
        super().__init__(
            driver.engine,
            listener,
            sock,
            watch.set_interest,
            show,
            lambda: descriptors.room_for_session,
        )

    def renew(self, address: Address, inherited: socket.socket | None = None) -> None:
        """Do nothing: there are no options."""

    def resume(self) -> None:
        """Use the current listener's name in logs. There is nothing to resume: at the limit of
        sessions, datagrams from new sources are dropped without a pause."""
        self.drops.name = self.listener.name


class EpollHandler(Protocol):
    def on_readable(self) -> None:
        """Read: a datagram or an error has arrived."""

    def on_writable(self) -> None:
        """Resume writing: the socket can send again."""


class DatagramWatch:
    """A socket's registration with epoll. It is level-triggered: unread data is reported again."""

    handler: EpollHandler

    def __init__(self, driver: Poller, sock: socket.SocketType) -> None:
        self._driver = driver
        self._fd = sock.fileno()
        self._mask = 0

    def set_interest(self, reads: bool, writes: bool) -> None:
        """See SetInterest."""
        mask = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if writes else 0)
        if mask == self._mask:
            return
        if not mask:
            self._driver.unwatch(self._fd)
        elif not self._mask:
            self._driver.watch(self._fd, self, mask)
        else:
            self._driver.rewatch(self._fd, mask)
        self._mask = mask

    def ready(self, mask: int) -> None:
        """Call the handler for an event."""
        if mask & EPOLLOUT:
            self.handler.on_writable()
        if mask != EPOLLOUT:
            self.handler.on_readable()


def port(driver: AcceptDriver, sock: socket.socket) -> DatagramPort:
    """Return the port of a socket that serves one VC. Raises OSError at epoll's limit (ENOSPC)."""
    watch = DatagramWatch(driver, sock)
    watch.handler = made = DatagramPort(sock, watch.set_interest, sock.send)
    try:
        made.read()
    except OSError:
        sock.close()
        raise
    return made


# -- sockets ---------------------------------------------------------------------------------


def bound(address: Address, divided: Divided = None) -> socket.socket:
    """Return a socket bound to an address; for a multicast address it joins the group.

    `divided`: see Divided; not for multicast. Raises OSError.
    """
    family, _, _, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    sock = _open(family)
    try:
        if address.multicast:
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # several sockets may bind to one group
            join(sock, address)
            where = _group(address)
        bind_divided(sock, where, divided)
    except OSError:
        sock.close()
        raise
    return sock


def connected(address: Address) -> socket.socket:
    """Return a socket connected to a numeric address: it sends there and receives from there only.

    Raises OSError.
    """
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
    """Return the sockaddr of a group; in IPv6 with the interface: most groups are link-local."""
    place = address.host, address.port
    if ":" not in address.host:
        return place
    return (*place, 0, interface_index(address.parameter("interface")))


def _open(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
    return sock
