"""History: what a sink that joins late may still get of what has been."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vcproxy.engine.iobuffer import Reader

Join = Literal["head", "tail"]
"""Where a sink begins: head, with what comes next; tail, with the oldest that is remembered."""


@dataclass(frozen=True, slots=True)
class History:
    """So many bytes at most and, if it is not 0, so many messages."""

    bytes: int = 0
    messages: int = 0

    def forget(self, oldest: Reader) -> None:
        """Let a reader pass what is too much. Of messages it passes whole ones only."""
        if not oldest.buffer.message_oriented:
            oldest.consume(max(oldest.avail - self.bytes, 0))
            return
        oldest.drop(self.bytes)
        if self.messages:
            oldest.drop(0, keep=self.messages)


NO_HISTORY = History()
