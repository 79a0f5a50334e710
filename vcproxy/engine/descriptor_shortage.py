"""DescriptorShortage: what happens when the system has no descriptor left."""

from __future__ import annotations

from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection

IDLE_S = 1.0
"""A session of datagrams that was silent for so long may have to make room for a new one."""

LOOKED_AT = 32
"""Sessions that are compared to find one that was silent for long: a flood of new sources must not
make each of them cost a look at all."""

SAY_EVERY_S = 1.0


class IdleConnections(Protocol):
    """Who keeps connections that nobody uses now."""

    def close_idle(self) -> bool:
        """Close one; return whether there was one."""


class DescriptorShortage:
    """What one engine can do without."""

    __slots__ = ("_engine", "_said", "_unsaid", "pools", "sessions")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._said: float | None = None
        self._unsaid = 0
        self.pools: dict[IdleConnections, None] = {}
        """Those that keep connections."""
        self.sessions: dict[NetVConnection, None] = {}
        """The clients that send datagrams; those that sent lately are further back."""

    def make_room(self) -> bool:
        """Close a connection that nobody uses, or the longest silent session of datagrams; return
        whether there was one. Its descriptor is free a moment later.
        """
        return any(each.close_idle() for each in list(self.pools)) or self.end_session()

    def end_session(self) -> bool:
        """End the session of datagrams that was silent longest, as if its time were over."""
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

    def warn(self, what: str) -> None:
        """Log what want of descriptors has led to: once a second, with how often."""
        now = self._engine.now
        self._unsaid += 1
        if self._said is None or now - self._said >= SAY_EVERY_S:
            more = "" if self._unsaid == 1 else f" ({self._unsaid - 1} more since the last line)"
            self._said, self._unsaid = now, 0
            self._engine.log(
                "warning", f"{what}; no file descriptor is left: raise the limit (ulimit -n){more}"
            )
