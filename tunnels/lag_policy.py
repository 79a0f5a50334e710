"""LagPolicy: how far a sink may fall behind the source, and what is done when it falls further.

Applied by `lag_control`. Tested in tests/tunnels/test_lag.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vcproxy.engine.blocks import SLAB

OnLag = Literal["block", "drop_oldest", "drop_newest", "disconnect"]
"""block: the source is not read until the sink takes more; all other sinks wait too.
drop_oldest: the messages that have waited longest are dropped for this sink.
drop_newest: new messages are dropped for this sink until it has taken all that was waiting.
disconnect: the sink is given back to the owner with SinkDone."""


@dataclass(frozen=True, slots=True)
class LagPolicy:
    """The lag policy of one sink.

    Only whole messages are dropped. A message that is partly sent is finished first. A message
    longer than `max_lag` is sent like any other.
    """

    max_lag: int = SLAB
    """Bytes that may wait for the sink. A message counts 64 bytes more than its length.

    With "block" all sinks share one buffer of the largest `max_lag` among them; the source is not
    read while that is full.
    """
    on_lag: OnLag = "block"
    """What is done when more than `max_lag` waits."""

    @property
    def drops(self) -> bool:
        """Whether messages may be dropped: the tunnel must be message oriented."""
        return self.on_lag.startswith("drop")


BLOCK = LagPolicy()
"""Nothing is dropped; the source and all other sinks wait for the slowest sink."""
