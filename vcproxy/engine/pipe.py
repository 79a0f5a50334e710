"""Pipe: a connected pair of VConnections within one engine (Traffic Server's PluginVC).

What one end writes the other reads, by reference, with no buffer in between: backpressure is that
of the two buffers that the users bring.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.vconnection import VConnection

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.iobuffer import IOBuffer
    from vcproxy.engine.vio import VIO


class PipeReset(ConnectionError):
    """The other end of a pipe was closed with an error."""


class PipeVConnection(VConnection):
    """One end of a pipe. See VConnection."""

    __slots__ = ("_done_writing", "_other", "_scheduled")

    _other: PipeVConnection

    def __init__(self, engine: Engine, mutex: Mutex, name: str) -> None:
        super().__init__(engine, mutex, name)
        self._done_writing = False
        self._scheduled = False

    def look_again(self, reads: bool) -> None:
        """Move what can be moved, soon: to this end if it reads, else from it."""
        source = self._other if reads else self
        if not source._scheduled:
            source._scheduled = True
            self.engine.inbox.post(source._pump)

    def do_io_read(self, cont: Continuation, nbytes: int | None, buffer: IOBuffer) -> VIO:
        """See VConnection."""
        vio = super().do_io_read(cont, nbytes, buffer)
        if self.error is not None:
            vio.end(Event.ERROR)
        return vio

    def _end_writing(self) -> None:
        self._done_writing = True
        self.look_again(reads=False)

    def _end(self, abort: bool) -> None:
        self._done_writing = True
        other = self._other
        self.engine.inbox.post(partial(other._left, self.error if abort else None))

    def _left(self, error: Exception | None) -> None:
        """The other end was closed: nothing comes any more, and nobody takes anything."""
        if not self.mutex.try_acquire(self.engine):
            self.mutex.park(self.engine, partial(self._left, error))
            return
        if not self.closed:
            if error is not None:
                self.error = PipeReset(f"the other end was closed: {error}")
            if self.read_vio is not None:
                self.read_vio.end(Event.EOS if error is None else Event.ERROR)
            if self.write_vio is not None:
                self.error = self.error or PipeReset("the other end was closed")
                self.write_vio.end(Event.ERROR)
        self.mutex.release(self.engine)

    def _pump(self) -> None:
        """Move from this end to the other, under both mutexes."""
        engine, other = self.engine, self._other
        locks = (self.mutex, other.mutex)
        for n, mutex in enumerate(locks):
            if not mutex.try_acquire(engine):
                for held in locks[:n]:
                    held.release(engine)
                mutex.park(engine, self._pump)
                return
        self._scheduled = False
        self._move(self.write_vio, other.read_vio)
        for mutex in locks:
            mutex.release(engine)

    def _move(self, write: VIO | None, read: VIO | None) -> None:
        if write is not None and not write.over and write.nbytes == write.ndone:
            write.end(Event.WRITE_COMPLETE)
        elif write is not None and not write.over and not write.reader.avail and not write.ndone:
            write.ready()
        if read is None or read.over:
            return
        if write is None or write.over:
            if self._done_writing and not self._other.closed:
                read.end(Event.EOS)
            return
        count = min(write.reader.avail, read.buffer.room)
        for todo in (write.ntodo, read.ntodo):
            if todo is not None:
                count = min(count, todo)
        if count > 0:
            read.buffer.write_from(write.reader, count)
            write.reader.consume(count)
            self.moved_at = self._other.moved_at = self.engine.now
            write.progress(count)
            read.progress(count)


def pipe(engine: Engine, name: str = "pipe") -> tuple[PipeVConnection, PipeVConnection]:
    """Make a connected pair, each end under a mutex of its own until it is used."""
    ends = (
        PipeVConnection(engine, Mutex(), f"{name} A"),
        PipeVConnection(engine, Mutex(), f"{name} B"),
    )
    ends[0]._other, ends[1]._other = ends[1], ends[0]
    return ends
