"""Wire: one of the two connections of an exchange, as heads are taken from it and put on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.held_memory import HeldMemory
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.sessions.streams import READ_AHEAD

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO


PIPELINED = 16 * 1024
"""Bytes that are read of what a client sends behind a request: some hundred small ones. As many
more may be `pending`."""

UNREAD = 32 * 1024
"""Bytes of answers that a client leaves unread before its next request is looked at."""


class Wire:
    """What has come from a connection and was not used, and what is to go to it.

    All events are the owner's. Buffers and operations stay with a connection that goes from side to
    side: a request on one that has served before makes none.
    """

    __slots__ = (
        "_ahead", "_before", "_cont", "_heard", "_kept", "_unsent", "pending", "reads", "vc",
        "writes",
    )  # fmt: skip

    reads: VIO
    writes: VIO
    _heard: Reader
    _unsent: Reader

    def __init__(self, cont: Continuation, ahead: int = READ_AHEAD) -> None:
        """`ahead`: bytes that are read and not taken."""
        self._cont = cont
        self._ahead = ahead
        self._kept: HeldMemory | None = None
        self.vc: NetVConnection | None = None
        """The connection; None: none was attached, or it was let go."""
        self._before: int | None = None  # bytes that others have said on the connection
        self.pending = b""
        """Taken from the buffer, and not used yet: see `keep`."""

    def attach(self, vc: NetVConnection) -> None:
        """Use this connection from now on, if it is not used already. One that another side has let
        go brings its buffers, and the operations on them."""
        if self.vc is vc:
            return
        self.vc = vc
        self.pending = b""
        reads, writes = vc.read_vio, vc.write_vio
        if reads is None or writes is None:
            self._before = None
            self._heard = vc.engine.buffer(self._ahead).reader()
            self._unsent = vc.engine.buffer().reader()
            self.listen()
        else:
            self._before = writes.ndone
            self.reads, self.writes = reads, writes
            self._heard = next(iter(reads.buffer.readers))
            self._unsent = writes.reader

    def begin(self, message: bytes) -> None:
        """Say the first thing to a connection that was just attached."""
        if self._before is None:
            self._before = 0
            self.speak(message)
        else:
            self.say(message)

    def listen(self) -> None:
        """Read, after a tunnel has."""
        assert self.vc is not None
        self.reads = self.vc.do_io_read(self._cont, None, self._heard.buffer)

    def speak(self, opening: bytes = b"") -> None:
        """Write, from the beginning or after a tunnel has. WRITE_READY comes at once if there is
        nothing to say, and when it was found `full`."""
        assert self.vc is not None
        self._unsent.buffer.write(opening)
        self.writes = self.vc.do_io_write(self._cont, None, self._unsent)
        self.writes.pending = True

    @property
    def untouched(self) -> bool:
        """Whether not one byte of what was said has gone."""
        return self.writes.ndone == self._before

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.reads.over

    @property
    def waiting(self) -> bool:
        """Whether something has come that was not used."""
        return bool(self.pending or self._heard.avail)

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way on it: all was used, all has gone, and more can be said."""
        return not (self.pending or self._heard.avail or self._unsent.avail or self.reads.over)

    def take(self, enough: int | None = None) -> bytes:
        """All that has come; or only what was `pending`, if that is `enough`: what comes behind a
        message waits in the buffer, which has an end. What is not used goes back into `pending`."""
        heard, data = self._heard, self.pending
        self.pending = b""
        self._kept = None
        if heard.buffer.written == heard.position or (enough is not None and len(data) >= enough):
            return data
        full = heard.buffer.full
        data = data + heard.read() if data else heard.read()
        if full:
            self.reads.reenable()
        return data

    def keep(self) -> None:
        """What is `pending` stays for a while: it is counted."""
        if self.pending:
            self._kept = HeldMemory(self._cont)
            self._kept.hold(len(self.pending))

    def say(self, data: bytes) -> None:
        """Send, behind all that was said before."""
        writes = self.writes
        writes.pending = True  # nobody waits for room: a READY would cost a turn for nothing
        self._unsent.buffer.write(data)
        writes.reenable()

    @property
    def full(self) -> bool:
        """Whether so much waits to be sent that no more should be said until some has gone."""
        if self._unsent.avail < UNREAD:
            return False
        self.writes.pending = False
        return True

    def unsaid(self) -> bytes:
        """Take back what was said and has not gone: a tunnel is about to write."""
        return self._unsent.read()

    def let_go(self) -> None:
        """Leave the connection to others, as it is."""
        self.vc = None

    def close(self) -> None:
        """Drop what is left: the connection is closed, or about to be."""
        self._kept = None
        if self.vc is not None:
            self.vc = None
            self._heard.close()
            self._unsent.close()

    def leave(self, linger: bool) -> None:
        """Close the connection, behind what was said. `linger`: the other end may still speak, and
        must not miss the end of what it was told for that."""
        assert self.vc is not None
        self._kept = None
        if self._unsent.avail or linger:
            self._heard.close()
            LingeringClose(self.vc, self._unsent).start()
        else:
            self.vc.do_io_close()
            self.close()
