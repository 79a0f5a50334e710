"""Peer: a scripted end of a connection, outside the engine: the client or the server of a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.link import nobody

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import Stream

MOUTHFUL = 256 * 1024
"""Bytes that a peer reads at once."""


def _ignore(data: bytes) -> None:
    """The script wants no word of what comes: it looks at `received`."""


class Peer:
    """Sends what it is told to, and keeps what it gets. Its verbs may be used at any time.

    What is sent before there is a connection is sent then.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        """All that came. It compares equal to bytes."""
        self.sent = 0
        """Bytes that the network has taken over."""
        self.connected = False
        self.ended = False
        """Whether the other end said, in order, that no more will come."""
        self.error: Exception | None = None
        """What broke the connection, or why there is none."""
        self.on_data: Callable[[bytes], None] = _ignore
        """Called with each piece that comes."""
        self.on_end: Callable[[], None] = nobody
        """Called when the other end has ended."""
        self._stream: Stream | None = None
        self._unsent = bytearray()
        self._ending = self._shut = self._closing = self._stalled = False

    def __repr__(self) -> str:
        end = " reset" if self.reset_seen else " ended" if self.ended else ""
        return f"<Peer sent={self.sent} received={len(self.received)}{end}>"

    @property
    def reset_seen(self) -> bool:
        """Whether the connection was broken, from the other end or by the network."""
        return self.connected and self.error is not None

    def send(self, data: bytes) -> None:
        """Send, as fast as the other end takes it."""
        self._unsent += data
        self._push()

    def end(self) -> None:
        """Say that no more will come (FIN), behind all that was to be sent."""
        self._ending = True
        self._push()

    def close(self) -> None:
        """Leave, once all is sent: what comes after that is answered by a reset. What is unread
        makes a reset of the end, as in Linux."""
        self._ending = self._closing = True
        self._push()

    def reset(self) -> None:
        """Break the connection: what is in flight is lost."""
        self._closing = True
        self._unsent.clear()
        if self._stream is not None:
            self._stream.reset()
            self._stream = None

    def cut(self) -> None:
        """End the wire as it is: with TLS, without the close_notify that is owed."""
        if self._stream is not None:
            self._stream.cut()

    def stall(self) -> None:
        """Read nothing from now on."""
        self._stalled = True

    def resume(self) -> None:
        """Read again."""
        self._stalled = False
        self._pull()

    def attach(self, stream: Stream | None, error: Exception | None = None) -> None:
        """Begin, on a connection or with the news that there is none."""
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
                count = stream.send([bytes(self._unsent[:MOUTHFUL])])
                if count is None:
                    return
                self.sent += count
                del self._unsent[:count]
        except ConnectionError as error:
            self._unsent.clear()
            self._pull()  # what came before the reset
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
        # A broken connection still gives what came before, also to who reads late.
        while (stream := self._stream) is not None and not (self._stalled or self.ended):
            try:
                data = stream.recv(MOUTHFUL) if stream.handshake() else None
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
