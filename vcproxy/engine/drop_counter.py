"""DropCounter: dropped messages, counted by reason and logged at intervals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.event_dispatcher import EventDispatcher

LOG_EVERY_S = 1.0
"""The least time between two lines of one reason: a flood of datagrams must not flood the log."""


class DropCounter:
    """The messages dropped in one place; `name` begins its log lines."""

    __slots__ = ("_engine", "_logged_at", "_unlogged", "counts", "name")

    def __init__(self, engine: EventDispatcher, name: str) -> None:
        self._engine = engine
        self.name = name
        """The beginning of its log lines; may be changed."""
        self.counts: Counter[str] = Counter()
        """Messages dropped, by reason."""
        self._logged_at: dict[str, float] = {}
        self._unlogged: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """Messages dropped, for all reasons."""
        return self.counts.total()

    def drop(self, reason: str) -> None:
        """Count a dropped message. Log each reason at most once a second, with the number so
        far."""
        self.counts[reason] += 1
        self._unlogged[reason] += 1
        now = self._engine.now
        last = self._logged_at.get(reason)
        if last is None or now - last >= LOG_EVERY_S:
            self._logged_at[reason] = now
            count = self._unlogged.pop(reason)
            dropped = "a datagram was" if count == 1 else f"{count} datagrams were"
            self._engine.log("warning", f"{self.name}: {dropped} dropped: {reason}")
