"""VConnection: the contract of everything that bytes are read from or written to.

Traffic Server's VConnection. Kinds: NetVConnection (fed by a driver: TCP, TLS, Unix, stdio,
simulated) and PipeVConnection (one end of an in-process pair).
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import IOBuffer, Reader
from vcproxy.engine.mutex import Mutex, current
from vcproxy.engine.vio import VIO, join

if TYPE_CHECKING:
    from vcproxy.engine.connection_record import ConnectionRecord
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action


class Shutdown(enum.Enum):
    """Which directions `do_io_shutdown` ends."""

    READ = enum.auto()
    WRITE = enum.auto()
    BOTH = enum.auto()


class ClosedError(RuntimeError):
    """A method was called on a VC after `do_io_close()`: a mistake in code."""


class VConnection(Continuation, ABC):
    """A two-way stream of bytes, owned by one engine from accept or connect to close.

    Where it is `message_oriented`, a stream of messages: its buffers must be message-oriented too,
    and each block is read and written as one message.

    | operation | events to its continuation |
    |---|---|
    | do_io_read | READ_READY (repeats) then READ_COMPLETE, EOS or ERROR |
    | do_io_write | WRITE_READY (repeats) then WRITE_COMPLETE or ERROR |
    | timeouts | INACTIVITY_TIMEOUT, ACTIVE_TIMEOUT, once for each time they are set |

    EOS is delivered after all that the peer sent, and so is ERROR on a read, with one exception: a
    reader that has no room, or reads nothing at present, gets the ERROR of a broken connection at
    once. `unread` is then True: a new `do_io_read` delivers what is left, and ERROR again after it.

    The data of each event is the VIO. Every method needs `mutex`, the mutex of the conversation
    that the VC is in: that of the continuation which started the last operation. Nothing is ever
    called back inline, and after `do_io_close()` has returned nothing is delivered for this VC.

    VConnection and VIO refer to each other, and both to Mutex: they are one contract.
    """

    __slots__ = (
        "_active",
        "_end_event",
        "_inactivity",
        "_inactivity_s",
        "closed",
        "error",
        "fan",
        "message_oriented",
        "moved_at",
        "name",
        "read_before",
        "read_error",
        "read_vio",
        "record",
        "unread",
        "write_vio",
        "written_before",
    )

    def __init__(self, engine: Engine, mutex: Mutex, name: str) -> None:
        self.engine = engine  # what Continuation.__init__ sets; set here for speed
        self.mutex = mutex
        mutex.vcs[self] = None
        self.name = name
        """The name of this VC in logs and histories."""
        self.message_oriented = False
        """Whether the VC moves messages (datagrams), each as one block of a message-oriented
        buffer."""
        self.closed = False
        self.error: Exception | None = None
        """Why the connection is broken, in both directions."""
        self.read_error: Exception | None = None
        """Why reading has not ended in order although writing still works: the peer ended its
        direction without a TLS close_notify."""
        self.unread = False
        """Whether the connection is broken and data that came before have not been read."""
        self._end_event: Event | None = None  # how reading has ended; None: it has not
        self.read_vio: VIO | None = None
        self.write_vio: VIO | None = None
        self.record: ConnectionRecord | None = None
        """What becomes the record of an accepted connection in the access log; None: there is
        none."""
        self.fan: Fan | None = None
        """While a driver reads this VC: the fan to whose sinks the data may be written at once."""
        self.moved_at = engine.now
        """When bytes moved last: the start of the inactivity timeout."""
        self.read_before = self.written_before = 0
        """Bytes moved by operations that were replaced; all bytes, once the VC is gone."""
        self._inactivity_s = 0.0
        self._inactivity: Action | None = None
        self._active: Action | None = None

    @property
    def missed(self) -> int:
        """Number of messages that were dropped before they were read, as far as it is known."""
        return 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{' closed' if self.closed else ''}>"

    @property
    def has_ended(self) -> bool:
        """Whether the peer has ended its direction, and all its data have been read."""
        return self._end_event is not None

    @property
    def moved(self) -> int:
        """Bytes moved in both directions so far."""
        return self.bytes_read + self.bytes_written

    @property
    def bytes_read(self) -> int:
        """Bytes read from the peer so far, as they are after TLS. Any thread may read it."""
        vio = self.read_vio
        return self.read_before + (0 if vio is None else vio.ndone)

    @property
    def bytes_written(self) -> int:
        """Bytes written to the peer so far, as they are before TLS. Any thread may read it."""
        vio = self.write_vio
        if vio is None:
            return self.written_before
        fan = vio.fan  # it counts what it writes to all its level sinks together
        return self.written_before + (vio.ndone if fan is None else fan.delivered_to(vio))

    # -- methods -----------------------------------------------------------------------------

    def do_io_read(self, cont: Continuation, nbytes: int | None, buffer: IOBuffer) -> VIO:
        """Read `nbytes` (None: until the end) into `buffer`; a fresh VIO replaces the last one.

        nbytes 0 reads nothing and makes `cont` the receiver of the timeouts only. An end that was
        reported before is reported to each new reader. Raises LockNotHeld, ClosedError.
        """
        self._require_open("do_io_read()")
        vio = VIO(self, cont, nbytes, buffer, reads=True)
        self._begin_read(vio)
        return vio

    def read_on(self, cont: Continuation, nbytes: int | None, buffer: IOBuffer, done: int) -> VIO:
        """Read as do_io_read() does; `done` bytes of this operation were read by earlier ones.

        They count as bytes of this one, and once for the VC. Raises LockNotHeld, ClosedError.
        """
        vio = self.do_io_read(cont, nbytes, buffer)
        vio.ndone = done
        self.read_before -= done
        return vio

    def do_io_write(self, cont: Continuation, nbytes: int | None, reader: Reader) -> VIO:
        """Write `nbytes` (None: without end) of what `reader` has to read.

        Raises LockNotHeld, ClosedError.
        """
        self._require_open("do_io_write()")
        vio = VIO(self, cont, nbytes, reader, reads=False)
        self._begin_write(vio)
        return vio

    def do_io_shutdown(self, how: Shutdown) -> None:
        """End directions in order; nothing more is delivered to their VIOs.

        WRITE sends the end of stream (FIN, close_notify); bytes that the write VIO has not written
        are lost, so wait for its WRITE_COMPLETE. `do_io_close()` must still be called.
        """
        self._require_open("do_io_shutdown()")
        if how is not Shutdown.WRITE and self.read_vio is not None:
            self.read_before += self.read_vio.ndone
            self.read_vio.retire()
            self.read_vio = None
        if how is not Shutdown.READ:
            if self.write_vio is not None:
                self.written_before += self.write_vio.ndone
                self.write_vio.retire()
                self.write_vio = None
            self._end_writing()

    def do_io_close(self, error: Exception | None = None) -> None:
        """Close the VC. With an error the peer gets a reset. May be repeated.

        Raises LockNotHeld.
        """
        if self.closed:
            return
        mutex = self.mutex
        if mutex.owner is not current.engine or mutex.owner is None:
            mutex.require("do_io_close()")
        self.closed = True
        del mutex.vcs[self]
        self.error = self.error or error
        if self.read_vio is not None:
            self.read_vio.retire()
        if self.write_vio is not None:
            self.write_vio.retire()
        if self._inactivity is not None:
            self._inactivity.cancel()
            self._inactivity = None
        if self._active is not None:
            self._active.cancel()
            self._active = None
        self._end(abort=error is not None)

    def set_inactivity_timeout(self, seconds: float) -> None:
        """Deliver INACTIVITY_TIMEOUT once nothing has moved for that long; 0 cancels it."""
        self._require_open("set_inactivity_timeout()")
        if self._inactivity is not None:
            self._inactivity.cancel()
            self._inactivity = None
        self._inactivity_s = seconds
        self.moved_at = self.engine.now
        if seconds:
            due = self.moved_at + seconds
            self._inactivity = self.engine.schedule_at(due, self, Event.INACTIVITY_TIMEOUT, None)

    def set_active_timeout(self, seconds: float) -> None:
        """Deliver ACTIVE_TIMEOUT after that time, whether bytes move or not; 0 cancels it."""
        self._require_open("set_active_timeout()")
        if self._active is not None:
            self._active.cancel()
            self._active = None
        if seconds:
            self._active = self.engine.schedule_in(seconds, self, Event.ACTIVE_TIMEOUT, None)

    def hand_over(self, cont: Continuation) -> None:
        """Transfer the current operations to `cont`: their events, and the VC's conversation.

        The operations go on as they are. The mutex of that conversation is held.
        """
        self._require_open("hand_over()")
        for vio in (self.read_vio, self.write_vio):
            if vio is not None:
                vio.cont = cont
                vio.mutex = cont.mutex
                vio.direct = vio.at_once = None
        self.join(cont.mutex)

    def last_moved_at(self) -> float:
        """Return when a byte moved last, here or by a fan, which writes to all its level sinks."""
        writing = self.write_vio
        fan = None if writing is None else writing.fan
        if fan is None or self not in fan.level:
            return self.moved_at
        return max(self.moved_at, fan.moved_at)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle the VC's own timers."""
        if key is Event.INACTIVITY_TIMEOUT:
            self._inactivity = None
            idle_until = self.last_moved_at() + self._inactivity_s
            if idle_until > self.engine.now:
                # The timer is set again when it fires, not on each byte: a move costs one
                # assignment.
                self._inactivity = self.engine.schedule_at(idle_until, self, key, None)
                return
            self._notify_timeout(Event.INACTIVITY_TIMEOUT)
        else:
            self._active = None
            self._notify_timeout(Event.ACTIVE_TIMEOUT)

    def _notify_timeout(self, timeout: Event) -> None:
        """Notify the reader, and the writer if it is another one (Traffic Server's rule)."""
        notified: Continuation | None = None
        for vio in (self.read_vio, self.write_vio):
            if vio is not None and not vio.over and vio.cont is not notified:
                notified = vio.cont
                vio.signal(timeout)

    # -- for subclasses ----------------------------------------------------------------------

    def _require_open(self, verb: str) -> None:
        mutex = self.mutex
        if mutex.owner is not current.engine or mutex.owner is None:
            mutex.require(verb)
        if self.closed:
            raise ClosedError(f"{verb} on {self.name} after do_io_close()")

    def join(self, mutex: Mutex) -> None:
        """Move to another conversation. The old mutex is held, or nothing else has the VC yet."""
        if mutex is not self.mutex:
            del self.mutex.vcs[self]
            self.mutex = mutex
            mutex.vcs[self] = None

    def _begin_read(self, vio: VIO) -> None:
        last = self.read_vio
        if last is not None:
            self.read_before += last.ndone
            last.retire()
        self.read_vio = vio
        if vio.mutex is not self.mutex:
            self.join(vio.mutex)
        if self.error is not None and not self.unread:
            vio.end(Event.ERROR)
        if vio.nbytes != 0:
            self.reenable(True)
        if self._end_event is not None:
            vio.end(self._end_event)

    def _begin_write(self, vio: VIO) -> None:
        last = self.write_vio
        if last is not None:
            self.written_before += last.ndone
            last.retire()
        self.write_vio = vio
        if vio.mutex is not self.mutex:
            self.join(vio.mutex)
        reader: Reader = vio.store  # type: ignore[assignment]
        if self.error is not None:
            vio.end(Event.ERROR)
        elif vio.nbytes != 0 and reader.position == reader.buffer.written:
            if vio.partner is not None:
                return  # reads of the partner reenable this write
            vio.ready()
        self.reenable(False)

    def as_direct_sink(self, source: VConnection) -> NetVConnection | None:
        """Return this VC if what a driver reads from `source` may be written to it at once."""
        return None

    # -- what subclasses do -------------------------------------------------------------------

    @abstractmethod
    def reenable(self, reads: bool) -> None:
        """Check a direction again after a change. Any thread; never calls back inline."""

    @abstractmethod
    def _end_writing(self) -> None:
        """Send the end of stream."""

    @abstractmethod
    def _end(self, abort: bool) -> None:
        """Release what the VC holds. The mutex is held, `closed` is set."""


def relay(
    cont: Continuation, source: VConnection, sink: VConnection, reader: Reader
) -> tuple[VIO, VIO]:
    """Read `source` without end into the buffer of `reader`, and write to `sink` what that reader
    has and gets; return both VIOs.

    The result is that of read_on, do_io_write and `couple`, without a READY event in between: what
    the reader has was read from `source` before. Raises LockNotHeld, ClosedError.
    """
    source._require_open("relay()")
    sink._require_open("relay()")
    buffer = reader.buffer
    read = VIO(source, cont, None, buffer, reads=True)
    write = VIO(sink, cont, None, reader, reads=False)
    join(read, write)
    done = buffer.written - reader.position
    if done and read.direct_sink is not None and not source.message_oriented:
        write.ndone = read.direct_sink.send_first(reader)
    source._begin_read(read)
    sink._begin_write(write)
    if done:
        read.ndone = done
        source.read_before -= done
    return read, write
