"""Post: datagrams in memory, and the sockets they go between, as a kernel would show them.

A SimSocket is used by the very ports that real sockets are (`vcproxy.drivers.datagrams`).
"""

from __future__ import annotations

import errno
import os
import struct
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from vcproxy.drivers.sim.link import nobody

if TYPE_CHECKING:
    from vcproxy.drivers.sim.network import Network
    from vcproxy.engine.address import Address
    from vcproxy.engine.iobuffer import Block

Place: TypeAlias = tuple[str, int]
"""Host and port."""

LARGEST_SENT = 65_507
"""Bytes of one IPv4 datagram without its headers: more is refused (EMSGSIZE)."""

FULL_S = (0.0, 0.01)
"""How long a socket that takes nothing stays so."""

INTERFACES = ("lo", "127.0.0.1", "eth0", "10.0.0.1")
"""What a host here has, by name and address."""

HERE = "10.0.0.1"


class Post:
    """Brings datagrams, each by itself: it may be lost, doubled, or overtaken by a later one."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._bound: dict[Place, SimSocket] = {}
        self._members: dict[Place, list[SimSocket]] = {}

    def bind(self, address: Address) -> SimSocket:
        """Open a socket at an address, port 0: a free one; or as a member of a group.

        Raises OSError.
        """
        place = address.host, address.port or self.network.free_port()
        if address.multicast:
            sock = SimSocket(self, place, on=_interface(address), only=address.parameter("source"))
            self._members.setdefault(place, []).append(sock)
            return sock
        if place in self._bound:
            raise OSError(errno.EADDRINUSE, f"{address}: {os.strerror(errno.EADDRINUSE)}")
        sock = self._bound[place] = SimSocket(self, place)
        return sock

    def connect(self, address: Address, here: Place | None = None) -> SimSocket:
        """Open a socket that sends to an address, at a place or any free one. Raises OSError."""
        place = here or (HERE, self.network.free_port())
        on = _interface(address) if address.multicast else ""
        to = address.host, address.port
        sock = self._bound[place] = SimSocket(self, place, peer=to, on=on)
        return sock

    def close(self, sock: SimSocket) -> None:
        """Nothing is brought to a socket any more."""
        if sock in self._members.get(sock.local, ()):
            self._members[sock.local].remove(sock)
        else:
            del self._bound[sock.local]

    def send(self, sock: SimSocket, data: bytes, to: Place) -> None:
        """Bring a datagram to everybody whom it concerns, if nothing befalls it."""
        members = self._members.get(to)
        if members is not None:
            for member in members:
                if member.admits(sock):
                    self._carry(partial(member.arrive, data, sock.local))
        else:
            self._carry(partial(self._deliver, sock, data, to))

    def _carry(self, deliver: Callable[[], None]) -> None:
        network = self.network
        faults, timeline = network.faults, network.timeline
        copies = 0 if network.happens(faults.lose) else 1
        if copies and network.happens(faults.double):
            copies = 2
        for _ in range(copies):
            arrival = timeline.now + network.span(faults.latency)
            timeline.at(max(arrival, network.cut_until), deliver)

    def _deliver(self, sock: SimSocket, data: bytes, to: Place) -> None:
        there = self._bound.get(to)
        if there is not None and there.hears(sock.local):
            there.arrive(data, sock.local)
        elif sock.peer == to:
            self._carry(sock.refuse)  # an ICMP message, which may be lost too


class SimSocket:
    """One socket. See DatagramSocket."""

    def __init__(
        self, post: Post, local: Place, *, peer: Place | None = None, on: str = "", only: str = ""
    ) -> None:
        self.local = local
        self.peer = peer
        self.on_edge: Callable[[], None] = nobody
        """Called when there is something to read, or room to write again."""
        self.writable = True
        self.post = post
        self._on = on
        self._only = only
        self._arrived: deque[tuple[bytes, Place]] = deque()
        self._room = post.network.random.randint(*post.network.faults.socket)
        self._error: OSError | None = None
        self._open = True

    @property
    def readable(self) -> bool:
        """Whether `recv` would give something, or raise."""
        return bool(self._arrived) or self._error is not None

    # -- as a kernel shows it ----------------------------------------------------------------

    def recv(self, size: int, /) -> bytes:
        """See DatagramSocket."""
        return self.recvfrom(size)[0]

    def recvfrom(self, size: int, /) -> tuple[bytes, Place]:
        """See DatagramSocket."""
        self._raise()
        if not self._arrived:
            raise BlockingIOError(errno.EAGAIN, "")
        data, source = self._arrived.popleft()
        self._room += len(data)
        return data[:size], source

    def send(self, data: Block, /) -> int:
        """See DatagramSocket."""
        assert self.peer is not None, "it is not connected"
        return self.sendto(data, self.peer)

    def sendto(self, data: Block, peer: Place, /) -> int:
        """See DatagramSocket."""
        self._raise()
        network = self.post.network
        if len(data) > LARGEST_SENT:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        if self.writable and network.happens(network.faults.short):
            self.writable = False
            network.timeline.after(network.span(FULL_S), self._drained)
        if not self.writable:
            raise BlockingIOError(errno.EAGAIN, "")
        self.post.send(self, bytes(data), peer)
        return len(data)

    def sendmsg(
        self,
        buffers: Iterable[Block],
        ancdata: Iterable[tuple[int, int, bytes]] = (),
        flags: int = 0,
        address: Place | None = None,
        /,
    ) -> int:
        """See DatagramSocket."""
        data = b"".join(buffers)
        peer = address or self.peer
        assert peer is not None, "it is not connected"
        ((_, _, packed),) = ancdata
        (size,) = struct.unpack("H", packed)
        network = self.post.network
        if network.happens(network.faults.uncut):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.sendto(data[:size], peer)
        for start in range(size, len(data), size):
            self.post.send(self, data[start : start + size], peer)
        return len(data)

    def getsockopt(self, level: int, option: int, /) -> int:
        """See DatagramSocket: it knows all that it is asked about."""
        return 0

    def close(self) -> None:
        """See DatagramSocket."""
        self._open = False
        self.on_edge = nobody
        self._arrived.clear()
        self.post.close(self)

    # -- for the post ------------------------------------------------------------------------

    def hears(self, source: Place) -> bool:
        """Whether it is for that one: a connected socket hears its peer only."""
        return self.peer is None or self.peer == source

    def admits(self, sender: SimSocket) -> bool:
        """Whether a member of a group hears somebody."""
        same = not self._on or not sender._on or self._on == sender._on
        return same and self._only in ("", sender.local[0])

    def arrive(self, data: bytes, source: Place) -> None:
        """Something has come; it is lost where too much waits already."""
        if self._open and self._room > 0:
            self._room -= len(data)
            self._arrived.append((data, source))
            self.on_edge()

    def refuse(self) -> None:
        """Nobody is where something was sent to."""
        if self._open:
            self._error = ConnectionRefusedError(
                errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)
            )
            self.on_edge()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _drained(self) -> None:
        self.writable = True
        self.on_edge()


def _interface(address: Address) -> str:
    name = address.parameter("interface")
    if name and name not in INTERFACES:
        raise OSError(f"interface={name}: there is no such interface: name one of lo, eth0")
    return {"127.0.0.1": "lo", "10.0.0.1": "eth0"}.get(name, name)
