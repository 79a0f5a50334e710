"""UnixNetwork: Unix datagram sockets in memory, which behave like those of a kernel (unix(7)).

Datagrams are neither lost nor reordered: while the queue of a receiver is full, a sender cannot
send. SimUnixSocket has the methods of DatagramSocket, so that the same ports use it.

Tested in tests/conformance/test_unix_datagrams.py.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count

from vcproxy.drivers.sim.link import do_nothing
from vcproxy.engine.blocks import Block

QUEUE = 10
"""The datagrams that wait in a socket: the default of net.unix.max_dgram_qlen before Linux 6."""

MAX_DATAGRAM = 212_959
"""Bytes of a datagram: with Linux's overhead it fills a send buffer of 212,992 bytes."""


class UnixNetwork:
    """The Unix datagram sockets of a simulation, by path."""

    def __init__(self) -> None:
        self.bound: dict[str, SimUnixSocket] = {}
        self.stale: set[str] = set()
        """Paths of files whose process was killed: nothing receives there."""
        self._names = count(1)

    def bind(self, path: str = "") -> SimUnixSocket:
        """Return a socket bound to a path; "": a name of the abstract namespace. Raises OSError."""
        path = path or f"@{next(self._names):05x}"
        if path in self.bound:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self.stale.discard(path)
        sock = self.bound[path] = SimUnixSocket(self, path)
        return sock

    def connect(self, path: str) -> SimUnixSocket:
        """Return a socket connected to one at a path. Raises OSError."""
        self.receiver(path)
        sock = self.bind()
        sock.peer = path
        return sock

    def receiver(self, path: str) -> SimUnixSocket:
        """Return the socket at a path. Raises OSError."""
        sock = self.bound.get(path)
        if sock is None:
            number = errno.ECONNREFUSED if path in self.stale else errno.ENOENT
            raise OSError(number, os.strerror(number))
        return sock


class SimUnixSocket:
    """A simulated Unix datagram socket. See DatagramSocket."""

    def __init__(self, network: UnixNetwork, path: str) -> None:
        self.path = path
        self.peer = ""
        """The path that it is connected to; "": it is not."""
        self.on_edge: Callable[[], None] = do_nothing
        """Called when it becomes readable or writable."""
        self._network = network
        self._arrived: deque[tuple[bytes, str]] = deque()
        self._waiting: dict[SimUnixSocket, None] = {}  # senders that found the queue full

    @property
    def readable(self) -> bool:
        """Whether `recv` would return a datagram."""
        return bool(self._arrived)

    @property
    def writable(self) -> bool:
        """Whether `send` would not block."""
        peer = self._network.bound.get(self.peer)
        return peer is None or len(peer._arrived) < QUEUE

    def recv(self, size: int, /) -> bytes:
        """See DatagramSocket."""
        return self.recvfrom(size)[0]

    def recvfrom(self, size: int, /) -> tuple[bytes, str]:
        """See DatagramSocket."""
        if not self._arrived:
            raise BlockingIOError(errno.EAGAIN, "")
        data, source = self._arrived.popleft()
        waiting, self._waiting = self._waiting, {}
        for sender in waiting:
            sender.on_edge()
        return data[:size], source

    def send(self, data: Block, /) -> int:
        """See DatagramSocket."""
        return self.sendto(data, self.peer)

    def sendto(self, data: Block, peer: str, /) -> int:
        """See DatagramSocket."""
        if len(data) > MAX_DATAGRAM:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        receiver = self._network.receiver(peer)
        if len(receiver._arrived) >= QUEUE:
            receiver._waiting[self] = None
            raise BlockingIOError(errno.EAGAIN, "")
        receiver._arrived.append((bytes(data), self.path))
        receiver.on_edge()
        return len(data)

    def sendmsg(
        self,
        buffers: Iterable[Block],
        ancdata: Iterable[tuple[int, int, bytes]] = (),
        flags: int = 0,
        address: str | None = None,
        /,
    ) -> int:
        """See DatagramSocket. It has no segmentation."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def getsockopt(self, level: int, option: int, /) -> int:
        """See DatagramSocket. It has no options."""
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))

    def close(self) -> None:
        """See DatagramSocket. Its file is removed."""
        self.on_edge = do_nothing
        self._network.bound.pop(self.path, None)
        for sender in self._waiting:
            sender.on_edge()  # its next send fails
