"""History: how much past data is kept for sinks that are added later.

Tested in tests/tunnels/test_lag.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vcproxy.engine.iobuffer import Reader

Join = Literal["head", "tail"]
"""Where a new sink begins. head: at the next new data. tail: at the oldest data kept."""


@dataclass(frozen=True, slots=True)
class History:
    """Limits of the history, in bytes and in messages. `messages` 0: no limit of messages."""

    bytes: int = 0
    messages: int = 0

    def trim(self, oldest: Reader) -> None:
        """Advance `oldest` until its unread data is within the limits; over whole messages."""
        if not oldest.buffer.message_oriented:
            oldest.consume(max(oldest.avail - self.bytes, 0))
            return
        oldest.drop(self.bytes)
        if self.messages:
            oldest.drop(0, keep=self.messages)


NO_HISTORY = History()
