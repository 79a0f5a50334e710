"""Closing a stream socket so that what was sent arrives.

close(2) with unread input makes the kernel send a reset, and a reset discards what waits in either
kernel's queues. So a port whose VC is closed keeps its descriptor for a while.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.drivers.epoll.stream import StreamPort

LINGER_S = 2.0
LINGER_BYTES = 64 * 1024
"""A close while the peer still sends waits so long, for so much (RFC 9112, 9.6)."""

_LOOK_S = 0.01
"""So often it is asked what is still on its way: no event says when a send queue is empty."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST


class Lingering:
    """A port whose VC is closed in order: what still comes is read and thrown away."""

    def __init__(self, driver: EpollDriver, port: StreamPort) -> None:
        self._driver = driver
        self._port = port
        self._left = LINGER_BYTES

    def begin(self) -> None:
        """Close when the peer has ended too, or had time to."""
        port = self._port
        self.ready(select.EPOLLIN)
        if port.sock is not None:
            self._driver.watch(port.fd, self)
            self._driver.after(LINGER_S, port.give_up)

    def ready(self, mask: int) -> None:
        """Discard input; close at its end, on an error, or when it is too much."""
        sock = self._port.sock
        if sock is None:
            return
        try:
            while self._left > 0:
                size = len(sock.recv(LINGER_BYTES))
                if size == 0:
                    break
                self._left -= size
        except BlockingIOError:
            return
        except OSError:
            pass
        self._port.finish()


class Resetting:
    """A port whose VC is closed with a reset: it goes out behind what was sent, as long as the peer
    takes some of that every LINGER_S. A Unix socket knows no reset, and keeps what was sent."""

    def __init__(self, driver: EpollDriver, port: StreamPort) -> None:
        self._driver = driver
        self._port = port
        self._unsent = 0
        self._patience = LINGER_S

    def begin(self, broken: bool) -> None:
        """Reset the connection, at once where nothing is on its way."""
        sock = self._port.sock
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if not broken:
                self._unsent = _unacknowledged(sock)
        if self._unsent:
            self._driver.watch(self._port.fd, self)
            self._driver.after(_LOOK_S, self._look)
        else:
            self._port.finish()

    def ready(self, mask: int) -> None:
        """Close when the connection breaks: nothing more arrives."""
        if mask & select.EPOLLERR:
            self._port.give_up()

    def _look(self) -> None:
        sock = self._port.sock
        if sock is None:
            return
        unsent = _unacknowledged(sock)
        self._patience = LINGER_S if unsent < self._unsent else self._patience - _LOOK_S
        self._unsent = unsent
        if unsent and self._patience > 0:
            self._driver.after(_LOOK_S, self._look)
        else:
            self._port.finish()


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes that were sent and that the peer's system has not taken yet (SIOCOUTQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), "little")
