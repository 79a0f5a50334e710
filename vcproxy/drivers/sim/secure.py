"""SecureStream: TLS on an endpoint, through the same filter as on a real socket."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.link import nobody
from vcproxy.drivers.tls import RECORD, TlsFilter, Truncated
from vcproxy.engine.failures import TlsError

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import Endpoint, Octets, Secured, Stream
    from vcproxy.drivers.sim.timeline import Timeline

LINGER_S = 2.0
"""A close waits so long for its ciphertext to leave, as the epoll driver's does."""


def over(
    endpoint: Endpoint, tls: object, timeline: Timeline, *, server_side: bool, name: str = ""
) -> Stream:
    """The endpoint itself, or TLS on it where `tls` is an ssl.SSLContext.

    `name`, on the client's side, is what the server must be called.
    """
    if not isinstance(tls, ssl.SSLContext):
        return endpoint
    hostname = None if server_side else name
    return SecureStream(
        endpoint, TlsFilter(tls, server_side=server_side, server_hostname=hostname), timeline
    )


class SecureStream:
    """Plaintext on this side, ciphertext on the endpoint's. See Stream."""

    def __init__(self, endpoint: Endpoint, tls: TlsFilter, timeline: Timeline) -> None:
        self.secure: Secured | None = tls
        self.spliceable = False
        self.on_edge: Callable[[], None] = nobody
        self.local, self.peer = endpoint.local, endpoint.peer
        self._endpoint = endpoint
        self._tls = tls
        self._timeline = timeline
        self._error: Exception | None = None
        self._wire_ended = False
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
        """See Stream. Records of no content count too."""
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
                if not self._feed():
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
                if not self._feed():
                    return None
                count = self._tls.read_into(view)
            self._flush_if_whole()  # a broken wire loses nothing that came before
        except Truncated:
            raise  # of this direction alone
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
        """See Stream: close_notify; the wire stays open for the other direction."""
        self._tls.close_notify()
        self._flush_if_whole()

    def cut(self) -> None:
        """See Stream."""
        self._endpoint.cut()

    def close(self) -> None:
        """See Stream: once the ciphertext has left, in two seconds at the latest."""
        self.on_edge = nobody
        self._closing = True
        self._tls.close_notify()
        self._timeline.after(LINGER_S, self._give_up)
        self._edge()

    def reset(self) -> None:
        """See Stream."""
        self._endpoint.reset()

    def abort(self) -> None:
        """See Stream."""
        self._flush_if_whole()
        self._endpoint.abort()

    def _edge(self) -> None:
        if self._flush_if_whole() and self._closing:
            self._give_up()
        self.on_edge()

    def _give_up(self) -> None:
        if not self._endpoint.deaf:
            self._endpoint.close()

    def _fail(self, error: TlsError) -> None:
        self._flush_if_whole()  # the alert that tells the peer why
        self._error = error
        raise error

    def _feed(self) -> bool:
        """Bring ciphertext, or the wire's end, to the filter; False: nothing came."""
        data = None if self._wire_ended else self._endpoint.recv(RECORD)
        if data:
            self._tls.feed(data)
        elif data is not None:
            self._wire_ended = True
            self._tls.feed_eof()
        return data is not None

    def _flush(self) -> bool:
        """Send what ciphertext the wire takes; True when none is left."""
        while waiting := self._tls.ciphertext():
            count = self._endpoint.send([waiting])
            if count is None:
                return False
            self._tls.sent(count)
        return True

    def _flush_if_whole(self) -> bool:
        """The same, on a wire that may be broken: then there is nothing left to do."""
        try:
            return self._flush()
        except ConnectionError:
            return True
