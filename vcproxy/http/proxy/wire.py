"""Wire: one of the two connections of an exchange, with its unread input and unsent output.

Tested in tests/http/proxy/test_keep_alive.py and test_excess.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.held_memory import HeldMemory
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.sessions.streams import READ_AHEAD

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.file_range import FileRange
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO


PIPELINED = 16 * 1024
"""Bytes that are read from a client after its current request: about a hundred small requests. As
many more may be `pending`."""

UNREAD = 32 * 1024
"""Bytes of responses that may wait for a client to read them. Above it, the client's next request
is not read."""


class Wire:
    """Reads from and writes to one connection for `cont`, which gets all its events.

    When one wire releases a connection and another attaches it, the connection keeps its buffers
    and VIOs: a request on a reused connection creates none.
    """

    __slots__ = (
        "_before", "_cont", "_input", "_kept", "_output", "_read_ahead", "_sent_in", "_untaken",
        "pending", "reads", "vc", "writes",
    )  # fmt: skip

    reads: VIO
    writes: VIO
    _input: Reader
    _output: Reader

    def __init__(self, cont: Continuation, read_ahead: int = READ_AHEAD) -> None:
        """`read_ahead`: size of the input buffer, in bytes."""
        self._cont = cont
        self._read_ahead = read_ahead
        self._kept: HeldMemory | None = None
        self.vc: NetVConnection | None = None
        """The connection; None before `attach` and after `release` or `close`."""
        self._before: int | None = None  # bytes that earlier users wrote to the connection
        self._untaken = False  # whether `pending` is input that was received at once, and not taken
        self._sent_in = -1  # the engine's turn in which output was last sent at once
        self.pending = b""
        """Bytes that were taken from the buffer and not used yet: see `count_pending`."""

    def attach(self, vc: NetVConnection, before: int | None = None) -> None:
        """Use this connection from now on. If another wire has released it, its buffers and VIOs
        are reused. `before`: how many bytes others had written to it; left out: all until now."""
        if self.vc is vc:
            return
        self.vc = vc
        self.pending = b""
        reads, writes = vc.read_vio, vc.write_vio
        if reads is None or writes is None:
            self._before = None
            self._input = vc.engine.buffer(self._read_ahead).reader()
            self._output = vc.engine.buffer().reader()
            self.start_reading()
        else:
            self._before = writes.ndone if before is None else before
            self.reads, self.writes = reads, writes
            self._input = reads.buffer.readers[0]
            self._output = writes.reader

    def send_first(self, message: bytes) -> None:
        """Send the first bytes after `attach`."""
        if self._before is None:
            self._before = 0
            self.start_writing(message)
        else:
            self.send(message)

    def start_reading(self) -> None:
        """Start reading, initially or after a tunnel has read from the connection."""
        assert self.vc is not None
        self.reads = self.vc.do_io_read(self._cont, None, self._input.buffer)

    def start_writing(self, opening: bytes = b"") -> None:
        """Start writing, initially or after a tunnel has written to the connection.

        WRITE_READY is delivered only after `full` was found true.
        """
        assert self.vc is not None
        self._output.buffer.write(opening)
        self.writes = self.vc.do_io_write(self._cont, None, self._output)
        self.writes.pending = True

    @property
    def nothing_sent(self) -> bool:
        """Whether no byte has been sent since `attach`."""
        return self.writes.ndone == self._before

    @property
    def over(self) -> bool:
        """Whether the peer sends no more: end of stream, or an error."""
        return self.reads.over

    @property
    def has_news(self) -> bool:
        """Whether there is input that was not used yet, or the peer sends no more."""
        unread = self._input
        return unread.buffer.written > unread.position or bool(self.pending) or self.reads.over

    @property
    def idle(self) -> bool:
        """Whether all input was used, all output was sent, and the peer has not ended the stream:
        the connection can be reused."""
        unread, unsent = self._input, self._output
        return (
            unread.buffer.written == unread.position
            and unsent.buffer.written == unsent.position
            and not self.pending
            and not self.reads.over
        )

    def take(self, enough: int | None = None) -> bytes:
        """Return all input. If `pending` has at least `enough` bytes, return only these: the input
        after a message then stays in the bounded buffer. The caller puts unused bytes back into
        `pending`."""
        reader, data = self._input, self.pending
        self.pending = b""
        self._untaken = False
        self._kept = None
        buffer = reader.buffer
        if buffer.written == reader.position or (enough is not None and len(data) >= enough):
            return data
        full = buffer.held >= buffer.water_mark
        data = data + reader.read() if data else reader.read()
        if full:
            self.reads.reenable()
        return data

    def receive_at_once(self) -> None:
        """Receive the next input without a queued event, where that is possible: see VIO."""
        if self.reads.vc.engine.direct:
            self.reads.at_once = self._received

    def _received(self, block: Block) -> None:
        self.pending = block if type(block) is bytes else bytes(block)
        self._untaken = True
        self._cont.handle_event(Event.READ_READY, self.reads)
        if self._untaken:
            self._input.buffer.write(self.pending)
            self.pending = b""

    def count_pending(self) -> None:
        """Count `pending` in the memory budget, until the next `take`."""
        if self.pending:
            self._kept = HeldMemory(self._cont)
            self._kept.hold(len(self.pending))

    def send(self, data: bytes) -> None:
        """Send data after all earlier output."""
        writes, vc = self.writes, self.vc
        assert vc is not None
        count = vc.send_at_once(data)
        if count:
            self._sent_in = vc.engine.turns
            if count == len(data):
                return
            data = data[count:]
        writes.pending = True  # WRITE_READY is not needed here, and would cost a turn
        self._output.buffer.write(data)
        writes.reenable()

    def send_file(self, piece: FileRange) -> None:
        """Send a range of a file after all earlier output."""
        assert self.vc is not None
        self.writes.pending = True
        self.vc.send_file(piece)
        self._sent_in = self.vc.engine.turns

    def await_sent(self) -> None:
        """Let WRITE_READY be delivered when more of the output has been sent."""
        self.writes.pending = False

    @property
    def full(self) -> bool:
        """Whether too much output is unsent to add more. If true, WRITE_READY is delivered when
        some of it has been sent."""
        unsent = self._output
        if unsent.buffer.written - unsent.position < UNREAD:
            return False
        self.writes.pending = False
        return True

    @property
    def unsent(self) -> int:
        """Bytes of output that were not sent yet."""
        return self._output.buffer.written - self._output.position

    def take_unsent(self) -> bytes:
        """Remove and return the unsent output: a tunnel is about to write instead."""
        return self._output.read()

    def release(self) -> None:
        """Give up the connection without closing it; another wire may attach it."""
        self.reads.at_once = None
        self.vc = None

    def close(self) -> None:
        """Drop the buffers of a connection that is closed, or about to be."""
        self._kept = None
        if self.vc is not None:
            self.vc = None
            self._input.close()
            self._output.close()

    def close_gracefully(self, linger: bool) -> None:
        """Close the connection once its output was sent.

        `linger`: the peer may still be sending. Its input is read and dropped for a while, because
        a reset could destroy the last response.
        """
        assert self.vc is not None
        self._kept = None
        just_sent = self._sent_in == self.vc.engine.turns
        if just_sent or self._output.avail or linger:
            self._input.close()
            LingeringClose(self.vc, self._output).start()
        else:
            self.vc.do_io_close()
            self.close()
