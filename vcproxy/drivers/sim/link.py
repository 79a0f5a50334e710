"""Links and endpoints: a connection in memory, as a kernel would show it.

An endpoint is a non-blocking stream socket. What it takes over is on its way at once and in order;
the other end's bytes wait in it to be read; the sum of both is bounded, and that is backpressure.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from vcproxy.drivers.sim.network import Network

Octets: TypeAlias = bytes | bytearray | memoryview


class Sign(enum.Enum):
    """What travels beside bytes."""

    FIN = enum.auto()
    RESET = enum.auto()


def nobody() -> None:
    """Nobody listens to the edges yet."""


class Secured(Protocol):
    """What a handshake has told, as a TlsFilter says it."""

    @property
    def sni(self) -> str | None:
        """The name that the client asked for."""

    @property
    def alpn(self) -> str | None:
        """The protocol that both chose."""

    @property
    def peer(self) -> str | None:
        """The subject of the peer's verified certificate."""


class Stream(Protocol):
    """What ports and peers speak to: an Endpoint, or TLS on one."""

    spliceable: bool
    """Whether a bridge may move its bytes."""
    on_edge: Callable[[], None]
    """Called when it has become readable or writable, or has broken: once, not until it is used."""
    local: str
    peer: str
    secure: Secured | None
    """What its handshake has told, where it has one."""

    @property
    def error(self) -> Exception | None:
        """What broke the connection."""

    @property
    def readable(self) -> bool:
        """Whether `recv` would give something: bytes, the end or an error."""

    @property
    def unread(self) -> bool:
        """Whether bytes have arrived that were not read."""

    @property
    def writable(self) -> bool:
        """Whether `send` would take something, or raise."""

    def handshake(self) -> bool:
        """Go on with what must be said before the first byte; True once that is done.

        Raises ConnectionError.
        """

    def recv(self, limit: int) -> bytes | None:
        """Take at most `limit` bytes; b"": the orderly end; None: nothing now.

        Raises ConnectionError, after all bytes that have arrived.
        """

    def send(self, views: Sequence[Octets]) -> int | None:
        """Hand over bytes, and say how many were taken; None: none now. Raises ConnectionError."""

    def shutdown(self) -> None:
        """Tell the other end that no more will come, behind all that was taken."""

    def cut(self) -> None:
        """The same on the wire alone, behind TLS's back."""

    def close(self) -> None:
        """Give the connection up; what was taken still arrives."""

    def reset(self) -> None:
        """Break the connection: what is in flight is lost."""

    def abort(self) -> None:
        """Break the connection, behind what was taken."""


class Link:
    """One direction of a connection: what is on its way, and what waits to be read."""

    __slots__ = (
        "_armed",
        "_flight",
        "_last_due",
        "_network",
        "arrived",
        "capacity",
        "ended",
        "held_until",
        "inside",
        "sink",
        "starved",
        "writer",
    )

    sink: Endpoint
    writer: Endpoint

    def __init__(self, network: Network) -> None:
        self._network = network
        self.capacity = network.random.randint(*network.faults.socket)
        self.inside = 0
        """Bytes on their way or waiting to be read."""
        self.arrived = bytearray()
        self.ended = False
        self.starved = False  # the writer was told that nothing more fits
        self.held_until = 0.0
        self._flight: deque[tuple[float, bytes | Sign]] = deque()
        self._last_due = 0.0
        self._armed = False

    @property
    def room(self) -> int:
        """How many bytes it would take now."""
        return self.capacity - self.inside

    def carry(self, cargo: bytes | Sign) -> None:
        """Take something over; it arrives after all that was taken before."""
        network = self._network
        if isinstance(cargo, bytes):
            network.disturb(self)
            self.inside += len(cargo)
        due = max(network.timeline.now + network.span(network.faults.latency), self._last_due)
        self._last_due = due
        self._flight.append((due, cargo))
        if not self._armed:
            self._arm(due)

    def take(self, limit: int) -> bytes:
        """Read what has arrived, at most `limit` bytes."""
        data = bytes(self.arrived[:limit])
        del self.arrived[:limit]
        self.inside -= len(data)
        if self.starved:
            self.starved = False
            network = self._network
            network.timeline.after(network.span(network.faults.latency), self._tell_writer)
        return data

    def lose(self) -> None:
        """What is in flight never arrives, but for a reset."""
        self.inside = len(self.arrived)
        self._flight = deque(entry for entry in self._flight if entry[1] is Sign.RESET)

    def _tell_writer(self) -> None:
        self.writer.on_edge()

    def _arm(self, when: float) -> None:
        self._armed = True
        self._network.timeline.at(when, self._arrive)

    def _arrive(self) -> None:
        self._armed = False
        now = self._network.timeline.now
        clear = max(self.held_until, self._network.cut_until)
        if now < clear:
            self._arm(clear)
            return
        while self._flight and self._flight[0][0] <= now:
            self._land(self._flight.popleft()[1])
        if self._flight:
            self._arm(self._flight[0][0])

    def _land(self, cargo: bytes | Sign) -> None:
        sink = self.sink
        if cargo is Sign.RESET:
            sink.broken(ConnectionResetError("connection reset by peer"))
        elif sink.deaf or sink.error is not None:
            if isinstance(cargo, bytes):
                self.inside -= len(cargo)
                if sink.error is None:  # nobody is there to take it: the kernel says so
                    sink.outgoing.carry(Sign.RESET)
        elif isinstance(cargo, bytes):
            self.arrived += cargo
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
        "deaf",
        "incoming",
        "local",
        "on_edge",
        "outgoing",
        "peer",
        "secure",
        "spliceable",
    )

    def __init__(
        self, network: Network, incoming: Link, outgoing: Link, local: str, peer: str
    ) -> None:
        self._network = network
        self.incoming = incoming
        self.outgoing = outgoing
        incoming.sink = outgoing.writer = self
        self.local, self.peer = local, peer
        self.on_edge: Callable[[], None] = nobody
        self.spliceable = True
        self.secure: Secured | None = None
        self.deaf = False
        """Closed: what arrives is answered by a reset."""
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
    def writable(self) -> bool:
        """See Stream."""
        return self.outgoing.room > 0 or self._error is not None

    def handshake(self) -> bool:
        """See Stream: TCP's own is over."""
        return True

    def recv(self, limit: int) -> bytes | None:
        """See Stream."""
        incoming = self.incoming
        if incoming.arrived:
            return incoming.take(self._network.portion(min(limit, len(incoming.arrived))))
        if self._error is not None:
            raise self._error
        return b"" if incoming.ended else None

    def send(self, views: Sequence[Octets]) -> int | None:
        """See Stream."""
        if self._error is not None:
            raise self._error
        if self._shut:
            raise BrokenPipeError("this direction was shut down")
        outgoing = self.outgoing
        if outgoing.room <= 0:
            outgoing.starved = True
            return None
        data = b"".join(views)
        count = self._network.portion(min(outgoing.room, len(data)))
        outgoing.carry(data[:count])
        return count

    def shutdown(self) -> None:
        """See Stream."""
        if not self._shut and self._error is None:
            self._shut = True
            self.outgoing.carry(Sign.FIN)

    def cut(self) -> None:
        """See Stream."""
        self.shutdown()

    def close(self) -> None:
        """See Stream. If there are unread bytes, or come some, a reset follows what was taken."""
        self.shutdown()
        unread = self.unread
        self._leave()
        if unread:
            self.outgoing.carry(Sign.RESET)

    def reset(self) -> None:
        """See Stream."""
        if self._error is None:
            self.outgoing.lose()
            self.outgoing.carry(Sign.RESET)
        self._leave()

    def abort(self) -> None:
        """See Stream."""
        if self._error is None:
            self.outgoing.carry(Sign.RESET)
        self._leave()

    def broken(self, error: ConnectionError) -> None:
        """A reset has arrived: bytes that came before it may still be read."""
        if self._error is None:
            self._error = error
            self.outgoing.lose()
            self.on_edge()

    def _leave(self) -> None:
        self.deaf = True
        self.on_edge = nobody
        self.incoming.take(len(self.incoming.arrived))
