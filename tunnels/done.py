"""TunnelDone: what a tunnel tells its owner, once, when it gives the VCs back."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.vconnection import VConnection


class Reason(enum.Enum):
    """Why a tunnel is done."""

    EOS = "the source ended"
    COMPLETE = "all of nbytes went through"
    RECALLED = "the owner took it back"
    SINK_ENDED = "the sink ended"
    TRUNCATED = "the source ended before nbytes"
    ERROR = "a connection failed"
    INACTIVITY = "nothing moved for too long"
    ACTIVE = "it lasted too long"
    STOPPED = "it was stopped"

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
class SinkDone:
    """A OneWayMultiTunnel gives one sink back, and goes on with the others."""

    tunnel: object
    sink: VConnection
    reason: Reason
    error: Exception | None
    flow: Flow
