"""Descriptors: how many the process may have, and how many of them are for whom."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.splice import PipePool
    from vcproxy.drivers.sources import Sources
    from vcproxy.engine.listener import Listener

MOST = 1 << 20
"""Where the system sets no limit, or a higher one: as HAProxy (fd-hard-limit)."""

KEPT = 64
"""For what is neither client nor server: files, look-ups, checks, other threads. Of a small limit
it is a half: fifteen are open before the first client comes."""


GRANTED = 8
"""Clients that may be accepted before all are counted again: the few pipes and sessions that begin
meanwhile are taken from what is kept."""


class Descriptors:
    """Shares the descriptors of a process out, so that who was accepted can be served.

    A client takes two: its own, and one for its server. A session of datagrams takes one, and all
    of them half of what there is, at most. Pipes take what is left, a quarter at most.
    """

    def __init__(self, limit: int | None = None) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.limit = limit or (MOST if soft == resource.RLIM_INFINITY else min(soft, MOST))
        self.pools: list[PipePool] = []
        self._granted = 0
        self._listeners: dict[Listener, bool] = {}  # whether it still accepts
        self._sources: dict[Sources, None] = {}

    def listens(self, listener: Listener, sources: Sources | None) -> None:
        """A listener has one more address, at which `sources` send datagrams."""
        self._listeners = {each: on for each, on in self._listeners.items() if on or each.open}
        self._listeners[listener] = True
        self._sources = dict.fromkeys(each for each in self._sources if not each.over)
        if sources is not None:
            self._sources[sources] = None

    def unlistens(self, listener: Listener) -> None:
        """A listener has no address any more; it counts as long as it has clients."""
        if listener in self._listeners:
            self._listeners[listener] = False

    @property
    def usable(self) -> int:
        """Those for clients, servers and pipes."""
        listening = len(self._listeners) + len(self._sources)
        return max(self.limit - min(KEPT, self.limit // 2) - listening, 2)

    @property
    def most_clients(self) -> int:
        """Clients at a time, where there is no session of datagrams."""
        return self.usable // 2

    @property
    def room(self) -> int:
        """How many clients may still be accepted."""
        sessions = self._sessions
        clients = sum(listener.open for listener in self._listeners) - sessions
        return (self.usable - sessions - 2 * self._pipes) // 2 - clients

    def admits(self) -> bool:
        """Whether one more client may be accepted. Counted anew after each few that it grants."""
        if not self._granted:
            self._granted = min(max(self.room, 0), GRANTED)
            if not self._granted:
                return False
        self._granted -= 1
        return True

    @property
    def room_for_session(self) -> bool:
        """Whether a session of datagrams may begin."""
        return self._sessions < self.most_clients and self.room > 0

    @property
    def room_for_pipe(self) -> bool:
        """Whether there may be one more pipe."""
        return 2 * (self._pipes + 1) <= self.usable // 4 and self.room > 0

    @property
    def _pipes(self) -> int:
        return sum(pool.count for pool in self.pools)

    @property
    def _sessions(self) -> int:
        return sum(len(sources.ports) for sources in self._sources)
