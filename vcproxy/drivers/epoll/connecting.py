"""Connecting: how connections that were asked for come to the epoll driver."""

from __future__ import annotations

import os
import select
import socket
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.accepting import show
from vcproxy.drivers.epoll.tcp import set_tcp
from vcproxy.engine.commands import Connect, Subscribe
from vcproxy.engine.failures import kind_of

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.drivers.epoll.lanes import Names
    from vcproxy.engine.address import Address
    from vcproxy.engine.commands import Resolve
    from vcproxy.engine.iobuffer import Block
    from vcproxy.engine.net import NetVConnection


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
        """Subscribe of them, on another thread."""
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


def refusal(command: Connect | Subscribe, error: OSError) -> OSError:
    """Say why an attempt has failed; and where, if that is not what was asked for by name."""
    why = os.strerror(error.errno).lower() if error.errno else str(error)
    where = "" if command.address == command.outgoing.target else f"{command.address}: "
    return kind_of(error.errno)(f"{where}{why}")


class Connecting(_NotYet):
    """The connects that are under way for one VC."""

    def __init__(self, driver: EpollDriver, vc: NetVConnection) -> None:
        self._driver = driver
        self._vc = vc
        self._attempts: list[Attempt] = []
        vc.port = self

    def begin(self, command: Connect) -> None:
        """Try one more address. Raises OSError where that fails at once."""
        self._attempts.append(Attempt(self._driver, self, command))

    def leave(self, attempt: Attempt) -> None:
        """One has succeeded, or failed."""
        self._attempts.remove(attempt)

    def abandon(self) -> None:
        """Give all of them up."""
        for attempt in self._attempts:
            attempt.close()
        self._attempts.clear()

    def close(self, abort: bool) -> None:
        """Give them up for good."""
        self.abandon()
        self._vc.gone()


class Attempt:
    """A connect that is under way."""

    def __init__(self, driver: EpollDriver, connecting: Connecting, command: Connect) -> None:
        self._driver = driver
        self._connecting = connecting
        self._command = command
        address = command.address
        if address.scheme == "unix":
            family: int = socket.AF_UNIX
            where: object = address.path
        else:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            where = (address.host, address.port)
        self._sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if family != socket.AF_UNIX:
            set_tcp(self._sock, command.outgoing.tcp, fresh=True)
        try:
            driver.watch(self._sock.fileno(), self)
            self._sock.connect(where)  # type: ignore[arg-type]
        except BlockingIOError:
            # EINPROGRESS; on a Unix socket EAGAIN: its backlog is full (connect(2))
            if address.scheme == "unix":
                self.close()
                raise
        except OSError:
            self.close()
            raise

    def ready(self, mask: int) -> None:
        """It has succeeded or failed."""
        if not mask & (select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP):
            return
        sock, command = self._sock, self._command
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._connecting.leave(self)
        if number:
            self.close()
            command.outgoing.refused(command.address, refusal(command, OSError(number, "")))
        else:
            self._connecting.abandon()
            local, peer = show(sock.getsockname()), str(command.address)
            self._driver.connected(command, sock, local, peer, mask)

    def close(self) -> None:
        """Give it up."""
        self._driver.forget(self._sock.fileno())
        self._sock.close()
