"""Fan: the sinks of one buffer; sinks that have received all of it are written to together.

A sink is level or behind. The driver writes new data to all level sinks in one pass: they share one
reader of the buffer and cost little beside the system call. A sink that does not take all falls
behind: it gets a reader of its own and is written to separately, as any other VC, until it is level
again. So a slow sink does not slow down the others.

Tested in tests/tunnels/test_one_way_multi.py and tests/engine/test_net.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.commands import Spread
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import IOBuffer
    from vcproxy.engine.vio import VIO

BATCH = 64 * 1024
"""Bytes of small blocks joined for one system call: the copy is cheap compared to the call."""


class FanSource(Protocol):
    """What fills the buffer: a read VIO, or code that writes directly."""

    def reenable(self) -> None:
        """Continue: the buffer may have room again."""

    def ready(self) -> None:
        """Handle a buffer that stays full because of sinks that are behind."""


class Fan:
    """Writes one buffer to any number of write VIOs, all under the mutex of `owner`.

    A VIO delivers READY only if the owner has set its `pending` to False: a sink when it is behind
    and has taken some bytes; a source when the buffer has other readers than that of the level
    sinks.

    The driver's obligations, for each Spread command: call `begin()`. If it returns None: not now.
    If it returns blocks: push them to the port of each VC in `level` (joined for streams, one by
    one for messages), then call `sent(size, short)`, where `short` lists the VCs that did not take
    all, with the bytes that each took.

    Fan and NetVConnection refer to each other: the VC reads for the fan, the fan writes to VCs.
    """

    __slots__ = (
        "_idle",
        "_spread",
        "_spreading",
        "behind",
        "buffer",
        "engine",
        "level",
        "moved_at",
        "mutex",
        "place",
        "sources",
    )

    def __init__(self, owner: Continuation, buffer: IOBuffer) -> None:
        self.engine = owner.engine
        self.mutex = owner.mutex
        self.buffer = buffer
        self.place = buffer.reader()
        """The reader of the level sinks."""
        self.level: dict[NetVConnection, int] = {}
        """The level sinks. The bytes written to each are this value plus `place.position`. Only its
        port is used while a sink is level."""
        self.moved_at = 0.0
        """When the level sinks got data last."""
        self.behind: dict[VIO, None] = {}
        """The sinks that have a reader of their own, in the order in which they fell behind."""
        self.sources: dict[FanSource, None] = {}
        """What fills the buffer, and is reenabled when there may be room again."""
        self._idle: dict[VIO, None] = {}  # sinks that are not level and have nothing to write
        self._spread = Spread(self)
        self._spreading = False

    def __repr__(self) -> str:
        return f"<Fan level={len(self.level)} behind={len(self.behind)}>"

    # -- sources and sinks ------------------------------------------------------------------------

    def add_source(self, source: VIO) -> None:
        """Add a read that fills the buffer: its data are written to the sinks."""
        source.fan = self
        self.sources[source] = None

    def add_sink(self, sink: VIO) -> None:
        """Add a write; it begins at its reader's position."""
        sink.fan = self
        sink.pending = True
        self.behind[sink] = None
        self.catch_up(sink)

    def catch_up(self, sink: VIO) -> None:
        """Make a sink level if its reader is at `place` and it has the same driver."""
        vc, reader = sink.vc, sink.reader
        if reader.buffer is not self.buffer or sink not in self.behind:
            return
        if (
            reader.position == self.place.position
            and isinstance(vc, NetVConnection)
            and vc.engine is self.engine
            and vc.open
        ):
            del self.behind[sink]
            self._idle.pop(sink, None)
            reader.close()
            sink.store = self.place
            self.level[vc] = sink.ndone - self.place.position
        elif not reader.avail:
            self._idle[sink] = None

    def leave(self, vio: VIO) -> None:
        """Remove a VIO, which moves its own bytes from now on. May be repeated."""
        if vio.fan is self:
            if vio.store is self.place:
                self._fall_behind(vio)
            vio.fan = None
            if vio in self.sources:
                del self.sources[vio]
                vio.vc.fan = None
            self.behind.pop(vio, None)
            self._idle.pop(vio, None)

    def delivered_to(self, sink: VIO) -> int:
        """Return the bytes written to a sink: `ndone`, which is not updated while it is level."""
        before = self.level.get(sink.vc)  # type: ignore[call-overload]
        return sink.ndone if before is None else before + self.place.position

    def wake_sources(self) -> None:
        """Reenable the sources: there may be room in the buffer."""
        for source in list(self.sources):
            source.reenable()

    # -- new data ---------------------------------------------------------------------------

    def data_added(self) -> None:
        """Continue writing: there may be new data in the buffer."""
        self.schedule_spread()
        for sink in [sink for sink in self._idle if sink.reader.avail]:
            del self._idle[sink]
            sink.reenable()

    def schedule_spread(self) -> None:
        """Have the driver write to the level sinks."""
        if not self._spreading:
            self._spreading = True
            self.engine.command(self._spread)

    def progress(self, vio: VIO) -> None:
        """Handle the progress of a VIO that has moved bytes. The mutex is held."""
        if vio.reads:
            self.data_added()
            if len(self.buffer.readers) == 1:
                return
        else:
            self.catch_up(vio)
            self.wake_sources()
        if not vio.pending and not vio.over:
            vio.pending = True
            vio.signal(Event.READ_READY if vio.reads else Event.WRITE_READY)

    # -- called by the driver ----------------------------------------------------------------

    def begin(self) -> list[Block] | None:
        """Take the lock and return the blocks for all in `level`; None: not now, lock not held."""
        self._spreading = False
        if not self.mutex.try_acquire(self.engine):
            self.mutex.park(self.engine, self.schedule_spread)
            return None
        place = self.place
        if self.level and place.avail:
            return place.batch(BATCH)
        self._advance(place.avail)
        self.mutex.release(self.engine)
        return None

    def sent(self, size: int, short: Iterable[tuple[NetVConnection, int]]) -> None:
        """Answer `begin`: all took `size` bytes, except those in `short`."""
        self.moved_at = self.engine.now
        self._set_behind(short)
        self._advance(size)
        self.mutex.release(self.engine)

    # -- what VCs call -----------------------------------------------------------------------

    def spread_directly(self, data: Block, short: Sequence[tuple[NetVConnection, int]]) -> None:
        """Record data of a source that the level sinks, except those in `short`, took at once.

        The mutex is held, and the buffer is empty.
        """
        self.moved_at = self.engine.now
        size = len(data)
        if short:
            self.buffer.append_read(data, self.engine.memory)
            self._set_behind(short)
            self._advance(size)
        else:
            self.buffer.written += size
            self.place.position += size

    # -- inside ------------------------------------------------------------------------------

    def _set_behind(self, short: Iterable[tuple[NetVConnection, int]]) -> None:
        for vc, count in short:
            vio = vc.write_vio
            assert vio is not None
            self._fall_behind(vio)
            vio.reader.consume(count)
            vio.ndone += count
            vc.reenable(False)

    def _advance(self, size: int) -> None:
        """Record that the level sinks have got `size` more bytes."""
        place, full = self.place, size > 0 and self.buffer.full
        place.consume(size)
        if place.avail:
            self.schedule_spread()
        elif self._idle:
            for sink in list(self._idle):
                self.catch_up(sink)
        if full:
            self.wake_sources()
            if self.buffer.full:  # sinks that have just fallen behind still need the data
                for source in list(self.sources):
                    source.ready()

    def _fall_behind(self, sink: VIO) -> None:
        sink.ndone = self.delivered_to(sink)
        del self.level[sink.vc]  # type: ignore[arg-type]
        sink.vc.moved_at = max(sink.vc.moved_at, self.moved_at)
        self.behind[sink] = None
        sink.store = self.place.clone()
