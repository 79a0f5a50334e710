"""DatagramNetwork: datagrams in memory, and sockets that behave like those of a kernel.

SimSocket has the methods of DatagramSocket, so that the same ports use it
(`vcproxy.drivers.datagrams`).

Tested in tests/sim/test_datagrams.py.
"""

from __future__ import annotations

import errno
import os
import struct
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.datagram_source import MAX_PORT
from vcproxy.drivers.sim.link import do_nothing

if TYPE_CHECKING:
    from vcproxy.drivers.sim.conditions import Conditions
    from vcproxy.engine.address import Address
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.sources.datagrams import HostPort

MAX_DATAGRAM = 65_507
"""Bytes of one IPv4 datagram without its headers: more fail with EMSGSIZE."""

FULL_S = (0.0, 0.01)
"""How long a full send buffer stays full, in seconds."""

INTERFACES = ("lo", "127.0.0.1", "eth0", "10.0.0.1")
"""The interfaces of a simulated host, by name and address."""

LOCAL_HOST = "10.0.0.1"

BROADCAST = ("255.255.255.255", "10.0.0.255")
"""The broadcast addresses of the network."""

ANY = "0.0.0.0"
"""A socket bound to it receives at every host; what it sends comes from LOCAL_HOST."""


class DatagramNetwork:
    """Delivers datagrams; each of them may be lost, duplicated or reordered."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self._bound: dict[HostPort, SimSocket] = {}
        self._members: dict[HostPort, list[SimSocket]] = {}

    def bind(self, address: Address) -> SimSocket:
        """Return a socket bound to an address (port 0: a free port) or joined to its group.

        Raises OSError.
        """
        local = address.host, address.port or self.conditions.free_port()
        if address.multicast:
            sock = SimSocket(
                self, local, interface=_interface(address), only=address.parameter("source")
            )
            self._members.setdefault(local, []).append(sock)
            return sock
        if local in self._bound:
            raise OSError(errno.EADDRINUSE, f"{address}: {os.strerror(errno.EADDRINUSE)}")
        sock = self._bound[local] = SimSocket(self, local)
        return sock

    def is_bound(self, at: HostPort) -> bool:
        """Return whether a socket is bound to an address, or to all with its port."""
        return at in self._bound or (ANY, at[1]) in self._bound

    def connect(self, address: Address, local: HostPort | None = None) -> SimSocket:
        """Return a socket connected to an address. `local`: its own; None: a free port.

        Raises OSError.
        """
        local = local or (LOCAL_HOST, self.conditions.free_port())
        interface = _interface(address) if address.multicast else ""
        peer = address.host, address.port
        sock = self._bound[local] = SimSocket(self, local, peer=peer, interface=interface)
        return sock

    def close(self, sock: SimSocket) -> None:
        """Remove a closed socket: no more datagrams are delivered to it."""
        if sock in self._members.get(sock.local, ()):
            self._members[sock.local].remove(sock)
        else:
            del self._bound[sock.local]

    def send(self, sock: SimSocket, data: bytes, to: HostPort) -> None:
        """Send a datagram to a socket, or to each member of a group; faults may drop it."""
        members = self._members.get(to)
        if members is not None:
            for member in members:
                if member.accepts_multicast(sock):
                    self._schedule(partial(member.arrive, data, sock.source))
        elif to[0] in BROADCAST:
            if not sock.broadcast:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            for each in self._bound.values():
                if each.local == (ANY, to[1]):
                    self._schedule(partial(each.arrive, data, sock.source))
        else:
            self._schedule(partial(self._deliver, sock, data, to))

    def _schedule(self, deliver: Callable[[], None]) -> None:
        network = self.conditions
        faults, clock = network.faults, network.clock
        copies = 0 if network.happens(faults.loss) else 1
        if copies and network.happens(faults.duplicate):
            copies = 2
        for _ in range(copies):
            arrival = clock.now + network.span(faults.latency)
            clock.at(max(arrival, network.partitioned_until), deliver)

    def _deliver(self, sock: SimSocket, data: bytes, to: HostPort) -> None:
        target = self._bound.get(to) or self._bound.get((ANY, to[1]))
        if target is not None and target.accepts_from(sock.source):
            target.arrive(data, sock.source)
        elif sock.peer == to:
            self._schedule(sock.refuse)  # an ICMP message, which may be lost too


class SimSocket:
    """A simulated datagram socket. See DatagramSocket."""

    def __init__(
        self,
        network: DatagramNetwork,
        local: HostPort,
        *,
        peer: HostPort | None = None,
        interface: str = "",
        only: str = "",
    ) -> None:
        self.local = local
        self.source = (LOCAL_HOST, local[1]) if local[0] == ANY else local
        """The source of what it sends."""
        self.peer = peer
        self.on_edge: Callable[[], None] = do_nothing
        """Called when it becomes readable or writable."""
        self.writable = True
        self.broadcast = False
        """Whether it may send to BROADCAST (SO_BROADCAST)."""
        self.network = network
        self._interface = interface
        self._only = only
        self._arrived: deque[tuple[bytes, HostPort]] = deque()
        random, faults = network.conditions.random, network.conditions.faults
        self._room = random.randint(*faults.socket)
        self._error: OSError | None = None
        self._open = True

    @property
    def readable(self) -> bool:
        """Whether `recv` would return a datagram, or raise an error other than EAGAIN."""
        return bool(self._arrived) or self._error is not None

    # -- DatagramSocket ----------------------------------------------------------------------

    def recv(self, size: int, /) -> bytes:
        """See DatagramSocket."""
        return self.recvfrom(size)[0]

    def recvfrom(self, size: int, /) -> tuple[bytes, HostPort]:
        """See DatagramSocket."""
        self._raise()
        if not self._arrived:
            raise BlockingIOError(errno.EAGAIN, "")
        data, source = self._arrived.popleft()
        self._room += len(data)
        return data[:size], source

    def send(self, data: Block, /) -> int:
        """See DatagramSocket."""
        assert self.peer is not None, "not connected"
        return self.sendto(data, self.peer)

    def sendto(self, data: Block, peer: HostPort, /) -> int:
        """See DatagramSocket."""
        self._raise()
        network = self.network.conditions
        if len(data) > MAX_DATAGRAM:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        if not 0 <= peer[1] <= MAX_PORT:
            raise OverflowError("sendto(): port must be 0-65535.")  # as Python's sockets do
        if self.writable and network.happens(network.faults.short):
            self.writable = False
            network.clock.after(network.span(FULL_S), self._drained)
        if not self.writable:
            raise BlockingIOError(errno.EAGAIN, "")
        self.network.send(self, bytes(data), peer)
        return len(data)

    def sendmsg(
        self,
        buffers: Iterable[Block],
        ancdata: Iterable[tuple[int, int, bytes]] = (),
        flags: int = 0,
        address: HostPort | None = None,
        /,
    ) -> int:
        """See DatagramSocket."""
        data = b"".join(buffers)
        peer = address or self.peer
        assert peer is not None, "not connected"
        ((_, _, packed),) = ancdata
        (size,) = struct.unpack("H", packed)
        network = self.network.conditions
        if network.happens(network.faults.no_segmentation):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.sendto(data[:size], peer)
        for start in range(size, len(data), size):
            self.network.send(self, data[start : start + size], peer)
        return len(data)

    def getsockopt(self, level: int, option: int, /) -> int:
        """See DatagramSocket: every option exists and is 0."""
        return 0

    def close(self) -> None:
        """See DatagramSocket."""
        self._open = False
        self.on_edge = do_nothing
        self._arrived.clear()
        self.network.close(self)

    # -- for the network ---------------------------------------------------------------------

    def accepts_from(self, source: HostPort) -> bool:
        """Return whether the socket receives from a source: a connected one only from its peer."""
        return self.peer is None or self.peer == source

    def accepts_multicast(self, sender: SimSocket) -> bool:
        """Return whether this group member receives from a sender: they use the same interface,
        and the sender is the source it has joined for, if any."""
        mine, other = self._interface, sender._interface
        same = not mine or not other or mine == other
        return same and self._only in ("", sender.local[0])

    def arrive(self, data: bytes, source: HostPort) -> None:
        """Receive a datagram; drop it if the receive buffer is full."""
        if self._open and self._room > 0:
            self._room -= len(data)
            self._arrived.append((data, source))
            self.on_edge()

    def refuse(self) -> None:
        """Make the next call fail: no socket at the destination (ICMP port unreachable)."""
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
        raise OSError(f"interface={name}: no such interface: use one of lo, eth0")
    return {"127.0.0.1": "lo", "10.0.0.1": "eth0"}.get(name, name)
