"""The status of a relay: how it stands at one moment, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vcproxy.tunnels.done import Dropped


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """How one sink stands. Of a target, bytes and drops count from the relay's beginning."""

    name: str
    """A target's is its address."""
    up: bool
    """Whether it is connected."""
    given: int
    """Bytes that it got."""
    dropped: Dropped
    lag: int = 0
    """Bytes that wait for it."""
    heard: int = 0
    """Bytes that it said, to nobody."""
    reconnects: int = 0
    required: bool = False


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """How a relay stands."""

    producers: Mapping[str, int]
    """The bytes that each one has brought, by its name; those of one name (unix:) together."""
    sinks: tuple[SinkStatus, ...]
    counts: Mapping[str, int]
    """What has happened so far: "joined", "left", "lagged", "recovered", "refused" ... Of a source
    of plain NATS "missed" are the messages that came while nobody took them, and were dropped."""
