"""NetworkFaults: how unkind the simulated world is. Values only."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from random import Random

KIB = 1024

Span: TypeAlias = tuple[float, float]
"""Seconds: at least, at most."""

Sizes: TypeAlias = tuple[int, int]
"""Bytes: at least, at most."""


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """Chances (0 to 1, each time the thing is done) and spans. All off, unless said otherwise."""

    latency: Span = (0.0, 0.0)
    """Of each segment on its way; the order is kept. Each datagram has its own: some overtake."""
    short: float = 0.0
    """A read or write moves a part only. A datagram finds its socket full, for a moment."""
    one_byte: float = 0.0
    """A read or write moves one byte."""
    stall: float = 0.0
    """A segment and all behind it, in its direction, are held up for `stall_s`."""
    stall_s: Span = (0.01, 1.0)
    partition: float = 0.0
    """A segment finds the whole network cut for `partition_s`; nothing is lost."""
    partition_s: Span = (0.01, 2.0)
    reset: float = 0.0
    """A segment finds its connection broken: what is in flight, either way, is lost."""
    lose: float = 0.0
    """A datagram does not arrive."""
    double: float = 0.0
    """A datagram arrives twice."""
    uncut: float = 0.0
    """A send of many datagrams at once is more than the device can do."""
    refuse: float = 0.0
    """A connection that could be made is refused."""
    resolve_s: Span = (0.0, 0.0)
    """How long a name takes."""
    call_s: Span = (0.0, 0.0)
    """How long a call off the loop takes."""
    gone_s: Span = (0.0, 0.0)
    """How long a descriptor takes to be closed."""
    accept: float = 0.0
    """An accept fails for want of descriptors."""
    lock_miss: float = 0.0
    """Before a call into the engine, another one takes the mutex it needs, for `lock_s`."""
    lock_s: Span = (0.0, 0.01)
    no_pipe: float = 0.0
    """There is no pipe for a bridge."""
    pipe: Sizes = (256 * KIB, 256 * KIB)
    """How much a bridge's pipe holds."""
    socket: Sizes = (256 * KIB, 256 * KIB)
    """How much one direction of a connection holds: both kernels' buffers and the wire. Datagrams
    that come when that much waits are lost."""

    @classmethod
    def all(cls) -> NetworkFaults:
        """Everything at once, each often enough to be met in a short run."""
        return cls(
            latency=(0.0, 0.02),
            short=0.1,
            one_byte=0.03,
            stall=0.02,
            partition=0.005,
            reset=0.003,
            lose=0.1,
            double=0.1,
            uncut=0.1,
            refuse=0.1,
            resolve_s=(0.0, 0.5),
            call_s=(0.0, 0.5),
            gone_s=(0.0, 0.1),
            accept=0.1,
            lock_miss=0.1,
            no_pipe=0.2,
            pipe=(1, 256 * KIB),
            socket=(1, 256 * KIB),
        )

    def some(self, random: Random) -> NetworkFaults:
        """A half of these, drawn by chance: one fault often hides what another would show."""
        drawn = {
            field.name: getattr(self, field.name) for field in fields(self) if random.random() < 0.5
        }
        return NetworkFaults(**drawn)
