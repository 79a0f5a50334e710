"""PacedOneWay, PacedTwoWay: tunnels whose transform also schedules how many bytes are sent when.

A piece is sent when the sink's connection has taken the piece before it. Waiting bytes stay in the
buffer that they were read into; reading pauses when that is full. The buffer grows by the bytes
that only wait for their time, as far as memory allows: a delay must not lower the rate.
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
"""One direction may hold at most a quarter of the memory of all buffers for delayed bytes."""


class Pace(ABC):
    """Decides when one direction sends. As a transform it changes nothing unless overridden."""

    @abstractmethod
    def arrived(self, now: float, count: int) -> None:
        """Record that `count` bytes have been read at `now` (seconds); 0: the source's end."""

    @property
    @abstractmethod
    def next_at(self) -> float | None:
        """The time at which more may be sent; None: everything that arrived has been sent."""

    @abstractmethod
    def take(self, now: float) -> int:
        """Return how many bytes are sent at `now`; 0 for the source's end.

        Raises ConnectionError to end the tunnel here as failed.
        """

    def delayed(self, now: float) -> int:
        """Return how many bytes have arrived and may not be sent yet."""
        return 0

    def feed(self, data: bytes) -> bytes:
        """See Transform."""
        return data

    def finish(self) -> bytes:
        """See Transform."""
        return b""


class PacedOneWay(OneWayTunnel):
    """A OneWayTunnel that sends when its transform allows it, if that is a Pace."""

    __slots__ = ("_arrived", "_end_reported", "_least", "_pace_failed", "_timer")

    def relaying(self) -> None:
        """Begin with what is buffered already."""
        self._arrived = self._input.position
        self._end_reported = False
        self._least = self._input.buffer.water_mark
        self._pace_failed = False  # take() has raised
        self._timer: Action | None = None
        super().relaying()

    def done(self) -> None:
        """Cancel the timer, and give the VCs back."""
        if self._timer is not None:
            self._timer.cancel()
        super().done()

    def _pump(self) -> None:
        pace, writer = self._transform, self._writer
        if not isinstance(pace, Pace) or writer is None:
            super()._pump()
        elif not self._pace_failed:
            self._report_arrivals(pace)
            try:
                self._send_due(pace, writer)
            except ConnectionError as error:
                self.error = error
                self._pace_failed = True
                self.stop()

    def _report_arrivals(self, pace: Pace) -> None:
        written = self._input.buffer.written
        if written > self._arrived:
            pace.arrived(self.engine.now, written - self._arrived)
            self._arrived = written
            if pace.delayed(self.engine.now):
                self._input.buffer.compact()  # the data is kept for some time
        if self.state is self.FLUSHING and not self._end_reported:
            self._end_reported = True
            pace.arrived(self.engine.now, 0)

    def _send_due(self, pace: Pace, writer: IOBuffer) -> None:
        while not self._output.avail and self.sink.nbytes is None:
            next_at = pace.next_at
            if next_at is None:
                if self._end_reported:
                    if not self._broken:
                        writer.write(pace.finish())
                    self._finish()
                break
            if next_at > self.engine.now:
                self._wait_until(next_at)
                break
            writer.write(pace.feed(self._input.read(pace.take(self.engine.now))))
        most = self.engine.memory.budget // MOST_SHARE
        room = self._least + min(pace.delayed(self.engine.now), most)
        # The mark is never lowered: otherwise a slow sink would get nothing for a whole delay.
        self._input.buffer.water_mark = max(self._input.buffer.water_mark, room)
        self.source.reenable()
        self.sink.reenable()

    def _wait_until(self, when: float) -> None:
        """Schedule WRITE_READY of the sink for `when`: then _pump() runs again."""
        if self._timer is None or not self._timer.pending:
            self._timer = self.engine.schedule_at(when, self, Event.WRITE_READY, self.sink)


class PacedTwoWay(TwoWayTunnel):
    """A TwoWayTunnel whose two directions each follow a Pace of their own."""

    one_way = PacedOneWay
