"""Sink: one sink of a OneWayMultiTunnel: its place in the shared buffer, counts and drops.

Tested in tests/tunnels/test_lag.py and test_one_way_multi.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.iobuffer import MESSAGE_OVERHEAD, IOBuffer
from vcproxy.tunnels.done import Dropped, Flow
from vcproxy.tunnels.stall_timer import StallTimer

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.tunnels.lag_policy import LagPolicy


@dataclass(frozen=True, slots=True)
class SinkStatistics:
    """The counts of one sink at one moment."""

    sink: VConnection
    lag: int
    """Buffer bytes that the data waiting for the sink occupies."""
    undelivered: int
    """Bytes that it has not taken yet."""
    sent: int
    """Bytes that the sink has taken since it was added."""
    dropped: Dropped
    received: int
    """Bytes that the sink sent to us; they were dropped."""
    required: bool
    policy: LagPolicy
    lags: bool
    """Whether its policy applies now."""


@dataclass(slots=True, eq=False)
class Sink:
    """A VC, the write that feeds it, its lag policy and its counts.

    The bytes of the shared buffer that the write's reader has not read wait for the sink. If
    messages are dropped for a sink, it may first read a private buffer, with the rest of a partly
    sent message, and then continue at `resume_at` in the shared buffer. So it finishes that message
    although later ones are dropped.
    """

    vc: VConnection
    vio: VIO
    watched: VIO | None
    """The read that sees its end."""
    policy: LagPolicy
    required: bool
    receive_only: bool
    """Whether the sink is removed when it sends anything."""
    joined: int
    """The place in the source's bytes at which the sink began."""
    resume_at: Reader | None = None
    """Where the sink continues in the shared buffer, while it reads a private one."""
    lags: bool = False
    steady: Action | None = None
    """The timer after which the sink has recovered, if it does not lag again before."""
    stall_timer: StallTimer | None = None
    """Runs while the sink lags, and while the tunnel flushes."""
    dropped_messages: int = 0
    dropped_bytes: int = 0

    @property
    def lag(self) -> int:
        """Buffer bytes that the data waiting for the sink occupies."""
        shared = self.resume_at.occupied if self.resume_at is not None else 0
        return self.vio.reader.occupied + shared

    @property
    def level(self) -> bool:
        """Whether no data waits for the sink, or only data that the level sinks of the Fan get
        next."""
        fan = self.vio.fan
        return self.lag == 0 or (fan is not None and self.vio.store is fan.place)

    @property
    def undelivered(self) -> int:
        """Bytes that the sink has not taken; after `retire`, those that it will never take."""
        return self._offered - self.sent - self.dropped_bytes

    @property
    def _offered(self) -> int:
        """Bytes that the source has delivered since the sink was added."""
        return (self.resume_at or self.vio.reader).buffer.written - self.joined

    @property
    def sent(self) -> int:
        """Bytes that it has taken."""
        fan = self.vio.fan
        return self.vio.ndone if fan is None else fan.delivered_to(self.vio)

    @property
    def excessive(self) -> bool:
        """Whether more data waits for the sink than its policy allows."""
        if self.resume_at is not None and self.policy.on_lag == "drop_newest":
            return self.resume_at.avail > 0
        return self.lag > self.policy.max_lag

    @property
    def dropped(self) -> Dropped:
        """The messages that were dropped for the sink since it was added."""
        return Dropped(self.dropped_messages, self.dropped_bytes)

    @property
    def statistics(self) -> SinkStatistics:
        """Its counts now."""
        received = self.watched.ndone if self.watched is not None else 0
        return SinkStatistics(
            self.vc,
            self.lag,
            self.undelivered,
            self.sent,
            self.dropped,
            received,
            self.required,
            self.policy,
            self.lags,
        )

    def flow(self, source: str) -> Flow:
        """Return the bytes that were delivered since the sink was added, and those that it has
        taken."""
        return Flow(source, self.vc.name, self._offered, self.sent)

    # -- dropping ----------------------------------------------------------------------------

    def drop(self) -> None:
        """Drop messages, oldest or newest by its policy, until no more waits than is allowed."""
        oldest = self.policy.on_lag == "drop_oldest"
        if self.resume_at is None:
            self._use_private_buffer(oldest)
        reader = self.resume_at or self.vio.reader
        before, private = reader.avail, self.lag - reader.occupied
        if oldest:
            self.dropped_messages += reader.drop(self.policy.max_lag - private, keep=1)
        else:
            self.dropped_messages += reader.drop(0)
        self.dropped_bytes += before - reader.avail

    def _use_private_buffer(self, oldest: bool) -> None:
        """Copy data that must not be dropped to a private buffer: the rest of a partly sent
        message; with drop_newest, all the data that the policy allows."""
        reader = self.vio.reader
        if oldest and not reader.begun:
            return
        private = IOBuffer(reader.buffer.memory, message_oriented=True)
        first = private.reader()
        private.write(reader.read_block() or EMPTY)
        room = self.policy.max_lag - MESSAGE_OVERHEAD
        while not oldest and reader.blocks and private.held + reader.next_size <= room:
            private.write(reader.read_block() or EMPTY)
        self.vio.store, self.resume_at = first, reader

    def resume(self) -> bool:
        """Return to the shared buffer once the private one is empty; return whether it did."""
        private = self.vio.reader
        if self.resume_at is None or private.avail:
            return False
        private.close()
        self.vio.store, self.resume_at = self.resume_at, None
        return True

    # -- the end -----------------------------------------------------------------------------

    def limit_stall(self, owner: Continuation, seconds: float) -> None:
        """Deliver STALLED with this sink to `owner` if it takes nothing for `seconds`; 0: never.

        The VC's own inactivity timer is not used: data from the sink would restart it.
        """
        if self.stall_timer is not None:
            self.stall_timer.cancel()
        self.stall_timer = StallTimer(owner, seconds, lambda: self.sent, self) if seconds else None

    def finish(self) -> None:
        """Request WRITE_COMPLETE for when the sink has taken all waiting data."""
        self.vio.nbytes = self.vio.ndone + self.undelivered
        self.vio.reenable()

    def retire(self) -> None:
        """Cancel the VIOs and timers of the sink, and close its readers."""
        for vio in (self.vio, self.watched):
            if vio is not None:
                vio.retire()
        for timer in (self.steady, self.stall_timer):
            if timer is not None:
                timer.cancel()
        self.vio.reader.close()
        if self.resume_at is not None:
            self.resume_at.close()
