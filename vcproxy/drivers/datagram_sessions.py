"""DatagramSessions: a listening datagram socket with one VC for each address that sends to it.

All sessions share the socket, so a datagram cannot stay in the kernel until its VC reads. Each
session queues a few datagrams (MAX_PENDING); further ones are dropped, as a kernel does when a
socket buffer is full. The queued bytes use the engine's memory budget, but they are counted here
and not in the engine: it counts only data that a driver call has passed to it.

Tested in tests/drivers/test_epoll_datagram.py and tests/sim/test_datagrams.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from vcproxy.drivers.datagrams import BATCH, LARGEST, DatagramPort, DatagramSocket, SetInterest
from vcproxy.engine.address import address_of, unmapped
from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.drop_counter import DropCounter

if TYPE_CHECKING:
    from vcproxy.admission.admission import Admission
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.listener import Listener

MAX_PENDING = 16 * 1024
"""Limit of the bytes queued for one VC; the datagram that exceeds it is still queued. A session
does not read while it connects, and a thousand sessions must not use a full socket buffer each."""

PeerAddress = Any
"""Host and port, or the address of a Unix socket."""


class DatagramSessions:
    """The sessions of one listening address: one VC for each source of datagrams.

    All run on the engine whose driver listens. Datagrams that the listener's admission refuses are
    dropped: they reach neither the engine nor a recording. When the listener has `max_connections`
    sessions, datagrams from new sources are dropped. When `has_descriptor` returns False, the
    session that has been idle longest is closed to make room.
    """

    largest: ClassVar[int] = LARGEST
    """The size of the buffer for a datagram."""

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        sock: DatagramSocket,
        set_interest: SetInterest,
        show: Callable[[object], str],
        has_descriptor: Callable[[], bool],
    ) -> None:
        self.engine = engine
        self.listener = listener
        """The listener of new sessions. A reload may replace it."""
        self.drops = DropCounter(engine, listener.name)
        self.sock = sock
        self._set_interest = set_interest
        self._show = show
        self._has_descriptor = has_descriptor
        self.ports: dict[PeerAddress, SessionPort] = {}
        """The ports of the open sessions."""
        self._blocked: dict[SessionPort, None] = {}
        self._closing = False
        self.pending_bytes = 0
        """Bytes queued for all VCs."""
        set_interest(True, False)

    def on_readable(self) -> None:
        """Read a batch of datagrams, and deliver each to the VC of its source."""
        recvfrom, ports, largest = self.sock.recvfrom, self.ports, self.largest
        admission = self.listener.admission
        for _ in range(BATCH):
            try:
                data, peer = recvfrom(largest)
            except BlockingIOError:
                return
            except OSError:
                continue  # caused by an earlier send to one peer: read the next datagram
            port = ports.get(peer)
            if admission is not None and self._refuses(admission, port, peer):
                continue
            port = port or self._admit(peer)
            if port is not None:
                port.receive(data)

    def _refuses(self, admission: Admission, port: SessionPort | None, peer: PeerAddress) -> bool:
        """Return whether a datagram is dropped by the listener's rules; count it then."""
        engine = self.engine
        client = address_of(unmapped(self._show(peer))) if port is None else port.vc.peer_address
        refused = admission.refuses_datagram(client, engine.now, known=port is not None)
        if refused is None:
            return False
        self.listener.count_refusal(engine, refused[0], client, refused[1])
        return True

    def _admit(self, peer: PeerAddress) -> SessionPort | None:
        """Open a session for a new source, if the limits allow it."""
        listener = self.listener
        if self._closing:
            return None
        if not listener.admits():
            limit = listener.max_connections
            self.drops.drop(f"limits.max_connections = {limit} sessions are open")
            return None
        if not self._has_descriptor() and not self.engine.make_room():
            count = len(self.ports)
            self.drops.drop(f"{count} sessions are open, and there is no descriptor for one more")
            return None
        listener.count_accepted()
        port = self.ports[peer] = self.port(peer)
        port.vc = self.engine.accepted(listener, port, self._show(peer), message_oriented=True)
        return port

    def port(self, peer: PeerAddress) -> SessionPort:
        """Return a port for a new source."""
        return SessionPort(self, peer)

    # -- for ports ---------------------------------------------------------------------------

    def wait_writable(self, port: SessionPort) -> None:
        """Call `port.on_writable` when the full socket can send again."""
        self._blocked[port] = None
        self._set_interest(True, True)

    def on_writable(self) -> None:
        """Let all waiting ports write."""
        blocked, self._blocked = self._blocked, {}
        self._set_interest(True, False)
        for port in blocked:
            port.on_writable()

    def forget(self, port: SessionPort, peer: PeerAddress) -> None:
        """Forget a closed session: the next datagram of its source opens a new one."""
        del self.ports[peer]
        self._blocked.pop(port, None)
        self._close_when_idle()

    def close(self) -> None:
        """Open no new sessions. The socket is closed with the last session."""
        self._closing = True
        self._close_when_idle()

    @property
    def closed(self) -> bool:
        """Whether the socket is closed."""
        return self._closing and not self.ports

    def _close_when_idle(self) -> None:
        if self.closed:
            self._set_interest(False, False)
            self.sock.close()


class SessionPort(DatagramPort):
    """The port of one session: it receives from one source and sends to it."""

    __slots__ = ("_pending", "_pending_bytes", "_sessions")

    def __init__(self, sessions: DatagramSessions, peer: PeerAddress) -> None:
        sendto = sessions.sock.sendto

        def send(data: Block) -> int:
            return sendto(data, peer)

        super().__init__(sessions.sock, self._wait, send, peer)
        self._sessions = sessions
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0

    def _wait(self, reads: bool, writes: bool) -> None:
        """Wait for writing only: the shared socket is always read. See SetInterest."""
        if writes:
            self._sessions.wait_writable(self)

    def receive(self, data: bytes) -> None:
        """Deliver a datagram to the VC. If the VC does not read now, queue or drop it."""
        data = data or EMPTY
        if not self._pending and self.vc.begin_read():
            self._deliver(data)
            return
        sessions = self._sessions
        memory = sessions.engine.memory
        within_budget = memory.used + sessions.pending_bytes < memory.budget
        if self._pending_bytes < MAX_PENDING and within_budget:
            self._pending.append(data)
            self._count(len(data))
        else:
            sessions.drops.drop("their session did not read them in time")

    def _count(self, size: int) -> None:
        self._pending_bytes += size
        self._sessions.pending_bytes += size

    def read(self) -> None:
        """Deliver queued datagrams while `begin_read` allows it; called by the engine."""
        while self._pending and self.vc.begin_read():
            data = self._pending.popleft()
            self._count(-len(data))
            self._deliver(data)

    def close(self, abort: bool) -> None:
        """End the session. The shared socket stays open for the others."""
        self.writable = False
        self._pending.clear()
        self._count(-self._pending_bytes)
        self._sessions.forget(self, self._peer)
        self.vc.gone()
