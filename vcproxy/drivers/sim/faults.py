"""NetworkFaults: which faults a simulated network has, and how often."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from random import Random

KIB = 1024

Span: TypeAlias = tuple[float, float]
"""Seconds: minimum, maximum."""

Sizes: TypeAlias = tuple[int, int]
"""Bytes: minimum, maximum."""


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """Probabilities (0 to 1, for each operation) and ranges. Without arguments there are no faults.

    Tested in tests/drivers/test_sim.py.
    """

    latency: Span = (0.0, 0.0)
    """Delay of each segment; segments stay in order. Each datagram has its own delay, so datagrams
    are reordered."""
    short: float = 0.0
    """A read or write moves only a part. For datagrams: the send buffer is full for a moment."""
    one_byte: float = 0.0
    """A read or write moves one byte."""
    stall: float = 0.0
    """A segment and all later ones of its direction are delayed by `stall_s`."""
    stall_s: Span = (0.01, 1.0)
    partition: float = 0.0
    """At a segment the whole network stops for `partition_s`; nothing is lost."""
    partition_s: Span = (0.01, 2.0)
    reset: float = 0.0
    """At a segment its connection is reset: data in flight, in both directions, is lost."""
    loss: float = 0.0
    """A datagram is lost."""
    duplicate: float = 0.0
    """A datagram arrives twice."""
    no_segmentation: float = 0.0
    """A segmented send fails: the device has no segmentation offload."""
    refuse: float = 0.0
    """A connection is refused although its server listens."""
    resolve_s: Span = (0.0, 0.0)
    """Time of a name look-up."""
    call_s: Span = (0.0, 0.0)
    """Time of a call on another thread."""
    close_s: Span = (0.0, 0.0)
    """Time from a close to the release of its descriptor."""
    accept_error: float = 0.0
    """An accept fails: no free descriptor (EMFILE)."""
    lock_miss: float = 0.0
    """Before a driver call, another thread acquires the mutex that it needs, for `lock_s`."""
    lock_s: Span = (0.0, 0.01)
    no_pipe: float = 0.0
    """No pipe can be opened for a bridge."""
    pipe: Sizes = (256 * KIB, 256 * KIB)
    """Capacity of a bridge's pipe."""
    socket: Sizes = (256 * KIB, 256 * KIB)
    """Capacity of one direction of a connection: both kernels' buffers and the network. For a
    datagram socket its receive buffer: datagrams that exceed it are lost."""

    @classmethod
    def all(cls) -> NetworkFaults:
        """Return all faults, each with a probability that makes it occur in a short run."""
        return cls(
            latency=(0.0, 0.02),
            short=0.1,
            one_byte=0.03,
            stall=0.02,
            partition=0.005,
            reset=0.003,
            loss=0.1,
            duplicate=0.1,
            no_segmentation=0.1,
            refuse=0.1,
            resolve_s=(0.0, 0.5),
            call_s=(0.0, 0.5),
            close_s=(0.0, 0.1),
            accept_error=0.1,
            lock_miss=0.1,
            no_pipe=0.2,
            pipe=(1, 256 * KIB),
            socket=(1, 256 * KIB),
        )

    def some(self, random: Random) -> NetworkFaults:
        """Return a random half of these faults: one fault often hides the effect of another."""
        drawn = {
            field.name: getattr(self, field.name) for field in fields(self) if random.random() < 0.5
        }
        return NetworkFaults(**drawn)
