"""LingeringClose: sends the last bytes to a client, then closes the connection in order.

If a connection is closed while the peer is still sending, the kernel resets it, and the reset may
overtake the last answer. So the answer is sent, the direction is shut down, and incoming bytes are
dropped until the client closes too or a timeout expires (RFC 9112, 9.6 asks HTTP servers for this).

    SENDING --all sent--> DRAINING --end of stream, timeout--> CLOSED
       +--- error, timeout, datagram, reset to be sent ---------^
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
    """Takes over a VC: sends the bytes of `reader` to it, then closes it.

    With `error` the client sees a reset after these bytes: the source of its answers has failed.
    """

    __slots__ = ("_error", "_reader", "_vc")

    SENDING = State(initial=True, timeout="30s")  # enough for a full buffer at 10 KiB/s
    DRAINING = State(timeout="2s")  # the same as Apache's lingering close
    CLOSED = State(final=True)

    SENDING.goes(Event.TIMEOUT, CLOSED)
    DRAINING.goes(Event.TIMEOUT, CLOSED)
    DRAINING.goes(Event.EOS, CLOSED)

    def __init__(self, vc: NetVConnection, reader: Reader, error: Exception | None = None) -> None:
        super().__init__(vc.engine, vc.mutex, name=vc.name)
        self._vc = vc
        self._reader = reader
        self._error = error

    @SENDING.enter
    def sending(self) -> None:
        """Send the bytes of `reader`; read nothing meanwhile."""
        self._vc.do_io_read(self, 0, self.engine.no_buffer)
        self._vc.do_io_write(self, self._reader.avail, self._reader)

    @SENDING.on(Event.WRITE_COMPLETE, to=(DRAINING, CLOSED))
    def all_sent(self, _: VIO) -> State:
        """Close at once if a reset follows, or for datagrams: they have no end of stream."""
        return (
            self.CLOSED if self._vc.message_oriented or self._error is not None else self.DRAINING
        )

    @DRAINING.enter
    def draining(self) -> None:
        """Shut down for writing, and wait for the client's end of stream."""
        self._vc.do_io_shutdown(Shutdown.WRITE)
        self._vc.do_io_read(self, None, self.engine.buffer())  # without a reader: all is dropped

    @SENDING.on(Event.WRITE_READY, Event.EOS)
    @DRAINING.on(Event.READ_READY)
    def moved(self, vio: VIO) -> None:
        """Do nothing: bytes were sent or dropped, or the client has ended its direction early."""

    @SENDING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    @DRAINING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def failed(self, vio: VIO) -> None:
        """Close: the connection failed or timed out."""

    def finished(self) -> None:
        """Close the client: in order if all was sent, else with a reset."""
        unsent = self._reader.avail
        self._reader.close()
        not_read = ConnectionError("the client did not read the last answer")
        self._vc.do_io_close(not_read if unsent else self._error)
