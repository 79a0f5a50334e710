"""DropCounter: dropped messages, counted by reason and logged at intervals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine

SAY_EVERY_S = 1.0
"""A flood of datagrams is not answered by a flood of lines."""


class DropCounter:
    """What was dropped at one place, which `name` names in the log."""

    __slots__ = ("_engine", "_said", "_unsaid", "counts", "name")

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name
        """It may be exchanged."""
        self.counts: Counter[str] = Counter()
        """Messages dropped, by the reason."""
        self._said: dict[str, float] = {}
        self._unsaid: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """Messages dropped."""
        return self.counts.total()

    def drop(self, why: str) -> None:
        """Count one more. Each reason is said at most once a second, with how many there were."""
        self.counts[why] += 1
        self._unsaid[why] += 1
        now = self._engine.now
        said = self._said.get(why)
        if said is None or now - said >= SAY_EVERY_S:
            self._said[why] = now
            count = self._unsaid.pop(why)
            dropped = "a datagram was" if count == 1 else f"{count} datagrams were"
            self._engine.log("warning", f"{self.name}: {dropped} dropped: {why}")
