"""Peer: a scripted client or server: one end of a simulated connection, outside the engine.

Tested in tests/drivers/test_sim.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.link import do_nothing

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import Stream

CHUNK = 256 * 1024
"""Bytes that a peer reads or writes with one call."""


def _ignore(data: bytes) -> None:
    """Ignore received data: the script reads `received`."""


class Peer:
    """Sends data for a test script, and keeps what it receives.

    The methods may be called at any time: data sent before the connection is established is sent
    as soon as it is.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        """All bytes received so far. It compares equal to bytes."""
        self.sent = 0
        """Bytes that the network has accepted."""
        self.connected = False
        self.ended = False
        """Whether the other end has ended its direction in order (FIN or close_notify)."""
        self.error: Exception | None = None
        """The error that broke the connection, or that the connect failed with."""
        self.on_data: Callable[[bytes], None] = _ignore
        """Called with the bytes of each read."""
        self.on_end: Callable[[], None] = do_nothing
        """Called when `ended` becomes True."""
        self._stream: Stream | None = None
        self._unsent = bytearray()
        self._ending = self._shut = self._closing = self._stalled = False

    def __repr__(self) -> str:
        end = " reset" if self.reset_seen else " ended" if self.ended else ""
        return f"<Peer sent={self.sent} received={len(self.received)}{end}>"

    @property
    def reset_seen(self) -> bool:
        """Whether an established connection was broken, by the other end or by the network."""
        return self.connected and self.error is not None

    def send(self, data: bytes) -> None:
        """Send data, as fast as the other end reads it."""
        self._unsent += data
        self._push()

    def end(self) -> None:
        """End this direction (FIN or close_notify) after all data. Receiving continues."""
        self._ending = True
        self._push()

    def close(self) -> None:
        """Close after all data was sent. As in Linux, unread input turns the close into a reset,
        and input that arrives later is answered by a reset."""
        self._ending = self._closing = True
        self._push()

    def reset(self) -> None:
        """Reset the connection at once: data in flight is lost."""
        self._closing = True
        self._unsent.clear()
        if self._stream is not None:
            self._stream.reset()
            self._stream = None

    def truncate(self) -> None:
        """End this direction with FIN only: with TLS, without the required close_notify."""
        if self._stream is not None:
            self._stream.truncate()

    def stall(self) -> None:
        """Stop reading, until `resume`."""
        self._stalled = True

    def resume(self) -> None:
        """Read again."""
        self._stalled = False
        self._pull()

    def attach(self, stream: Stream | None, error: Exception | None = None) -> None:
        """Start on a new connection. If `stream` is None, the connect has failed with the error."""
        self.error = error
        if stream is None:
            return
        self.connected = True
        if self._closing and not self._ending:
            stream.reset()
            return
        self._stream = stream
        stream.on_edge = self._edge
        self._edge()

    def _edge(self) -> None:
        self._push()
        self._pull()

    def _push(self) -> None:
        stream = self._stream
        if stream is None or self.error is not None:
            return
        try:
            if not stream.handshake():
                return
            while self._unsent:
                count = stream.send([bytes(self._unsent[:CHUNK])])
                if count is None:
                    return
                self.sent += count
                del self._unsent[:count]
        except ConnectionError as error:
            self._unsent.clear()
            self._pull()  # read what came before the reset
            self.error = error
            return
        if self._closing:
            self._stream = None
            if stream.unread:
                stream.abort()
            else:
                stream.close()
        elif self._ending and not self._shut:
            self._shut = True
            stream.shutdown()

    def _pull(self) -> None:
        # Data that came before a reset can still be read, also after `resume`.
        while (stream := self._stream) is not None and not (self._stalled or self.ended):
            try:
                data = stream.recv(CHUNK) if stream.handshake() else None
            except ConnectionError as error:
                self.error = error
                return
            if data is None:
                return
            if data:
                self.received += data
                self.on_data(data)
            else:
                self.ended = True
                self.on_end()
        if self._stream is not None and self.error is None and self._stream.error is not None:
            self.error = self._stream.error
