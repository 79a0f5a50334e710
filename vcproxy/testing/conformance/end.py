"""End: one end of a connection in a conformance test: it acts, and checks each event it gets.

Tested in tests/conformance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from random import Random

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import IOBuffer
from vcproxy.engine.vconnection import Shutdown, VConnection
from vcproxy.engine.vio import VIO

Run = Callable[[Callable[[], bool]], None]
"""Drives the connection until a condition holds; raises if it never does."""

MOMENT_S = 0.02
"""How long to wait for what must not happen: many turns of any driver."""

LARGE = 3_000_017
"""Bytes of a large transfer: many slabs, and a prime number."""

FLOOD = 64 * 1024 * 1024
"""More bytes than any kernel buffers for a peer that never reads."""

_READY = (Event.READ_READY, Event.WRITE_READY)
_LAST = (Event.READ_COMPLETE, Event.WRITE_COMPLETE, Event.EOS, Event.ERROR)


@dataclass(frozen=True, slots=True)
class Do:
    """An event on which an End calls a function: on its engine and under its mutex."""

    act: Callable[[], None]


class _MomentPassed:
    """The event that MOMENT_S has passed."""


class End(Continuation):
    """One end of a connection.

    It raises AssertionError in the test for an event without its mutex or on another engine, after
    the close, for a VIO that has been replaced, after the last event of a VIO, and for a READY
    without progress.
    """

    def __init__(self, vc: VConnection, run: Run) -> None:
        super().__init__(vc.engine, vc.mutex)
        self.vc = vc
        self.run = run
        self.events: list[Event] = []
        self.on: dict[Event, Callable[[VIO], None]] = {}
        """Functions to call on an event, in its callback, instead of draining the buffer."""
        self.received = bytearray()
        """The data taken from the read buffer."""
        self.closed = False
        self._read_buffer = IOBuffer(vc.engine.memory)
        self._read_data = self._read_buffer.reader()
        self._write_buffer = IOBuffer(vc.engine.memory)
        self.outgoing = self._write_buffer.reader()
        self._ended: set[VIO] = set()
        self._last_ndone: dict[VIO, int] = {}
        self._error: BaseException | None = None
        self._moments = 0

    def __repr__(self) -> str:
        return f"<End {self.vc.name} events={self.events}>"

    # -- for the laws ----------------------------------------------------------------------------

    def do(self, act: Callable[[], None]) -> None:
        """Call a function on the end's engine, under its mutex, and wait until it has returned."""
        done: list[bool] = []

        def acted() -> None:
            try:
                act()
            finally:
                done.append(True)

        self.engine.schedule(self, Do, Do(acted))
        self.wait(lambda: bool(done))

    def wait(self, until: Callable[[], bool]) -> None:
        """Run until a condition holds. Raises the error of a callback, if there is one."""
        self.run(lambda: self._error is not None or until())
        if self._error is not None:
            raise self._error

    def wait_for(self, event: Event, times: int = 1) -> None:
        """Wait until an event has been received this many times."""
        self.wait(lambda: self.events.count(event) >= times)

    def wait_for_end(self) -> None:
        """Wait for EOS or ERROR."""
        self.wait(lambda: Event.EOS in self.events or Event.ERROR in self.events)

    def wait_for_data(self, data: bytes) -> None:
        """Wait until exactly this data has been received in total."""
        self.wait(lambda: len(self.received) >= len(data))
        assert _digest(self.received) == _digest(data), (
            f"{len(self.received)} bytes received, but with other content"
        )

    def wait_a_moment(self) -> None:
        """Wait for what must not happen."""
        moments = self._moments
        self.engine.schedule_in(MOMENT_S, self, _MomentPassed, None)
        self.wait(lambda: self._moments > moments)

    def read(self, nbytes: int | None = None, water_mark: int = SLAB) -> None:
        """Begin to read; data is drained to `received`, unless `on` handles READ_READY."""
        self.do(lambda: self.read_now(nbytes, water_mark))

    def read_now(self, nbytes: int | None = None, water_mark: int = SLAB) -> None:
        """Begin to read, from inside a callback."""
        self._read_data.close()
        self._read_buffer = IOBuffer(self.engine.memory, water_mark)
        self._read_data = self._read_buffer.reader()
        self.vc.do_io_read(self, nbytes, self._read_buffer)

    def write(self, data: bytes) -> None:
        """Write data and wait for WRITE_COMPLETE."""
        before = self.events.count(Event.WRITE_COMPLETE)
        self.begin_writing(data, nbytes=len(data))
        self.wait_for(Event.WRITE_COMPLETE, before + 1)

    def begin_writing(self, data: bytes, nbytes: int | None = None) -> None:
        """Begin a write."""

        def act() -> None:
            self._write_buffer.write(data)
            self.vc.do_io_write(self, nbytes, self.outgoing)

        self.do(act)

    def add(self, data: bytes) -> None:
        """Add data to the current write. For callbacks."""
        self._write_buffer.write(data)
        self.write_vio.reenable()

    def shutdown(self, how: Shutdown) -> None:
        """Shut down one direction or both."""
        self.do(lambda: self.vc.do_io_shutdown(how))

    def close(self, error: Exception | None = None) -> None:
        """Close; after this no event may be received."""
        self.do(lambda: self.close_now(error))

    def close_now(self, error: Exception | None = None) -> None:
        """Close, from inside a callback."""
        self.vc.do_io_close(error)
        self.closed = True
        self.release_buffers()

    def release_buffers(self) -> None:
        """Close the readers of the buffers."""
        self.outgoing.close()
        self._read_data.close()

    def drain(self) -> None:
        """Take the data from the read buffer and reenable the read. For callbacks."""
        self.received += self._read_data.read()
        self.read_vio.reenable()

    @property
    def read_vio(self) -> VIO:
        """The current read."""
        assert self.vc.read_vio is not None
        return self.vc.read_vio

    @property
    def write_vio(self) -> VIO:
        """The current write."""
        assert self.vc.write_vio is not None
        return self.vc.write_vio

    @property
    def held(self) -> int:
        """Bytes of memory that the read buffer occupies."""
        return self._read_buffer.held

    # -- events ----------------------------------------------------------------------------------

    def handle_event(self, key: Hashable, data: object) -> None:
        """Call the function of a Do, or check an event of the VC."""
        if key is _MomentPassed:
            self._moments += 1
        elif isinstance(data, Do):
            self._checked(data.act)
        else:
            assert isinstance(key, Event)
            assert isinstance(data, VIO)
            event, vio = key, data
            self.events.append(event)
            self._checked(lambda: self._check_event(event, vio))

    def _checked(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Crash:
            raise
        except Exception as error:
            self._error = self._error or error

    def _check_event(self, event: Event, vio: VIO) -> None:
        assert self.mutex.held, f"{event} came without the mutex"
        assert self.engine.is_current, f"{event} came on another engine"
        assert not self.closed, f"{event} came after do_io_close()"
        assert vio in (self.vc.read_vio, self.vc.write_vio), f"{event} came for a replaced VIO"
        if event in _READY or event in _LAST:
            assert vio not in self._ended, f"{event} came after the last event of {vio}"
        if event in _READY:
            assert vio.ndone != self._last_ndone.get(vio), f"{event} came twice for the same news"
            self._last_ndone[vio] = vio.ndone
        if event in _LAST:
            self._ended.add(vio)
        if event in self.on:
            self.on[event](vio)
        elif vio.reads:
            self.drain()


class Crash(Exception):
    """An error raised in a callback on purpose."""


def _digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


def some_bytes(count: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(count)
