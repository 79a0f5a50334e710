"""DatagramPort: a datagram socket that serves one VC; for real and for simulated sockets.

Each datagram is one message of the VC, in both directions. The socket is level-triggered: a port
sets what it waits for (SetInterest) and reads a batch each time it is readable. Each datagram is
read with a call of its own: with UDP_GRO a single datagram costs three times as much, and 50
datagrams of one segmented send cost no less (measured on the loopback interface).

Tested in tests/drivers/test_datagrams.py, tests/drivers/test_epoll_datagram.py and
tests/sim/test_datagrams.py.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.drop_counter import DropCounter

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.net import NetVConnection

LARGEST = 65_535
"""Size of a receive buffer: the largest length of a datagram (RFC 768), so none is truncated."""

BATCH = 32
"""Limit of datagrams read in one turn: a flood must not delay other connections."""

SOL_UDP, UDP_SEGMENT = 17, 103
"""Segmentation offload (UDP_SEGMENT, udp(7)): one send for many datagrams. Python has no constants
for it."""

MAX_SEGMENTS = 64
"""Most datagrams in one segmented send (linux/udp.h: UDP_MAX_SEGMENTS; later kernels: 128)."""

MAX_SEND_BYTES = 65_507
"""Limit of bytes in one segmented send: an IPv4 packet without its headers."""

_NO_SEGMENTATION = {errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
"""Errors if kernel, device or path cannot segment: datagrams are then sent one by one."""

_DROPPED = {
    errno.EMSGSIZE: "too large for the path",
    errno.ENOBUFS: "the device's queue is full",
}
"""Errors that concern one datagram only, not its VC."""

SetInterest: TypeAlias = Callable[[bool, bool], None]
"""Called as `(reads, writes)`: set the directions in which a port waits for events."""


SocketPlace: TypeAlias = Any
"""The address of a socket: host and port, or of a Unix socket its path."""


class DatagramSocket(Protocol):
    """The methods of a non-blocking socket that ports use."""

    def recv(self, size: int, /) -> bytes:
        """Read one datagram. Raises BlockingIOError, OSError."""

    def recvfrom(self, size: int, /) -> tuple[bytes, SocketPlace]:
        """Read one datagram; return it and its source's address."""

    def send(self, data: Block, /) -> int:
        """Send one datagram to the connected peer."""

    def sendto(self, data: Block, peer: SocketPlace, /) -> int:
        """Send one datagram to an address."""

    def sendmsg(
        self,
        buffers: Iterable[Block],
        ancdata: Iterable[tuple[int, int, bytes]] = ...,
        flags: int = ...,
        address: SocketPlace = ...,
        /,
    ) -> int:
        """Send bytes as several datagrams, of the segment size in `ancdata`."""

    def getsockopt(self, level: int, option: int, /) -> int:
        """Return an option's value. Raises OSError for an option that the kernel does not have."""

    def close(self) -> None:
        """Close the socket."""


class DatagramPort:
    """A connected socket, or a bound one that only receives. See Port and NetVConnection.

    An error that concerns one datagram (EMSGSIZE) does not fail the VC: the datagram is dropped,
    counted in `drops`, and reported as sent. Other errors, such as ICMP port unreachable, fail the
    VC. An empty datagram is represented by EMPTY.
    """

    __slots__ = ("_peer", "_reads", "_recv", "_send", "_set_interest", "_sock", "drops",
                 "segments", "vc", "writable")  # fmt: skip

    spliceable = False
    vc: NetVConnection

    def __init__(
        self,
        sock: DatagramSocket,
        set_interest: SetInterest,
        send: Callable[[Block], int],
        peer: SocketPlace = None,
    ) -> None:
        """`peer`: the destination, for a socket that is not connected."""
        self.writable = True
        self.segments = _can_segment(sock)
        """Whether one send may carry several datagrams."""
        self.drops: DropCounter | None = None
        """The counter of dropped datagrams; None: none was dropped yet."""
        self._sock = sock
        self._set_interest = set_interest
        self._peer = peer
        self._reads = False
        self._recv = sock.recv
        self._send = send

    # -- reading -----------------------------------------------------------------------------

    def read(self) -> None:
        """Start reading in the next turn; called by the engine."""
        if not self._reads:
            self._reads = True
            self._set_interest(True, not self.writable)

    def on_readable(self) -> None:
        """Read a batch while `begin_read` allows it; other datagrams stay in the socket."""
        vc, recv = self.vc, self._recv
        begin = vc.begin_read
        for _ in range(BATCH):
            if not begin():
                self._reads = False
                self._set_interest(False, not self.writable)
                return
            try:
                data = recv(LARGEST)
            except BlockingIOError:
                vc.would_block()
                return
            except OSError as error:
                vc.would_block()
                self.fail(error)
                return
            self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        """Deliver a datagram to the VC, after `begin_read`.

        Nothing is sent to a fan here: at the end of the turn it sends the whole batch, with one
        call for each sink.
        """
        vc = self.vc
        sink = vc.direct_sink
        data = data or EMPTY
        if sink is None:
            vc.received(data)
        else:
            vc.passed(data, sink.port.push(data) if sink.port is not None else 0)

    # -- writing -----------------------------------------------------------------------------

    def push(self, data: Block) -> int:
        """Send one datagram now; return its size, or 0 if it was not sent."""
        if not self.writable:
            return 0
        try:
            self._send(data)
        except OSError as error:
            return self._send_failed(error, len(data))
        return len(data)

    def push_each(self, blocks: Sequence[Block]) -> int:
        """Send each block as a datagram; return the bytes of those that were sent."""
        taken = 0
        for batch in batches(blocks) if self.segments else ([block] for block in blocks):
            size = sum(map(len, batch))
            count = self._push_batch(batch, size) if len(batch) > 1 else self.push(batch[0])
            taken += count
            if count < size:
                break
        return taken

    def _push_batch(self, batch: Sequence[Block], size: int) -> int:
        """Send a batch with one segmented send: all or nothing. Where the kernel cannot segment,
        send its datagrams one by one."""
        if not self.writable:
            return 0
        if self.segments:
            segment = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", len(batch[0])))]
            try:
                # Joining 50 blocks takes a sixth less time than passing 50 buffers (measured).
                self._sock.sendmsg([b"".join(batch)], segment, 0, self._peer)
            except OSError as error:
                if error.errno not in _NO_SEGMENTATION:
                    return self._send_failed(error, size)
                self.segments = False
            else:
                return size
        taken = 0
        for block in batch:
            count = self.push(block)
            if not count:
                break
            taken += count
        return taken

    def write(self) -> None:
        """Send what `begin_write()` returns, each block as a datagram."""
        if self.writable:
            blocks = self.vc.begin_write()
            if blocks is not None:
                self.vc.sent(self.push_each(blocks))

    def on_writable(self) -> None:
        """Resume writing: the socket can send again."""
        self.writable = True
        self._set_interest(self._reads, False)
        self.write()

    def _send_failed(self, error: OSError, size: int) -> int:
        """Handle a failed send; return `size` if the data was dropped, 0 if it must be kept."""
        if error.errno in _DROPPED:
            if self.drops is None:
                self.drops = DropCounter(self.vc.engine, self.vc.name)
            self.drops.drop(f"{_DROPPED[error.errno]} ({size} bytes)")
            return size
        self.writable = False
        if isinstance(error, BlockingIOError):
            self._set_interest(self._reads, True)
        else:
            # The caller may hold a lock: report the error after this call has returned.
            self.vc.soon(partial(self.fail, error))
        return 0

    # -- the end -----------------------------------------------------------------------------

    def fail(self, error: OSError) -> None:
        """Report the socket's error to the VC, with the system's text."""
        self.writable = self._reads = False
        self._set_interest(False, False)
        self.vc.failed(type(error)(os.strerror(error.errno or 0).lower()))

    def shutdown_write(self) -> None:
        """Do nothing: UDP has no end of stream."""

    def close(self, abort: bool) -> None:
        """Close the socket."""
        self.writable = self._reads = False
        self._set_interest(False, False)
        self._sock.close()
        self.vc.gone()


def batches(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    """Divide blocks into batches for one segmented send each.

    All blocks of a batch have the same size; the last may be shorter. An empty datagram is a batch
    of its own: the kernel makes no empty segments.
    """
    start = 0
    while start < len(blocks):
        size = len(blocks[start])
        most = min(start + max(min(MAX_SEGMENTS, MAX_SEND_BYTES // size), 1), len(blocks))
        end = start + 1
        if blocks[start] is EMPTY:
            most = end
        while end < most and len(blocks[end]) == size and blocks[end] is not EMPTY:
            end += 1
        if end < most and len(blocks[end]) < size and blocks[end] is not EMPTY:
            end += 1
        yield blocks[start:end]
        start = end


def _can_segment(sock: DatagramSocket) -> bool:
    """Return whether the kernel has UDP_SEGMENT: without it a batch would become one datagram."""
    try:
        sock.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True
