"""Sources: a listening datagram socket that tells apart who sends to it, with a VC for each.

All of them share the socket, so what a VC does not read now cannot stay in the kernel: a little
waits here, and then it is dropped, as a full kernel would. It counts with the engine's memory, but
is not in it: an engine knows of nothing that it was not told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.datagrams import BATCH, LARGEST, DatagramPort, DatagramSocket, Want
from vcproxy.engine.drop_counter import DropCounter
from vcproxy.engine.iobuffer import EMPTY

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.iobuffer import Block
    from vcproxy.engine.listener import Listener

WAITING = 16 * 1024
"""Bytes that may wait for a VC before the datagram that goes over is its last: a session hears
nothing while it connects, and a thousand of them must not hold what a kernel would for each."""

PeerAddress = tuple[str, int]


class Sources:
    """The VCs of one address, by where their datagrams come from.

    They are all on the engine whose driver listens. Where a listener's `max_connections` are open,
    datagrams from anybody else are dropped. Where there is no `room`, for want of descriptors, the
    session that was silent longest ends.
    """

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        sock: DatagramSocket,
        want: Want,
        show: Callable[[object], str],
        room: Callable[[], bool],
    ) -> None:
        self.engine = engine
        self.listener = listener
        """Who gets those that are new. It may be exchanged."""
        self.losses = DropCounter(engine, listener.name)
        self.sock = sock
        self._want = want
        self._show = show
        self._room = room
        self.ports: dict[PeerAddress, SourcePort] = {}
        """Those of its VCs."""
        self._blocked: dict[SourcePort, None] = {}
        self._closed = False
        self.waiting = 0
        """Bytes that wait here for all VCs."""
        want(True, False)

    def readable(self) -> None:
        """Take a batch of what is there."""
        recvfrom, ports = self.sock.recvfrom, self.ports
        for _ in range(BATCH):
            try:
                data, peer = recvfrom(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue  # of one datagram's sender: on to the next one
            port = ports.get(peer) or self._admit(peer)
            if port is not None:
                port.take(data)

    def _admit(self, peer: PeerAddress) -> SourcePort | None:
        """Begin with a new source, if that may be."""
        listener = self.listener
        if self._closed:
            return None
        if not listener.admits():
            most = listener.max_connections
            self.losses.drop(f"limits.max_connections = {most} sessions are open")
            return None
        if not self._room() and not self.engine.make_room():
            many = len(self.ports)
            self.losses.drop(f"{many} sessions are open, and there is no descriptor for one more")
            return None
        listener.count_accepted()
        port = self.ports[peer] = self.port(peer)
        port.vc = self.engine.accepted(listener, port, self._show(peer), message_oriented=True)
        return port

    def port(self, peer: PeerAddress) -> SourcePort:
        """Make the port of a new source."""
        return SourcePort(self, peer)

    # -- for ports ---------------------------------------------------------------------------

    def block(self, port: SourcePort) -> None:
        """The socket takes nothing more now: a port waits for it."""
        self._blocked[port] = None
        self._want(True, True)

    def may_write(self) -> None:
        """The socket takes more."""
        blocked, self._blocked = self._blocked, {}
        self._want(True, False)
        for port in blocked:
            port.may_write()

    def forget(self, port: SourcePort, peer: PeerAddress) -> None:
        """A VC is closed: the next datagram from there is a new source's."""
        del self.ports[peer]
        self._blocked.pop(port, None)
        self._close_when_idle()

    def close(self) -> None:
        """Take nobody new. The socket stays until the last VC has gone."""
        self._closed = True
        self._close_when_idle()

    @property
    def over(self) -> bool:
        """Whether nothing is left of it."""
        return self._closed and not self.ports

    def _close_when_idle(self) -> None:
        if self.over:
            self._want(False, False)
            self.sock.close()


class SourcePort(DatagramPort):
    """What one source sends, and the way back to it."""

    __slots__ = ("_size", "_sources", "_waiting")

    def __init__(self, sources: Sources, peer: PeerAddress) -> None:
        sendto = sources.sock.sendto

        def send(data: Block) -> int:
            return sendto(data, peer)

        super().__init__(sources.sock, self._wait, send, peer)
        self._sources = sources
        self._waiting: deque[bytes] = deque()
        self._size = 0

    def _wait(self, reads: bool, writes: bool) -> None:
        """See Want: only writing is ever waited for."""
        if writes:
            self._sources.block(self)

    def take(self, data: bytes) -> None:
        """Bring a datagram, or have it wait, or drop it."""
        data = data or EMPTY
        if not self._waiting and self.vc.begin_read():
            self._bring(data)
            return
        sources = self._sources
        memory = sources.engine.memory
        if self._size < WAITING and memory.used + sources.waiting < memory.budget:
            self._waiting.append(data)
            self._count(len(data))
        else:
            sources.losses.drop("their session did not read them")

    def _count(self, size: int) -> None:
        self._size += size
        self._sources.waiting += size

    def read(self) -> None:
        """The engine wants to read: bring what waits, as far as it may be."""
        while self._waiting and self.vc.begin_read():
            data = self._waiting.popleft()
            self._count(-len(data))
            self._bring(data)

    def close(self, abort: bool) -> None:
        """Leave the socket to the others."""
        self.writable = False
        self._waiting.clear()
        self._count(-self._size)
        assert self._peer is not None
        self._sources.forget(self, self._peer)
        self.vc.gone()
