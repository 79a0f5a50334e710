"""MessageReader: reads a session's client message by message, while the session's state asks it.

A session that declares a receiver for Message has one. What is read ahead is kept as it came until
it is heard, for the client may be lent to a tunnel behind any message. (Validator and Splitter take
their messages themselves, see Incoming: nothing behind them wants the bytes as they came.)

    HEARING --the client has ended or broken, or said what cannot be read--> OVER
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import EMPTY
from vcproxy.framing.decoding import FramingError
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, State, flatten
from vcproxy.sessions.streams import READ_AHEAD, SHARE
from vcproxy.tunnels.stall_timer import FLUSH_S, STALLED, StallTimer

if TYPE_CHECKING:
    from collections.abc import Hashable

    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.vio import VIO
    from vcproxy.sessions.session import Session

GO_ON = "GO_ON"
"""Tag: the session may hear more."""


@dataclass(frozen=True, slots=True)
class Message:
    """The client has said something."""

    data: bytes
    """The message, without its framing."""
    name: str = "client"
    """Who has, for histories."""


class MessageReader(Machine):
    """Reads the session's client, and gives it one Message after the other, then how it ended.

    It gives nothing while the session's state has no receiver for Message, or while the client
    does not read what it is answered: then no more is read than the buffer holds. The end is EOS,
    a FramingError of the framing, or the engine's ERROR or timeout. Where the session's state does
    not receive it, the session is over: in order, or with a reset for an error and a timeout. ERROR
    comes behind the messages that came before it, if the session hears some every FLUSH_S.
    """

    __slots__ = ("_decoder", "_heard", "_raw", "_reader", "_session", "_stall_timer", "_vio",
                 "_whole")  # fmt: skip

    HEARING = State(initial=True)
    OVER = State(final=True)

    def __init__(self, session: Session) -> None:
        super().__init__(session.engine, session.mutex, name=f"{session.name} hearing")
        self._session = session
        self._decoder = session.framing.decoder()
        self._whole: list[bytes] = []  # backwards: the next is the last
        self._raw = bytearray()  # what the decoder was given, from where some message begins
        self._heard = 0  # so many messages at the beginning of it
        self._stall_timer: StallTimer | None = None
        buffer = self.engine.buffer(READ_AHEAD, message_oriented=session.client.message_oriented)
        self._reader = buffer.reader()
        self._vio = session.client.do_io_read(self, None, buffer)

    def go_on(self) -> None:
        """The session may hear more. Nothing is called back inline."""
        self.engine.schedule(self, GO_ON, None)

    def give_back(self) -> Reader:
        """Stop, and return a place before all that was read and not heard, in a buffer of its own.

        The client's read is somebody else's by now.
        """
        self._stop_timer()
        self._forget_heard()
        reader, message_oriented = self._reader, self._reader.buffer.message_oriented
        buffer = self.engine.buffer(message_oriented=message_oriented)
        unheard = buffer.reader()
        if not message_oriented:
            buffer.write(bytes(self._raw) + reader.read())
        while reader.avail:
            buffer.write(reader.read_block() or EMPTY)
        reader.close()
        return unheard

    @HEARING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, GO_ON, to=(OVER,))
    def bring(self, _: object) -> State | None:
        """Give the session what has come. At each message it may lend the client, or close it."""
        session, vio = self._session, self._vio
        left = SHARE
        while vio.live and session.hears:
            if not left:
                vio.ready()  # all others have their turn first
                break
            left -= 1
            data = self._take()
            if data is not None:
                session.handle_event(Message, Message(data))
            elif vio.over and vio.vc.error is not None:
                if not vio.vc.unread:
                    self._end(Event.ERROR, vio)
                    return self.OVER
                break
            elif self._decoder.fault is not None or vio.over:
                self._decoder.finish()
                fault = self._decoder.fault
                self._end(*((Event.EOS, vio) if fault is None else (FramingError, fault)))
                return self.OVER
            else:
                break
        return None

    @HEARING.on(Event.ERROR, to=(OVER,))
    def broke(self, broken: VIO) -> State | None:
        """The client has broken: what it had said before is heard first, if it still is."""
        vio = self._vio
        if broken is not vio:
            return None  # the write; the read's turn comes
        if vio.vc.unread:
            self._vio = vio.vc.do_io_read(self, None, vio.buffer)
        elif not (self._whole or self._reader.avail):
            self._end(Event.ERROR, vio)
            return self.OVER
        if self._stall_timer is None:
            self._stall_timer = StallTimer(self, FLUSH_S, self._place)
        return self.bring(vio)

    @HEARING.on(STALLED, to=OVER)
    def stalled(self, _: object) -> None:
        """The session does not hear what is left."""
        self._end(Event.ERROR, self._vio)

    @HEARING.on(Event.INACTIVITY_TIMEOUT, to=OVER)
    def idled(self, vio: VIO) -> None:
        """Nothing moves."""
        self._end(Event.INACTIVITY_TIMEOUT, vio)

    @HEARING.on(Event.ACTIVE_TIMEOUT, to=OVER)
    def outlived(self, vio: VIO) -> None:
        """Its time is up."""
        self._end(Event.ACTIVE_TIMEOUT, vio)

    def _take(self) -> bytes | None:
        """The next message; None: there is none yet, or never will be."""
        if not self._whole:
            reader = self._reader
            if not reader.avail:
                return None
            full, whole = not reader.buffer.room, reader.buffer.message_oriented
            data = reader.read_block() if whole else reader.read()
            if full:
                self._vio.reenable()
            if whole:
                return data  # a datagram is a message as it came
            self._forget_heard()
            self._raw += data
            self._whole = self._decoder.feed(data)[::-1]
            if not self._whole:
                return None
        self._heard += 1
        return self._whole.pop()

    def _forget_heard(self) -> None:
        """Drop what has been heard of `_raw`.

        No decoder tells where its messages end, but each gives the same messages however the bytes
        are cut: those heard end where one byte less would have given one less.
        """
        raw, decoder = self._raw, self._session.framing.decoder
        del raw[
            : bisect_left(
                range(len(raw)), self._heard, key=lambda end: len(decoder().feed(bytes(raw[:end])))
            )
        ]
        self._heard = 0

    def _end(self, key: Hashable, data: VIO | FramingError) -> None:
        """Tell the session, or end it."""
        session = self._session
        received = flatten(session.state)
        if key in received or ANY in received:
            session.handle_event(key, data)
            return
        if isinstance(data, FramingError):
            session.count(data.name.lower())
            session.log(f"{data.value}; no more is taken from it")
        elif key is not Event.EOS:
            error = data.error or TimeoutError("connection timed out")
            session.log(f"the client: {error}")
            session.close(error)
        session.abandon()

    def crashed(self, error: Exception) -> str:
        """It was the session that made the mistake, at a message: its history tells."""
        return self._session.crashed(error)

    def finished(self) -> None:
        """Nothing is heard any more."""
        self._stop_timer()
        self._reader.close()

    def _place(self) -> tuple[int, int]:
        """How far it has been heard."""
        return self._reader.position, -len(self._whole)

    def _stop_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
