"""Packets: a connection of SOCK_SEQPACKET in memory, which keeps messages apart.

Tested in tests/conformance/test_messages.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.link import Endpoint, Link, TcpFlag
from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.sources.unix_datagrams import LARGEST_UNIX

if TYPE_CHECKING:
    from vcproxy.drivers.sim.conditions import Conditions
    from vcproxy.drivers.tls import Octets


class PacketLink(Link):
    """One direction: each segment is a message."""

    __slots__ = ("sizes",)

    def __init__(self, network: Conditions) -> None:
        super().__init__(network)
        self.sizes: deque[int] = deque()
        """The sizes of the messages that have arrived."""

    def _deliver(self, segment: bytes | TcpFlag) -> None:
        sink = self.sink
        if isinstance(segment, bytes) and not sink.closed and sink.error is None:
            self.sizes.append(len(segment))
        super()._deliver(segment)


class PacketEndpoint(Endpoint):
    """One end of a connection. See Stream: here `recv` returns one message, whatever the limit, and
    each view that is sent is one."""

    __slots__ = ()

    incoming: PacketLink

    def recv(self, limit: int) -> bytes | None:
        """See Stream."""
        if self.incoming.sizes:
            return self.incoming.read(self.incoming.sizes.popleft())
        return super().recv(limit)

    def send(self, views: Sequence[Octets]) -> int | None:
        """See Stream. Empty messages and too long ones are dropped, as the driver does."""
        taken = 0
        for view in views:
            if view is EMPTY or len(view) > LARGEST_UNIX:
                taken += len(view)
                continue
            if self._error is None and not self._shut and self.outgoing.room <= 0:
                break
            taken += self._sent(bytes(view))
        if not taken and views:
            self.outgoing.writer_blocked = True
            return None
        return taken

    def _sent(self, message: bytes) -> int:
        if self._error is not None:
            raise self._error
        if self._shut:
            raise BrokenPipeError("the direction was shut down")
        self.outgoing.send(message)
        return len(message)


def packet_pair(
    network: Conditions, local: str, peer: str
) -> tuple[PacketEndpoint, PacketEndpoint]:
    """Return both ends of a new connection: the local one, then the peer's."""
    out, back = PacketLink(network), PacketLink(network)
    return (
        PacketEndpoint(network, back, out, local, peer),
        PacketEndpoint(network, out, back, peer, local),
    )
