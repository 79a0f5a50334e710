"""DescriptorPort: a VC on descriptors that are not sockets: pipes, FIFOs, terminals, devices.

Tested in tests/drivers/test_epoll_fifo.py and tests/conformance/test_epoll.py.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.stream import StreamPort

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.poller import Poller, Watcher
    from vcproxy.engine.blocks import Block

INPUT = select.EPOLLIN | select.EPOLLRDHUP  # RDHUP: standard input may be a socket (socat EXEC)

NONE = -1
"""No descriptor: the VC moves bytes in the other direction only."""


class DescriptorPort(StreamPort):
    """Reads one descriptor and writes another, which may be the same one.

    Without an output, what is written is an error. Without an input, reading ends in order when the
    output is shut down, and a broken output is reported as soon as it is broken.
    """

    __slots__ = ("_closed", "out")

    def __init__(self, driver: Poller, source: int, sink: int) -> None:
        """The descriptors become non-blocking, and belong to the port. NONE: there is none. Raises
        OSError at the limit of watched descriptors; they are closed then."""
        self._driver = driver
        self.sock = None
        self.fd, self.out = source, sink
        self._closed = False
        self.spliceable = False
        self.bridged_out = self.bridged_in = None
        self._eof = False
        self._lost = None
        self._small = True
        self._io = _Descriptors(source, sink)
        self.readable = False
        # A read of a terminal returns one line, and there is no event for those that follow: so it
        # is read until nothing is left, as near an end.
        self._ending = source != NONE and os.isatty(source)
        self.writable = True
        try:
            if source == sink:
                os.set_blocking(source, False)
                _watched(driver, source, self, INPUT | select.EPOLLOUT)
                return
            if source != NONE:
                os.set_blocking(source, False)
                # A regular file cannot be polled (EPERM): it is always ready.
                if not _watched(driver, source, self, INPUT):
                    self.readable = self._ending = True
            if sink != NONE:
                os.set_blocking(sink, False)
                _watched(driver, sink, _Out(self), select.EPOLLOUT)
        except OSError:
            self.release()
            raise

    def ready(self, mask: int) -> None:
        """See StreamPort. What has failed or ended is not used any more."""
        if self._lost is None and not self._eof:
            super().ready(mask)

    @property
    def unread(self) -> bool:
        """See StreamPort."""
        return False  # it fails at once

    def write(self) -> None:
        """See StreamPort. Without an output, fail."""
        if self.out != NONE or not self.writable:
            super().write()
            return
        views = self.vc.begin_write()
        if views is not None:
            self.vc.sent(0)
            self.fail(OSError(errno.EBADF, ""))

    def push(self, data: Block) -> int:
        """See StreamPort."""
        return 0 if self.out == NONE else super().push(data)

    def check_error(self) -> None:
        """Fail if the only descriptor is broken; of two, reading and writing report it."""
        if self.fd == self.out and self._lost is None:
            self.connection_lost(OSError(errno.EIO, ""))

    def lost_output(self) -> None:
        """Handle the end of the reader of an output without an input."""
        if self.fd == NONE and self._lost is None:
            self.connection_lost(OSError(errno.EPIPE, ""))

    def explained(self, error: OSError) -> OSError:
        """See StreamPort."""
        if error.errno == errno.EPIPE:
            return failure(BrokenPipeError, error, "its reader has closed it")
        if error.errno == errno.EBADF and self.out == NONE:
            return failure(BrokenPipeError, error, "it can only be read, and something was written")
        return super().explained(error)

    def connection_lost(self, error: OSError) -> None:
        """Fail at once: only the output is broken, the input is another file and stays open."""
        if not self._closed:
            self.fail(error)

    def shutdown_write(self) -> None:
        """Close the output: its reader gets end of stream. Without an input, reading ends too.

        So it does on a device that is both: it has no end in one direction, and waiting for one
        could last for ever.
        """
        self.writable = False
        if self.out == NONE:
            return
        if self.out != self.fd:
            self._close(self.out)
            self.out = NONE
        if self.fd in (NONE, self.out) and self._lost is None:
            self._eof = True
            self.readable = False
            self.vc.soon(self.vc.ended)

    def close(self, abort: bool) -> None:
        """Close both descriptors: data already written stays readable at the other end."""
        self.finish()

    def finish(self) -> None:
        """Close both descriptors now."""
        if not self._closed:
            self.release()
            self.vc.gone()

    force_close = finish

    def release(self) -> None:
        """Close both descriptors."""
        self._closed = True
        for fd in {self.fd, self.out} - {NONE}:
            self._close(fd)
        self.fd = self.out = NONE

    def _close(self, fd: int) -> None:
        self._driver.unwatch(fd)  # a close is not enough: other processes may have copies
        os.close(fd)


class _Descriptors:
    """Two descriptors with the methods of a socket. See ByteStream."""

    def __init__(self, source: int, sink: int) -> None:
        self.recv = partial(os.read, source)
        self.recv_into: Callable[[memoryview], int] = lambda view: os.readv(source, [view])
        self.send = partial(os.write, sink)
        self.sendmsg = partial(os.writev, sink)


class _Out:
    """The watcher of a port's output."""

    def __init__(self, port: DescriptorPort) -> None:
        self._port = port

    def ready(self, mask: int) -> None:
        self._port.writable = True
        self._port.write()
        if mask & select.EPOLLERR:
            self._port.lost_output()


def failure(kind: type[OSError], error: OSError, text: str) -> OSError:
    """Return an error of a system call as another kind of error, with a text of our own."""
    explained = kind(text)
    explained.errno = error.errno
    return explained


def _watched(driver: Poller, fd: int, watcher: Watcher, mask: int) -> bool:
    try:
        driver.watch(fd, watcher, mask | select.EPOLLET)
    except PermissionError:
        return False
    return True
