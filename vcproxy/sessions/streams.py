"""InputStream and OutputStream: the two directions of a VC, as messages in and bytes out.

Both limit the memory that they use: InputStream by READ_AHEAD, OutputStream by `full`.
Tested in tests/messages/ (test_shares.py, test_validator.py) and tests/sessions/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.held_memory import HeldMemory
from vcproxy.engine.iobuffer import WATER_MARK
from vcproxy.framing.datagrams import DatagramDecoder
from vcproxy.framing.framing import UNFRAMED

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import IOBuffer
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.framing.decoding import Damaged, Decoded
    from vcproxy.framing.framing import Framing, FramingError

READ_AHEAD = 64 * 1024
"""Limit of bytes read ahead of the messages taken: some hundred messages, enough for full speed."""


TURN_LIMIT = 128
"""Limit of messages taken from one connection in a turn of the engine: some milliseconds of work
for most plugins. The rest follows after all other connections were served."""


NO_LIMIT = 1 << 60


def note_refused(sender: VConnection, fault: FramingError, data: bytes) -> None:
    """Keep what a framing refused: see RefusedMessages. `data` is what was read last, with the
    message or its end."""
    _note(sender, fault.value, data)


def note_damaged(sender: VConnection, damaged: Damaged) -> None:
    """Keep a damaged message: see RefusedMessages."""
    _note(sender, f"damaged message: {damaged.why}", damaged.data)


def _note(sender: VConnection, why: str, data: bytes) -> None:
    listener = getattr(sender, "listener", None)  # of a client's connection
    sender.engine.refused.add(
        "message",
        why,
        data,
        listener="" if listener is None else listener.name,
        client="" if listener is None else sender.name,
        server=sender.name if listener is None else "",
    )


class InputStream:
    """Reads complete messages from a VC.

    Args:
        cont: gets the VIO's events. After EOS there may still be messages to take.
        framing: of a stream, or of the messages inside of each datagram: see DatagramDecoder.
            UNFRAMED: each datagram is one message.
        turn_limit: limit of messages taken in one turn of the engine. After that `take` returns
            None, and READ_READY follows for the rest.
    """

    __slots__ = (
        "_decoder",
        "_engine",
        "_held_memory",
        "_left",
        "_messages",
        "_partial",
        "_reader",
        "_turn",
        "_turn_limit",
        "framing",
        "vio",
    )  # fmt: skip

    def __init__(
        self, cont: Continuation, vc: VConnection, framing: Framing, turn_limit: int = TURN_LIMIT
    ) -> None:
        self._engine = cont.engine
        self._turn_limit = turn_limit
        self._turn = -1  # the engine's turn in which `take` was last called
        self._left = 0  # messages that may still be taken in that turn
        buffer = vc.engine.buffer(READ_AHEAD, message_oriented=vc.message_oriented)
        self._reader = buffer.reader()
        self.framing = framing
        inside = vc.message_oriented and framing is not UNFRAMED
        self._decoder = DatagramDecoder(framing) if inside else framing.decoder()
        self._messages: Decoded = []  # in reverse order: the next one is at the end
        self._partial = False  # only a part of a message was read so far
        self._held_memory = HeldMemory(cont)
        self.vio = vc.do_io_read(cont, None, buffer)

    def take(self) -> bytes | Damaged | None:
        """Return the next message; None: none yet, turn limit reached, or end of input.

        A damaged message is returned as Damaged, in its place: see `note_damaged`.
        """
        reader = self._reader
        buffer = reader.buffer
        if not self._messages:
            if self._held_memory.size and not self._partial:
                self._held_memory.hold(0)  # all messages have been taken
            if buffer.written == reader.position:
                return None
        turn = self._engine.turns
        if turn != self._turn:
            self._turn = turn
            self._left = self._turn_limit
        elif self._left <= 0:  # there is more to take, but not in this turn
            self.vio.ready()
            return None
        self._left -= 1
        if not self._messages:
            full = buffer.held >= buffer.water_mark
            decoder = self._decoder
            if buffer.message_oriented:
                data, self._messages = self._next_datagram()
            else:
                data = reader.read()
                self._messages = decoder.feed(data)
            if decoder.fault is not None:
                note_refused(self.vio.vc, decoder.fault, data)
            if full:
                self.vio.reenable()
            if len(self._messages) != 1 or self._partial:
                if not self._messages and buffer.message_oriented:
                    return None  # nothing of an empty datagram is kept
                self._count(len(data))
                if not self._messages:
                    return None
                self._messages.reverse()
        return self._messages.pop()

    def _next_datagram(self) -> tuple[bytes, Decoded]:
        """Return the next datagram that has messages, and these; else the last one."""
        reader = self._reader
        while True:
            data = reader.read_block()
            messages = self._decoder.feed(data)
            if messages or not reader.avail:
                return data, messages

    def lift_turn_limit(self) -> None:
        """Remove the turn limit. To be called when the VC has ended: no more data follows."""
        self._left = self._turn_limit = NO_LIMIT

    @property
    def drained(self) -> bool:
        """Whether all that has arrived was taken, and the input has not ended: `take` would return
        None. False is no certain answer."""
        reader = self._reader
        return not (
            self._messages
            or reader.buffer.written != reader.position
            or self._held_memory.size
            or self.vio.over
            or self._decoder.fault is not None
        )

    def _count(self, size: int) -> None:
        """Count the memory of `size` more bytes, unless they are one message, taken now."""
        memory = self._held_memory
        self._partial = not self._messages
        memory.hold(memory.size + size if self._partial else size * (len(self._messages) > 1))

    @property
    def stopped(self) -> bool:
        """Whether the input has ended, after `take` returned None. See `fault` and `error`."""
        if self._left <= 0 and (self._messages or self._reader.avail):
            return False  # there is more to take, but not in this turn
        return self._decoder.fault is not None or (self.vio.over and not self.vio.vc.unread)

    @property
    def error(self) -> Exception | None:
        """The error of the connection that ended the input. (If only TLS's close_notify is
        missing, `fault` shows whether a message was cut off.)"""
        return self.vio.vc.error if self.vio.over else None

    def read_rest(self) -> bool:
        """After ERROR: read data that arrived before the failure. False: there is none."""
        vio = self.vio
        cont = vio.cont
        if cont is None or not vio.vc.unread:
            return False
        self.vio = vio.vc.read_on(cont, None, vio.buffer, vio.ndone)
        return True

    @property
    def fault(self) -> FramingError | None:
        """The framing error that ended the input; None: the VC ended after a whole message."""
        if self._decoder.fault is None:
            self._decoder.finish()
        return self._decoder.fault

    def close(self) -> None:
        """Free the messages and bytes that were not taken."""
        self._reader.close()
        self._messages.clear()
        self._held_memory.hold(0)


class OutputStream:
    """Writes bytes to a VC.

    `cont` gets WRITE_READY when bytes have been sent after `full` was True; and once at the
    beginning, unless there is `data`.
    """

    __slots__ = ("buffer", "reader", "vio")

    def __init__(self, cont: Continuation, vc: VConnection, data: bytes = b"") -> None:
        self.buffer: IOBuffer = vc.engine.buffer(message_oriented=vc.message_oriented)
        self.reader = self.buffer.reader()
        self.buffer.write(data)
        self.vio = vc.do_io_write(cont, None, self.reader)
        self.vio.pending = True

    def send(self, data: bytes) -> None:
        """Send `data` after all that was sent before. b"" sends nothing, not even an empty
        datagram: see EMPTY. Raises TypeError if it is not bytes."""
        vio = self.vio
        if len(data) and not vio.over:  # after an error the data is dropped
            vio.pending = True  # no caller waits for room: a WRITE_READY would cost a turn
            self.buffer.write(data)
            vio.reenable()
            if vio.bridge is not None:
                vio.bridge.stop()

    @property
    def full(self) -> bool:
        """Whether the caller should stop sending until WRITE_READY: too much data waits."""
        if self.buffer.written - self.reader.position < WATER_MARK or self.vio.over:
            return False
        self.vio.pending = False
        return True

    def finish(self) -> None:
        """End the output: WRITE_COMPLETE follows when all data has been sent."""
        self.vio.nbytes = self.vio.ndone + self.reader.avail
        self.vio.reenable()

    def close(self) -> None:
        """Free the data that was not sent."""
        self.reader.close()
