"""Standard input and output as one connection, as inetd and ssh's ProxyCommand provide it.

A program may connect to stdio:, once; the listener of stdio: accepts one connection.

Tested in tests/drivers/test_epoll_stream.py and tests/conformance/test_epoll.py.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.descriptor_port import DescriptorPort

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.accepting import AcceptDriver
    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener

IN_USE: set[str] = set()
"""The schemes among stdio and terminal that this process has opened: there is one of each."""


class StdioPort(DescriptorPort):
    """Reads one descriptor and writes another: pipes, terminals, sockets or files.

    Both are duplicates, and /dev/null replaces the originals. So closing them is visible to the
    process at the other end, and the proxy's own output does not enter the stream.
    """

    __slots__ = ("_blocking",)

    def __init__(self, driver: Poller, source: int = 0, sink: int = 1) -> None:
        taken = _take_over(source, os.O_RDONLY), _take_over(sink, os.O_WRONLY)
        # The open file is shared with the parent process: its blocking mode is restored at the end.
        self._blocking = [fd for fd in taken if os.get_blocking(fd)]
        super().__init__(driver, *taken)

    def shutdown_write(self) -> None:
        """Close the output: its reader gets end of stream."""
        if self.out >= 0 and stat.S_ISSOCK(os.fstat(self.out).st_mode):
            self.writable = False
            # The input may be the same socket (inetd, socat): closing only the output sends no FIN.
            with socket.socket(fileno=os.dup(self.out)) as sock, suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            return
        super().shutdown_write()
        os.set_blocking(self.fd, False)  # on a terminal both descriptors share one open file

    def lost_output(self) -> None:
        """Do nothing: the next write reports it."""

    def _close(self, fd: int) -> None:
        if fd in self._blocking:
            os.set_blocking(fd, True)
        super()._close(fd)


class Single:
    """The listener of stdio: or terminal:. It accepts exactly one connection, at the start."""

    def __init__(self, driver: AcceptDriver, listener: Listener, address: Address) -> None:
        """Open what the address names. Raises OSError."""
        self.requested = self.address = address
        self.listener = listener
        self._port = port = standard(driver, address)

        def accept() -> None:
            if port.fd >= 0:
                listener.count_accepted()
                port.vc = driver.engine.accepted(listener, port, address.scheme, secure=False)

        # Deferred to the next turn: the listener may not be set up completely yet.
        driver.engine.inbox.feed(accept)

    def resume(self) -> None:
        """Do nothing: there is no further connection."""

    def renew(self, address: Address, inherited: object = None) -> None:
        """Do nothing: it is opened once."""

    def close(self) -> None:
        """Close the descriptors if the connection was not accepted yet; else leave it open."""
        if not hasattr(self._port, "vc"):
            self._port.release()


def standard(driver: Poller, address: Address) -> DescriptorPort:
    """Open standard input and output, or the terminal of this process. Raises OSError, also if they
    are open already."""
    if address.scheme in IN_USE:
        what = {"stdio": "standard input and output are"}.get(address.scheme, "the terminal is")
        raise OSError(f"{what} in use already by this process")
    if address.scheme == "stdio":
        IN_USE.add(address.scheme)  # for ever: /dev/null has replaced them
        return StdioPort(driver)
    from vcproxy.drivers.epoll.terminal import TerminalPort  # few proxies have one

    return TerminalPort(driver, address, IN_USE)


def _take_over(fd: int, mode: int) -> int:
    taken = os.dup(fd)
    null = os.open(os.devnull, mode)
    os.dup2(null, fd)
    os.close(null)
    return taken
