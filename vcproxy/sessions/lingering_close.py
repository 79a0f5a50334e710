"""LingeringClose: the last words to a client, then the end, in order.

A connection that is closed while the other side still sends is reset by the kernel, and the reset
may overtake the last answer. So the words are said, the direction is ended, and what still comes is
dropped until the client ends too, or for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.vconnection import Shutdown
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State

if TYPE_CHECKING:
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO


class LingeringClose(Machine):
    """Says what lies before `reader` to a VC, which it then owns, and closes it.

    `error`: what the client had answers from has broken, so it sees a reset behind them.
    """

    __slots__ = ("_error", "_reader", "_vc")

    SPEAKING = State(initial=True, timeout="30s")  # to say a full buffer at 10 KiB/s
    LISTENING = State(timeout="2s")  # what Apache lingers
    GONE = State(final=True)

    SPEAKING.goes(Event.TIMEOUT, GONE)
    LISTENING.goes(Event.TIMEOUT, GONE)
    LISTENING.goes(Event.EOS, GONE)

    def __init__(self, vc: NetVConnection, reader: Reader, error: Exception | None = None) -> None:
        super().__init__(vc.engine, vc.mutex, name=vc.name)
        self._vc = vc
        self._reader = reader
        self._error = error

    @SPEAKING.enter
    def speaking(self) -> None:
        """Say the words, and read nothing meanwhile."""
        self._vc.do_io_read(self, 0, self.engine.buffer())
        self._vc.do_io_write(self, self._reader.avail, self._reader)

    @SPEAKING.on(Event.WRITE_COMPLETE, to=(LISTENING, GONE))
    def said(self, _: VIO) -> State:
        """A datagram's sender has no end to wait for."""
        return self.GONE if self._vc.message_oriented or self._error is not None else self.LISTENING

    @LISTENING.enter
    def listening(self) -> None:
        """End our direction, and wait for the other end."""
        self._vc.do_io_shutdown(Shutdown.WRITE)
        self._vc.do_io_read(self, None, self.engine.buffer())  # without a reader: all is dropped

    @SPEAKING.on(Event.WRITE_READY, Event.EOS)
    @LISTENING.on(Event.READ_READY)
    def went(self, vio: VIO) -> None:
        """Some of it has gone, or the client has ended and still listens."""

    @SPEAKING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=GONE)
    @LISTENING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=GONE)
    def broke(self, vio: VIO) -> None:
        """Nobody is there to hear it."""

    def finished(self) -> None:
        """Close the client; in order if it was told all."""
        unsaid = self._reader.avail
        self._reader.close()
        did_not = ConnectionError("the client did not listen")
        self._vc.do_io_close(did_not if unsaid else self._error)
