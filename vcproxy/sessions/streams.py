"""The two directions of a VC as business machines use them: messages that come, bytes that go.

Nothing is decided here, and nothing is read or said ahead without bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.held_memory import HeldMemory
from vcproxy.engine.iobuffer import WATER_MARK
from vcproxy.framing.framing import UNFRAMED

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import IOBuffer
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.framing.framing import Framing, FramingError

READ_AHEAD = 64 * 1024
"""Bytes read and not yet taken as messages: a few hundred of them, which costs no speed."""


SHARE = 128
"""Messages that are taken from one connection in a turn: some milliseconds' work for most plugins.
All other connections have their turn before the rest of them."""


UNBOUND = 1 << 60


class InputStream:
    """Whole messages from a VC. `cont` gets the VIO's events, of which EOS may come too early:
    messages may still have to be taken.

    At most `share` messages are taken in one turn of the engine: then `take` gives None, and
    READ_READY comes for the rest.

    Of a VC that is `message_oriented`, each datagram is one message, as it came: it has no framing.
    """

    __slots__ = (
        "_begun",
        "_decoder",
        "_engine",
        "_keep",
        "_left",
        "_reader",
        "_share",
        "_turn",
        "_whole",
        "framing",
        "vio",
    )  # fmt: skip

    def __init__(
        self, cont: Continuation, vc: VConnection, framing: Framing, share: int = SHARE
    ) -> None:
        self._engine = cont.engine
        self._share = share
        self._turn = -1  # of the engine's, in which a message was last asked for
        self._left = 0  # of the share in that turn
        buffer = vc.engine.buffer(READ_AHEAD, message_oriented=vc.message_oriented)
        self._reader = buffer.reader()
        self.framing = UNFRAMED if vc.message_oriented else framing
        self._decoder = self.framing.decoder()
        self._whole: list[bytes] = []  # backwards: the next is the last
        self._begun = False  # whether what is kept is of a message that is not whole
        self._keep = HeldMemory(cont)
        self.vio = vc.do_io_read(cont, None, buffer)

    def take(self) -> bytes | None:
        """The next message; None: there is none yet, or never will be; or not in this turn."""
        turn = self._engine.turns
        if turn != self._turn:
            self._turn = turn
            self._left = self._share
        elif self._left <= 0 and self._has_had_its_share:
            self.vio.ready()
            return None
        self._left -= 1
        if not self._whole:
            reader = self._reader
            buffer = reader.buffer
            if self._keep.size and not self._begun:
                self._keep.hold(0)  # all of it has been taken
            if buffer.written == reader.position:
                return None
            full = buffer.held >= buffer.water_mark
            data = reader.read_block() if buffer.message_oriented else reader.read()
            self._whole = self._decoder.feed(data)
            if full:
                self.vio.reenable()
            if len(self._whole) != 1 or self._begun:
                self._count(len(data))
                if not self._whole:
                    return None
                self._whole.reverse()
        return self._whole.pop()

    def take_the_rest(self) -> None:
        """Let all that has been read be taken: no more will come of it."""
        self._left = self._share = UNBOUND

    @property
    def _has_had_its_share(self) -> bool:
        """Whether there is more, and not for this turn."""
        return self._left <= 0 and bool(self._whole or self._reader.avail)

    def _count(self, size: int) -> None:
        """Count what so many more bytes have come to, but for one message that is taken at once."""
        keep = self._keep
        self._begun = not self._whole
        keep.hold(keep.size + size if self._begun else size * (len(self._whole) > 1))

    @property
    def stopped(self) -> bool:
        """Whether nothing more can be taken, once `take` has given None: see `fault`, `error`."""
        if self._has_had_its_share:
            return False
        return self._decoder.fault is not None or (self.vio.over and not self.vio.vc.unread)

    @property
    def error(self) -> Exception | None:
        """Why it has stopped, where its connection broke. (Where only TLS's close_notify is
        missing, the framing tells whether something was cut off.)"""
        return self.vio.vc.error if self.vio.over else None

    def read_on(self) -> bool:
        """Behind ERROR: read what had come before the connection broke; False: there is none."""
        vio = self.vio
        cont = vio.cont
        if cont is None or not vio.vc.unread:
            return False
        self.vio = vio.vc.do_io_read(cont, None, vio.buffer)
        self.vio.ndone = vio.ndone
        return True

    @property
    def fault(self) -> FramingError | None:
        """Why it has stopped; None: the VC has ended behind a whole message."""
        if self._decoder.fault is None:
            self._decoder.finish()
        return self._decoder.fault

    def close(self) -> None:
        """Let go of what has not been taken."""
        self._reader.close()
        self._whole.clear()
        self._keep.hold(0)


class OutputStream:
    """Bytes to a VC. `cont` gets WRITE_READY when some have gone after it was found full, and at
    the beginning unless there are `words` to begin with.
    """

    __slots__ = ("buffer", "reader", "vio")

    def __init__(self, cont: Continuation, vc: VConnection, words: bytes = b"") -> None:
        self.buffer: IOBuffer = vc.engine.buffer(message_oriented=vc.message_oriented)
        self.reader = self.buffer.reader()
        self.buffer.write(words)
        self.vio = vc.do_io_write(cont, None, self.reader)
        self.vio.pending = True

    def say(self, data: bytes) -> None:
        """Send, behind all that was said before; nothing for b"", see EMPTY. Raises TypeError for
        what is not bytes."""
        vio = self.vio
        if len(data) and not vio.over:  # nothing is kept for who has broken
            vio.pending = True  # nobody waits for room: a READY would cost a turn for nothing
            self.buffer.write(data)
            vio.reenable()
            if vio.bridge is not None:
                vio.bridge.stop()

    @property
    def full(self) -> bool:
        """Whether so much waits that no more should be said until some has gone."""
        if self.buffer.written - self.reader.position < WATER_MARK or self.vio.over:
            return False
        self.vio.pending = False
        return True

    def finish(self) -> None:
        """Nothing more will be said: WRITE_COMPLETE comes when all has gone."""
        self.vio.nbytes = self.vio.ndone + self.reader.avail
        self.vio.reenable()

    def close(self) -> None:
        """Let go of what has not gone."""
        self.reader.close()
