"""Bridge: a direction that the driver moves with splice(2), not through Python.

The VIOs' continuations get the same events with and without a bridge. An end, an error, a reached
`nbytes` or a recall ends it: the bytes in its pipe are put into the buffer, then copying continues
and finds the same condition.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.commands import EndBridge, StartBridge
from vcproxy.engine.event import Event

if TYPE_CHECKING:
    from vcproxy.engine.port import Port
    from vcproxy.engine.vio import VIO

BULK_READ = 32 * 1024
"""A read of this size counts as bulk: below it, splicing costs more than copying (measured)."""

BULK_READS = 4
"""Bulk reads in a row that start a bridge: a pipe does not pay for one large response."""

SMALL_MOVES = 16
"""Small moves in a row that end a bridge: splicing small messages costs twice as much as copying
(measured)."""

UNLIMITED = 1 << 30


class Bridge:
    """The driver's side of a coupled pair of VIOs, from StartBridge to `ended` or `refuse`.

    The driver's obligations: each time the source is readable or the sink writable, call `begin()`.
    If it returns a number above 0: make at most one move in and one out, then call
    `moved(taken, given)`. If 0: call `ended(rest)` with the bytes still in the pipe, in order. If
    None: do nothing; the engine lists the source again. After an end or error found while moving,
    call `ended(rest)` first, then the VC's own `ended()` or `failed()`. The contents of the pipe
    may be dropped if the bridge is `abandoned` or its sink is broken.

    Bridge and NetVConnection refer to each other: the VC starts the bridge, and the bridge counts
    the bytes that it moves for the VC.
    """

    __slots__ = ("_recalled", "_stopping", "inside", "ports", "sink", "small_moves", "source")

    def __init__(self, source: VIO, sink: VIO, ports: tuple[Port, Port]) -> None:
        self.source = source
        self.sink = sink
        self.ports = ports
        """The driver's ports of source and sink."""
        self.inside = 0
        """Bytes in the pipe: taken from the source, not yet given to the sink."""
        self.small_moves = 0
        self._recalled = self._stopping = False
        source.bridge = sink.bridge = self
        source.vc.engine.command(StartBridge(self))

    @property
    def abandoned(self) -> bool:
        """Whether the bytes in the pipe may be dropped, because the tunnel has ended."""
        return not self.source.buffer.readers

    def begin(self) -> int | None:
        """Take the lock for a move. Return the bytes to take; 0: end the bridge; None: not now."""
        source = self.source
        engine = source.vc.engine
        if not source.mutex.try_acquire(engine):
            source.mutex.park(engine, partial(source.vc.reenable, True))
            return None
        todo = UNLIMITED if source.nbytes is None else source.nbytes - source.ndone
        if self._stopping or todo <= 0 or self.small_moves >= SMALL_MOVES:
            source.mutex.release(engine)
            return 0
        return todo

    def moved(self, taken: int, given: int) -> None:
        """Count a move, and release the lock."""
        source, sink = self.source, self.sink
        engine = source.vc.engine
        self.inside += taken - given
        source.ndone += taken
        sink.ndone += given
        if taken:
            source.vc.moved_at = engine.now
            self.small_moves = self.small_moves + 1 if taken < BULK_READ else 0
        if given:
            sink.vc.moved_at = engine.now
        source.mutex.release(engine)

    def ended(self, rest: bytes) -> None:
        """End the bridge: put `rest`, the contents of the pipe, into the buffer; resume copying."""
        source, sink = self.source, self.sink
        engine = source.vc.engine
        if not source.mutex.try_acquire(engine):
            source.mutex.park(engine, partial(self.ended, rest))
            return
        source.bridge = sink.bridge = None
        source.bulk = 0
        source.buffer.write(rest)
        if self._recalled:
            source.end(Event.BRIDGE_ENDED)
        elif source.ndone == source.nbytes:
            source.end(Event.READ_COMPLETE)
        source.vc.reenable(True)  # of the VC: its current VIO may be another than `source`
        sink.vc.reenable(False)
        source.mutex.release(engine)

    def refuse(self) -> None:
        """Report that the driver cannot bridge these two at present: copying continues."""
        self.ended(b"")

    def recall(self) -> None:
        """End the bridge; the source gets BRIDGE_ENDED once the rest is in the buffer."""
        self._recalled = True
        self.stop()

    def stop(self) -> None:
        """Command the driver to end the bridge, once. The mutex is held."""
        if not self._stopping:
            self._stopping = True
            self.source.vc.engine.command(EndBridge(self))
