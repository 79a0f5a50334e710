"""Links and endpoints: a stream connection in memory that behaves like that of a kernel.

An endpoint is a non-blocking stream socket. Bytes written to it are in flight at once and arrive in
order; received bytes wait in it to be read. The sum of both is bounded: that is the backpressure.

Tested in tests/drivers/test_sim.py.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.drivers.sim.conditions import Conditions
    from vcproxy.drivers.tls import Octets


class TcpFlag(enum.Enum):
    """The segments without data."""

    FIN = enum.auto()
    RESET = enum.auto()


def do_nothing() -> None:
    """The default of `on_edge` and other callbacks."""


class HandshakeResult(Protocol):
    """The results of a TLS handshake, as attributes; for example a TlsFilter."""

    @property
    def sni(self) -> str | None:
        """The server name that the client has sent."""

    @property
    def alpn(self) -> str | None:
        """The negotiated application protocol."""

    @property
    def peer(self) -> str | None:
        """The subject of the peer's verified certificate."""


class Stream(Protocol):
    """A stream that ports and peers read and write: an Endpoint, or TLS on one."""

    spliceable: bool
    """Whether a bridge may move its bytes."""
    on_edge: Callable[[], None]
    """Called once each time this end becomes readable or writable, or breaks (edge-triggered)."""
    local: str
    peer: str
    secure: HandshakeResult | None
    """With TLS: the results of the handshake, complete once `handshake` has returned True."""

    @property
    def error(self) -> Exception | None:
        """The error that broke the connection."""

    @property
    def readable(self) -> bool:
        """Whether `recv` would return bytes or the end, or raise."""

    @property
    def unread(self) -> bool:
        """Whether received bytes wait to be read."""

    @property
    def writable(self) -> bool:
        """Whether `send` would take bytes, or raise."""

    def handshake(self) -> bool:
        """Continue the TLS handshake, if there is one; return whether it is done.

        Raises ConnectionError.
        """

    def recv(self, limit: int) -> bytes | None:
        """Read at most `limit` bytes; b"": the orderly end; None: it would block.

        Raises ConnectionError after all bytes that arrived before the error.
        """

    def send(self, views: Sequence[Octets]) -> int | None:
        """Write bytes; return how many were taken; None: it would block. Raises ConnectionError."""

    def shutdown(self) -> None:
        """End this direction after all data: close_notify with TLS, else FIN."""

    def truncate(self) -> None:
        """End this direction with FIN only, also with TLS."""

    def close(self) -> None:
        """Close the connection; data written before still arrives."""

    def reset(self) -> None:
        """Reset the connection at once: data in flight is lost."""

    def abort(self) -> None:
        """Reset the connection after the data written before."""


class Link:
    """One direction of a connection: the segments in flight, and the bytes that wait to be read."""

    __slots__ = (
        "_armed",
        "_in_flight",
        "_last_due",
        "_network",
        "arrived",
        "capacity",
        "ended",
        "held_until",
        "inside",
        "sink",
        "writer",
        "writer_blocked",
    )

    sink: Endpoint
    writer: Endpoint

    def __init__(self, network: Conditions) -> None:
        self._network = network
        self.capacity = network.random.randint(*network.faults.socket)
        self.inside = 0
        """Bytes in flight or waiting to be read."""
        self.arrived = bytearray()
        self.ended = False
        self.writer_blocked = False  # `send` has returned None
        self.held_until = 0.0
        self._in_flight: deque[tuple[float, bytes | TcpFlag]] = deque()
        self._last_due = 0.0
        self._armed = False

    @property
    def room(self) -> int:
        """Bytes that may be written now."""
        return self.capacity - self.inside

    def send(self, segment: bytes | TcpFlag) -> None:
        """Send a segment; it arrives after all segments sent before."""
        network = self._network
        if isinstance(segment, bytes):
            self._apply_faults()
            self.inside += len(segment)
        due = max(network.clock.now + network.span(network.faults.latency), self._last_due)
        self._last_due = due
        self._in_flight.append((due, segment))
        if not self._armed:
            self._arm(due)

    def read(self, limit: int) -> bytes:
        """Read received bytes, at most `limit`."""
        data = bytes(self.arrived[:limit])
        del self.arrived[:limit]
        self.inside -= len(data)
        if self.writer_blocked:
            self.writer_blocked = False
            network = self._network
            network.clock.after(network.span(network.faults.latency), self._notify_writer)
        return data

    def drop_in_flight(self) -> None:
        """Drop all segments in flight except a reset."""
        self.inside = len(self.arrived)
        self._in_flight = deque(entry for entry in self._in_flight if entry[1] is TcpFlag.RESET)

    def _apply_faults(self) -> None:
        """Apply faults at random, for one segment."""
        network, faults = self._network, self._network.faults
        if network.happens(faults.stall):
            self.held_until = network.clock.now + network.span(faults.stall_s)
        if network.happens(faults.partition):
            network.partition(network.span(faults.partition_s))
        if network.happens(faults.reset):
            for direction in (self, self.sink.outgoing):
                direction.drop_in_flight()
                direction.send(TcpFlag.RESET)

    def _notify_writer(self) -> None:
        self.writer.on_edge()

    def _arm(self, when: float) -> None:
        self._armed = True
        self._network.clock.at(when, self._arrive)

    def _arrive(self) -> None:
        self._armed = False
        now = self._network.clock.now
        clear = max(self.held_until, self._network.partitioned_until)
        if now < clear:
            self._arm(clear)
            return
        while self._in_flight and self._in_flight[0][0] <= now:
            self._deliver(self._in_flight.popleft()[1])
        if self._in_flight:
            self._arm(self._in_flight[0][0])

    def _deliver(self, segment: bytes | TcpFlag) -> None:
        sink = self.sink
        if segment is TcpFlag.RESET:
            sink.reset_received(ConnectionResetError("connection reset by peer"))
        elif sink.closed or sink.error is not None:
            if isinstance(segment, bytes):
                self.inside -= len(segment)
                if sink.error is None:  # a kernel answers data for a closed socket with a reset
                    sink.outgoing.send(TcpFlag.RESET)
        elif isinstance(segment, bytes):
            self.arrived += segment
            sink.on_edge()
        else:
            self.ended = True
            sink.on_edge()


class Endpoint:
    """One end of a connection. See Stream."""

    __slots__ = (
        "_error",
        "_network",
        "_shut",
        "closed",
        "incoming",
        "local",
        "on_edge",
        "outgoing",
        "peer",
        "secure",
        "spliceable",
    )

    def __init__(
        self, network: Conditions, incoming: Link, outgoing: Link, local: str, peer: str
    ) -> None:
        self._network = network
        self.incoming = incoming
        self.outgoing = outgoing
        incoming.sink = outgoing.writer = self
        self.local, self.peer = local, peer
        self.on_edge: Callable[[], None] = do_nothing
        self.spliceable = True
        self.secure: HandshakeResult | None = None
        self.closed = False
        """Whether the endpoint was closed: then arriving data is answered by a reset."""
        self._shut = False
        self._error: ConnectionError | None = None

    def __repr__(self) -> str:
        return f"<Endpoint {self.local} of {self.peer}>"

    @property
    def error(self) -> Exception | None:
        """See Stream."""
        return self._error

    @property
    def readable(self) -> bool:
        """See Stream."""
        return bool(self.incoming.arrived) or self.incoming.ended or self._error is not None

    @property
    def unread(self) -> bool:
        """See Stream."""
        return bool(self.incoming.arrived)

    @property
    def over(self) -> bool:
        """Whether it is closed here, or broken."""
        return self.closed or self._error is not None

    @property
    def writable(self) -> bool:
        """See Stream."""
        return self.outgoing.room > 0 or self._error is not None

    def handshake(self) -> bool:
        """See Stream. There is no TLS handshake."""
        return True

    def recv(self, limit: int) -> bytes | None:
        """See Stream."""
        incoming = self.incoming
        if incoming.arrived:
            return incoming.read(self._network.portion(min(limit, len(incoming.arrived))))
        if self._error is not None:
            raise self._error
        return b"" if incoming.ended else None

    def send(self, views: Sequence[Octets]) -> int | None:
        """See Stream."""
        if self._error is not None:
            raise self._error
        if self._shut:
            raise BrokenPipeError("the direction was shut down")
        outgoing = self.outgoing
        if outgoing.room <= 0:
            outgoing.writer_blocked = True
            return None
        data = b"".join(views)
        count = self._network.portion(min(outgoing.room, len(data)))
        outgoing.send(data[:count])
        return count

    def shutdown(self) -> None:
        """See Stream."""
        if not self._shut and self._error is None:
            self._shut = True
            self.outgoing.send(TcpFlag.FIN)

    def truncate(self) -> None:
        """See Stream."""
        self.shutdown()

    def close(self) -> None:
        """See Stream. With unread bytes, or when some arrive later, a reset follows the data."""
        self.shutdown()
        unread = self.unread
        self._detach()
        if unread:
            self.outgoing.send(TcpFlag.RESET)

    def reset(self) -> None:
        """See Stream."""
        if self._error is None:
            self.outgoing.drop_in_flight()
            self.outgoing.send(TcpFlag.RESET)
        self._detach()

    def abort(self) -> None:
        """See Stream."""
        if self._error is None:
            self.outgoing.send(TcpFlag.RESET)
        self._detach()

    def reset_received(self, error: ConnectionError) -> None:
        """Handle a reset: bytes that arrived before it can still be read."""
        if self._error is None:
            self._error = error
            self.outgoing.drop_in_flight()
            self.on_edge()

    def _detach(self) -> None:
        self.closed = True
        self.on_edge = do_nothing
        self.incoming.read(len(self.incoming.arrived))
