"""Connecting: how connections that were asked for come to the epoll driver."""

from __future__ import annotations

import os
import select
import socket
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.accepting import show
from vcproxy.engine.commands import Connect, Hear
from vcproxy.engine.failures import kind_of

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.drivers.epoll.lanes import Names
    from vcproxy.engine.address import Address
    from vcproxy.engine.commands import Resolve
    from vcproxy.engine.iobuffer import Block


class _NotYet:
    """A port before there is a connection."""

    spliceable = False

    def read(self) -> None:
        """There is nothing to read yet."""

    def write(self) -> None:
        """There is nothing to write to yet."""

    def push(self, data: Block) -> int:
        """There is nothing to write to yet."""
        return 0


class Resolving(_NotYet):
    """A name that is being looked up for a VC."""

    def __init__(self, names: Names, command: Resolve) -> None:
        self._names = names
        self._outgoing = command.outgoing
        command.outgoing.vc.port = self
        self._lookup = names.look_up(command.address, self._found)

    def _found(self, addresses: list[Address], error: Exception | None) -> None:
        """Hear of them, on another thread."""
        self._outgoing.vc.soon(partial(self._resolved, addresses, error))

    def _resolved(self, addresses: list[Address], error: Exception | None) -> None:
        vc = self._outgoing.vc
        if vc.port is self:
            vc.port = None
            self._outgoing.resolved(addresses, error)

    def close(self, abort: bool) -> None:
        """Give it up."""
        vc = self._outgoing.vc
        self._names.give_up(self._lookup)
        vc.port = None
        vc.gone()


def refusal(command: Connect | Hear, error: OSError) -> OSError:
    """Say why an attempt has failed; and where, if that is not what was asked for by name."""
    why = os.strerror(error.errno).lower() if error.errno else str(error)
    where = "" if command.address == command.outgoing.target else f"{command.address}: "
    return kind_of(error.errno)(f"{where}{why}")


class Attempt(_NotYet):
    """A connect that is under way."""

    def __init__(self, driver: EpollDriver, command: Connect) -> None:
        self._driver = driver
        self._command = command
        address = command.address
        if address.scheme == "unix":
            family: int = socket.AF_UNIX
            where: object = address.path
        else:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            where = (address.host, address.port)
        self._sock = socket.socket(family)
        self._sock.setblocking(False)
        if family != socket.AF_UNIX:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        command.outgoing.vc.port = self
        try:
            driver.watch(self._sock.fileno(), self)
            self._sock.connect(where)  # type: ignore[arg-type]
        except BlockingIOError:
            # EINPROGRESS; on a Unix socket EAGAIN: its backlog is full (connect(2))
            if address.scheme == "unix":
                self.abandon()
                raise
        except OSError:
            self.abandon()
            raise

    def ready(self, mask: int) -> None:
        """It has succeeded or failed."""
        if not mask & (select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP):
            return
        sock, command = self._sock, self._command
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self.abandon()
            command.outgoing.refused(refusal(command, OSError(number, "")))
        else:
            local, peer = show(sock.getsockname()), str(command.address)
            self._driver.connected(command, sock, local, peer, mask)

    def close(self, abort: bool) -> None:
        """Give it up for good."""
        vc = self._command.outgoing.vc
        self.abandon()
        vc.gone()

    def abandon(self) -> None:
        """Give it up."""
        self._driver.forget(self._sock.fileno())
        self._sock.close()
        self._command.outgoing.vc.port = None
