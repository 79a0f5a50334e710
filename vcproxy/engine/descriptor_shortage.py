"""DescriptorShortage: what an engine closes when the system has no file descriptor left.

Tested in tests/engine/test_listener.py, test_outgoing.py and tests/plugins/test_datagrams.py.
"""

from __future__ import annotations

from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.event_dispatcher import EventDispatcher
    from vcproxy.engine.net import NetVConnection

IDLE_S = 1.0
"""Seconds of silence after which a datagram session may be closed to make room for a new one."""

LOOKED_AT = 32
"""The most sessions compared in a search for a silent one. In a flood of new sources, each of them
starts a search, which must not scan all sessions."""

LOG_EVERY_S = 1.0
"""The least time between two lines in the log."""


class IdleConnections(Protocol):
    """A pool with connections that are not in use."""

    def close_idle(self) -> bool:
        """Close one; return whether there was one."""


class DescriptorShortage:
    """What one engine can close to free a descriptor."""

    __slots__ = ("_engine", "_logged_at", "_unlogged", "pools", "sessions")

    def __init__(self, engine: EventDispatcher) -> None:
        self._engine = engine
        self._logged_at: float | None = None
        self._unlogged = 0
        self.pools: dict[IdleConnections, None] = {}
        """The pools that keep idle connections."""
        self.sessions: dict[NetVConnection, None] = {}
        """The datagram sessions; those that have sent recently are nearer to the end."""

    def make_room(self) -> bool:
        """Close an idle connection, or the session of datagrams that was silent longest.

        Return whether there was one. Its descriptor is free a moment later.
        """
        return any(each.close_idle() for each in list(self.pools)) or self.end_session()

    def end_session(self) -> bool:
        """End the session of datagrams that was silent longest, by its inactivity timeout.

        Return whether there was one that was silent for IDLE_S.
        """
        looked_at = list(islice(self.sessions, LOOKED_AT))
        oldest = min(looked_at, key=attrgetter("moved_at"), default=None)
        now = self._engine.now
        for vc in looked_at:
            if now - vc.moved_at < IDLE_S:
                del self.sessions[vc]
                self.sessions[vc] = None
        if oldest is None or now - oldest.moved_at < IDLE_S:
            return False
        del self.sessions[oldest]
        self.warn(f"{oldest.name}: closed after {now - oldest.moved_at:.0f} s without a datagram")
        oldest.expire()
        return True

    def warn(self, text: str) -> None:
        """Log an effect of the shortage, at most once a second, with the number left out."""
        now = self._engine.now
        self._unlogged += 1
        if self._logged_at is None or now - self._logged_at >= LOG_EVERY_S:
            more = (
                "" if self._unlogged == 1 else f" ({self._unlogged - 1} more since the last line)"
            )
            self._logged_at, self._unlogged = now, 0
            line = f"{text}; no file descriptor is left: raise the limit (ulimit -n){more}"
            self._engine.log("warning", line)
