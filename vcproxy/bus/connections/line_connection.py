r"""LineConnection: one connection that carries lines, both ways.

It is the buffered layer of a bus connection (eventdispatcher.md 4); MessageConnection is above it.
A line ends in \n. On a message-oriented VC, such as a Unix seqpacket socket, each message is a line
and has no \n.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.held_memory import HeldMemory
from vcproxy.engine.units import show_duration, show_size

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action

LINE_LIMIT: Final = 64 * 1024
"""The most bytes of a line: as many as a Unix datagram of the original may have."""

LINES_PER_TURN: Final = 5
"""Lines that one connection delivers in a turn of the engine: the original's limit. The rest
follows after the events of all other connections."""

LINE_S: Final = 30.0
"""Seconds within which a line that has begun must end: 64 KiB come over a line of 20 kbit/s."""

FINISH_S: Final = 10.0
"""Seconds without progress after which a connection is closed although output is left."""

OUTPUT_PAUSE: Final = 64 * 1024
"""Bytes of unsent output from which on no further line is delivered: each may cause more."""

OUTPUT_LIMIT: Final = 1024 * 1024
"""The most bytes of unsent output: 16 of the longest lines. A peer that does not read for longer
is closed, because memory is limited."""

_SEND, _FINISH, _UNENDED, _CLOSED = "SEND", "FINISH", "UNENDED", "CLOSED"
"""Tags: send a line from another conversation; close after the output; a line has not ended; the
output has exceeded its limit."""


@dataclass(frozen=True, slots=True)
class _End:
    """How the input has ended."""

    reason: str
    error: Exception | None = None
    refused: bool = False  # a line was too long


class LineConnection(Continuation):
    """Delivers the lines of a VC in order, and sends lines. To be extended: see the hooks.

    Args:
        owner: the conversation that it belongs to: its mutex is used, and its text in the log of an
            exception; None: the connection is a conversation of its own.
        vc: the connection; it is closed by this object. Its mutex is held.
        name: its name in logs; the VC's if left out.
        half_close_s: seconds that lines may still be sent after the peer has ended its direction:
            for answers that take time. 0: it closes when what was sent is transmitted.

    It must be made on the engine of the VC. Once it is closed, its methods have no effect.
    """

    __slots__ = ("_at", "_closed", "_data", "_ending", "_held_memory", "_left", "_output", "_over",
                 "_owner", "_read_only", "_reader", "_reads", "_taking", "_turn",
                 "_unended", "_writes", "half_close_s", "name", "vc")  # fmt: skip

    def __init__(
        self,
        owner: Continuation | None,
        vc: NetVConnection,
        *,
        name: str = "",
        half_close_s: float = 0.0,
    ) -> None:
        super().__init__(vc.engine, vc.mutex if owner is None else owner.mutex)
        self.vc = vc
        self.name = name or vc.name
        self.half_close_s = half_close_s
        self._owner = owner
        self._closed = False
        self._read_only = vc.listener is not None and vc.peer == "fifo"
        self._taking = True  # lines are delivered
        self._over: _End | None = None  # how the input has ended; None: it has not
        self._ending: Action | None = None  # the end is about to be delivered
        self._data = bytearray()  # input: lines that were not delivered, and the beginning of one
        self._at = 0  # where the next line begins in it
        self._unended: Action | None = None  # due when the line must have ended
        self._held_memory = HeldMemory(self)
        self._turn = -1  # the engine's turn in which lines were last delivered
        self._left = 0  # lines that may still be delivered in that turn
        buffer = self.engine.buffer(LINE_LIMIT, message_oriented=vc.message_oriented)
        self._reader = buffer.reader()
        self._output = self.engine.buffer(message_oriented=vc.message_oriented).reader()
        self._writes = vc.do_io_write(self, None, self._output)
        self._writes.pending = True  # WRITE_READY is wanted only after the output was full
        self._reads = vc.do_io_read(self, None, buffer)
        if self.engine.direct and not vc.message_oriented:
            self._reads.at_once = self._received

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def crashed(self, error: Exception) -> str:
        """Return the owner's text: it has failed, or this connection with it."""
        return "" if self._owner is None else self._owner.crashed(error)

    # -- hooks -------------------------------------------------------------------------------

    def received_line(self, line: bytes) -> None:
        r"""Handle a line, without its \n. To be overridden."""

    def refused_line(self, reason: str) -> None:
        """Handle a line that is too long: lines may be sent to explain it, then the connection is
        closed. To be overridden."""

    def ended(self, reason: str, error: Exception | None) -> None:
        """Handle the end, after the last line; it is not called after `close` or `finish`.

        `reason` is for logs: "the peer has ended it", or why it is broken or was given up. `error`:
        what has broken it, if anything. To be overridden."""

    # -- for owners --------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether lines can be sent: until `close`, `finish`, or the end of the connection. Never
        to those that write to a FIFO."""
        writes = self._writes
        return not (self.vc.closed or self._read_only or writes.over) and writes.nbytes is None

    @property
    def input_ended(self) -> bool:
        """Whether no further line is delivered: the peer has ended its direction, for example."""
        return not self._taking

    def send_line(self, line: bytes) -> bool:
        r"""Send a line, given without its \n; return whether the connection has taken it.

        It may be called from any conversation and thread: where the mutex is not held, the line is
        sent soon. If over OUTPUT_LIMIT is unsent, the connection is closed. Raises ValueError for a
        line of over LINE_LIMIT bytes.
        """
        if len(line) > LINE_LIMIT:
            raise ValueError(f"a line of {len(line)} bytes: at most {LINE_LIMIT} can be sent")
        if not self.open:
            return False
        if not self.mutex.held:
            self.engine.schedule(self, _SEND, line)
            return True
        vc, writes, output = self.vc, self._writes, self._output
        if vc.message_oriented:
            data = line
        else:
            data = line + b"\n"
            count = vc.send_at_once(data)
            if count == len(data):
                return True
            data = data[count:]
        if output.avail > OUTPUT_LIMIT:
            reason = f"{show_size(OUTPUT_LIMIT)} of output wait: the peer does not read"
            self.close(ConnectionAbortedError(reason))
            self._ending = self.engine.schedule(self, _CLOSED, reason)
            return False
        writes.pending = True
        output.buffer.write(data)
        writes.reenable()
        return True

    def finish(self) -> None:
        """Close the connection once all was sent; after FINISH_S without progress in any case.

        No further line is delivered, nor the end. It may be called from any conversation.
        """
        if not self.mutex.held:
            self.engine.schedule(self, _FINISH, None)
        elif not self._closed and self._writes.nbytes is None:
            if not self._output.avail or self._writes.over:
                self.close()
                return
            self._stop_input()
            self._writes.nbytes = self._writes.ndone + self._output.avail
            self.vc.set_inactivity_timeout(FINISH_S)
            self._writes.reenable()

    def close(self, error: Exception | None = None) -> None:
        """Close the connection now; with an error the peer gets a reset. Its mutex is held."""
        if self._ending is not None:
            self._ending.cancel()
        if not self._closed:
            self._closed = True
            self._stop_input()
            self._output.close()
            self.vc.do_io_close(error)

    # -- events ------------------------------------------------------------------------------

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle the events of the connection, and the calls from other conversations."""
        if key is Event.READ_READY or key is Event.WRITE_READY:
            self._deliver()
        elif key is Event.EOS:
            self._over = _End("the peer has ended it")
            self._deliver()
        elif key is Event.ERROR:
            self._broke()
        elif key is Event.WRITE_COMPLETE or key is Event.INACTIVITY_TIMEOUT:
            self.close()
        elif key is _FINISH:
            self.finish()
        elif key is _SEND:
            assert isinstance(data, bytes)
            self.send_line(data)
        elif key is _CLOSED:
            assert isinstance(data, str)
            self.ended(data, None)
        elif key is _UNENDED:
            self._unended = None
            self._give_up(_End(f"a line has not ended within {show_duration(LINE_S)}"))

    def _broke(self) -> None:
        """Read what arrived before the connection broke, then end."""
        if not self._taking:
            self.close()
            return
        if self.vc.unread:  # ERROR is delivered again after the rest
            self._reads = self.vc.do_io_read(self, None, self._reader.buffer)
        else:
            error = self.vc.error or self._reads.error
            self._over = _End(f"it is broken: {error}", error)
        self._deliver()

    # -- input -------------------------------------------------------------------------------

    def _received(self, block: Block) -> None:
        """Handle the next input, which is not in the buffer: see VIO.at_once."""
        data = block if type(block) is bytes else bytes(block)
        end = len(data) - 1
        if (
            data.find(b"\n") == end  # one line, which fits: by far the most frequent input
            and not self._data
            and not self._output.avail
        ):
            self.received_line(data[:end])
        else:
            self._reader.buffer.write(data)
            self._deliver()
        if self._taking:
            self._reads.at_once = self._received

    def _deliver(self) -> None:
        """Deliver the lines that have arrived, then the end. Pause at the limits of a turn and of
        the output."""
        turn = self.engine.turns
        if turn != self._turn:
            self._turn = turn
            self._left = LINES_PER_TURN
        while self._taking:
            if self._full and not self._exhausted:
                return  # until WRITE_READY
            if self._left <= 0:
                self._reads.ready()
                return
            line = self._next_line()
            if line is None:
                self._end_input()
                return
            self._left -= 1
            self.received_line(line)

    @property
    def _full(self) -> bool:
        """Whether too much output is unsent. WRITE_READY follows when some of it was sent."""
        if self._output.avail < OUTPUT_PAUSE or self._writes.over:
            return False
        self._writes.pending = False
        return True

    @property
    def _exhausted(self) -> bool:
        """Whether the input has ended, and all its lines were delivered."""
        left = self._data.find(b"\n", self._at) >= 0 or self._reader.blocks
        return self._over is not None and not left

    def _next_line(self) -> bytes | None:
        """Take the next line; None: none is complete. One that is too long ends the input."""
        if self.vc.message_oriented:
            return self._take_input()
        data = self._data
        while True:
            begin, end = self._at, data.find(b"\n", self._at)
            if (len(data) if end < 0 else end) - begin > LINE_LIMIT:
                self._refuse()
                return None
            if end >= 0:
                self._at = end + 1
                if self._unended is not None:
                    self._unended.cancel()
                    self._unended = None
                return bytes(data[begin:end])
            del data[:begin]
            self._at = 0
            more = self._take_input()
            if more is None:
                break
            data += more
            self._held_memory.hold(len(data))
        self._held_memory.hold(len(data))
        if data and self._unended is None:
            self._unended = self.engine.schedule_in(LINE_S, self, _UNENDED, None)
        return None

    def _take_input(self) -> bytes | None:
        """Take input from the buffer; of a message-oriented VC one message. None: there is none."""
        reader = self._reader
        if not reader.blocks:
            return None
        buffer = reader.buffer
        full = buffer.full
        data = reader.read_block() if buffer.message_oriented else reader.read()
        if full:
            self._reads.reenable()
        return data

    def _refuse(self) -> None:
        """End the input: a line is too long."""
        self._over = _End(f"a line is longer than {show_size(LINE_LIMIT)}", refused=True)

    # -- the end -----------------------------------------------------------------------------

    def _end_input(self) -> None:
        """End, if the input has ended: all its lines have been delivered."""
        over = self._over
        if over is None:
            return
        if over.error is not None:
            self._give_up(over)
            return
        unended = bool(self._data) and not over.refused
        self._stop_input()
        if over.refused:
            self.refused_line(over.reason)
        self.ended(f"{over.reason} inside a line" if unended else over.reason, None)
        if self.half_close_s and not over.refused:
            self.engine.schedule_in(self.half_close_s, self, _FINISH, None)
        else:
            self.finish()

    def _give_up(self, end: _End) -> None:
        """Close the connection now, with a reset."""
        self.close(end.error or ConnectionAbortedError(end.reason))
        self.ended(end.reason, end.error)

    def _stop_input(self) -> None:
        """Deliver no more lines, and drop those that have arrived."""
        if self._taking:
            self._taking = False
            self._reader.close()
            self._data.clear()
            self._held_memory.hold(0)
            if self._unended is not None:
                self._unended.cancel()
                self._unended = None
            if not self._closed:
                self._reads = self.vc.do_io_read(self, 0, self.engine.no_buffer)
