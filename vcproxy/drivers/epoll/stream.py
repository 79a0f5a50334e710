"""StreamPort: one plain stream descriptor of the epoll driver.

Whatever breaks a connection, what its peer sent before is readable still, in order (Linux gives
ECONNRESET behind the receive queue). But the error itself is given once: to whoever asks first,
a send, a splice or SO_ERROR; then reading ends with 0, as after a FIN. So a port keeps the error
until all has been read.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import termios
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.closing import Lingering, Resetting
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
        self._ending = False  # epoll has reported an end: no edge will report more
        self._eof = False  # and it has been read
        self._lost: OSError | None = None  # why it is broken, until all has been read
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
            self.look_for_error()

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
            if self._lost is not None:
                self.report_lost()
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
            self.fail(error)
            return
        count = len(data)
        if not count:
            self.readable = False
            self._eof = True
            vc.would_block()
            # EPIPE: the peer had ended its direction in order before it reset ours (tcp(7)).
            if self._lost is None or self._lost.errno == errno.EPIPE:
                vc.ended()
            if self._lost is not None:
                self.fail(self._lost)
            return
        sink = vc.direct_sink  # bring(), in line: a message is read here for each that is sent
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
            self.vc.soon(partial(self.lost, error))
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

    def look_for_error(self) -> None:
        """Ask why epoll reports an error that no read and no write has met."""
        if self._lost is None and self.sock is not None:
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self.lost(OSError(number, ""))

    def lost(self, error: OSError) -> None:
        """The connection is broken. What the peer sent before is read first: it may be an answer
        to what was sent."""
        if self._lost is not None or self.vc.closed:
            return  # it is known, or nobody is there to know it
        self.writable = False
        if self._eof:
            self.fail(error)
            return
        self._lost = plain(error)
        self.readable = self._ending = True
        if self.bridged_out is not None:
            self.bridged_out.stop()  # a splice would take what follows for an orderly end
        self.read()

    def report_lost(self) -> None:
        """It is broken, and the engine does not read: say so, and whether there is more to read."""
        assert self._lost is not None
        if self.unread:
            self.vc.broke(self._lost)
        else:
            self.fail(self._lost)

    @property
    def unread(self) -> bool:
        """Whether something has come that was not read."""
        return fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4)) != bytes(4)

    def fail(self, error: OSError) -> None:
        """The connection is broken, and all has been read."""
        self.readable = self.writable = False
        self._lost = plain(error)
        self.vc.failed(self._lost)

    def shutdown_write(self) -> None:
        """Tell the peer that no more will come, behind all that was sent."""
        self.writable = False
        try:
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is broken already, and reading says so

    def close(self, abort: bool) -> None:
        """Close: with a reset behind what was sent, or when the peer has ended too or had time to.

        A reset is at once where nothing that was sent is on its way.
        """
        for splice in (self.bridged_in, self.bridged_out):
            if splice is not None:
                splice.stop()
        if abort:
            Resetting(self._driver, self).begin(broken=self._lost is not None)
        elif self._eof:
            self.finish()
        else:
            StreamPort.shutdown_write(self)
            Lingering(self._driver, self).begin()

    def finish(self) -> None:
        """Close the descriptor now."""
        self._driver.forget(self.fd)
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        self.vc.gone()

    def give_up(self) -> None:
        """Close the descriptor, if it is still there."""
        if self.sock is not None:
            self.finish()

    def _copy_only(self) -> None:
        """Bridge no more: splice(2) stops for ever at urgent data, which reading leaves out."""
        self.spliceable = False
        if self.bridged_out is not None:
            self.bridged_out.stop()


def plain(error: OSError) -> OSError:
    """The same error, with the system's own words as its text."""
    plain = type(error)(os.strerror(error.errno or 0).lower())
    plain.errno = error.errno
    return plain
