"""Standard input and output as one connection, as inetd or ssh's ProxyCommand hand it over."""

from __future__ import annotations

import os
import select
import socket
import stat
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.stream import StreamPort
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.listener import Listener


_INPUT = select.EPOLLIN | select.EPOLLRDHUP  # RDHUP: it may be a socket, as socat's EXEC gives


class StdioPort(StreamPort):
    """Reads one descriptor and writes another: pipes, terminals, sockets or files.

    Both are duplicates, and the originals become /dev/null: so closing one is seen by whoever is
    at its other end, and nothing the program prints goes into the stream.
    """

    __slots__ = ("_blocking", "_out")

    def __init__(self, driver: EpollDriver, source: int = 0, sink: int = 1) -> None:
        self._driver = driver
        self.sock = None
        self.fd, self._out = _take(source, os.O_RDONLY), _take(sink, os.O_WRONLY)
        # The open file is shared with whoever started us: it is put back as it was found.
        self._blocking = [fd for fd in (self.fd, self._out) if os.get_blocking(fd)]
        for fd in self._blocking:
            os.set_blocking(fd, False)
        self.writable = True
        self.spliceable = False
        self.bridged_out = self.bridged_in = None
        self._eof = False
        self._lost = None
        self._small = True
        self._recv = partial(os.read, self.fd)
        self._recv_into = lambda view: os.readv(self.fd, [view])
        self._send = partial(os.write, self._out)
        self._sendmsg = partial(os.writev, self._out)
        # A regular file cannot be polled, and need not be: it is always ready.
        self._ending = self.readable = not _watched(driver, self.fd, self, _INPUT)
        _watched(driver, self._out, _Out(self), select.EPOLLOUT)

    def shutdown_write(self) -> None:
        """Close the output: its reader sees the end."""
        self.writable = False
        if self._out >= 0 and stat.S_ISSOCK(os.fstat(self._out).st_mode):
            # It may be the input too (inetd, socat): closing one of two descriptors ends nothing.
            with socket.socket(fileno=os.dup(self._out)) as sock, suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            return
        self._close(self._out)
        self._out = -1
        os.set_blocking(self.fd, False)  # a terminal is one open file for both

    def lost(self, error: OSError) -> None:
        """The output is broken; the input may never say anything more, and has no such error."""
        self.fail(error)

    def close(self, abort: bool) -> None:
        """Close both: what was written stays readable at the other end."""
        self.finish()

    def finish(self) -> None:
        """Close both descriptors now."""
        if self.fd >= 0:
            self.give_back()
            self.vc.gone()

    give_up = finish

    def give_back(self) -> None:
        """Close both, blocking again if they were."""
        self._close(self.fd)
        self._close(self._out)
        self.fd = self._out = -1

    def _close(self, fd: int) -> None:
        if fd >= 0:
            self._driver.forget(fd)
            if fd in self._blocking:
                os.set_blocking(fd, True)
            os.close(fd)


class _Out:
    """Tells the port that its output takes more."""

    def __init__(self, port: StdioPort) -> None:
        self._port = port

    def ready(self, mask: int) -> None:
        self._port.writable = True
        self._port.write()


class Stdio:
    """The listener's side: one connection is there from the start, and no other will come."""

    asked = address = Address("stdio")

    def __init__(self, driver: EpollDriver, listener: Listener) -> None:
        self.listener = listener
        self._port = port = StdioPort(driver)

        def come() -> None:
            if port.fd >= 0:
                listener.count_accepted()
                port.vc = driver.engine.accepted(listener, port, "stdio", secure=False)

        # In the next turn, as other connections come: the listener may not be equipped yet.
        driver.engine.inbox.feed(come)

    def resume(self) -> None:
        """Nothing more is accepted."""

    def close(self) -> None:
        """Give it back if it has not come yet; else the connection lives on."""
        if not hasattr(self._port, "vc"):
            self._port.give_back()


def _take(fd: int, mode: int) -> int:
    taken = os.dup(fd)
    null = os.open(os.devnull, mode)
    os.dup2(null, fd)
    os.close(null)
    return taken


def _watched(driver: EpollDriver, fd: int, watcher: StdioPort | _Out, mask: int) -> bool:
    try:
        driver.watch(fd, watcher, mask | select.EPOLLET)
    except PermissionError:
        return False
    return True
