"""TunnelDone and the other events that tunnels send to their owners.

Every tunnel sends TunnelDone once, when it ends and gives its VCs back. A OneWayMultiTunnel also
reports sinks and sources that leave, lag or recover before that.

Tested in tests/tunnels/test_one_way.py, test_one_way_multi.py and test_lag.py.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vcproxy.engine.units import rounded_size

if TYPE_CHECKING:
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.tunnels.lag_policy import OnLag


class Reason(enum.Enum):
    """Why a tunnel ended, or gave one VC back to its owner."""

    EOS = "the source ended"
    COMPLETE = "all of nbytes were transferred"
    RECALLED = "recalled by the owner"
    SINK_ENDED = "the sink ended"
    TRUNCATED = "the source ended before nbytes"
    ERROR = "a connection failed"
    INACTIVITY = "connection timed out: nothing moved for too long"
    ACTIVE = "connection timed out: open for too long"
    STOPPED = "stopped"
    LAGGED = "lagged too far behind"
    FRAMING = "framing error"
    UNEXPECTED_DATA = "received data from a receive-only sink"

    @property
    def clean(self) -> bool:
        """Whether all bytes that were read have reached the sink."""
        return self in (Reason.EOS, Reason.COMPLETE, Reason.RECALLED)


@dataclass(slots=True)  # not frozen, for speed: see engine/commands.py
class Flow:
    """Byte counts of one direction, from one source to one sink."""

    source: str
    """Name of the source."""
    sink: str
    """Name of the sink."""
    received: int
    """Bytes read from the source."""
    sent: int
    """Bytes written to the sink."""
    buffered: int = field(default=0, compare=False)
    """Bytes that were read and are not yet taken by the sink. With a transform or an opening, the
    difference between `received` and `sent` is another number."""

    def __str__(self) -> str:
        return f"{self.source} -> {self.sink}: {self.sent} bytes"


@dataclass(slots=True)  # not frozen, for speed: see engine/commands.py
class TunnelDone:
    """A tunnel has ended. Its VCs belong to the owner again, and are open.

    With `reason` EOS the sink has been shut down for writing.
    """

    tunnel: object
    reason: Reason
    ended_by: str
    """Name of the VC that ended the tunnel; the tunnel's own name if no VC did."""
    error: Exception | None
    """The connection's error if the reason is ERROR."""
    flows: tuple[Flow, ...]
    """OneWayTunnel: one. TwoWayTunnel: client to server, then server to client.
    OneWayMultiTunnel: one for each sink that was present when the source or the tunnel ended."""

    def __str__(self) -> str:
        error = f": {self.error}" if self.error else ""
        flows = "; ".join(map(str, self.flows))
        return f"{self.reason.value} ({self.ended_by}{error}); {flows}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """Count of the messages that were dropped for a sink."""

    messages: int = 0
    bytes: int = 0

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(self.messages + other.messages, self.bytes + other.bytes)

    def __str__(self) -> str:
        plural = "" if self.messages == 1 else "s"
        return f"{self.messages} message{plural} dropped, {rounded_size(self.bytes)}"


@dataclass(frozen=True, slots=True)
class SinkDone:
    """A OneWayMultiTunnel gives one sink back, and continues with the others."""

    tunnel: object
    sink: VConnection
    reason: Reason
    error: Exception | None
    flow: Flow
    dropped: Dropped = Dropped()

    @property
    def undelivered(self) -> int:
        """Bytes for this sink that it did not take; its last message may be incomplete."""
        return self.flow.received - self.flow.sent - self.dropped.bytes


@dataclass(frozen=True, slots=True)
class SourceDone:
    """A OneWayMultiTunnel gives a source back. It continues, and takes another source."""

    tunnel: object
    source: VConnection
    reason: Reason
    error: Exception | None
    received: int
    """Bytes read from it."""


@dataclass(frozen=True, slots=True)
class SinkLags:
    """A sink has fallen behind, and its lag policy acts.

    It is sent once, until the sink has recovered. With the policy "block" it is sent at half of
    `max_lag`, before the others must wait. With "disconnect" it is not sent: SinkDone is.
    """

    tunnel: object
    sink: VConnection
    lag: int
    """Bytes that are waiting for the sink."""
    on_lag: OnLag


@dataclass(frozen=True, slots=True)
class SinkRecovered:
    """A sink that lagged has taken everything, and has kept up for a second."""

    tunnel: object
    sink: VConnection
    dropped: Dropped
    """All drops since the sink was added."""


@dataclass(frozen=True, slots=True)
class TunnelWritable:
    """A OneWayMultiTunnel that was full accepts messages again."""

    tunnel: object
