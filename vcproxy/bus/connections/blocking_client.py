"""BlockingClient: sends messages and waits for replies, in a program without an engine.

For tools and scripts. It is the one module of the bus that does I/O; never use it in a plugin: it
would block a net thread. `send_datagram` is for UDP and Unix datagrams.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final

from vcproxy.bus.connections.datagram_messages import DATAGRAM_LIMITS
from vcproxy.bus.connections.line_connection import LINE_LIMIT
from vcproxy.bus.connections.message_connection import encode
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.secret_code import PARAMETER
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    import ssl

TIMEOUT_S: Final = 10.0
"""Seconds to connect, to send and to wait for a reply, if nothing else is given: an operator waits
that long for a tool."""

_REASONS = {
    errno.ECONNREFUSED: "nothing listens there",
    errno.ENOENT: "there is no such file: start the service, or correct the path",
    errno.ENXIO: "no process reads it: start the service first",
    errno.EACCES: "permission denied: use the user of the service",
    errno.EMSGSIZE: "the message is too large for a datagram",
    errno.EPROTOTYPE: "the socket is of another type",
}


class BlockingClient:
    """One connection to a service: tcp://, tls://, unix:, unixpacket:, or a FIFO, which only sends.

        with BlockingClient("unix:/run/vcproxy/1234.sock") as client:
            client.request(BusMessage("HELP"), "COMMANDS").get("list")

    Args:
        address: where the service listens, as Address or URI.
        timeout_s: seconds to connect, and the default of the other methods.
        tls: the context for tls://; by default the authorities of the system are trusted.
        server_name: the name in the server's certificate; the host of the address if left out.

    Raises OSError if it cannot connect, and ValueError for an address that is not of a stream. All
    errors name the address.
    """

    def __init__(
        self,
        address: Address | str,
        *,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> None:
        self.address = Address.parse(address) if isinstance(address, str) else address
        self.timeout_s = timeout_s
        self._received = bytearray()
        self._fifo: int | None = None
        self._sock: socket.socket | None = None
        try:
            if self.address.scheme == "fifo":
                self._fifo = _open_fifo(self.address.path)
            else:
                self._sock = self._connect(tls, server_name)
        except OSError as error:
            raise _explained(self.address, error) from None

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. May be repeated."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self._fifo is not None:
            os.close(self._fifo)
            self._fifo = None

    def send(self, message: BusMessage, timeout_s: float | None = None) -> None:
        """Send a message. Raises InvalidMessage if it cannot be written as a line, OSError, and
        TimeoutError if the service does not read it in time."""
        data = encode(message) + (b"" if self.address.scheme == "unixpacket" else b"\n")
        try:
            if self._fifo is not None:
                self._write_fifo(self._fifo, data, self._deadline(timeout_s))
            else:
                self._socket(self._deadline(timeout_s)).sendall(data)
        except OSError as error:
            raise _explained(self.address, error) from None

    def receive(self, timeout_s: float | None = None) -> BusMessage:
        """Return the next message. Raises TimeoutError if none comes in time, ConnectionError if
        the service ends the connection, and InvalidMessage for a line that is not a message."""
        deadline = self._deadline(timeout_s)
        try:
            while True:
                line = self._line(deadline)
                if line.strip():
                    return BusMessage.parse(line.decode("utf-8", "surrogateescape"))
        except OSError as error:
            raise _explained(self.address, error) from None

    def request(
        self, message: BusMessage, *replies: str, timeout_s: float | None = None
    ) -> BusMessage:
        """Send a message and return the first reply whose command is one of `replies`.

        INVALID and UNKNOWN are always returned; without `replies`, so is any message. Others are
        dropped. Raises what `send` and `receive` raise.
        """
        deadline = self._deadline(timeout_s)
        self.send(message, timeout_s)
        while True:
            received = self.receive(max(deadline - monotonic(), 0.0))
            if not replies or received.command in (*replies, "INVALID", "UNKNOWN"):
                return received

    def _connect(self, tls: ssl.SSLContext | None, server_name: str) -> socket.socket:
        address = self.address
        if address.scheme in ("tcp", "tls"):
            sock = socket.create_connection((address.host, address.port), self.timeout_s)
        elif address.scheme in ("unix", "unixpacket"):
            packets = address.scheme == "unixpacket"
            sock = socket.socket(
                socket.AF_UNIX, socket.SOCK_SEQPACKET if packets else socket.SOCK_STREAM
            )
        else:
            raise ValueError(
                f"{address}: a BlockingClient needs tcp://, tls://, unix:, unixpacket: or fifo:"
            )
        try:
            sock.settimeout(self.timeout_s)
            if sock.family == socket.AF_UNIX:
                sock.connect(address.path)
            elif address.secure:
                if tls is None:
                    import ssl  # takes 8 ms, and most tools use a Unix socket

                    tls = ssl.create_default_context()
                sock = tls.wrap_socket(sock, server_hostname=server_name or address.host)
        except BaseException:
            sock.close()
            raise
        return sock

    def _deadline(self, timeout_s: float | None) -> float:
        return monotonic() + (self.timeout_s if timeout_s is None else timeout_s)

    def _socket(self, deadline: float) -> socket.socket:
        """Return the socket, which will wait until the deadline at most."""
        if self._sock is None:
            fifo = self._fifo is not None
            raise ConnectionError("it only takes messages" if fifo else "it is closed")
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._sock

    def _write_fifo(self, fifo: int, data: bytes, deadline: float) -> None:
        while data:
            _, writable, _ = select.select((), (fifo,), (), max(deadline - monotonic(), 0.0))
            if not writable:
                raise TimeoutError
            data = data[os.write(fifo, data) :]

    def _line(self, deadline: float) -> bytes:
        received = self._received
        while True:
            sock = self._socket(deadline)
            if self.address.scheme == "unixpacket":
                data = sock.recv(LINE_LIMIT + 1)
                if data:
                    return data
                raise ConnectionError("the service has ended the connection")
            end = received.find(b"\n")
            if (len(received) if end < 0 else end) > LINE_LIMIT:
                raise ConnectionError("the service sends a line of over 64KiB")
            if end >= 0:
                line = bytes(received[:end])
                del received[: end + 1]
                return line
            data = sock.recv(LINE_LIMIT)
            if not data:
                raise ConnectionError("the service has ended the connection")
            received += data


def send_datagram(
    address: Address | str, message: BusMessage, secret_code: str = "", *, reply_s: float = 0.0
) -> BusMessage | None:
    """Send one message as a datagram, to udp://HOST:PORT or unixgram:PATH.

    `secret_code` is added as a parameter. A broadcast address is allowed. Raises InvalidMessage,
    OSError if it cannot be sent, and ValueError for another address and a message that is too long.

    `reply_s`: over UDP, wait at most so long for a reply, and return it. Raises TimeoutError if
    none comes in time.
    """
    to = Address.parse(address) if isinstance(address, str) else address
    if to.scheme not in DATAGRAM_LIMITS:
        raise ValueError(f"{to}: a datagram is sent to udp:// or unixgram:")
    if reply_s and to.scheme != "udp":
        raise ValueError(f"{to}: only udp:// has replies")
    if secret_code:
        parameters = {**message.parameters, PARAMETER: secret_code}
        message = replace(message, parameters=parameters)
    data = encode(message)
    limit = DATAGRAM_LIMITS[to.scheme]
    if len(data) > limit:
        raise ValueError(f"{to}: the message has {len(data)} bytes: at most {limit} can be sent")
    try:
        place: object = to.path
        family = socket.AF_UNIX
        if to.scheme == "udp":
            found = socket.getaddrinfo(to.host, to.port, type=socket.SOCK_DGRAM)
            family, _, _, _, place = found[0]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT_S)
            if family == socket.AF_INET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.connect(place)  # type: ignore[arg-type]
            sock.send(data)
            if not reply_s:
                return None
            sock.settimeout(reply_s)
            return BusMessage.parse(sock.recv(LINE_LIMIT).decode("utf-8", "surrogateescape"))
    except OSError as error:
        raise _explained(to, error) from None


def _open_fifo(path: str) -> int:
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError("it is not a FIFO")
    return fd


def _explained(address: Address, error: OSError) -> OSError:
    if isinstance(error, TimeoutError):
        return TimeoutError(f"{address}: no answer in time")
    if address.secure:
        from ssl import SSLError

        from vcproxy.drivers.tls_errors import failure_of

        if isinstance(error, SSLError):
            return type(failure := failure_of(error))(f"{address}: {failure}")
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    kind = type(error) if isinstance(error, ConnectionError | PermissionError) else OSError
    return kind(f"{address}: {reason}")
