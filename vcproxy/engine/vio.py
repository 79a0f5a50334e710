"""VIO: one operation on one direction of a VConnection.

Tested in tests/engine/test_vconnection.py and tests/conformance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import IOBuffer, Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.blocks import Block
    from vcproxy.engine.bridge import Bridge
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.direct_handler import DirectHandler
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vconnection import VConnection


class VIO:
    """One `do_io_read` or `do_io_write`, and its progress.

    Everything in it is protected by `mutex`. `nbytes` (None: no limit) may be changed while the
    mutex is held; `reenable()` must follow. A VIO is `live` until it is replaced or its VC is
    closed, and `over` once its last event (COMPLETE, EOS, ERROR) has been queued.

    Tested in tests/engine/test_vconnection.py and test_net.py.
    """

    __slots__ = (
        "at_once",
        "bridge",
        "bulk",
        "cont",
        "direct",
        "direct_sink",
        "fan",
        "live",
        "mutex",
        "nbytes",
        "ndone",
        "over",
        "partner",
        "pending",
        "reads",
        "store",
        "vc",
    )

    def __init__(
        self,
        vc: VConnection,
        cont: Continuation,
        nbytes: int | None,
        store: IOBuffer | Reader,
        reads: bool,
    ) -> None:
        self.vc = vc
        self.cont: Continuation | None = cont
        self.mutex: Mutex = cont.mutex
        self.nbytes = nbytes
        self.ndone = 0
        self.store = store
        self.reads = reads
        """Whether the VIO reads (its store is the IOBuffer to fill) or writes (its store is a
        Reader)."""
        self.live = True
        self.over = False
        self.pending = False
        self.partner: VIO | None = None
        self.direct_sink: NetVConnection | None = None
        self.direct: DirectHandler | None = None
        """For a read: the direct path that is offered the data first. `hand_over` clears it."""
        self.bulk = 0
        self.bridge: Bridge | None = None
        self.fan: Fan | None = None
        self.at_once: Callable[[Block], None] | None = None
        """Called once, with the next data, in place of writing them to the buffer and queuing
        READ_READY. Not if any event or output of the engine is queued, or the turn's events were
        delivered: so nothing is overtaken. To be set only where `engine.direct` allows it."""

    def __repr__(self) -> str:
        goal = "" if self.nbytes is None else f"/{self.nbytes}"
        return f"<VIO {self.name} {self.ndone}{goal}>"

    @property
    def name(self) -> str:
        """The VC and the direction, for logs and histories."""
        return f"{self.vc.name} {'read' if self.reads else 'write'}"

    @property
    def error(self) -> Exception | None:
        """The reason, when the event was ERROR."""
        return self.vc.error or (self.vc.read_error if self.reads else None)

    @property
    def ntodo(self) -> int | None:
        """How many bytes are still to be moved; None: no limit."""
        return None if self.nbytes is None else self.nbytes - self.ndone

    @property
    def buffer(self) -> IOBuffer:
        """The buffer that is filled or emptied."""
        return self.store if type(self.store) is IOBuffer else self.reader.buffer

    @property
    def reader(self) -> Reader:
        """The reader that a write takes its bytes from."""
        assert type(self.store) is Reader, f"{self.name} has no reader"
        return self.store

    def reenable(self) -> None:
        """Continue after a change of room, data or `nbytes`.

        May be called from any thread, at any time, with or without the mutex; it is the only method
        that may be called from another conversation's callback. It never calls back inline, and has
        no effect if there is nothing to do.
        """
        if self.live:
            self.vc.reenable(self.reads)

    def recall(self) -> None:
        """Stop reading, to take the VC back: BRIDGE_ENDED is the last event of this VIO.

        It is delivered after the contents of a bridge's pipe are in the buffer; at once (but as a
        queued event) where there is no bridge. The buffer then has all that was read.
        """
        self.mutex.require("recall()")
        if self.bridge is None:
            self.end(Event.BRIDGE_ENDED)
        else:
            self.bridge.recall()

    def signal(self, event: Event) -> None:
        """Queue an event for the continuation, on the VC's engine. READY is queued once."""
        self.vc.engine.deliver_soon(self, event, self)

    def ready(self) -> None:
        """Queue READ_READY or WRITE_READY, unless one is pending; reenable a partner directly."""
        if self.partner is not None:
            self.partner.reenable()
        elif self.fan is not None:
            self.fan.progress(self)
        elif not self.pending:
            self.pending = True
            self.signal(Event.READ_READY if self.reads else Event.WRITE_READY)

    def end(self, event: Event) -> None:
        """Queue the last event of this operation. Further ends are ignored."""
        if self.live and not self.over:
            self.over = True
            self.vc.engine.deliver_soon(self, event, self)

    def progress(self, count: int) -> None:
        """Count bytes moved: deliver READY, or COMPLETE when all of nbytes have moved."""
        self.ndone += count
        if self.ndone == self.nbytes:
            self.end(Event.READ_COMPLETE if self.reads else Event.WRITE_COMPLETE)
            if self.partner is not None:
                self.partner.reenable()
        else:
            self.ready()

    def retire(self) -> None:
        """Deliver no more events: this VIO was replaced, or its VC was closed."""
        self.live = False
        self.cont = self.direct = self.at_once = None
        if self.partner is not None or self.bridge is not None:
            self.uncouple()
        if self.fan is not None:
            self.fan.leave(self)

    def uncouple(self) -> None:
        """Undo `couple`: both VIOs deliver READY again. A bridge ends soon."""
        if self.partner is not None:
            self.partner.partner = self.partner.direct_sink = None
            self.partner = self.direct_sink = None
        if self.bridge is not None:
            self.bridge.stop()


def couple(source: VIO, sink: VIO) -> None:
    """Join a read to the write of what it reads: they reenable each other without an event.

    READY is not delivered for either any more; COMPLETE, EOS, ERROR and timeouts are. Only coupled
    VIOs are ever bridged. Both must share one buffer and one mutex.
    """
    source.mutex.require("couple()")
    join(source, sink)
    sink.reenable()


def join(source: VIO, sink: VIO) -> None:
    """Couple a read to a write that is about to begin: see `couple`."""
    shared = source.store is sink.store.buffer  # type: ignore[union-attr]
    assert shared, f"{source} and {sink} share no buffer"
    source.partner, sink.partner = sink, source
    source.direct_sink = sink.vc.as_direct_sink(source.vc)
