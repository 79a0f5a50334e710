"""Fan: the sinks of one buffer, of which those that have had all of it are fed together.

A sink is level, or behind. What comes next goes to all level sinks in one go, by the driver: they
share one place in the buffer and cost next to nothing besides the system call. A sink that could
not take all falls behind: it gets a place of its own and is fed by itself, as any other write,
until it is level again. So one that is slow costs the others nothing.
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
"""Bytes of small blocks put together for one system call: copying them stays cheap beside it."""


class Source(Protocol):
    """What fills a buffer: a read, or somebody who writes by hand."""

    def reenable(self) -> None:
        """There may be room again."""

    def ready(self) -> None:
        """There is none, for somebody who is behind: whoever looks after those is to be told."""


class Fan:
    """Feeds the write VIOs of one buffer, all under the mutex of `owner`.

    The VIOs in it deliver no READY, but one when it is wanted (`vio.pending` is False): it comes
    when a sink that is behind has taken some. A source that feeds it delivers READY only where
    somebody else than level sinks reads the buffer too.

    The driver's obligations, for each Spread command: `begin()`. None: not now. Blocks: push them
    to the port of each VC in `level` (joined where bytes travel, one by one where messages do),
    then `sent(size, short)`, with those that did not take all `size` bytes, and what they took.
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
        """What lies before it goes to the level sinks next."""
        self.level: dict[NetVConnection, int] = {}
        """With what each had got when it became level, less the place then: nothing of a sink is
        touched while it is level but its port."""
        self.moved_at = 0.0
        """When the level ones got something last."""
        self.behind: dict[VIO, None] = {}
        """Those that have a reader of their own, in the order in which they fell behind."""
        self.sources: dict[Source, None] = {}
        """Who fills the buffer, and is told when there may be room again."""
        self._idle: dict[VIO, None] = {}  # are not level, and have all there is
        self._spread = Spread(self)
        self._spreading = False

    def __repr__(self) -> str:
        return f"<Fan level={len(self.level)} behind={len(self.behind)}>"

    # -- who is in it ------------------------------------------------------------------------

    def add_source(self, source: VIO) -> None:
        """A read fills the buffer from now on: what it brings goes on by itself."""
        source.fan = self
        self.sources[source] = None

    def add_sink(self, sink: VIO) -> None:
        """A write takes part, from its reader's place on."""
        sink.fan = self
        sink.pending = True
        self.behind[sink] = None
        self.catch_up(sink)

    def catch_up(self, sink: VIO) -> None:
        """Make it level, if it has come as far as the others and can be fed with them."""
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
        """A VIO goes by itself from now on. Harmless when it does already."""
        if vio.fan is self:
            if vio.store is self.place:
                self._fall_behind(vio)
            vio.fan = None
            self.sources.pop(vio, None)
            self.behind.pop(vio, None)
            self._idle.pop(vio, None)

    def delivered_to(self, sink: VIO) -> int:
        """Bytes that it has got: what `ndone` says where it is not level."""
        before = self.level.get(sink.vc)  # type: ignore[call-overload]
        return sink.ndone if before is None else before + self.place.position

    def wake_sources(self) -> None:
        """There may be room in the buffer: tell the sources."""
        for source in list(self.sources):
            source.reenable()

    # -- what comes --------------------------------------------------------------------------

    def data_added(self) -> None:
        """Something may have come into the buffer."""
        self.schedule_spread()
        for sink in [sink for sink in self._idle if sink.reader.avail]:
            del self._idle[sink]
            sink.reenable()

    def schedule_spread(self) -> None:
        """There may be something to spread."""
        if not self._spreading:
            self._spreading = True
            self.engine.command(self._spread)

    def progress(self, vio: VIO) -> None:
        """A VIO has moved some bytes. The mutex is held."""
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

    # -- what the driver calls ---------------------------------------------------------------

    def begin(self) -> list[Block] | None:
        """Take the lock and say what goes to all in `level`; None: not now, no lock is held."""
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
        """Answer `begin`: all have taken `size` bytes but those who are named, and how many."""
        self.moved_at = self.engine.now
        self._part_with(short)
        self._advance(size)
        self.mutex.release(self.engine)

    # -- what VCs call -----------------------------------------------------------------------

    def spread_directly(self, data: Block, short: Sequence[tuple[NetVConnection, int]]) -> None:
        """A source has brought this, and all level sinks have taken it already but those named.

        The mutex is held, and nothing is in the buffer.
        """
        self.moved_at = self.engine.now
        size = len(data)
        if short:
            self.buffer.append_read(data, self.engine.memory)
            self._part_with(short)
            self._advance(size)
        else:
            self.buffer.written += size
            self.place.position += size

    # -- inside ------------------------------------------------------------------------------

    def _part_with(self, short: Iterable[tuple[NetVConnection, int]]) -> None:
        for vc, count in short:
            vio = vc.write_vio
            assert vio is not None
            self._fall_behind(vio)
            vio.reader.consume(count)
            vio.ndone += count
            vc.reenable(False)

    def _advance(self, size: int) -> None:
        """The level sinks have so much more behind them."""
        place, full = self.place, size > 0 and self.buffer.full
        place.consume(size)
        if place.avail:
            self.schedule_spread()
        elif self._idle:
            for sink in list(self._idle):
                self.catch_up(sink)
        if full:
            self.wake_sources()
            if self.buffer.full:  # of what nobody has judged: they have fallen behind only now
                for source in list(self.sources):
                    source.ready()

    def _fall_behind(self, sink: VIO) -> None:
        sink.ndone = self.delivered_to(sink)
        del self.level[sink.vc]  # type: ignore[arg-type]
        sink.vc.moved_at = max(sink.vc.moved_at, self.moved_at)
        self.behind[sink] = None
        sink.store = self.place.clone()
