"""faults: forward over a bad network, to see how client and server bear it.

Each direction has faults of its own: latency and jitter, a bandwidth, slices with pauses between
them, a reset after so many bytes or by chance. The order of bytes is kept, and none is changed.

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

Chance = Annotated[float, Field(ge=0, le=1)]

SMOOTH_S = 0.1
"""A bandwidth is kept to in every tenth of a second, as Toxiproxy does."""


@dataclass(frozen=True)
class FaultInjector:
    """What is wrong with one direction. All off, unless said otherwise."""

    latency: Duration = 0.0
    """How long everything is on its way, the end of the direction too. The rate stays what it is,
    as long as what is on its way takes no more than a quarter of `[proxy] memory`."""
    jitter: Duration = 0.0
    """At most so much longer or shorter, by chance, and so no more than latency; the order is
    kept."""
    bandwidth: Size = 0
    """Bytes a second at most; 0: no limit."""
    slice: Size = 0
    """Bytes that go on at once, at most; 0: as they come."""
    pause: Duration = 0.0
    """How long it waits after each slice."""
    reset_after: Size | None = None
    """Both connections are reset when more than so many bytes are to go through."""
    reset: Chance = 0.0
    """They are reset by this chance, from 0 to 1, each time when something is to go on."""

    def __post_init__(self) -> None:
        if self.jitter > self.latency:
            raise ValueError("jitter is more than latency: nothing arrives before it was sent")


class BadLine(Pace):
    """The pace of one direction: it notes when what arrives is due, and how much may go at once."""

    def __init__(self, faults: FaultInjector, random: Random) -> None:
        self._faults = faults
        self._random = random
        self._notes: deque[tuple[float, int]] = deque()  # due, bytes
        self._ahead: deque[tuple[float, int]] = deque()  # the same, of those that were not due yet
        self._delayed = 0  # the sum of those
        self._last_due = self._free_at = 0.0
        self._left = faults.reset_after if faults.reset_after is not None else sys.maxsize
        self._most = faults.slice or sys.maxsize
        if faults.bandwidth:
            self._most = min(self._most, max(int(faults.bandwidth * SMOOTH_S), 1))
        longest = faults.latency + faults.jitter
        self._room = int(faults.bandwidth * longest) if faults.bandwidth else sys.maxsize

    def arrived(self, now: float, count: int) -> None:
        """See Pace."""
        delay = self._faults.latency + self._faults.jitter * self._random.uniform(-1.0, 1.0)
        self._last_due = max(self._last_due, now + delay)
        self._notes.append((self._last_due, count))
        self._ahead.append((self._last_due, count))
        self._delayed += count

    def delayed(self, now: float) -> int:
        """See Pace."""
        ahead = self._ahead
        while ahead and ahead[0][0] <= now:
            self._delayed -= ahead.popleft()[1]
        return min(self._delayed, self._room)

    @property
    def next_at(self) -> float | None:
        """See Pace."""
        return max(self._notes[0][0], self._free_at) if self._notes else None

    def take(self, now: float) -> int:
        """See Pace."""
        faults, (due, there) = self._faults, self._notes.popleft()
        if (there and not self._left) or self._random.random() < faults.reset:
            raise ConnectionResetError("a fault, as configured")
        count = min(there, self._most, self._left)
        if count < there:
            self._notes.appendleft((due, there - count))
        self._left -= count
        self._free_at = now + faults.pause
        if faults.bandwidth:
            self._free_at += count / faults.bandwidth
        return count


class BadNetwork(Forwarder):
    """Forwards, over bad lines."""

    @dataclass(frozen=True)
    class Options:
        """What goes wrong, and for whom."""

        up: FaultInjector = field(default_factory=FaultInjector)
        """From the client to the server."""
        down: FaultInjector = field(default_factory=FaultInjector)
        """From the server to the client."""
        share: Chance = 1.0
        """Of the connections, 0 to 1, that have these faults; the others have none."""
        refuse: Chance = 0.0
        """Clients are closed at once by this chance."""

    options: Options

    def refusal(self) -> bytes | None:
        """Close some."""
        return b"" if self.engine.random.random() < self.options.refuse else None

    def relaying(self) -> None:
        """Lend both sides to a tunnel over bad lines, or to one that is well."""
        if self.engine.random.random() >= self.options.share:
            super().relaying()
            return
        self.count("bad")
        up, down = map(self._line, (self.options.up, self.options.down))
        self.lend(PacedTwoWay, upward=up, downward=down)

    def _line(self, faults: FaultInjector) -> BadLine | None:
        return None if faults == FaultInjector() else BadLine(faults, self.engine.random)
