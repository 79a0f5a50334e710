"""Ports of Unix sockets that carry messages: connected datagram sockets, and packets
(SOCK_SEQPACKET).

Tested in tests/conformance/test_messages.py.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.epoll.closing import Lingering
from vcproxy.drivers.epoll.datagram import DatagramWatch
from vcproxy.drivers.epoll.unix_socket import SocketFile, bound_unix
from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.drop_counter import DropCounter
from vcproxy.engine.sources.unix_datagrams import LARGEST_UNIX

if TYPE_CHECKING:
    from vcproxy.drivers.datagrams import SetInterest
    from vcproxy.drivers.epoll.accepting import AcceptDriver
    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.engine.address import Address
    from vcproxy.engine.blocks import Block

TOO_LONG = f"longer than {LARGEST_UNIX} bytes"


class UnixMessagePort(DatagramPort):
    """A Unix socket that keeps messages apart, for one VC: at most LARGEST_UNIX bytes each."""

    __slots__ = ("_file",)

    def __init__(
        self, sock: socket.SocketType, set_interest: SetInterest, file: SocketFile | None = None
    ) -> None:
        """`file`: what to remove at the end."""
        super().__init__(sock, set_interest, sock.send)
        self._recv = partial(_received, sock)
        self._file = file

    def _deliver(self, data: bytes) -> None:
        """See DatagramPort. A longer message is dropped: its end is missing."""
        if len(data) <= LARGEST_UNIX:
            super()._deliver(data)
        else:
            self.vc.would_block()
            self.drop(TOO_LONG)

    def push(self, data: Block) -> int:
        """See DatagramPort."""
        if len(data) <= LARGEST_UNIX or not self.writable:
            return super().push(data)
        self.drop(TOO_LONG)
        return len(data)

    def drop(self, reason: str) -> None:
        """Count a message that was dropped."""
        if self.drops is None:
            self.drops = DropCounter(self.vc.engine, self.vc.name)
        self.drops.drop(reason)

    def close(self, abort: bool) -> None:
        """See DatagramPort."""
        if self._file is not None:
            self._file.remove()
        super().close(abort)


def _received(sock: socket.SocketType, size: int) -> bytes:
    return sock.recv(LARGEST_UNIX + 1)


class PacketPort(UnixMessagePort):
    """A connection of packets. It has an end in each direction, as a stream has.

    An empty packet would be an end for its receiver (recv(2) returns 0 for both), so it is dropped.
    """

    __slots__ = ("_driver", "_ended", "_lingers", "fd", "sock")

    def __init__(self, sock: socket.SocketType, set_interest: SetInterest, driver: Poller) -> None:
        super().__init__(sock, set_interest)
        self.sock: socket.SocketType | None = sock
        self.fd = sock.fileno()
        self._driver = driver
        self._ended = False
        self._lingers = False

    def _deliver(self, data: bytes) -> None:
        """See DatagramPort. Nothing is the end."""
        if data:
            super()._deliver(data)
            return
        self._reads = False
        self._ended = True
        self._set_interest(False, not self.writable)
        self.vc.would_block()
        self.vc.ended()

    def read(self) -> None:
        """See DatagramPort. After the end the socket would be readable for ever."""
        if not self._ended:
            super().read()

    def push(self, data: Block) -> int:
        """See DatagramPort."""
        if data is not EMPTY or not self.writable:
            return super().push(data)
        self.drop("an empty message would end the connection")
        return len(data)

    def shutdown_write(self) -> None:
        """Send the end after all packets sent before."""
        self.writable = False
        try:
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # already broken; reading returns the error

    def close(self, abort: bool) -> None:
        """Close. A close with unread packets would be an error for the peer, before it has read
        what was sent: so they are read and discarded, for a limited time. See Lingering."""
        if self._lingers or abort or self._ended:
            self.finish()
            return
        self._lingers = True
        self.shutdown_write()
        self._reads = False
        self._set_interest(False, False)
        Lingering(self._driver, self).begin()

    def finish(self) -> None:
        """Close the descriptor now."""
        if self.sock is not None:
            if self._lingers:
                self._driver.unwatch(self.fd)
            self.sock = None
            super().close(abort=False)

    force_close = finish


def packet_port(driver: Poller, sock: socket.SocketType) -> PacketPort:
    """Return the port of a connected SOCK_SEQPACKET socket. Raises OSError at epoll's limit."""
    watch = DatagramWatch(driver, sock)
    watch.handler = port = PacketPort(sock, watch.set_interest, driver)
    _start(port, sock)
    return port


def connected_port(driver: AcceptDriver, address: Address) -> UnixMessagePort:
    """Return the port of a datagram socket that is connected to a path. It has a name of its own,
    so that the peer can send something back. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.bind("")  # the kernel chooses a name of the abstract namespace (unix(7))
        sock.connect(address.path)
    except OSError:
        sock.close()
        raise
    return _message_port(driver, sock)


def bound_port(driver: AcceptDriver, address: Address) -> UnixMessagePort:
    """Return the port of a datagram socket that receives at a path. Raises OSError."""
    return _message_port(driver, bound_unix(address), SocketFile(address.path))


def _message_port(
    driver: AcceptDriver, sock: socket.SocketType, file: SocketFile | None = None
) -> UnixMessagePort:
    watch = DatagramWatch(driver, sock)
    watch.handler = port = UnixMessagePort(sock, watch.set_interest, file)
    _start(port, sock)
    return port


def _start(port: UnixMessagePort, sock: socket.SocketType) -> None:
    try:
        port.read()
    except OSError:
        sock.close()
        raise
