"""Pipe: a connected pair of VConnections within one engine (Traffic Server's PluginVC).

What one end writes the other reads, by reference, without a buffer in between: backpressure is
that of the buffers of the two users.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.vconnection import VConnection

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine


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

    def reenable(self, reads: bool) -> None:
        """Schedule a move of the available bytes, to this end (`reads`) or from it."""
        source = self._other if reads else self
        if not source._scheduled:
            source._scheduled = True
            self.engine.inbox.post(source._pump)

    def _end_writing(self) -> None:
        self._done_writing = True
        self.reenable(reads=False)

    def _end(self, abort: bool) -> None:
        if abort:
            self.engine.inbox.post(partial(self._other._reset, self.error))
        else:
            self._done_writing = True
            self.reenable(reads=False)
            self.reenable(reads=True)

    def _reset(self, error: Exception | None) -> None:
        """Fail this end, because the other end was closed with an error."""
        if not self.mutex.try_acquire(self.engine):
            self.mutex.park(self.engine, partial(self._reset, error))
            return
        if not self.closed:
            self.error = PipeReset(f"the other end was closed: {error}")
            for vio in (self.read_vio, self.write_vio):
                if vio is not None:
                    vio.end(Event.ERROR)
        self.mutex.release(self.engine)

    def _pump(self) -> None:
        """Move bytes from this end to the other, under both mutexes."""
        engine, other = self.engine, self._other
        locks = (self.mutex, other.mutex)
        for n, mutex in enumerate(locks):
            if not mutex.try_acquire(engine):
                for held in locks[:n]:
                    held.release(engine)
                mutex.park(engine, self._pump)
                return
        self._scheduled = False
        self._move()
        for mutex in locks:
            mutex.release(engine)

    def _move(self) -> None:
        other = self._other
        write = None if self.closed else self.write_vio
        read = None if other.closed else other.read_vio
        if write is not None and not write.over:
            if other.closed:
                self.error = self.error or PipeReset("the other end was closed")
                write.end(Event.ERROR)
            elif write.ntodo is not None and write.ntodo <= 0:
                write.end(Event.WRITE_COMPLETE)
        if read is None or read.over:
            return
        if read.ndone and read.ntodo is not None and read.ntodo <= 0:
            read.end(Event.READ_COMPLETE)
        elif write is None or write.over:
            if self._done_writing:
                read.end(Event.EOS)
        else:
            room = (write.reader.avail, read.buffer.room, write.ntodo, read.ntodo)
            count = min(most for most in room if most is not None)
            if count > 0:
                read.buffer.write_from(write.reader, count)
                write.reader.consume(count)
                self.moved_at = other.moved_at = self.engine.now
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
