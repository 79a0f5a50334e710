"""OneWayTunnel: moves the bytes of one VC to another.

Both sides share one buffer. When it is full, the source is not read until the sink has taken some;
when it is empty, the sink waits for the source. Without a transform the two VIOs are coupled: they
reenable each other without an event to this machine, and a driver may bridge them. A transform has
one buffer for its input and one for its output.

    RELAYING --EOS, READ_COMPLETE, BRIDGE_ENDED--> FLUSHING --WRITE_COMPLETE--> DONE
        |                                            ^ |
        +--ERROR of the source, unread--> FAILING ---+ |
        |                                    |         |
        +---- ERROR or EOS of the sink, timeouts ------+-----------------------> DONE

Whatever ends the source, the bytes it sent before reach the sink. FAILING: the source has failed
while the buffer was full, and its kernel still holds bytes, which are read. From then on the sink
must make progress (see StallTimer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.event import Event
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
"""Bytes given to a transform at once: its output may exceed a full buffer by one chunk's output."""

STOP = "STOP"
"""Tag: end at once."""


class OneWayTunnel(Machine):
    """Moves the bytes of `source` to `sink`, and sends `owner` one TunnelDone.

    The VCs are lent: the tunnel closes neither. After an orderly end of the source the buffered
    bytes reach the sink, then the sink is shut down for writing. With `nbytes` it ends after that
    many bytes and leaves the sink open. It runs under the owner's mutex.

    Args:
        reader: of a buffer that the source has already been read into. The tunnel sends its unread
            bytes first and continues with that buffer. Those bytes count as received, also for
            `nbytes`, which they must not exceed.
        opening: bytes sent to the sink first; not counted as received.
        transform: changes the bytes. Between message-oriented VCs it is fed one message at a time,
            and its output for one message is one message.
        watch: read the sink too, only to see it end; its data is dropped. (In a TwoWayTunnel the
            other direction reads it.)
        water_mark: bytes of buffer at which reading pauses.
        abort_s: seconds without progress of the sink that are allowed after the source was reset by
            its peer. After any other failure, or an end before `nbytes`, FLUSH_S is allowed.
        running: the coupled read and write of another continuation, which the tunnel takes over.
    """

    __slots__ = (
        "_abort_s",
        "_ended_by",
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
        running: tuple[VIO, VIO] | None = None,
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
        self._ended_by = self.name
        self.error: Exception | None = None
        self._writer: IOBuffer | None = None
        if running is not None:
            self._opened = 0
            self._take_over(*running)
            return
        message_oriented = source.message_oriented
        buffer: IOBuffer = (
            reader.buffer
            if reader
            else self.engine.buffer(water_mark, message_oriented=message_oriented)
        )
        self._input: Reader = reader or buffer.reader()
        self._output = self._input
        self._opened = len(opening)
        source.mutex.require("a tunnel")
        already_read = self._input.avail
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
        assert nbytes is None or already_read <= nbytes, (
            f"{name}: {already_read} bytes were read already, more than {nbytes=}"
        )
        self._read(nbytes, buffer, already_read)
        self.sink = sink.do_io_write(self, None, self._output)

    def _take_over(self, source: VIO, sink: VIO) -> None:
        """Continue two coupled operations: from now on this machine gets their events."""
        self.source, self.sink = source, sink
        source.cont = sink.cont = self
        self._input = self._output = sink.reader

    @RELAYING.enter
    def relaying(self) -> None:
        """Couple the two sides, or transform what is buffered already."""
        if self._transform is None:
            couple(self.source, self.sink)
        else:
            self._pump()
        if self.source.ntodo == 0:
            # the read is complete: no further byte will end it
            self.source.end(Event.READ_COMPLETE)
        if self._watch:
            discard = self.engine.buffer()  # a buffer without a reader drops its data
            self._watched = self._sink_vc.do_io_read(self, None, discard)

    # -- the source --------------------------------------------------------------------------

    @RELAYING.on(Event.READ_READY)
    @FAILING.on(Event.READ_READY)
    def source_readable(self, vio: VIO) -> None:
        """Transform what was read."""
        if vio is self.source:
            self._pump()

    @RELAYING.on(Event.EOS, to=(FLUSHING, DONE))
    def source_or_sink_ended(self, vio: VIO) -> State:
        """Flush after the end of the source, also if it came before `nbytes`; end after the end of
        the sink."""
        if vio is not self.source:
            return self._end(Reason.SINK_ENDED, vio)
        if vio.ntodo:
            self._end(Reason.TRUNCATED, vio)
            self._limit_flush(FLUSH_S)
        else:
            self._end(Reason.EOS, vio)
        return self.FLUSHING

    @FAILING.on(Event.EOS, to=DONE)
    def sink_ended_while_failing(self, vio: VIO) -> None:
        """End: the rest of the source cannot be delivered, because the sink has ended."""

    @RELAYING.on(Event.READ_COMPLETE, to=FLUSHING)
    @FAILING.on(Event.READ_COMPLETE, to=FLUSHING)
    def source_completed(self, vio: VIO) -> None:
        """Flush: all of `nbytes` have been read."""
        self._end(Reason.COMPLETE, vio)

    FAILING.goes(Event.BRIDGE_ENDED, FLUSHING)

    @RELAYING.on(Event.BRIDGE_ENDED, to=FLUSHING)
    def source_recalled(self, vio: VIO) -> None:
        """Flush: reading has stopped, because the owner called recall()."""
        self._end(Reason.RECALLED, vio)

    @FLUSHING.enter
    def flushing(self) -> None:
        """Send what is buffered; nothing follows."""
        if self._transform is None:
            self._finish()
        else:
            self._pump()

    # -- the sink ----------------------------------------------------------------------------

    @RELAYING.on(Event.WRITE_READY)
    @FAILING.on(Event.WRITE_READY)
    @FLUSHING.on(Event.WRITE_READY)
    def sink_writable(self, vio: VIO) -> None:
        """Transform more bytes, because the sink has taken some."""
        self._pump()

    @FLUSHING.on(Event.WRITE_COMPLETE, to=DONE)
    def flushed(self, vio: VIO) -> None:
        """End: all bytes have reached the sink. After EOS, shut the sink down for writing."""
        if self._reason is Reason.EOS:
            self._sink_vc.do_io_shutdown(Shutdown.WRITE)

    @FLUSHING.on(Event.EOS, to=DONE)
    def sink_ended_while_flushing(self, vio: VIO) -> None:
        """End: the sink has ended before it had taken everything."""
        self._end(Reason.SINK_ENDED, vio)

    @FLUSHING.on(Event.READ_READY)
    def ignore_read(self, vio: VIO) -> None:
        """Ignore data of a watched sink, or bytes that are counted already."""

    # -- ends --------------------------------------------------------------------------------

    @RELAYING.on(Event.ERROR, to=(FAILING, FLUSHING, DONE))
    def source_or_sink_failed(self, vio: VIO) -> State:
        """Deliver the bytes that a failed source sent before; end if the sink has failed."""
        self.error = vio.error
        self._end(Reason.ERROR, vio)
        if vio is not self.source or self._sink_vc.error is not None:
            return self.DONE
        self._limit_flush(flush_s(self.error, self._abort_s))
        if not self._source_vc.unread:
            return self.FLUSHING
        self._read(vio.nbytes, vio.buffer, vio.ndone)
        return self.FAILING

    @FAILING.enter
    def failing(self) -> None:
        """Read what the source's kernel still holds."""
        if self._transform is None:
            couple(self.source, self.sink)
        else:
            self._pump()

    @FAILING.on(Event.ERROR, to=(FLUSHING, DONE))
    def source_drained_or_sink_failed(self, vio: VIO) -> State:
        """Flush once the rest of the source has been read; end if the sink has failed too."""
        return self.FLUSHING if vio is self.source else self.DONE

    @FLUSHING.on(Event.ERROR, to=DONE)
    def sink_failed_while_flushing(self, vio: VIO) -> None:
        """End: the sink has failed. Keep the error of a source that failed before."""
        if not self._broken:
            self.error = vio.error
            self._end(Reason.ERROR, vio)

    FAILING.goes(STALLED, DONE)
    FLUSHING.goes(STALLED, DONE)

    @RELAYING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    @FAILING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    @FLUSHING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    def timed_out_inactive(self, vio: VIO) -> None:
        """End: no bytes moved for the inactivity timeout of a VC."""
        self._end(Reason.INACTIVITY, vio)

    @RELAYING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    @FAILING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    @FLUSHING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    def timed_out_active(self, vio: VIO) -> None:
        """End: the active timeout of a VC has passed."""
        self._end(Reason.ACTIVE, vio)

    @RELAYING.on(STOP, to=DONE)
    @FAILING.on(STOP, to=DONE)
    @FLUSHING.on(STOP, to=DONE)
    def stopped(self, _: object) -> None:
        """End: the owner has called stop()."""
        self._reason, self._ended_by = Reason.STOPPED, self.name

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
            self._stall_timer = None
        self._input.close()
        self._output.close()
        done = TunnelDone(self, self._reason, self._ended_by, self.error, (flow,))
        self.engine.schedule(self._owner, TunnelDone, done)
        del self._owner  # the owner may refer to this tunnel: a cycle would outlive the connection

    # -- for owners --------------------------------------------------------------------------

    @property
    def flow(self) -> Flow:
        """Byte counts so far."""
        names = self._source_vc.name, self._sink_vc.name
        received, sent = self.source.ndone, self.sink.ndone
        coupled = self._transform is None  # a bridge may hold bytes that are not in the buffer
        buffered = self._opened + received - sent if coupled else self._output.avail
        return Flow(*names, received, sent, buffered)

    @property
    def delivered(self) -> bool:
        """Whether all of `nbytes` have reached the sink: TunnelDone is sent or about to be sent."""
        return self.source.ntodo == 0 and not self._output.avail

    def recall(self) -> None:
        """Stop reading. Bytes that were read still reach the sink; then TunnelDone (RECALLED)
        follows."""
        self.source.recall()

    def stop(self) -> None:
        """End at once, even if bytes are unsent. TunnelDone (STOPPED) follows."""
        self.engine.schedule(self, STOP, None)

    # -- inside ------------------------------------------------------------------------------

    @property
    def _broken(self) -> bool:
        """Whether the source has failed, or ended before `nbytes`.

        Then the transform's finish() is not called, because it would make an incomplete stream look
        complete.
        """
        return self._reason in (Reason.ERROR, Reason.TRUNCATED)

    def _end(self, reason: Reason, vio: VIO) -> State:
        self._reason = reason
        self._ended_by = vio.vc.name
        return self.DONE

    def _read(self, nbytes: int | None, buffer: IOBuffer, already_read: int) -> None:
        self.source = self._source_vc.read_on(self, nbytes, buffer, already_read)

    def _limit_flush(self, seconds: float) -> None:
        """Deliver STALLED when the sink has taken nothing for this time."""
        self._stall_timer = StallTimer(self, seconds, lambda: self.sink.ndone)

    def _finish(self) -> None:
        """Request WRITE_COMPLETE for when the sink has taken all buffered bytes."""
        self.sink.nbytes = self.sink.ndone + self._output.avail
        self.sink.reenable()

    def _pump(self) -> None:
        """Transform what was read, as far as the output buffer has room."""
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
