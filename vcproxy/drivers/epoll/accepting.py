"""AcceptPort: a listening stream socket of the epoll driver."""

from __future__ import annotations

import errno
import select
import socket
from typing import TYPE_CHECKING, Literal, Protocol

from vcproxy.drivers.epoll.poller import Poller
from vcproxy.drivers.epoll.tcp import set_tcp
from vcproxy.engine.address import UNIX, Address, unmapped
from vcproxy.engine.failures import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.drivers.epoll.descriptors import Descriptors
    from vcproxy.drivers.epoll.unix_socket import SocketFile
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.listener import Listener

BACKLOG = 4096
"""Limit of connections that wait in the kernel to be accepted, at most net.core.somaxconn. In a
burst of this size no client has to retransmit its SYN, which would take a second."""

BATCH = 32
"""Limit of accepts in one turn: a flood of new connections must not delay the open ones. The number
begins at one and doubles in each consecutive turn: an accept that finds no connection costs as much
as a successful one (measured)."""

Divided = Literal["first", "further"] | None
"""Whether a socket is one of several at its address, among which the kernel divides the clients:
the first, which needs the address to be free, or a further one. None: it is the only one."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def bind(address: Address, divided: Divided = None) -> socket.socket:
    """Return a listening socket. Raises OSError.

    `divided`: see Divided; not for Unix sockets (see `bound_unix`).
    """
    if address.scheme in UNIX:
        from vcproxy.drivers.epoll.unix_socket import bound_unix  # many proxies have none

        sock = bound_unix(address)
        if address.scheme != "unixgram":
            sock.listen(BACKLOG)
        return sock
    family, _, _, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.setblocking(False)
        bind_divided(sock, where, divided)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def bind_divided(sock: socket.socket, where: object, divided: Divided) -> None:
    """Bind a socket, alone or as one of several at the same address. Raises OSError.

    The first of several is bound without SO_REUSEPORT: so it fails if another process uses the
    address, even one that allows further sockets. Linux checks the current options of the sockets
    that are bound already, so it is enough to set the option before the second one is bound.
    """
    if divided == "further":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(where)  # type: ignore[arg-type]
    if divided == "first":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _file_of(address: Address) -> SocketFile:
    from vcproxy.drivers.epoll.unix_socket import SocketFile

    return SocketFile(address.path)


def show(sockaddr: object) -> str:
    """Return an IP address and port as text, an IPv4-mapped IPv6 address as IPv4; else "unix"."""
    if isinstance(sockaddr, tuple):
        host, port = sockaddr[:2]
        return unmapped(f"[{host}]:{port}") if ":" in host else f"{host}:{port}"
    return "unix"


class AcceptDriver(Poller, Protocol):
    """The methods of the driver that listening ports use."""

    engine: Engine
    descriptors: Descriptors

    def out_of_descriptors(self, listener: Listener, retry: Callable[[], None]) -> None:
        """Log that a listener has no descriptors for more clients; call `retry` after a pause."""

    def assign(self, listener: Listener, sock: socket.SocketType, peer: str, tls: object) -> None:
        """Assign an accepted socket to the next driver of the group."""


class AcceptPort:
    """A listening socket. It is level-triggered: to pause it, the driver stops watching it."""

    def __init__(
        self,
        driver: AcceptDriver,
        listener: Listener,
        address: Address,
        inherited: socket.socket | None = None,
    ) -> None:
        """Listen with an inherited socket, or bind one. Raises OSError.

        The file of an inherited Unix socket is neither bound again nor removed here: it belongs to
        the process that made the socket.
        """
        self._driver = driver
        self.listener = listener
        self._batch = 1  # accepts in this turn
        self._turn = 0  # the engine's turn in which a whole batch was accepted
        self._inherited = inherited is not None
        self._sock = sock = bind(address) if inherited is None else inherited
        self._inet = address.scheme not in UNIX
        self._family, self._type = int(sock.family), int(sock.type)
        self.requested = address
        self.address = address.with_port(sock.getsockname()[1]) if self._inet else address
        self._file = _file_of(address) if not (self._inet or self._inherited) else None
        self.renew(address)
        self.resume()

    def renew(self, address: Address, inherited: socket.socket | None = None) -> None:
        """Apply the listener's TCP options; bind a Unix socket again if its file was removed, and
        set the mode, owner and group of `address`.

        `inherited`: a Unix socket that is bound again already. Raises OSError.
        """
        if self._inet:
            set_tcp(self._sock, self.listener.tcp)
        elif inherited is not None:
            self._replace(inherited)
        elif self._file is not None and not self._file.present:
            self._replace(bind(address))
            self._file = _file_of(address)
        elif self._file is not None and address.file != self.address.file:
            from vcproxy.drivers.epoll.unix_socket import set_permissions

            set_permissions(address)
        if not self._inet:
            self.address = address

    def _replace(self, sock: socket.socket) -> None:
        for _ in range(BACKLOG):  # accept the connections in the old socket's backlog
            self.ready(select.EPOLLIN)
        self._pause()
        self._sock.close()
        self._sock = sock
        self.resume()

    def resume(self) -> None:
        """Resume accepting."""
        if self._sock.fileno() >= 0:
            self._driver.watch(self._sock.fileno(), self, select.EPOLLIN)

    def _pause(self) -> None:
        self._driver.unwatch(self._sock.fileno())

    def ready(self, mask: int) -> None:
        """Accept a batch of the waiting connections."""
        listener = self.listener
        descriptors = self._driver.descriptors
        turn = self._driver.engine.turns
        self._batch = min(2 * self._batch, BATCH) if turn == self._turn + 1 else 1
        for _ in range(self._batch):
            if not descriptors.admits():
                self._pause()
                self._driver.out_of_descriptors(listener, self.resume)
                return
            if not listener.admits():
                listener.warn_full()
                self._pause()
                return
            try:
                # This takes half the time of accept(), which makes its socket in Python (measured).
                fd, peer = self._sock._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    continue  # an error of this one connection (accept(2))
                self._pause()
                failure = kind_of(error.errno)(str(error.strerror).lower())
                self._driver.engine.accept_failed(listener, failure)
                return
            sock = socket.SocketType(self._family, self._type, 0, fd)
            sock.setblocking(False)
            listener.count_accepted()
            tls = listener.tls if self.address.secure else None
            self._driver.assign(listener, sock, show(peer), tls)
        self._turn = turn

    def close(self) -> None:
        """Close the socket; remove a Unix socket's file, unless another process has replaced it."""
        self._pause()
        self._sock.close()
        if self._file is not None:
            self._file.remove()
