"""Closes a stream socket in such a way that data sent before still arrives.

close(2) with unread input makes the kernel send a reset, and a reset discards the data in the
queues of both kernels. So the descriptor of a closed VC stays open for a limited time.

Tested in tests/conformance/test_epoll.py and tests/drivers/test_epoll_stream.py.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.poller import Poller

LINGER_S = 2.0
LINGER_BYTES = 64 * 1024
"""Limits of an orderly close while the peer still sends: seconds, bytes (RFC 9112, 9.6)."""

_POLL_S = 0.01
"""Interval of polling the size of the send queue: epoll has no event for an empty one."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST


class ClosingPort(Protocol):
    """The methods of a port that a close uses."""

    fd: int
    sock: socket.SocketType | None

    def finish(self) -> None:
        """Close the descriptor now."""

    def force_close(self) -> None:
        """Close the descriptor now, if it is still open."""


class Lingering:
    """An orderly close: further input is read and discarded until the peer closes too."""

    def __init__(self, driver: Poller, port: ClosingPort) -> None:
        self._driver = driver
        self._port = port
        self._left = LINGER_BYTES

    def begin(self) -> None:
        """Start the close. The descriptor is closed when the peer closes too, after LINGER_S at the
        latest."""
        port = self._port
        self.ready(select.EPOLLIN)
        if port.sock is not None:
            self._driver.watch(port.fd, self)
            self._driver.after(LINGER_S, port.force_close)

    def ready(self, mask: int) -> None:
        """Discard input; close at end of stream, on an error, or after LINGER_BYTES."""
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
    """A close with a reset (RST). The reset is sent when all data before it is acknowledged.

    If the peer acknowledges nothing for LINGER_S, the reset is sent anyway. A Unix socket has no
    reset and delivers what was sent.
    """

    def __init__(self, driver: Poller, port: ClosingPort) -> None:
        self._driver = driver
        self._port = port
        self._unsent = 0
        self._waited = 0.0

    def begin(self, broken: bool) -> None:
        """Start the close. Without unacknowledged data, or if `broken`, reset at once."""
        sock = self._port.sock
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if not broken:
                self._unsent = _unacknowledged(sock)
        if self._unsent:
            self._driver.watch(self._port.fd, self)
            self._driver.after(_POLL_S, self._poll)
        else:
            self._port.finish()

    def ready(self, mask: int) -> None:
        """Close when the connection breaks: no more data can arrive at the peer."""
        if mask & select.EPOLLERR:
            self._port.force_close()

    def _poll(self) -> None:
        sock = self._port.sock
        if sock is None:
            return
        unsent = _unacknowledged(sock)
        self._waited = 0.0 if unsent < self._unsent else self._waited + _POLL_S
        self._unsent = unsent
        if unsent and self._waited < LINGER_S:
            self._driver.after(_POLL_S, self._poll)
        else:
            self._port.finish()


def _unacknowledged(sock: socket.SocketType) -> int:
    """Return the bytes sent that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), "little")
