"""OneWayTunnel: what comes from one VC goes to another.

One buffer is shared by both sides. Full, its producer sleeps until the consumer has taken
something; empty, the consumer until the producer has brought something. With nobody looking at
the bytes the two VIOs are coupled: they wake each other without a word to this machine, and a
driver may bridge them. With a transform there is a buffer before it and one behind it.

    RELAYING --EOS, READ_COMPLETE, BRIDGE_ENDED--> FLUSHING --WRITE_COMPLETE--> DONE
        |                                            ^ |
        +--the source's ERROR, unread--> FAILING ----+ |
        |                                   |          |
        +---- the sink's ERROR or EOS, timeouts -------+------------------------> DONE

Whatever ends the source, what it had sent before reaches the sink. A source that has broken while
there was no room is FAILING: the rest that its system holds is still read. From then on the sink
must take something every so often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import EMPTY
from vcproxy.engine.vconnection import Shutdown
from vcproxy.engine.vio import VIO, couple
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.tunnels.done import Flow, Reason, TunnelDone
from vcproxy.tunnels.stall_timer import FLUSH_S, STALLED, StallTimer, flush_s

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import IOBuffer, Reader
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.tunnels.transform import Transform

CHUNK = 16 * 1024
"""Bytes given to a transform at once: its output overshoots a full buffer by one chunk's worth."""

STOP = "STOP"
"""Tag: end now."""


class OneWayTunnel(Machine):
    """Moves what `source` brings to `sink`, and tells `owner` with one TunnelDone.

    The VCs are lent: the tunnel closes neither. When the source ends in an orderly way, what is
    buffered reaches the sink, then the sink is shut down for writing; with `nbytes` it ends after
    that many bytes and leaves the sink open. It runs under the owner's mutex.

    Args:
        reader: a place in a buffer that has been read into already: the tunnel begins with what
            lies before it and goes on with that buffer. Those bytes count as taken, also towards
            `nbytes`, and may not be more than that.
        opening: said to the sink before all that the source brings; not counted as taken.
        transform: changes the bytes on their way. Between VCs that are whole it is fed one
            message at a time, and what it makes of one is one.
        watch: read the sink too, only to see it end; what it sends is dropped. (A TwoWayTunnel
            has the other direction for that.)
        water_mark: bytes of buffer at which reading pauses.
        abort_s: so long may the sink take nothing once the source has been reset by its peer, who
            then waits for nothing. After any other failure it is FLUSH_S.
    """

    __slots__ = (
        "_abort_s",
        "_input",
        "_opened",
        "_output",
        "_owner",
        "_reason",
        "_sink_vc",
        "_source_vc",
        "_stall_timer",
        "_transform",
        "_watch",
        "_watched",
        "_who",
        "_writer",
        "error",
        "sink",
        "source",
    )

    RELAYING = State(initial=True)
    FAILING = State()
    FLUSHING = State()
    DONE = State(final=True)

    source: VIO
    sink: VIO

    def __init__(
        self,
        owner: Continuation,
        source: VConnection,
        sink: VConnection,
        *,
        nbytes: int | None = None,
        reader: Reader | None = None,
        opening: bytes = b"",
        transform: Transform | None = None,
        watch: bool = True,
        water_mark: int | None = None,
        abort_s: float = FLUSH_S,
        name: str = "",
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name)
        self._owner = owner
        self._source_vc, self._sink_vc = source, sink
        self._abort_s = abort_s
        self._stall_timer: StallTimer | None = None
        self._transform = transform
        self._watch = watch
        self._watched: VIO | None = None
        self._reason = Reason.STOPPED
        self._who = self.name
        self.error: Exception | None = None
        message_oriented = source.message_oriented
        buffer: IOBuffer = (
            reader.buffer
            if reader
            else self.engine.buffer(water_mark, message_oriented=message_oriented)
        )
        self._input: Reader = reader or buffer.reader()
        self._writer: IOBuffer | None = None
        self._output = self._input
        self._opened = len(opening)
        source.mutex.require("a tunnel")
        ahead = self._input.avail
        if transform is not None:
            self._writer = self.engine.buffer(water_mark, message_oriented=message_oriented)
            self._output = self._writer.reader()
            self._writer.write(opening)
        elif opening:
            opening += self._input.read()
            self._input.close()
            buffer = self.engine.buffer(water_mark, message_oriented=message_oriented)
            self._input = self._output = buffer.reader()
            buffer.write(opening)
        assert nbytes is None or ahead <= nbytes, f"{name}: {ahead} bytes lie before {nbytes=}"
        self._read(nbytes, buffer, ahead)
        self.sink = sink.do_io_write(self, None, self._output)

    @RELAYING.enter
    def relaying(self) -> None:
        """Couple the two sides, or look at what is there already."""
        if self._transform is None:
            couple(self.source, self.sink)
        else:
            self._pump()
        if self.source.ntodo == 0:
            self.source.end(Event.READ_COMPLETE)  # no byte that comes will complete it
        if self._watch:
            nowhere = self.engine.buffer()  # without a reader: all is dropped
            self._watched = self._sink_vc.do_io_read(self, None, nowhere)

    # -- the source --------------------------------------------------------------------------

    @RELAYING.on(Event.READ_READY)
    @FAILING.on(Event.READ_READY)
    def brought(self, vio: VIO) -> None:
        """Pass on what was read."""
        if vio is self.source:
            self._pump()

    @RELAYING.on(Event.EOS, to=(FLUSHING, DONE))
    def ended(self, vio: VIO) -> State:
        """The source has ended, or the sink has."""
        if vio is not self.source:
            return self._end(Reason.SINK_ENDED, vio)
        if vio.ntodo:
            return self._end(Reason.TRUNCATED, vio)
        self._end(Reason.EOS, vio)
        return self.FLUSHING

    @FAILING.on(Event.EOS, to=DONE)
    def sink_ended(self, vio: VIO) -> None:
        """The sink has ended: nothing is owed any more."""

    @RELAYING.on(Event.READ_COMPLETE, to=FLUSHING)
    @FAILING.on(Event.READ_COMPLETE, to=FLUSHING)
    def completed(self, vio: VIO) -> None:
        """The goal is reached."""
        self._end(Reason.COMPLETE, vio)

    FAILING.goes(Event.BRIDGE_ENDED, FLUSHING)

    @RELAYING.on(Event.BRIDGE_ENDED, to=FLUSHING)
    def recalled(self, vio: VIO) -> None:
        """Reading has stopped for the owner's sake."""
        self._end(Reason.RECALLED, vio)

    @FLUSHING.enter
    def flushing(self) -> None:
        """Nothing will follow what is there."""
        if self._transform is None:
            self._finish()
        else:
            self._pump()

    # -- the sink ----------------------------------------------------------------------------

    @RELAYING.on(Event.WRITE_READY)
    @FAILING.on(Event.WRITE_READY)
    @FLUSHING.on(Event.WRITE_READY)
    def took(self, vio: VIO) -> None:
        """Bring more."""
        self._pump()

    @FLUSHING.on(Event.WRITE_COMPLETE, to=DONE)
    def flushed(self, vio: VIO) -> None:
        """All has reached the sink."""
        if self._reason is Reason.EOS:
            self._sink_vc.do_io_shutdown(Shutdown.WRITE)

    @FLUSHING.on(Event.EOS, to=DONE)
    def left(self, vio: VIO) -> None:
        """The sink ended while it was owed something."""
        self._end(Reason.SINK_ENDED, vio)

    @FLUSHING.on(Event.READ_READY)
    def ignored(self, vio: VIO) -> None:
        """The sink's own chatter, or bytes already counted."""

    # -- ends --------------------------------------------------------------------------------

    @RELAYING.on(Event.ERROR, to=(FAILING, FLUSHING, DONE))
    def failed(self, vio: VIO) -> State:
        """A connection has broken: what a source had sent before still arrives."""
        self.error = vio.error
        self._end(Reason.ERROR, vio)
        if vio is not self.source or self._sink_vc.error is not None:
            return self.DONE
        seconds = flush_s(self.error, self._abort_s)
        self._stall_timer = StallTimer(self, seconds, lambda: self.sink.ndone)
        if not self._source_vc.unread:
            return self.FLUSHING
        self._read(vio.nbytes, vio.buffer, vio.ndone)
        return self.FAILING

    @FAILING.enter
    def failing(self) -> None:
        """Read what the source's system still holds."""
        if self._transform is None:
            couple(self.source, self.sink)
        else:
            self._pump()

    @FAILING.on(Event.ERROR, to=(FLUSHING, DONE))
    def drained(self, vio: VIO) -> State:
        """All of it has been read; or the sink has broken too."""
        return self.FLUSHING if vio is self.source else self.DONE

    @FLUSHING.on(Event.ERROR, to=DONE)
    def sink_failed(self, vio: VIO) -> None:
        """The sink has broken while it was owed something, perhaps of a broken source."""
        if not self._broken:
            self.error = vio.error
            self._end(Reason.ERROR, vio)

    FAILING.goes(STALLED, DONE)
    FLUSHING.goes(STALLED, DONE)

    @RELAYING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    @FAILING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    @FLUSHING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    def idled(self, vio: VIO) -> None:
        """Nothing has moved for too long."""
        self._end(Reason.INACTIVITY, vio)

    @RELAYING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    @FAILING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    @FLUSHING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    def outlived(self, vio: VIO) -> None:
        """It has lasted too long."""
        self._end(Reason.ACTIVE, vio)

    @RELAYING.on(STOP, to=DONE)
    @FAILING.on(STOP, to=DONE)
    @FLUSHING.on(STOP, to=DONE)
    def stopped(self, _: object) -> None:
        """The owner wants no more of it."""
        self._reason, self._who = Reason.STOPPED, self.name

    @DONE.enter
    def done(self) -> None:
        """Give the VCs back."""
        flow = self.flow
        self.source.retire()
        self.sink.retire()
        if self._watched is not None:
            self._watched.retire()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._input.close()
        self._output.close()
        done = TunnelDone(self, self._reason, self._who, self.error, (flow,))
        self.engine.schedule(self._owner, TunnelDone, done)

    # -- for owners --------------------------------------------------------------------------

    @property
    def flow(self) -> Flow:
        """What has gone through so far."""
        names = self._source_vc.name, self._sink_vc.name
        taken, given = self.source.ndone, self.sink.ndone
        # A driver that bridges them has some of it: then the buffer does not tell.
        unseen = self._transform is None
        waiting = self._opened + taken - given if unseen else self._output.avail
        return Flow(*names, taken, given, waiting)

    @property
    def delivered(self) -> bool:
        """Whether all of `nbytes` has reached the sink: it is about to be done, if it is not."""
        return self.source.ntodo == 0 and not self._output.avail

    def recall(self) -> None:
        """Stop reading; what was read still reaches the sink; then TunnelDone, RECALLED."""
        self.source.recall()

    def stop(self) -> None:
        """End now, flushed or not: TunnelDone, STOPPED."""
        self.engine.schedule(self, STOP, None)

    # -- inside ------------------------------------------------------------------------------

    @property
    def _broken(self) -> bool:
        """Whether the source has broken: half a stream must not be made to look like a whole."""
        return self._reason is Reason.ERROR

    def _end(self, reason: Reason, vio: VIO) -> State:
        self._reason = reason
        self._who = vio.vc.name
        return self.DONE

    def _read(self, nbytes: int | None, buffer: IOBuffer, taken: int) -> None:
        self.source = self._source_vc.do_io_read(self, nbytes, buffer)
        self.source.ndone = taken

    def _finish(self) -> None:
        """WRITE_COMPLETE is to come when the sink has what is there."""
        self.sink.nbytes = self.sink.ndone + self._output.avail
        self.sink.reenable()

    def _pump(self) -> None:
        """Transform what has come, as far as there is room behind."""
        transform, writer = self._transform, self._writer
        if transform is None or writer is None:
            return
        while self._input.avail and writer.room:
            piece = self._input.read_block() if writer.message_oriented else self._input.read(CHUNK)
            changed = transform.feed(piece)
            writer.write(changed if changed or piece else EMPTY)
        flushing = self.state is self.FLUSHING
        if flushing and not self._input.avail and self.sink.nbytes is None:
            if not self._broken:
                writer.write(transform.finish())
            self._finish()
        else:
            self.source.reenable()
            self.sink.reenable()
