"""StreamPort: one plain stream descriptor of the epoll driver, and what closing it takes."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.spreading import push_all
from vcproxy.engine.iobuffer import Block

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.drivers.epoll.splice import Splice
    from vcproxy.engine.net import NetVConnection

ENDS = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR | select.EPOLLPRI
"""A short read proves nothing after these: an end is behind it, or it stopped at urgent data."""

EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLPRI | select.EPOLLRDHUP | select.EPOLLET
"""Registered once for a connection: both directions, told when they change."""

_DATA = select.EPOLLIN | select.EPOLLOUT
_INPUT = select.EPOLLIN | ENDS

SMALL = 4096
"""Reads of less than this are likely to be followed by such: they come as `bytes` of their own,
which saves copying them out of a slab (a sixth of the cost of a small read, measured)."""

LINGER_S = 2.0
LINGER_BYTES = 64 * 1024
"""A close while the peer still sends waits so long, for so much: closing a socket with unread
input makes the kernel reset it, which destroys the answer on its way (RFC 9112, 9.6)."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST


class StreamPort:
    """A connected TCP or Unix stream socket.

    `readable` and `writable` say what epoll last told and no call has disproved. Being
    edge-triggered, epoll does not repeat itself: a short read ends readiness, unless the peer
    has ended too, for then no further edge will come.
    """

    __slots__ = (
        "_driver",
        "_ending",
        "_eof",
        "_lost",
        "_recv",
        "_recv_into",
        "_send",
        "_sendmsg",
        "_small",
        "bridged_in",
        "bridged_out",
        "fd",
        "readable",
        "sock",
        "spliceable",
        "vc",
        "writable",
    )

    vc: NetVConnection

    def __init__(self, driver: EpollDriver, sock: socket.socket) -> None:
        self._driver = driver
        self.sock: socket.socket | None = sock
        self.fd = sock.fileno()
        self.readable = False
        self.writable = True
        self.spliceable = True
        self.bridged_out: Splice | None = None
        """The bridge that takes what this port reads."""
        self.bridged_in: Splice | None = None
        """The bridge that brings what this port writes."""
        self._ending = False  # epoll has told of an end: no edge will tell of more
        self._eof = False  # and it has been read
        self._lost: OSError | None = None  # why sending has failed, if that was not told yet
        self._small = True
        self._recv: Callable[[int], bytes] = sock.recv
        self._recv_into: Callable[[memoryview], int] = sock.recv_into
        self._send: Callable[[Block], int] = sock.send
        self._sendmsg: Callable[[Sequence[Block]], int] = sock.sendmsg

    def ready(self, mask: int) -> None:
        """Take an edge from epoll."""
        if mask == _DATA and self.writable:  # by far the most frequent
            self.readable = True
            self.read()
            return
        if mask & ENDS:
            self._ending = True
            if mask & select.EPOLLPRI:
                self._copy_only()
        if mask & _INPUT:
            self.readable = True
            self.read()
        if not self.writable and mask & select.EPOLLOUT:
            self.writable = True
            self.write()
        if mask & select.EPOLLERR:
            self._look_for_error()

    def read(self) -> None:
        """Read once, as `begin_read` says."""
        if not self.readable:
            return
        if self.bridged_out is not None:
            self.bridged_out.move()
            return
        vc = self.vc
        room = vc.begin_read()
        if not room:
            if self._lost is not None:  # nobody reads on to meet the end
                self.broke(self._lost)
            return
        data: Block
        try:
            if self._small:
                size = SMALL if room > SMALL else room
                data = self._recv(size)
            else:
                size = room
                view = vc.engine.memory.scratch[:size]
                data = view[: self._recv_into(view)]
        except BlockingIOError:
            self.readable = False
            vc.would_block()
            return
        except OSError as error:
            vc.would_block()
            self.broke(error)
            return
        count = len(data)
        if not count:
            self.readable = False
            self._eof = True
            vc.would_block()
            vc.ended()
            if self._lost is not None:
                self.broke(self._lost)
            return
        sink = vc.straight  # bring(), in line: a message is read here for each that is sent
        if sink is not None:
            vc.passed(data, sink.port.push(data) if sink.port is not None else 0)
        elif vc.fan is None:
            vc.received(data)
        else:
            vc.spread(data, push_all(vc.fan, data))
        self._small = count < SMALL
        if count == size or self._ending:
            vc.again(True)
        else:
            self.readable = False

    def push(self, data: Block) -> int:
        """Write at once what another port has read; return how much was taken."""
        if not self.writable:
            return 0
        try:
            count = self._send(data)
        except BlockingIOError:
            count = 0
        except OSError as error:
            # Under the reader's lock: told when that has its answer.
            self._driver.engine.inbox.feed(partial(self.lost, error))
            count = 0
        if count < len(data):
            self.writable = False
        return count

    def write(self) -> None:
        """Write once, as `begin_write` says."""
        if not self.writable:
            return
        if self.bridged_in is not None:
            self.bridged_in.move()
            return
        vc = self.vc
        views = vc.begin_write()
        if views is None:
            return
        try:
            if len(views) == 1:
                size = len(views[0])
                count = self._send(views[0])
            else:
                size = sum(map(len, views))
                count = self._sendmsg(views)
        except BlockingIOError:
            self.writable = False
            vc.sent(0)
        except OSError as error:
            vc.sent(0)
            self.lost(error)
        else:
            if count < size:
                self.writable = False
            vc.sent(count)

    def lost(self, error: OSError) -> None:
        """Sending has failed. What the peer said before it left is read first, if somebody reads:
        it may be an answer to what was sent."""
        self.writable = False
        if self._deaf or self._eof or self.bridged_out is not None:
            self.broke(error)
        else:
            self._lost = error
            self.readable = True
            self.vc.again(True)

    def broke(self, error: OSError) -> None:
        """The descriptor has failed: tell the VC in plain words."""
        self.readable = self.writable = False
        self.vc.failed(type(error)(os.strerror(error.errno or 0).lower()))

    def shutdown_write(self) -> None:
        """Tell the peer that no more will come, behind all that was sent."""
        self.writable = False
        try:
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is broken already, and reading says so

    def close(self, abort: bool) -> None:
        """Close: with a reset, at once, or when the peer has ended too or had time to."""
        for splice in (self.bridged_in, self.bridged_out):
            if splice is not None:
                splice.stop()
        if abort and self.sock is not None and self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if abort or self._eof:
            self.finish()
        else:
            StreamPort.shutdown_write(self)
            self._linger()

    def finish(self) -> None:
        """Close the descriptor now."""
        self._driver.forget(self.fd)
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        self.vc.gone()

    def _linger(self) -> None:
        lingering = Lingering(self)
        lingering.ready(select.EPOLLIN)
        if self.sock is not None:
            self._driver.watch(self.fd, lingering)
            self._driver.after(LINGER_S, self._give_up)

    def _give_up(self) -> None:
        if self.sock is not None:
            self.finish()

    def _copy_only(self) -> None:
        """Bridge no more: splice(2) stops for ever at urgent data, which reading leaves out."""
        self.spliceable = False
        if self.bridged_out is not None:
            self.bridged_out.stop()

    @property
    def _deaf(self) -> bool:
        """Whether nobody reads who would be told of an error."""
        vio = self.vc.read_vio
        return vio is None or vio.over or vio.ntodo == 0

    def _look_for_error(self) -> None:
        """A VC that is not reading would not notice a reset."""
        if self._deaf and self.sock is not None:
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self.broke(OSError(number, ""))


class Lingering:
    """A port whose VC is closed: what still comes is read and thrown away."""

    def __init__(self, port: StreamPort) -> None:
        self._port = port
        self._left = LINGER_BYTES

    def ready(self, mask: int) -> None:
        """Discard input; close at its end, on an error, or when it is too much."""
        sock = self._port.sock
        if sock is None:
            return
        try:
            while self._left > 0:
                size = len(sock.recv(LINGER_BYTES))
                if size == 0:
                    break
                self._left -= size
        except BlockingIOError:
            return
        except OSError:
            pass
        self._port.finish()
