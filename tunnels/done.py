"""What tunnels tell their owners: TunnelDone, once, when they give the VCs back.

One with many sinks also tells who has left, lags or has recovered before.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vcproxy.engine.units import rounded_size

if TYPE_CHECKING:
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.tunnels.lag import OnLag


class Reason(enum.Enum):
    """Why a tunnel is done."""

    EOS = "the source ended"
    COMPLETE = "all of nbytes went through"
    RECALLED = "the owner took it back"
    SINK_ENDED = "the sink ended"
    TRUNCATED = "the source ended before nbytes"
    ERROR = "a connection failed"
    INACTIVITY = "connection timed out: nothing moved for too long"
    ACTIVE = "connection timed out: it lasted too long"
    STOPPED = "it was stopped"
    LAGGED = "it lagged too far behind"
    GARBLED = "no more messages can be found in what it says"
    SPOKE = "it spoke where it may only listen"

    @property
    def clean(self) -> bool:
        """Whether all that was read has reached the sink."""
        return self in (Reason.EOS, Reason.COMPLETE, Reason.RECALLED)


@dataclass(frozen=True, slots=True)
class Flow:
    """What went one way: bytes taken from the source, bytes given to the sink."""

    source: str
    sink: str
    taken: int
    given: int
    waiting: int = field(default=0, compare=False)
    """Bytes that lie between the two: the sink is what they wait for. Of a tunnel that changes what
    goes through, or has said something of its own, the other counts do not tell."""

    def __str__(self) -> str:
        return f"{self.source} -> {self.sink}: {self.given} bytes"


@dataclass(frozen=True, slots=True)
class TunnelDone:
    """A tunnel has ended; its VCs are the owner's again, and open.

    With `reason` EOS the sink has been shut down for writing.
    """

    tunnel: object
    reason: Reason
    who: str
    """The VC that ended it, by name; the tunnel's own name where that was nobody's VC."""
    error: Exception | None
    """What went wrong, where the reason is ERROR."""
    flows: tuple[Flow, ...]
    """OneWay: one. TwoWay: client to server, server to client. OneWayMulti: one for each sink
    that was there when the source ended, or when the tunnel did."""

    def __str__(self) -> str:
        why = f"{self.reason.value} ({self.who}{f': {self.error}' if self.error else ''})"
        return f"{why}; {'; '.join(map(str, self.flows))}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a sink did not get."""

    messages: int = 0
    bytes: int = 0

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(self.messages + other.messages, self.bytes + other.bytes)

    def __str__(self) -> str:
        plural = "" if self.messages == 1 else "s"
        return f"{self.messages} message{plural} dropped, {rounded_size(self.bytes)}"


@dataclass(frozen=True, slots=True)
class SinkDone:
    """A OneWayMultiTunnel gives one sink back, and goes on with the others."""

    tunnel: object
    sink: VConnection
    reason: Reason
    error: Exception | None
    flow: Flow
    dropped: Dropped = Dropped()

    @property
    def owed(self) -> int:
        """Bytes that it should have got, and has not: it may stand in the middle of a message."""
        return self.flow.taken - self.flow.given - self.dropped.bytes


@dataclass(frozen=True, slots=True)
class SourceDone:
    """A OneWayMultiTunnel gives a source back, and waits for another."""

    tunnel: object
    source: VConnection
    reason: Reason
    error: Exception | None
    taken: int
    """Bytes that it brought."""


@dataclass(frozen=True, slots=True)
class SinkLags:
    """A sink has fallen behind so far that something is done about it: see Lag.

    It comes once, until it has recovered. With "block" it comes at half of what is granted, and
    with "disconnect" not at all: then SinkDone says so.
    """

    tunnel: object
    sink: VConnection
    lag: int
    """Bytes."""
    then: OnLag


@dataclass(frozen=True, slots=True)
class SinkRecovered:
    """A sink that lagged has had all that there is, and has kept up for a second."""

    tunnel: object
    sink: VConnection
    dropped: Dropped
    """Since it joined."""


@dataclass(frozen=True, slots=True)
class TunnelRoom:
    """A OneWayMultiTunnel that was full takes messages again."""

    tunnel: object
