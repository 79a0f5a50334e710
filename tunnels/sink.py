"""Sink: one consumer of a OneWayMultiTunnel, and what it has to do without when it is slow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.iobuffer import EMPTY, MESSAGE_OVERHEAD, IOBuffer
from vcproxy.tunnels.done import Dropped, Flow

if TYPE_CHECKING:
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.tunnels.lag import Lag
    from vcproxy.tunnels.stall_timer import StallTimer


@dataclass(slots=True, eq=False)
class Sink:
    """Its VC, the write that feeds it, and how it stands.

    What waits for it lies before the write's reader in the buffer of all. Or it is on a detour: it
    is given something of its own first, and then goes on at `resumes`. So it can finish a message
    whose successors have been dropped, without holding them.
    """

    vc: VConnection
    vio: VIO
    watched: VIO | None
    """The read that sees it end."""
    grant: Lag
    required: bool
    mute: bool
    """Whether it goes when it says anything."""
    joined: int
    """The place in the source's bytes where it began."""
    resumes: Reader | None = None
    lags: bool = False
    steady: Action | None = None
    """When it has recovered, if it has caught up and does not lag again before."""
    stall_timer: StallTimer | None = None
    """What gives it back, if it takes nothing: while it lags, and of what is the last."""
    dropped: int = 0
    dropped_bytes: int = 0

    @property
    def lag(self) -> int:
        """Bytes that what waits for it occupies."""
        ahead = self.resumes.occupied if self.resumes is not None else 0
        return self.vio.reader.occupied + ahead

    @property
    def level(self) -> bool:
        """Whether it has had all, or gets what has just come together with those that have."""
        fan = self.vio.fan
        return self.lag == 0 or (fan is not None and self.vio.store is fan.place)

    @property
    def due(self) -> int:
        """Bytes that it is still to get; once it is retired, those that it has not got."""
        return self._brought - self.given - self.dropped_bytes

    @property
    def _brought(self) -> int:
        """Bytes that have come since it joined."""
        return (self.resumes or self.vio.reader).buffer.written - self.joined

    @property
    def given(self) -> int:
        """Bytes that it has got."""
        fan = self.vio.fan
        return self.vio.ndone if fan is None else fan.delivered_to(self.vio)

    @property
    def excessive(self) -> bool:
        """Whether more waits for it than it is granted."""
        if self.resumes is not None and self.grant.then == "drop_newest":
            return self.resumes.avail > 0
        return self.lag > self.grant.most

    @property
    def losses(self) -> Dropped:
        """What it did not get."""
        return Dropped(self.dropped, self.dropped_bytes)

    def flow(self, source: str) -> Flow:
        """What was brought since it joined, and what it has got of that."""
        return Flow(source, self.vc.name, self._brought, self.given)

    # -- dropping ----------------------------------------------------------------------------

    def drop(self) -> None:
        """Drop messages, by its policy, until no more waits than it is granted."""
        oldest = self.grant.then == "drop_oldest"
        if self.resumes is None:
            self._detour(oldest)
        reader = self.resumes or self.vio.reader
        before, apart = reader.avail, self.lag - reader.occupied
        if oldest:
            self.dropped += reader.drop(self.grant.most - apart, keep=1)
        else:
            self.dropped += reader.drop(0)
        self.dropped_bytes += before - reader.avail

    def _detour(self, oldest: bool) -> None:
        """Set apart what it gets in any case: the rest of a message, or all that is granted."""
        reader, most = self.vio.reader, self.grant.most
        if oldest and not reader.begun:
            return
        own = IOBuffer(reader.buffer.memory, message_oriented=True)
        first = own.reader()
        own.write(reader.read_block() or EMPTY)
        while (
            not oldest and reader.blocks and own.held + reader.next_size + MESSAGE_OVERHEAD <= most
        ):
            own.write(reader.read_block() or EMPTY)
        self.vio.store, self.resumes = first, reader

    def resume(self) -> bool:
        """End a detour, if it has got what was set apart: whether it has."""
        own = self.vio.reader
        if self.resumes is None or own.avail:
            return False
        own.close()
        self.vio.store, self.resumes = self.resumes, None
        return True

    # -- the end -----------------------------------------------------------------------------

    def finish(self) -> None:
        """WRITE_COMPLETE is to come when it has what waits for it."""
        self.vio.nbytes = self.vio.ndone + self.due
        self.vio.reenable()

    def retire(self) -> None:
        """Nothing of it is delivered any more, and it holds nothing."""
        for vio in (self.vio, self.watched):
            if vio is not None:
                vio.retire()
        for alarm in (self.steady, self.stall_timer):
            if alarm is not None:
                alarm.cancel()
        self.vio.reader.close()
        if self.resumes is not None:
            self.resumes.close()
