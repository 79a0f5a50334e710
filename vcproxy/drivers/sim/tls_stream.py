"""TlsStream: TLS on an endpoint, with the same TlsFilter as on a real socket.

Tested in tests/drivers/test_sim_tls.py.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.link import do_nothing
from vcproxy.drivers.tls import RECORD, TlsFilter, Truncated
from vcproxy.drivers.tls_sessions import ClientTls
from vcproxy.engine.failures import TlsError

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import Endpoint, HandshakeResult, Stream
    from vcproxy.drivers.sim.virtual_clock import VirtualClock
    from vcproxy.drivers.tls import Octets

LINGER_S = 2.0
"""The time that a close waits for its ciphertext to be sent, as in the epoll driver."""


def wrap_tls(
    endpoint: Endpoint, tls: object, clock: VirtualClock, *, server_side: bool, name: str = ""
) -> Stream:
    """Return TLS on the endpoint if `tls` is an ssl.SSLContext or a ClientTls, else the endpoint.

    `name`: client side: the name that the server's certificate must contain.
    """
    if isinstance(tls, ClientTls):
        return TlsStream(endpoint, tls.connection(endpoint.peer, name), clock)
    if not isinstance(tls, ssl.SSLContext):
        return endpoint
    if server_side:
        tls.num_tickets = 0  # the length of a ticket varies by chance, a simulation must repeat
    hostname = None if server_side else name
    return TlsStream(
        endpoint, TlsFilter(tls, server_side=server_side, server_hostname=hostname), clock
    )


class TlsStream:
    """A Stream of plaintext on an endpoint that carries ciphertext."""

    def __init__(self, endpoint: Endpoint, tls: TlsFilter, clock: VirtualClock) -> None:
        self.secure: HandshakeResult | None = tls
        self.spliceable = False
        self.on_edge: Callable[[], None] = do_nothing
        self.local, self.peer = endpoint.local, endpoint.peer
        self._endpoint = endpoint
        self._tls = tls
        self._clock = clock
        self._error: Exception | None = None
        self._endpoint_ended = False
        self._closing = False
        endpoint.on_edge = self._edge

    @property
    def error(self) -> Exception | None:
        """See Stream."""
        return self._error or self._endpoint.error

    @property
    def readable(self) -> bool:
        """See Stream."""
        return self._tls.pending or self._endpoint.readable or self._error is not None

    @property
    def unread(self) -> bool:
        """See Stream. A record without content counts too."""
        return self._tls.pending or self._endpoint.unread

    @property
    def writable(self) -> bool:
        """See Stream."""
        return self._endpoint.writable or self._error is not None

    def handshake(self) -> bool:
        """See Stream."""
        tls = self._tls
        try:
            while not tls.established and not tls.handshake():
                self._flush()
                if not self._receive():
                    return False
            self._flush()
        except TlsError as error:
            self._fail(error)
        return True

    def recv(self, limit: int) -> bytes | None:
        """See Stream."""
        view = memoryview(bytearray(limit))
        try:
            count = self._tls.read_into(view)
            while count is None:
                if not self._receive():
                    return None
                count = self._tls.read_into(view)
            self._flush_if_open()  # on a broken connection, return what came before first
        except Truncated:
            raise  # the other direction still works
        except TlsError as error:
            self._fail(error)
        return bytes(view[:count])

    def send(self, views: Sequence[Octets]) -> int | None:
        """See Stream."""
        try:
            self._flush()
            count = self._tls.write(views)
            self._flush()
        except TlsError as error:
            self._fail(error)
        return count or None

    def shutdown(self) -> None:
        """See Stream. The endpoint stays open for the other direction."""
        self._tls.close_notify()
        self._flush_if_open()

    def truncate(self) -> None:
        """See Stream."""
        self._endpoint.truncate()

    def close(self) -> None:
        """See Stream. Closes the endpoint when all ciphertext is sent, at most LINGER_S later."""
        self.on_edge = do_nothing
        self._closing = True
        self._tls.close_notify()
        self._clock.after(LINGER_S, self._close_endpoint)
        self._edge()

    def reset(self) -> None:
        """See Stream."""
        self._endpoint.reset()

    def abort(self) -> None:
        """See Stream."""
        self._flush_if_open()
        self._endpoint.abort()

    def _edge(self) -> None:
        if self._flush_if_open() and self._closing:
            self._close_endpoint()
        self.on_edge()

    def _close_endpoint(self) -> None:
        if not self._endpoint.closed:
            self._endpoint.close()

    def _fail(self, error: TlsError) -> None:
        self._flush_if_open()  # the alert with the reason
        self._error = error
        raise error

    def _receive(self) -> bool:
        """Read from the endpoint into the filter; return False if there was nothing to read."""
        data = None if self._endpoint_ended else self._endpoint.recv(RECORD)
        if data:
            self._tls.feed(data)
        elif data is not None:
            self._endpoint_ended = True
            self._tls.feed_eof()
        return data is not None

    def _flush(self) -> bool:
        """Send as much ciphertext as the endpoint takes; return whether none is left."""
        while waiting := self._tls.ciphertext():
            count = self._endpoint.send([waiting])
            if count is None:
                return False
            self._tls.sent(count)
        return True

    def _flush_if_open(self) -> bool:
        """Flush; on a broken connection do nothing and return True."""
        try:
            return self._flush()
        except ConnectionError:
            return True
