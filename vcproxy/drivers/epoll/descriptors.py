"""Descriptors: divides the file descriptors of the process among clients, sessions and pipes."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.datagram_sessions import DatagramSessions
    from vcproxy.drivers.epoll.pipes import PipePool
    from vcproxy.engine.listener import Listener

MAX_DESCRIPTORS = 1 << 20
"""The limit used where the system has none or a higher one, as HAProxy's fd-hard-limit."""

RESERVED = 64
"""Descriptors for other uses: files, look-ups, health checks, other threads. At most half of the
limit. Fifteen are open before the first client."""

ACCEPTS_PER_COUNT = 8
"""Clients that may be accepted before the open connections are counted again. Pipes and sessions
opened meanwhile use descriptors of RESERVED."""


STANDARD = 3
"""The descriptors 0, 1 and 2: standard input, output and error."""


def open_standard() -> None:
    """Open /dev/null for each of the descriptors 0, 1 and 2 that is closed, here and in the
    programs that this one executes.

    Otherwise a connection could get the number 2, and the log would be sent to its peer.
    """
    while (lowest := os.open(os.devnull, os.O_RDWR)) < STANDARD:
        os.set_inheritable(lowest, True)
    os.close(lowest)


def raise_limit() -> None:
    """Raise the soft limit of descriptors, kept low by systems for select(2), to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Descriptors:
    """Divides the descriptors so that every accepted client can also get a server connection.

    A client takes two descriptors: its own, and one for its server. A datagram session takes one;
    all sessions take at most half of the descriptors. Pipes take at most a quarter, and only
    descriptors that clients and sessions do not use.
    """

    def __init__(self, limit: int | None = None) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.limit = limit or (
            MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, MAX_DESCRIPTORS)
        )
        self.pools: list[PipePool] = []
        self._accepts_left = 0
        self._listeners: dict[Listener, bool] = {}  # value: whether the listener still accepts
        self._datagram_sockets: dict[DatagramSessions, None] = {}

    def add_address(self, listener: Listener, sessions: DatagramSessions | None) -> None:
        """Count one more address of a listener. `sessions` is None for a stream address."""
        self._listeners = {each: on for each, on in self._listeners.items() if on or each.open}
        self._listeners[listener] = True
        self._datagram_sockets = dict.fromkeys(
            each for each in self._datagram_sockets if not each.closed
        )
        if sessions is not None:
            self._datagram_sockets[sessions] = None

    def remove_listener(self, listener: Listener) -> None:
        """Remove a listener without addresses. Its open connections still count."""
        if listener in self._listeners:
            self._listeners[listener] = False

    @property
    def usable(self) -> int:
        """Descriptors for clients, servers, sessions and pipes."""
        listening = len(self._listeners) + len(self._datagram_sockets)
        return max(self.limit - min(RESERVED, self.limit // 2) - listening, 2)

    @property
    def most_clients(self) -> int:
        """The most clients at a time, without datagram sessions."""
        return self.usable // 2

    @property
    def room(self) -> int:
        """How many more clients may be accepted."""
        sessions = self._sessions
        clients = sum(listener.open for listener in self._listeners) - sessions
        return (self.usable - sessions - 2 * self._pipes) // 2 - clients

    def admits(self) -> bool:
        """Return whether one more client may be accepted. Connections are counted only once for
        every ACCEPTS_PER_COUNT calls."""
        if not self._accepts_left:
            self._accepts_left = min(max(self.room, 0), ACCEPTS_PER_COUNT)
            if not self._accepts_left:
                return False
        self._accepts_left -= 1
        return True

    @property
    def room_for_session(self) -> bool:
        """Whether there is a descriptor for one more datagram session."""
        return self._sessions < self.most_clients and self.room > 0

    @property
    def room_for_pipe(self) -> bool:
        """Whether there are two descriptors for one more pipe."""
        return 2 * (self._pipes + 1) <= self.usable // 4 and self.room > 0

    @property
    def _pipes(self) -> int:
        return sum(pool.count for pool in self.pools)

    @property
    def _sessions(self) -> int:
        return sum(len(each.ports) for each in self._datagram_sockets)
