"""VConnection: the contract of everything that bytes come from or go to.

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
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.vio import VIO

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action


class Shutdown(enum.Enum):
    """Which directions `do_io_shutdown` ends."""

    READ = enum.auto()
    WRITE = enum.auto()
    BOTH = enum.auto()


class ClosedError(RuntimeError):
    """A verb was used on a VC after `do_io_close()`: a programmer's mistake."""


class VConnection(Continuation, ABC):
    """A two-way stream of bytes, owned by one engine from accept or connect to close.

    Where it is `message_oriented`, a stream of messages: its buffers must be message-oriented too,
    and each block is read and written as one message.

    | operation | events to its continuation |
    |---|---|
    | do_io_read | READ_READY (repeats) then READ_COMPLETE, EOS or ERROR |
    | do_io_write | WRITE_READY (repeats) then WRITE_COMPLETE or ERROR |
    | timeouts | INACTIVITY_TIMEOUT, ACTIVE_TIMEOUT, once for each time they are set |

    EOS comes behind all that the peer sent, and so does ERROR on a read, with one exception: a
    reader that has no room, or reads nothing just now, learns of a broken connection at once. Then
    `unread` says that there may be more: a new `do_io_read` brings it, and ERROR again behind it.

    The data of each is the VIO. Every verb needs `mutex`, the mutex of the conversation that the
    VC is in: that of the continuation which asked for the last operation. Nothing is ever called
    back inline, and after `do_io_close()` returns nothing is delivered for this VC.
    """

    __slots__ = (
        "_active",
        "_inactivity",
        "_inactivity_s",
        "_moved",
        "closed",
        "error",
        "message_oriented",
        "moved_at",
        "name",
        "read_error",
        "read_vio",
        "unread",
        "write_vio",
    )

    def __init__(self, engine: Engine, mutex: Mutex, name: str) -> None:
        super().__init__(engine, mutex)
        mutex.vcs[self] = None
        self.name = name
        """Who this is, for logs and histories."""
        self.message_oriented = False
        """Whether messages travel here, each as one block of a whole buffer (datagrams)."""
        self.closed = False
        self.error: Exception | None = None
        """Why the connection is broken, in both directions."""
        self.read_error: Exception | None = None
        """Why reading has ended other than in order, where writing still works: the peer ended its
        direction without TLS's close_notify."""
        self.unread = False
        """Whether the connection is broken, and what came before that is still to be read."""
        self.read_vio: VIO | None = None
        self.write_vio: VIO | None = None
        self.moved_at = engine.now
        """When bytes moved last: what the inactivity timeout counts from."""
        self._moved = 0  # bytes, by operations that were replaced
        self._inactivity_s = 0.0
        self._inactivity: Action | None = None
        self._active: Action | None = None

    @property
    def missed(self) -> int:
        """Messages that came for it and were dropped before they were read, where that is known."""
        return 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{' closed' if self.closed else ''}>"

    @property
    def moved(self) -> int:
        """Bytes that have gone either way so far."""
        going = (self.read_vio, self.write_vio)
        return self._moved + sum(vio.ndone for vio in going if vio is not None)

    # -- verbs -------------------------------------------------------------------------------

    def do_io_read(self, cont: Continuation, nbytes: int | None, buffer: IOBuffer) -> VIO:
        """Read `nbytes` (None: until the end) into `buffer`; a fresh VIO replaces the last one.

        nbytes 0 reads nothing and makes `cont` the receiver of the timeouts only.
        Raises LockNotHeld, ClosedError.
        """
        self._require_open("do_io_read()")
        return self._begin(VIO(self, cont, nbytes, buffer, reads=True))

    def do_io_write(self, cont: Continuation, nbytes: int | None, reader: Reader) -> VIO:
        """Write `nbytes` (None: as long as there is something) from what lies before `reader`.

        Raises LockNotHeld, ClosedError.
        """
        self._require_open("do_io_write()")
        return self._begin(VIO(self, cont, nbytes, reader, reads=False))

    def do_io_shutdown(self, how: Shutdown) -> None:
        """End directions in an orderly way; their VIOs get nothing any more.

        WRITE tells the peer that no more will come (FIN, close_notify); what the write VIO has
        not handed on is abandoned, so wait for its WRITE_COMPLETE. `do_io_close()` is still owed.
        """
        self._require_open("do_io_shutdown()")
        if how is not Shutdown.WRITE and self.read_vio is not None:
            self._moved += self.read_vio.ndone
            self.read_vio.retire()
            self.read_vio = None
        if how is not Shutdown.READ:
            if self.write_vio is not None:
                self._moved += self.write_vio.ndone
                self.write_vio.retire()
                self.write_vio = None
            self._end_writing()

    def do_io_close(self, error: Exception | None = None) -> None:
        """Give the VC up. With an error the peer sees an abnormal end (a reset). Twice is harmless.

        Raises LockNotHeld.
        """
        if self.closed:
            return
        self.mutex.require("do_io_close()")
        self.closed = True
        del self.mutex.vcs[self]
        self.error = self.error or error
        for vio in (self.read_vio, self.write_vio):
            if vio is not None:
                vio.retire()
        for timer in (self._inactivity, self._active):
            if timer is not None:
                timer.cancel()
        self._inactivity = self._active = None
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
            self._inactivity = self.engine.schedule_in(
                seconds, self, Event.INACTIVITY_TIMEOUT, None
            )

    def set_active_timeout(self, seconds: float) -> None:
        """Deliver ACTIVE_TIMEOUT after that time, whatever moves; 0 cancels it."""
        self._require_open("set_active_timeout()")
        if self._active is not None:
            self._active.cancel()
            self._active = None
        if seconds:
            self._active = self.engine.schedule_in(seconds, self, Event.ACTIVE_TIMEOUT, None)

    def hand_over(self, cont: Continuation) -> None:
        """Let what is going on be that of `cont` from now on: its events, and its conversation.

        No operation is made anew. The mutex of its conversation is held.
        """
        self._require_open("hand_over()")
        for vio in (self.read_vio, self.write_vio):
            if vio is not None:
                vio.cont = cont
                vio.mutex = cont.mutex
        self.join(cont.mutex)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Judge the VC's own timers."""
        if key is Event.INACTIVITY_TIMEOUT:
            self._inactivity = None
            moved_at = self.moved_at
            fan = self.write_vio.fan if self.write_vio is not None else None
            if fan is not None and self in fan.level:
                moved_at = max(moved_at, fan.moved_at)
            idle_until = moved_at + self._inactivity_s
            if idle_until > self.engine.now:
                # Rearmed when it fires, not on each byte: moving costs one assignment.
                self._inactivity = self.engine.schedule_at(idle_until, self, key, None)
                return
            self._notify_timeout(Event.INACTIVITY_TIMEOUT)
        else:
            self._active = None
            self._notify_timeout(Event.ACTIVE_TIMEOUT)

    def _notify_timeout(self, timeout: Event) -> None:
        """Tell the reader, and the writer where that is somebody else (Traffic Server's rule)."""
        told: Continuation | None = None
        for vio in (self.read_vio, self.write_vio):
            if vio is not None and not vio.over and vio.cont is not told:
                told = vio.cont
                vio.signal(timeout)

    # -- what kinds share --------------------------------------------------------------------

    def _require_open(self, verb: str) -> None:
        self.mutex.require(verb)
        if self.closed:
            raise ClosedError(f"{verb} on {self.name} after do_io_close()")

    def join(self, mutex: Mutex) -> None:
        """Go over to another conversation. The old mutex is held, or nobody else knows the VC."""
        if mutex is not self.mutex:
            del self.mutex.vcs[self]
            self.mutex = mutex
            mutex.vcs[self] = None

    def _begin(self, vio: VIO) -> VIO:
        last = self.read_vio if vio.reads else self.write_vio
        if last is not None:
            self._moved += last.ndone
            last.retire()
        if vio.reads:
            self.read_vio = vio
        else:
            self.write_vio = vio
        self.join(vio.mutex)
        if self.error is not None and not (vio.reads and self.unread):
            vio.end(Event.ERROR)
        elif not vio.reads and vio.nbytes != 0 and not vio.reader.avail:
            vio.ready()
        self.reenable(vio.reads)
        return vio

    def as_direct_sink(self, source: VConnection) -> NetVConnection | None:
        """Itself, if what a driver reads from `source` may be written to it at once."""
        return None

    # -- what a kind is ----------------------------------------------------------------------

    @abstractmethod
    def reenable(self, reads: bool) -> None:
        """Something changed for a direction. Any thread; must not call back inline."""

    @abstractmethod
    def _end_writing(self) -> None:
        """Tell the peer that no more will come."""

    @abstractmethod
    def _end(self, abort: bool) -> None:
        """Give up what the VC holds. The mutex is held, `closed` is set."""
