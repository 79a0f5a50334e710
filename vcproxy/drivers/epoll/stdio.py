"""Standard input and output as one connection, as inetd and ssh's ProxyCommand provide it.

Tested in tests/drivers/test_epoll_stream.py and tests/conformance/test_epoll.py.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.stream import StreamPort
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.accepting import AcceptDriver
    from vcproxy.engine.listener import Listener


_INPUT = select.EPOLLIN | select.EPOLLRDHUP  # RDHUP: input may be a socket (socat EXEC)


class StdioPort(StreamPort):
    """Reads one descriptor and writes another: pipes, terminals, sockets or files.

    Both are duplicates, and /dev/null replaces the originals. So closing them is visible to the
    process at the other end, and the proxy's own output does not enter the stream.
    """

    __slots__ = ("_blocking", "_out")

    def __init__(self, driver: AcceptDriver, source: int = 0, sink: int = 1) -> None:
        self._driver = driver
        self.sock = None
        self.fd, self._out = _take_over(source, os.O_RDONLY), _take_over(sink, os.O_WRONLY)
        # The open file is shared with the parent process: its blocking mode is restored at the end.
        self._blocking = [fd for fd in (self.fd, self._out) if os.get_blocking(fd)]
        for fd in self._blocking:
            os.set_blocking(fd, False)
        self.writable = True
        self.spliceable = False
        self.bridged_out = self.bridged_in = None
        self._eof = False
        self._lost = None
        self._small = True
        self._io = _Descriptors(self.fd, self._out)
        # A regular file cannot be polled (EPERM): it is always ready.
        self._ending = self.readable = not _watched(driver, self.fd, self, _INPUT)
        _watched(driver, self._out, _Out(self), select.EPOLLOUT)

    def shutdown_write(self) -> None:
        """Close the output: its reader gets end of stream."""
        self.writable = False
        if self._out >= 0 and stat.S_ISSOCK(os.fstat(self._out).st_mode):
            # The input may be the same socket (inetd, socat): closing only the output sends no FIN.
            with socket.socket(fileno=os.dup(self._out)) as sock, suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            return
        self._close(self._out)
        self._out = -1
        os.set_blocking(self.fd, False)  # on a terminal both descriptors share one open file

    def connection_lost(self, error: OSError) -> None:
        """Fail at once: only the output is broken, the input is another file and stays open."""
        self.fail(error)

    def close(self, abort: bool) -> None:
        """Close both descriptors: data already written stays readable at the other end."""
        self.finish()

    def finish(self) -> None:
        """Close both descriptors now."""
        if self.fd >= 0:
            self.release()
            self.vc.gone()

    force_close = finish

    def release(self) -> None:
        """Close both descriptors; restore their blocking mode."""
        self._close(self.fd)
        self._close(self._out)
        self.fd = self._out = -1

    def _close(self, fd: int) -> None:
        if fd >= 0:
            self._driver.unwatch(fd)  # a close is not enough: other processes have copies
            if fd in self._blocking:
                os.set_blocking(fd, True)
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

    def __init__(self, port: StdioPort) -> None:
        self._port = port

    def ready(self, mask: int) -> None:
        self._port.writable = True
        self._port.write()


class Stdio:
    """The listener of stdio: it accepts exactly one connection, at the start."""

    requested = address = Address("stdio")

    def __init__(self, driver: AcceptDriver, listener: Listener) -> None:
        self.listener = listener
        self._port = port = StdioPort(driver)

        def accept() -> None:
            if port.fd >= 0:
                listener.count_accepted()
                port.vc = driver.engine.accepted(listener, port, "stdio", secure=False)

        # Deferred to the next turn: the listener may not be set up completely yet.
        driver.engine.inbox.feed(accept)

    def resume(self) -> None:
        """Do nothing: there is no further connection."""

    def close(self) -> None:
        """Close the descriptors if the connection was not accepted yet; else leave it open."""
        if not hasattr(self._port, "vc"):
            self._port.release()


def _take_over(fd: int, mode: int) -> int:
    taken = os.dup(fd)
    null = os.open(os.devnull, mode)
    os.dup2(null, fd)
    os.close(null)
    return taken


def _watched(driver: AcceptDriver, fd: int, watcher: StdioPort | _Out, mask: int) -> bool:
    try:
        driver.watch(fd, watcher, mask | select.EPOLLET)
    except PermissionError:
        return False
    return True
