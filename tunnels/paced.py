"""Paced tunnels: a transform says not only how bytes go on, but when, and how many at once.

A piece goes on when the one before it has reached the sink's connection. What must wait stays in
the buffer that it was read into; when that is full, reading pauses. It grows by what only waits for
its time, as far as memory allows: a delay alone must not lower the rate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.tunnels.two_way import TwoWayTunnel

if TYPE_CHECKING:
    from vcproxy.engine.iobuffer import IOBuffer
    from vcproxy.engine.scheduler import Action


MOST_SHARE = 4
"""What one direction may delay at most: a quarter of the memory of all buffers."""


class Pace(ABC):
    """When one direction may go on. As a transform it changes nothing, unless it overrides that."""

    @abstractmethod
    def arrived(self, now: float, count: int) -> None:
        """Note that so many bytes have been read; 0: the end, behind all of them."""

    @property
    @abstractmethod
    def when(self) -> float | None:
        """The time when something may go on next; None: all that arrived has."""

    @abstractmethod
    def take(self, now: float) -> int:
        """Return how many bytes go on now that it is time; the end counts 0.

        Raises ConnectionError if the direction breaks here.
        """

    def travelling(self, now: float) -> int:
        """Return how many bytes have arrived and are not due yet."""
        return 0

    def feed(self, data: bytes) -> bytes:
        """See Transform."""
        return data

    def finish(self) -> bytes:
        """See Transform."""
        return b""


class PacedOneWay(OneWayTunnel):
    """A OneWayTunnel that keeps to its transform's pace, if that is a Pace."""

    __slots__ = ("_alarm", "_cut", "_end_noted", "_least", "_noted")

    def relaying(self) -> None:
        """Begin with what lies there already."""
        self._noted = self._input.position
        self._end_noted = False
        self._least = self._input.buffer.water_mark
        self._cut = False  # the pace has broken it
        self._alarm: Action | None = None
        super().relaying()

    def done(self) -> None:
        """Leave no alarm behind."""
        if self._alarm is not None:
            self._alarm.cancel()
        super().done()

    def _pump(self) -> None:
        pace, writer = self._transform, self._writer
        if not isinstance(pace, Pace) or writer is None:
            super()._pump()
        elif not self._cut:
            self._note(pace)
            try:
                self._go_on(pace, writer)
            except ConnectionError as error:
                self.error = error
                self._cut = True
                self.stop()

    def _note(self, pace: Pace) -> None:
        written = self._input.buffer.written
        if written > self._noted:
            pace.arrived(self.engine.now, written - self._noted)
            self._noted = written
            if pace.travelling(self.engine.now):
                self._input.buffer.compact()  # it waits for a time
        if self.state is self.FLUSHING and not self._end_noted:
            self._end_noted = True
            pace.arrived(self.engine.now, 0)

    def _go_on(self, pace: Pace, writer: IOBuffer) -> None:
        while not self._output.avail and self.sink.nbytes is None:
            when = pace.when
            if when is None:
                if self._end_noted:
                    if not self._broken:
                        writer.write(pace.finish())
                    self._finish()
                break
            if when > self.engine.now:
                self._wait(when)
                break
            writer.write(pace.feed(self._input.read(pace.take(self.engine.now))))
        most = self.engine.memory.budget // MOST_SHARE
        room = self._least + min(pace.travelling(self.engine.now), most)
        # It never shrinks: a slow sink would be fed with a gap of a whole delay otherwise.
        self._input.buffer.water_mark = max(self._input.buffer.water_mark, room)
        self.source.reenable()
        self.sink.reenable()

    def _wait(self, when: float) -> None:
        """Look again then: as if the sink had no room before."""
        if self._alarm is None or not self._alarm.pending:
            self._alarm = self.engine.schedule_at(when, self, Event.WRITE_READY, self.sink)


class PacedTwoWay(TwoWayTunnel):
    """A TwoWayTunnel whose directions keep to a pace, each to its own."""

    one_way = PacedOneWay
