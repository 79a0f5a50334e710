"""StreamPort: reads and sends the bytes of one TCP or Unix stream socket, in the epoll driver.

When a connection breaks, the bytes that the peer sent before can still be read, in order (Linux
returns ECONNRESET after the receive queue). But the kernel reports the error only once: to the
first send, splice or SO_ERROR; after that reading returns 0, as after a FIN. So a port keeps the
error until it has read everything.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import termios
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from vcproxy.drivers.epoll.closing import Lingering, Resetting
from vcproxy.drivers.spreading import push_all
from vcproxy.engine.blocks import Block

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.file_output import FileOutput
    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.drivers.epoll.splice import Splice
    from vcproxy.engine.file_range import FileRange
    from vcproxy.engine.net import NetVConnection

ENDS = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR | select.EPOLLPRI
"""After these events a short read does not show an empty socket: an end follows the data, or the
read stopped at urgent data."""

EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLPRI | select.EPOLLRDHUP | select.EPOLLET
"""Registered once for a connection: both directions, edge-triggered."""

_DATA = select.EPOLLIN | select.EPOLLOUT
_INPUT = select.EPOLLIN | ENDS

SMALL = 4096
"""A read shorter than this is likely to be followed by another short one. The next read then
returns new `bytes`, to save a copy out of a slab (a sixth of the cost of a small read,
measured)."""


class ByteStream(Protocol):
    """The object by which a port reads and writes: its socket, or the two descriptors of
    `stdio:`."""

    def recv(self, size: int, /) -> bytes:
        """Read at most `size` bytes; b"" at the end of the stream."""

    def recv_into(self, view: memoryview, /) -> int:
        """Read into a view; return how many bytes were read."""

    def send(self, data: Block, /) -> int:
        """Write data; return how many bytes the kernel has taken."""

    def sendmsg(self, pieces: Sequence[Block], /) -> int:
        """Write pieces in order; return how many bytes the kernel has taken."""


class StreamPort:
    """A connected TCP or Unix stream socket.

    `readable` and `writable` are set by epoll's events and cleared by a call that would block.
    Epoll is edge-triggered and reports a change once: a short read clears `readable`, unless an
    end was reported as well, because no further event follows an end.
    """

    __slots__ = (
        "_driver",
        "_ending",
        "_eof",
        "_io",
        "_lost",
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

    def __init__(self, driver: Poller, sock: socket.SocketType) -> None:
        self._driver = driver
        self.sock: socket.SocketType | None = sock
        self.fd = sock.fileno()
        self.readable = False
        self.writable = True
        self.spliceable = True
        self.bridged_out: Splice | None = None
        """The bridge that moves this port's input."""
        self.bridged_in: Splice | FileOutput | None = None
        """What writes this port's output in its place: a bridge, or what sends files."""
        self._ending = False  # epoll has reported an end: there will be no further event
        self._eof = False  # the end has been read
        # the error that broke the connection; input may be unread
        self._lost: OSError | None = None
        self._small = True
        self._io: ByteStream = sock

    def ready(self, mask: int) -> None:
        """Handle an event of epoll."""
        if mask == _DATA and self.writable:  # by far the most frequent event
            self.readable = True
            self.read()
            return
        if mask & ENDS:
            self._ending = True
            if mask & select.EPOLLPRI:
                self._disable_splice()
        if mask & _INPUT:
            self.readable = True
            self.read()
        if not self.writable and mask & select.EPOLLOUT:
            self.writable = True
            self.write()
        if mask & select.EPOLLERR:
            self.check_error()

    def read(self) -> None:
        """Read once from the socket, at most `begin_read()` bytes."""
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
                data = self._io.recv(size)
            else:
                size = room
                view = vc.engine.memory.scratch[:size]
                data = view[: self._io.recv_into(view)]
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
            vc.would_block()
            self.end_reached()
            return
        direct = vc.read_vio.direct  # type: ignore[union-attr]  # deliver(), inlined for speed
        if direct is not None:
            message = direct.accept(data)
            if message is not None:
                port = direct.sink.port
                direct.pushed(message, 0 if port is None else port.push(message))
        elif (sink := vc.direct_sink) is not None:
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

    def end_reached(self) -> None:
        """Report that a read has returned the end, after all data."""
        self._eof = True
        # EPIPE: the peer had ended its direction in order before it reset ours (tcp(7)).
        if self._lost is None or self._lost.errno == errno.EPIPE:
            self.vc.ended()
        if self._lost is not None:
            self.fail(self._lost)

    def push(self, data: Block) -> int:
        """Write data that another port has just read; return the number of bytes written."""
        if not self.writable:
            return 0
        try:
            count = self._io.send(data)
        except BlockingIOError:
            count = 0
        except OSError as error:
            # The reader's lock is held now: report the error after its call has returned.
            self.vc.soon(partial(self.connection_lost, error))
            count = 0
        if count < len(data):
            self.writable = False
        return count

    def write(self) -> None:
        """Write the data that `begin_write()` returns, with one system call."""
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
                count = self._io.send(views[0])
            else:
                size = sum(map(len, views))
                count = self._io.sendmsg(views)
        except BlockingIOError:
            self.writable = False
            vc.sent(0)
        except OSError as error:
            vc.sent(0)
            self.connection_lost(error)
        else:
            if count < size:
                self.writable = False
            vc.sent(count)

    def expect_files(self) -> None:
        """See FilePort."""
        if self.bridged_in is None:
            from vcproxy.drivers.epoll.file_output import FileOutput  # most proxies send none

            FileOutput(self)

    def push_file(self, piece: FileRange) -> int:
        """See FilePort."""
        from vcproxy.drivers.epoll.file_output import FileOutput

        output = self.bridged_in
        return output.send(piece) if isinstance(output, FileOutput) else 0

    def check_error(self) -> None:
        """Read SO_ERROR: epoll has reported an error that no read or write has returned."""
        if self._lost is None and self.sock is not None:
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self.connection_lost(OSError(number, ""))

    def connection_lost(self, error: OSError) -> None:
        """Handle a broken connection: first read earlier data of the peer, it may be a reply."""
        if self._lost is not None or self.vc.closed:
            return
        self.writable = False
        if self._eof:
            self.fail(error)
            return
        self._lost = self.explained(error)
        self.readable = self._ending = True
        if self.bridged_out is not None:
            self.bridged_out.stop()  # a splice would return 0 next, as at an orderly end
        self.read()

    def report_lost(self) -> None:
        """Report the error while the engine does not read, and whether unread input is left."""
        assert self._lost is not None
        if self.unread:
            self.vc.broke(self._lost)
        else:
            self.fail(self._lost)

    @property
    def unread(self) -> bool:
        """Whether the socket holds input (FIONREAD)."""
        return fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4)) != bytes(4)

    def fail(self, error: OSError) -> None:
        """Report a broken connection to the VC; all input has been read."""
        self.readable = self.writable = False
        self._lost = self.explained(error)
        self.vc.failed(self._lost)

    def explained(self, error: OSError) -> OSError:
        """Return an error of a system call with the text for the VC."""
        return plain(error)

    def shutdown_write(self) -> None:
        """Send FIN after all data sent before."""
        self.writable = False
        try:
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # already broken; reading returns the error

    def close(self, abort: bool) -> None:
        """Close in order, or with a reset (`abort`). See Lingering and Resetting.

        The descriptor stays open until the data sent before has arrived, for a limited time.
        """
        for mover in (self.bridged_in, self.bridged_out):
            if mover is not None:
                mover.stop()
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

    def force_close(self) -> None:
        """Close the descriptor now, if it is still open."""
        if self.sock is not None:
            self.finish()

    def _disable_splice(self) -> None:
        """Stop using splice(2): it makes no progress at urgent data, which a read skips."""
        self.spliceable = False
        if self.bridged_out is not None:
            self.bridged_out.stop()


def plain(error: OSError) -> OSError:
    """Return the same error with the system's text, in lower case."""
    plain = type(error)(os.strerror(error.errno or 0).lower())
    plain.errno = error.errno
    return plain
