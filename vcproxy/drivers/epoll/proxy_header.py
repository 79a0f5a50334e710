"""HeaderReader: reads the PROXY header that a connection begins with, and no byte after it.

It looks at what has come (MSG_PEEK) until the header is complete, and only then takes it out of the
socket. So all that follows is still there, for a TLS handshake, a read or a splice, and no other
part of the driver is concerned. HAProxy does the same. Tested in
tests/drivers/test_epoll_proxy_header.py.
"""

from __future__ import annotations

from socket import MSG_PEEK
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.stream import ENDS, StreamPort
from vcproxy.engine.failures import HeaderRefused
from vcproxy.proxy_protocol.parser import V1_MOST, InvalidHeader, header_size

if TYPE_CHECKING:
    import socket

    from vcproxy.drivers.epoll.poller import Poller

_FIRST = V1_MOST + 1
"""Bytes to look at first: with one more than version 1 allows, a longer line shows."""


class HeaderReader:
    """Watches a connection before its port does."""

    __slots__ = ("_driver", "_ending", "_port", "_tls")

    def __init__(self, driver: Poller, port: StreamPort, tls: object) -> None:
        """`port`: that of the connection, which is not watched yet. `tls` is as for `adopt`."""
        self._driver = driver
        self._port = port
        self._tls = tls
        self._ending = False  # epoll has reported an end: there will be no further event

    def ready(self, mask: int) -> None:
        """Look at what has come; pass a complete header to the engine."""
        port = self._port
        sock, vc = port.sock, port.vc
        if sock is None or vc.closed:
            return
        self._ending = self._ending or bool(mask & ENDS)
        try:
            data = sock.recv(_FIRST, MSG_PEEK)
            size = header_size(data)
            if size > len(data) == _FIRST:
                data = sock.recv(size, MSG_PEEK)
            if size and len(data) >= size:
                self._complete(sock, size, mask)
                return
        except BlockingIOError:
            return
        except OSError as error:
            port.fail(error)
            return
        except InvalidHeader:
            vc.introduced(data)  # the engine finds the same mistake
            return
        if self._ending and not data:
            vc.failed(ConnectionResetError("connection closed before its PROXY header"))
        elif self._ending:
            text = f"it ended the connection within its PROXY header, after {len(data)} bytes"
            vc.failed(HeaderRefused(text))

    def _complete(self, sock: socket.SocketType, size: int, mask: int) -> None:
        port, vc, driver = self._port, self._port.vc, self._driver
        head = sock.recv(size)
        if self._tls is not None:
            from vcproxy.drivers.epoll.tls_port import accepted_port  # takes 8 ms

            port = accepted_port(driver, sock, self._tls)
            port.vc = vc
            vc.port = port
        driver.watch(port.fd, port)
        vc.introduced(head)
        if not vc.closed:
            port.ready(mask)  # the same edge may report data or an end; no other edge follows
