"""Accepting: how connections come in to the epoll driver."""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.tcp import set_tcp
from vcproxy.engine.address import Address, unmapped
from vcproxy.engine.failures import kind_of

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.listener import Listener

BACKLOG = 4096
"""Connections the kernel keeps for us, if net.core.somaxconn lets it: of a burst of that many none
has to send its SYN again, after a second."""

BATCH = 32
"""Accepts in one turn: a flood does not keep the connections that are there from being served."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def bind(address: Address) -> socket.socket:
    """Make a listening socket. Raises OSError, worded for people.

    The socket file of a dead process is replaced, that of a live one is not.
    """
    if address.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        where: object = address.path
        _remove_stale(address.path)
    else:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        info = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, where = info[0]
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.setblocking(False)
        sock.bind(where)  # type: ignore[arg-type]
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return  # bind() will say that it is in use
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX)
    probe.setblocking(False)  # a live one whose backlog is full would hold us up
    with probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            return


def show(sockaddr: object) -> str:
    """Write a socket address for logs; one that is IPv4 as IPv4, on an IPv6 socket too."""
    if isinstance(sockaddr, tuple):
        host, port = sockaddr[:2]
        return unmapped(f"[{host}]:{port}") if ":" in host else f"{host}:{port}"
    return "unix"


class AcceptPort:
    """A listening socket. Level-triggered: who is paused just stops watching."""

    def __init__(self, driver: EpollDriver, listener: Listener, address: Address) -> None:
        self._driver = driver
        self.listener = listener
        self._sock = sock = bind(address)
        self._inet = address.scheme != "unix"
        self.asked = address
        self.address = address.with_port(sock.getsockname()[1]) if self._inet else address
        self._inode = 0 if self._inet else os.stat(address.path).st_ino
        self.renew()
        self.resume()

    def renew(self) -> None:
        """Set the options of the listener's connections; make a Unix socket again whose file was
        removed. Raises OSError.
        """
        if self._inet:
            set_tcp(self._sock, self.listener.tcp)
        elif not self._is_there():
            sock = bind(self.address)
            self.ready(select.EPOLLIN)  # who came before it was removed
            self._pause()
            self._sock.close()
            self._sock, self._inode = sock, os.stat(self.address.path).st_ino
            self.resume()

    def _is_there(self) -> bool:
        try:
            return os.stat(self.address.path).st_ino == self._inode
        except OSError:
            return False

    def resume(self) -> None:
        """Accept from now on."""
        if self._sock.fileno() >= 0:
            self._driver.watch(self._sock.fileno(), self, select.EPOLLIN)

    def _pause(self) -> None:
        self._driver.forget(self._sock.fileno())

    def ready(self, mask: int) -> None:
        """Accept a batch of what is waiting."""
        listener = self.listener
        descriptors = self._driver.descriptors
        for _ in range(BATCH):
            if not descriptors.admits():
                self._pause()
                self._driver.short(listener, self.resume)
                return
            if not listener.admits():
                listener.warn_full()
                self._pause()
                return
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    continue  # that connection's own trouble (accept(2)): on to the next one
                self._pause()
                failure = kind_of(error.errno)(str(error.strerror).lower())
                self._driver.engine.accept_failed(listener, failure)
                return
            sock.setblocking(False)
            listener.count_accepted()
            tls = listener.tls if self.address.secure else None
            self._driver.deal(listener, sock, show(peer), tls)

    def close(self) -> None:
        """Close it; remove a Unix socket's file, unless somebody has put another there."""
        self._pause()
        self._sock.close()
        if not self._inet and self._is_there():
            with suppress(OSError):  # it is gone already
                os.unlink(self.address.path)
