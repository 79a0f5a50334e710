"""MessageReader: reads a session's client message by message, in the states that receive Message.

A session that declares a receiver for Message has a MessageReader. The bytes of messages that were
not delivered are kept unchanged: the client may be lent to a tunnel after any message. (Validator
and Splitter use an InputStream: they never need the raw bytes.)

    READING --end of stream, error, timeout or invalid framing--> OVER
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.event import Event
from vcproxy.framing.datagrams import DatagramDecoder
from vcproxy.framing.decoding import Damaged, FramingError
from vcproxy.framing.frame_scanner import WholeFrames
from vcproxy.framing.framing import UNFRAMED
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, State, flatten
from vcproxy.sessions.streams import READ_AHEAD, TURN_LIMIT, note_damaged, note_refused
from vcproxy.tunnels.stall_timer import FLUSH_S, STALLED, StallTimer

if TYPE_CHECKING:
    from collections.abc import Hashable

    from vcproxy.engine.engine import Engine
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.framing.decoding import Decoded, Decoder
    from vcproxy.framing.framing import Framing

RESUME = "RESUME"
"""Tag: the session can receive messages again."""


def _size(frame: bytes | Damaged) -> int:
    return len(frame.data if isinstance(frame, Damaged) else frame)


@dataclass(frozen=True, slots=True)
class Message:
    """A message from the client."""

    data: bytes
    """The message, without its framing."""
    name: str = "client"
    """The sender, for histories."""


class ReadingSession(Protocol):
    """The part of a session that MessageReader uses. See Session and Machine."""

    engine: Engine
    mutex: Mutex
    name: str
    client: NetVConnection

    @property
    def client_framing(self) -> Framing:
        """How the client's messages are framed."""

    @property
    def state(self) -> State:
        """The current state."""

    @property
    def reads_messages(self) -> bool:
        """Whether the session can receive a Message now."""

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle one event."""

    def count(self, what: str) -> None:
        """Add one to a counter."""

    def log(self, text: object) -> None:
        """Log a line."""

    def close(self, error: Exception | None = None) -> None:
        """Close both VCs."""

    def abandon(self) -> None:
        """End the machine."""

    def crashed(self, error: Exception) -> str:
        """Return the history for the log."""


class MessageReader(Machine):
    """Reads the session's client and delivers one Message after the other, then the end.

    A damaged message is counted; it is delivered as Damaged, or dropped if the state has no
    receiver for that.
    It delivers nothing while the session's state has no receiver for Message, or while the client
    does not read its answers; meanwhile it reads no more than its buffer holds. The end is EOS, a
    FramingError, or the engine's ERROR or timeout. If the session's state has no receiver for it,
    the session ends: in order, or with a reset after an error or a timeout. Messages that arrived
    before ERROR are delivered first, as long as the session receives one at least every FLUSH_S.
    """

    __slots__ = ("_decoder", "_delivered", "_frame_decoder", "_frames", "_messages", "_raw",
                 "_reader", "_session", "_stall_timer", "_vio")  # fmt: skip

    READING = State(initial=True)
    OVER = State(final=True)

    def __init__(self, session: ReadingSession) -> None:
        super().__init__(session.engine, session.mutex, name=f"{session.name} reading")
        self._session = session
        framing = session.client_framing
        self._decoder: Decoder
        self._frame_decoder: Decoder | None = None
        if session.client.message_oriented:
            whole = framing is UNFRAMED  # each datagram is a message
            self._decoder = framing.decoder() if whole else DatagramDecoder(framing)
        else:
            self._decoder = framing.decoder()
            if isinstance(framing, WholeFrames):
                self._frame_decoder = framing.frame_decoder()
        self._messages: Decoded = []  # in reverse order: the next one is at the end
        self._raw = bytearray()  # the decoder's input since a message's first byte
        self._delivered = 0  # number of delivered messages at the beginning of _raw
        self._frames: list[int] = []  # with _frame_decoder: the sizes of the frames in _raw
        self._stall_timer: StallTimer | None = None
        buffer = self.engine.buffer(READ_AHEAD, message_oriented=session.client.message_oriented)
        self._reader = buffer.reader()
        self._vio = session.client.do_io_read(self, None, buffer)

    def resume(self) -> None:
        """Resume delivering: the session can receive messages again. Always deferred."""
        self.engine.schedule(self, RESUME, None)

    def give_back(self) -> Reader:
        """Stop; return a reader of the bytes that were read but not delivered, in a new buffer.

        The caller must start its own read of the client.
        """
        self._stop_timer()
        self._drop_delivered()
        reader, datagrams = self._reader, self._reader.buffer.message_oriented
        buffer = self.engine.buffer(message_oriented=datagrams)
        unread = buffer.reader()
        if datagrams:
            for message in reversed(self._messages):  # of a datagram of which some were delivered
                if isinstance(message, bytes):
                    buffer.write(self._session.client_framing.encode(message) or EMPTY)
        else:
            buffer.write(bytes(self._raw) + reader.read())
        while reader.avail:
            buffer.write(reader.read_block() or EMPTY)
        reader.close()
        return unread

    @READING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, RESUME, to=(OVER,))
    def deliver(self, _: object) -> State | None:
        """Deliver the buffered messages. At each one the session may lend or close the client."""
        session, vio = self._session, self._vio
        left = TURN_LIMIT
        while vio.live and session.reads_messages:
            if not left:
                vio.ready()  # the rest in the next turn, after all other connections
                break
            left -= 1
            data = self._take()
            if isinstance(data, Damaged):
                self._damaged(data)
            elif data is not None:
                session.handle_event(Message, Message(data))
            elif vio.over and vio.vc.error is not None:
                if not vio.vc.unread:
                    self._end(Event.ERROR, vio)
                    return self.OVER
                break
            elif self._decoder.fault is not None or vio.over:
                if self._decoder.fault is not None:
                    self._drop_delivered()
                    note_refused(vio.vc, self._decoder.fault, bytes(self._raw))
                self._decoder.finish()
                fault = self._decoder.fault
                self._end(*((Event.EOS, vio) if fault is None else (FramingError, fault)))
                return self.OVER
            else:
                break
        return None

    @READING.on(Event.ERROR, to=(OVER,))
    def failed(self, failed: VIO) -> State | None:
        """Deliver what the client sent before it failed, while the session takes it; then ERROR."""
        vio = self._vio
        if failed is not vio:
            return None  # the write has failed; the read gets ERROR too
        if vio.vc.unread:
            self._vio = vio.vc.do_io_read(self, None, vio.buffer)
        elif not (self._messages or self._reader.avail):
            self._end(Event.ERROR, vio)
            return self.OVER
        if self._stall_timer is None:
            self._stall_timer = StallTimer(self, FLUSH_S, self._position)
        return self.deliver(vio)

    @READING.on(STALLED, to=OVER)
    def stalled(self, _: object) -> None:
        """Deliver ERROR: the session has not received the remaining messages in time."""
        self._end(Event.ERROR, self._vio)

    @READING.on(Event.INACTIVITY_TIMEOUT, to=OVER)
    def inactive(self, vio: VIO) -> None:
        """Deliver INACTIVITY_TIMEOUT: no byte was moved for too long."""
        self._end(Event.INACTIVITY_TIMEOUT, vio)

    @READING.on(Event.ACTIVE_TIMEOUT, to=OVER)
    def expired(self, vio: VIO) -> None:
        """Deliver ACTIVE_TIMEOUT: the connection has lasted too long."""
        self._end(Event.ACTIVE_TIMEOUT, vio)

    def _take(self) -> bytes | Damaged | None:
        """Return the next message; None: none is complete yet, or the input has ended."""
        if not self._messages:
            reader = self._reader
            if not reader.avail:
                return None
            full, datagrams = not reader.buffer.room, reader.buffer.message_oriented
            data = (reader.read_block() if datagrams else reader.read()) or b""
            if full:
                self._vio.reenable()
            if datagrams:
                self._messages = self._decoder.feed(data)[::-1]
                while not self._messages and reader.avail:  # an empty datagram has no message
                    self._messages = self._decoder.feed(reader.read_block())[::-1]
                return self._messages.pop() if self._messages else None
            self._drop_delivered()
            self._raw += data
            self._messages = self._decoder.feed(data)[::-1]
            if self._frame_decoder is not None:
                self._frames += map(_size, self._frame_decoder.feed(data))
                # A frame over the limit, where its message is only damaged: it cannot be kept.
                self._decoder.fault = self._decoder.fault or self._frame_decoder.fault
            if not self._messages:
                return None
        self._delivered += 1
        return self._messages.pop()

    def _drop_delivered(self) -> None:
        """Drop the bytes of delivered messages from `_raw`.

        A decoder does not report where a message ends, but it finds the same messages however its
        input is cut. So message n ends where the shortest input ends in which a new decoder finds n
        messages.
        """
        raw, decoder = self._raw, self._session.client_framing.decoder
        if self._frame_decoder is not None:
            del raw[: sum(self._frames[: self._delivered])]
            del self._frames[: self._delivered]
            self._delivered = 0
            return
        del raw[
            : bisect_left(
                range(len(raw)),
                self._delivered,
                key=lambda end: len(decoder().feed(bytes(raw[:end]))),
            )
        ]
        self._delivered = 0

    def _damaged(self, damaged: Damaged) -> None:
        """Deliver Damaged if the session's state has a receiver for it; else drop the message."""
        session = self._session
        note_damaged(self._vio.vc, damaged)
        session.count("damaged")
        if Damaged in flatten(session.state):
            session.handle_event(Damaged, damaged)
        else:
            session.log(f"a damaged message is dropped: {damaged.why}")

    def _end(self, key: Hashable, data: VIO | FramingError) -> None:
        """Deliver the end of the input, or end a session whose state has no receiver for it."""
        session = self._session
        received = flatten(session.state)
        if key in received or ANY in received:
            session.handle_event(key, data)
            return
        if isinstance(data, FramingError):
            session.count(data.name.lower())
            session.log(f"{data.value}; connection closed")
        elif key is not Event.EOS:
            error = data.error or TimeoutError("connection timed out")
            session.log(f"client connection failed: {error}")
            session.close(error)
        session.abandon()

    def crashed(self, error: Exception) -> str:
        """Return the session's history: one of its receivers has raised the exception."""
        return self._session.crashed(error)

    def finished(self) -> None:
        """Stop, and free the buffer."""
        self._stop_timer()
        self._reader.close()

    def _position(self) -> tuple[int, int]:
        """The position up to which the input has been delivered."""
        return self._reader.position, -len(self._messages)

    def _stop_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
