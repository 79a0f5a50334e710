"""SyslogSender: sends the log to a log server, and connects again when the connection is lost.

Tested in tests/app/logs/test_syslog_sender.py and tests/e2e/test_syslog.py.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from time import monotonic

from vcproxy.app.logs.line_writer import Pause
from vcproxy.app.logs.syslog_message import frame
from vcproxy.config.log_target import SyslogServer
from vcproxy.drivers.tls_context import client_context

CONNECT_S = 5.0
"""How long connecting to the server may take, as connecting to any server of the proxy."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""The pauses between attempts, each twice as long as the one before: a server that is restarted is
back in a second, and one that is down is not asked all the time."""

REPORT_EVERY_S = 60.0
"""A server that is out of reach is reported so often at most."""

UNSENT = 64 << 10
"""The most bytes that the kernel holds for a stream: they are lost if the server fails."""

SILENT_MS = 60_000
"""After so many milliseconds without an acknowledgement a stream is given up (TCP_USER_TIMEOUT)."""


class SyslogSender:
    """The target of a LineWriter: a log server.

    While the server is out of reach, the lines wait. Syslog has no acknowledgements: what the
    kernel has taken when a stream breaks is lost, and so are datagrams, without a count.
    """

    def __init__(self, server: SyslogServer, unreachable: Callable[[str], None]) -> None:
        """Make it; the first line connects it.

        Args:
            server: where to send to.
            unreachable: called with the reason when the server is out of reach.

        Raises:
            ValueError: the authorities of a server with TLS cannot be used.
        """
        self.reason = ""
        self.failing = False
        self._server = server
        self._unreachable = unreachable
        self._reported = -REPORT_EVERY_S
        self._context = client_context(ca=server.ca) if server.address.secure else None
        self._socket: socket.socket | None = None
        self._framed = False

    def write(self, lines: Sequence[bytes], pause: Pause) -> int:
        """Send lines; return how many were sent before `pause` has returned True."""
        for number, line in enumerate(lines):
            message = line.removesuffix(b"\n")
            pause_s = FIRST_PAUSE_S
            while not self._sent(message):
                if pause(pause_s):
                    return number
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return len(lines)

    def reopen(self) -> str:
        """Connect again before the next line, with a new look-up of the server's name."""
        self._disconnect()
        return ""

    def close(self) -> None:
        """Close the connection, after what was sent (TLS: with its end)."""
        if isinstance(self._socket, ssl.SSLSocket):
            try:
                self._socket.settimeout(CONNECT_S)
                self._socket.unwrap()
            except OSError:  # the server does not answer with its own end, or is gone
                pass
        self._disconnect()

    def _sent(self, message: bytes) -> bool:
        """Send one message; return whether it was sent. If not, the connection is closed."""
        try:
            if self._socket is not None and self._framed and _ended(self._socket):
                self._disconnect()
            if self._socket is None:
                self._socket, self._framed = self._connected()
            self._socket.sendall(frame(message) if self._framed else message)
        except OSError as error:
            self._disconnect()
            self.failing, self.reason = True, _reason(error)
            if monotonic() - self._reported >= REPORT_EVERY_S:
                self._reported = monotonic()
                self._unreachable(self.reason)
            return False
        self.failing = False
        return True

    def _connected(self) -> tuple[socket.socket, bool]:
        """Return a new connection, and whether it is a stream. Raises OSError."""
        address = self._server.address
        if address.scheme == "unix":
            return _unix(address.path)
        if address.scheme == "udp":
            family, kind, _, _, place = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_DGRAM
            )[0]
            return _opened(family, kind, place), False
        stream = socket.create_connection((address.host, address.port), CONNECT_S)
        try:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
            if self._context is not None:
                stream = self._context.wrap_socket(stream, server_hostname=address.host)
            stream.settimeout(None)
        except BaseException:
            stream.close()
            raise
        return stream, True

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _unix(path: str) -> tuple[socket.socket, bool]:
    """Return a connection to a Unix socket: of datagrams, as /dev/log is, or else a stream."""
    try:
        return _opened(socket.AF_UNIX, socket.SOCK_DGRAM, path), False
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:
            raise
    return _opened(socket.AF_UNIX, socket.SOCK_STREAM, path), True


def _opened(family: int, kind: int, place: object) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.connect(place)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    return sock


def _ended(stream: socket.socket) -> bool:
    """Return whether the server has ended a stream: what is sent then would be lost silently."""
    stream.settimeout(0)
    try:
        return not stream.recv(4096)  # a log server sends nothing
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    finally:
        stream.settimeout(None)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}".lower().replace("_", " ")
    if isinstance(error, socket.gaierror):
        return f"its address cannot be found: {error.strerror}".lower()
    if isinstance(error, TimeoutError):
        return "connection timed out"
    return os.strerror(error.errno or 0).lower()
