"""faults: forward over a simulated bad network, to test how clients and servers cope with it.

Each direction has faults of its own: latency with jitter, a bandwidth limit, slices with pauses
between them, a reset after a number of bytes or at random. Bytes are never reordered or changed.

    [listener.options]
    down = { latency = "100ms", jitter = "20ms", bandwidth = "64KiB" }
    up.reset_after = "1MiB"
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from vcproxy.api import Duration, Forwarder, Pace, PacedTwoWay, Size

if TYPE_CHECKING:
    from random import Random

Probability = Annotated[float, Field(ge=0, le=1)]

BANDWIDTH_INTERVAL_S = 0.1
"""A bandwidth holds within every tenth of a second, as in Toxiproxy."""


@dataclass(frozen=True)
class FaultInjector:
    """The faults of one direction; by default there are none."""

    latency: Duration = 0.0
    """How long bytes, and the end of the direction, are delayed. The rate is not limited, unless
    the delayed bytes reach a quarter of `[proxy] memory`."""
    jitter: Duration = 0.0
    """The delay is longer or shorter by a random time up to this; at most `latency`. The order of
    bytes is kept."""
    bandwidth: Size = 0
    """Bytes per second at most; 0: no limit."""
    slice: Size = 0
    """Bytes that are forwarded at once at most; 0: as they arrive."""
    pause: Duration = 0.0
    """How long forwarding stops after each slice."""
    reset_after: Size | None = None
    """Both connections are reset when more bytes than this are to be forwarded."""
    reset: Probability = 0.0
    """The probability, 0 to 1, that both connections are reset, each time bytes are forwarded."""

    def __post_init__(self) -> None:
        if self.jitter > self.latency:
            raise ValueError("jitter is greater than latency: a delay cannot be less than 0")


class FaultyPace(Pace):
    """The pace of one direction: when bytes that arrived are due, and how many may be sent."""

    def __init__(self, faults: FaultInjector, random: Random) -> None:
        self._faults = faults
        self._random = random
        self._arrivals: deque[tuple[float, int]] = deque()  # due time, bytes; not sent yet
        self._not_due: deque[tuple[float, int]] = deque()  # the arrivals that were not due yet
        self._delayed = 0  # bytes in _not_due
        self._last_due = self._free_at = 0.0
        self._left = faults.reset_after if faults.reset_after is not None else sys.maxsize
        self._max_slice = faults.slice or sys.maxsize
        if faults.bandwidth:
            per_interval = max(int(faults.bandwidth * BANDWIDTH_INTERVAL_S), 1)
            self._max_slice = min(self._max_slice, per_interval)
        longest = faults.latency + faults.jitter
        self._capacity = int(faults.bandwidth * longest) if faults.bandwidth else sys.maxsize

    def arrived(self, now: float, count: int) -> None:
        """See Pace."""
        delay = self._faults.latency + self._faults.jitter * self._random.uniform(-1.0, 1.0)
        self._last_due = max(self._last_due, now + delay)
        self._arrivals.append((self._last_due, count))
        self._not_due.append((self._last_due, count))
        self._delayed += count

    def delayed(self, now: float) -> int:
        """See Pace."""
        not_due = self._not_due
        while not_due and not_due[0][0] <= now:
            self._delayed -= not_due.popleft()[1]
        return min(self._delayed, self._capacity)

    @property
    def next_at(self) -> float | None:
        """See Pace."""
        return max(self._arrivals[0][0], self._free_at) if self._arrivals else None

    def take(self, now: float) -> int:
        """See Pace."""
        faults, (due, available) = self._faults, self._arrivals.popleft()
        if (available and not self._left) or self._random.random() < faults.reset:
            raise ConnectionResetError("reset by a configured fault")
        count = min(available, self._max_slice, self._left)
        if count < available:
            self._arrivals.appendleft((due, available - count))
        self._left -= count
        self._free_at = now + faults.pause
        if faults.bandwidth:
            self._free_at += count / faults.bandwidth
        return count


class BadNetwork(Forwarder):
    """Forwards; some or all connections have faults."""

    @dataclass(frozen=True)
    class Options:
        """The faults of each direction, and which connections have them."""

        up: FaultInjector = field(default_factory=FaultInjector)
        """The faults of data from the client to the server."""
        down: FaultInjector = field(default_factory=FaultInjector)
        """The faults of data from the server to the client."""
        share: Probability = 1.0
        """The share of connections, 0 to 1, that have these faults; the others have none."""
        refuse: Probability = 0.0
        """The probability, 0 to 1, that a client is closed at once."""

    options: Options

    def refusal(self) -> bytes | None:
        """Refuse a client at random."""
        return b"" if self.engine.random.random() < self.options.refuse else None

    def relaying(self) -> None:
        """Lend both VCs to a tunnel with faults, or to one without."""
        if self.engine.random.random() >= self.options.share:
            super().relaying()
            return
        self.count("bad")
        up, down = map(self._pace, (self.options.up, self.options.down))
        self.lend(PacedTwoWay, upward=up, downward=down)

    def _pace(self, faults: FaultInjector) -> FaultyPace | None:
        return None if faults == FaultInjector() else FaultyPace(faults, self.engine.random)
