"""RelayStatus: the counts of a relay and its sinks at one moment.

Tested in tests/relay/test_relay.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vcproxy.tunnels.done import Dropped
from vcproxy.tunnels.lag_policy import BLOCK, LagPolicy


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """The counts of one sink. A target's bytes and drops count over all its connections."""

    name: str
    """The peer's name; for a target, its address."""
    up: bool
    """Whether it is connected."""
    sent: int
    """Bytes sent to it."""
    dropped: Dropped
    lag: int = 0
    """Buffer bytes that the data waiting for the sink occupies."""
    received: int = 0
    """Bytes that the sink sent to the relay; they were dropped."""
    reconnects: int = 0
    """How often a target was connected again."""
    required: bool = False
    policy: LagPolicy = field(default=BLOCK, compare=False)
    """How far it may be behind, and what is done then."""
    lags: bool = field(default=False, compare=False)
    """Whether that is done now."""


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """The counts of a relay."""

    producers: Mapping[str, int]
    """Bytes received from each producer, by its name; those of one name (unix:) are added up."""
    sinks: tuple[SinkStatus, ...]
    """Targets in the order of the options, then subscribers in the order of their connections."""
    counts: Mapping[str, int]
    """How often something has happened: "joined", "left", "lagged", "recovered", "refused",
    "silent" (a producer was replaced because it had sent nothing), "damaged" (a message was dropped
    because the framing's check failed) ... "missed" are messages of a plain NATS source that were
    dropped because they came faster than they were read."""
