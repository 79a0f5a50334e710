"""Lag: how far a sink may fall behind the source, and what becomes of one that has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vcproxy.engine.iobuffer import SLAB

OnLag = Literal["block", "drop_oldest", "drop_newest", "disconnect"]
"""block: the source waits, and with it all others. drop_oldest: of what it is owed, the messages
that have waited longest. drop_newest: those that come, until it has all that was waiting.
disconnect: it is given back."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What one sink is granted.

    Messages are dropped as wholes: one that is half sent is finished first, and one that is longer
    than `most` still counts as lag of its own, so it is sent like any other.
    """

    most: int = SLAB
    """Bytes that may wait for it; a message counts for what it occupies, 64 more than it has.

    With "block" it is not the sink's alone: the buffer of all holds as much as the largest `most`
    of its sinks, and the source waits when that is full.
    """
    then: OnLag = "block"

    @property
    def drops(self) -> bool:
        """Whether messages may be dropped: the tunnel must know where they end."""
        return self.then.startswith("drop")


BLOCK = Lag()
"""Nothing is lost, and all wait for the slowest."""
