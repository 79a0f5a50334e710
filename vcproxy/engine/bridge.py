"""Bridge: a direction that the driver moves by itself, without a byte passing through Python.

A bridge changes nothing that the VIOs' continuations observe. Whatever is out of the ordinary (an
end, an error, a goal reached, a recall) ends it: what is on the way comes into the buffer, and
copying carries on from there and meets the same thing.
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
"""A read of this size shows bulk: below it, splicing costs more than copying (measured)."""

BULK_READS = 4
"""So many of them in a row start a bridge: a pipe is not borrowed for one large answer."""

THIN_MOVES = 16
"""So many small moves in a row end it: splicing small messages costs twice a copy (measured)."""

UNLIMITED = 1 << 30


class Bridge:
    """The driver's side of a coupled pair of VIOs, from StartBridge to `ended` or `refuse`.

    The driver's obligations: move when the source is readable or the sink writable, each time
    `begin()`, then, if it gave a number above 0, at most one move in and one out, then
    `moved(taken, given)`; if it gave 0, `ended(rest)` with what is still in the pipe, in order;
    if None, nothing: the engine lists the source again. Any end or error seen while moving is
    answered by `ended(rest)` too, and only then by the VC's own `ended()` or `failed()`. What is in
    the pipe may be thrown away where the bridge is `abandoned`, or its sink is broken.
    """

    __slots__ = ("_recalled", "_stopping", "inside", "ports", "sink", "source", "thin")

    def __init__(self, source: VIO, sink: VIO, ports: tuple[Port, Port]) -> None:
        self.source = source
        self.sink = sink
        self.ports = ports
        """The driver's own ports of source and sink."""
        self.inside = 0
        """Bytes on the way: taken from the source, not yet given to the sink."""
        self.thin = 0
        self._recalled = self._stopping = False
        source.bridge = sink.bridge = self
        source.vc.engine.command(StartBridge(self))

    @property
    def abandoned(self) -> bool:
        """Whether nobody will read what is on the way: the tunnel is done."""
        return not self.source.buffer.readers

    def begin(self) -> int | None:
        """Take the lock for a move: how many bytes may be taken, 0 to end it, None: not now."""
        source = self.source
        engine = source.vc.engine
        if not source.mutex.try_acquire(engine):
            source.mutex.park(engine, partial(source.vc.reenable, True))
            return None
        todo = UNLIMITED if source.nbytes is None else source.nbytes - source.ndone
        if self._stopping or todo <= 0 or self.thin >= THIN_MOVES:
            source.mutex.release(engine)
            return 0
        return todo

    def moved(self, taken: int, given: int) -> None:
        """Count a move, and give the lock back."""
        source, sink = self.source, self.sink
        engine = source.vc.engine
        self.inside += taken - given
        source.ndone += taken
        sink.ndone += given
        if taken:
            source.vc.moved_at = engine.now
            self.thin = self.thin + 1 if taken < BULK_READ else 0
        if given:
            sink.vc.moved_at = engine.now
        source.mutex.release(engine)

    def ended(self, rest: bytes) -> None:
        """The driver has stopped; `rest` was on the way. Copying goes on from there."""
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
        source.vc.reenable(True)  # also for whoever uses the VCs after these two VIOs
        sink.vc.reenable(False)
        source.mutex.release(engine)

    def refuse(self) -> None:
        """The driver cannot bridge these two just now: copying goes on."""
        self.ended(b"")

    def recall(self) -> None:
        """Take the source back: BRIDGE_ENDED for it once the rest is in the buffer."""
        self._recalled = True
        self.stop()

    def stop(self) -> None:
        """Have the driver end it. The mutex is held."""
        if not self._stopping:
            self._stopping = True
            self.source.vc.engine.command(EndBridge(self))
