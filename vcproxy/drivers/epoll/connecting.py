"""Connecting: the ports of VCs that are not connected yet, for look-ups and connect attempts."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.accepting import show
from vcproxy.drivers.epoll.stream import StreamPort
from vcproxy.drivers.epoll.tcp import set_tcp
from vcproxy.engine.address import UNIX
from vcproxy.engine.commands import Connect, Subscribe
from vcproxy.engine.failures import kind_of

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.drivers.epoll.resolver import Resolver
    from vcproxy.engine.address import Address
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.commands import Resolve
    from vcproxy.engine.net import NetVConnection


class _Unconnected:
    """A port without a connection: it reads and writes nothing."""

    __slots__ = ()

    spliceable = False

    def read(self) -> None:
        """Do nothing."""

    def write(self) -> None:
        """Do nothing."""

    def push(self, data: Block) -> int:
        """Write nothing."""
        return 0


class Resolving(_Unconnected):
    """The look-up of a name for a VC."""

    __slots__ = ("_lookup", "_outgoing", "_resolver")

    def __init__(self, resolver: Resolver, command: Resolve) -> None:
        self._resolver = resolver
        self._outgoing = command.outgoing
        command.outgoing.vc.port = self
        self._lookup = resolver.look_up(command.address, self._done)

    def _done(self, addresses: list[Address], error: Exception | None) -> None:
        """Post the result to the engine; called on another thread."""
        self._outgoing.vc.soon(partial(self._resolved, addresses, error))

    def _resolved(self, addresses: list[Address], error: Exception | None) -> None:
        vc = self._outgoing.vc
        if vc.port is self:
            vc.port = None
            self._outgoing.resolved(addresses, error)

    def close(self, abort: bool) -> None:
        """Cancel the look-up."""
        vc = self._outgoing.vc
        self._resolver.cancel(self._lookup)
        vc.port = None
        vc.gone()


def connect_error(command: Connect | Subscribe, error: OSError) -> OSError:
    """Return the error of a failed attempt, with the system's text; and with the address, if that
    is not the target itself but one of its host name's addresses.

    It is a new one: the frames of the traceback of what was raised refer to the connection, which
    keeps its error: a cycle.
    """
    if error.errno is None and command.address == command.outgoing.target:
        return type(error)(str(error))  # with a text of our own
    why = os.strerror(error.errno).lower() if error.errno else str(error)
    where = "" if command.address == command.outgoing.target else f"{command.address}: "
    return kind_of(error.errno)(f"{where}{why}")


class Connecting(_Unconnected):
    """The connect attempts of one VC, to several addresses at a time (RFC 8305)."""

    __slots__ = ("_attempts", "_driver", "_vc")

    def __init__(self, driver: Poller, vc: NetVConnection) -> None:
        self._driver = driver
        self._vc = vc
        self._attempts: list[Attempt] = []
        vc.port = self

    def start(self, command: Connect) -> None:
        """Start an attempt at one more address. Raises OSError if it fails at once."""
        self._attempts.append(Attempt(self._driver, self, command))

    def remove(self, attempt: Attempt) -> None:
        """Forget an attempt that has failed."""
        self._attempts.remove(attempt)

    def cancel(self, but: Attempt | None = None) -> None:
        """Close the sockets of all attempts, except that of one which has succeeded."""
        for attempt in self._attempts:
            if attempt is not but:
                attempt.close()
        self._attempts.clear()

    def close(self, abort: bool) -> None:
        """Cancel all attempts; the VC is closed."""
        self.cancel()
        self._vc.gone()


def _push(sock: socket.SocketType) -> None:
    """Let the kernel send what it keeps of MSG_MORE."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        pass  # closed since


class Attempt:
    """One non-blocking connect."""

    __slots__ = ("_command", "_connecting", "_driver", "_sock")

    def __init__(self, driver: Poller, connecting: Connecting, command: Connect) -> None:
        self._driver = driver
        self._connecting = connecting
        self._command = command
        address = command.address
        kind = socket.SOCK_STREAM
        if address.scheme in UNIX:
            family: int = socket.AF_UNIX
            where: object = address.path
            if address.scheme == "unixpacket":
                kind = socket.SOCK_SEQPACKET
        else:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            where = (address.host, address.port)
        self._sock = socket.SocketType(family, kind | socket.SOCK_NONBLOCK)
        if family != socket.AF_UNIX:
            set_tcp(self._sock, command.outgoing.tcp, fresh=True)
        try:
            driver.watch(self._sock.fileno(), self)
            number = self._sock.connect_ex(where)  # type: ignore[arg-type]
            # EAGAIN of a Unix socket: the server's backlog is full (connect(2))
            if number not in (0, errno.EINPROGRESS):
                raise OSError(number, os.strerror(number))
        except OSError:
            self.close()
            raise

    def ready(self, mask: int) -> None:
        """Report the result to the engine; make a connected socket the VC's port."""
        if not mask & (select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP):
            return
        sock, command = self._sock, self._command
        number = 0
        if mask & (select.EPOLLERR | select.EPOLLHUP):
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not number:
            try:
                peer = sock.getpeername()
            except OSError:
                # Not connected: the event was of a closed socket with the same number, which a
                # child process still had that was being launched: see `EpollDriver.forget`.
                return
            if peer == sock.getsockname() and sock.family != socket.AF_UNIX:
                # Nothing listens there. The kernel has chosen the very port as the own one, and TCP
                # has connected the socket to itself (simultaneous open, RFC 9293 3.5). It would
                # keep the port from the server that comes back; without a reset also afterwards,
                # for 60 s in TIME_WAIT.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                number = errno.ECONNREFUSED
        if number:
            self._connecting.remove(self)
            self.close()
            command.outgoing.refused(command.address, connect_error(command, OSError(number, "")))
        else:
            self._connecting.cancel(but=self)
            self._connected(mask)

    def _connected(self, mask: int) -> None:
        outgoing = self._command.outgoing
        address = self._command.address
        if address.message_oriented:
            self._connected_packets()
            return
        if outgoing.introduction and not self._introduced(outgoing.introduction):
            return
        if outgoing.tls is None:
            port = StreamPort(self._driver, self._sock)
        else:
            from vcproxy.drivers.epoll.tls_port import connected_port  # takes 8 ms

            port = connected_port(
                self._driver, self._sock, outgoing.tls, address, outgoing.server_name
            )
        port.vc = outgoing.vc
        self._driver.watch(port.fd, port)
        outgoing.connected(address, port, self._local, address.text)
        port.ready(mask)  # the same edge may report data or an end; no other edge follows

    def _introduced(self, header: bytes) -> bool:
        """Send a PROXY header whole, before anything else; return False if that has failed.

        The kernel keeps it until more data follow in this turn, and sends both in one segment. At
        the end of the turn it is sent in any case, by setting TCP_NODELAY again (tcp(7)): a server
        may be the one that speaks first.
        """
        sock, command = self._sock, self._command
        tcp = sock.family != socket.AF_UNIX
        try:
            count = sock.send(header, socket.MSG_MORE if tcp else 0)
            if count < len(header):  # never, as the send queue is empty
                raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        except OSError as error:
            self.close()
            command.outgoing.refused(command.address, connect_error(command, error))
            return False
        if tcp:
            self._driver.after(0.0, partial(_push, sock))
        return True

    def _connected_packets(self) -> None:
        from vcproxy.drivers.epoll.packet_port import packet_port  # few proxies need it

        outgoing, address = self._command.outgoing, self._command.address
        self._driver.unwatch(self._sock.fileno())
        try:
            port = packet_port(self._driver, self._sock)
        except OSError as error:
            outgoing.refused(address, connect_error(self._command, error))
            return
        port.vc = outgoing.vc
        outgoing.connected(address, port, self._local, address.text)

    def _local(self) -> str:
        return show(self._sock.getsockname())

    def close(self) -> None:
        """Close the socket."""
        self._driver.forget(self._sock.fileno())
        self._sock.close()
