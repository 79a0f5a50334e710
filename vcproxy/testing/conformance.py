"""Conformance: what every VConnection must do, as laws that a kind of VC is held to.

A kind is given by a maker, which yields a connected `Pair` and tidies up behind it:

    @pytest.mark.parametrize("law", laws(), ids=str)
    def test_my_kind(law: Law) -> None:
        with my_pair() as pair:
            law(pair)

A kind that cannot do all says what it lacks: `laws(lacking=(Trait.RESET,))`. The laws know no
kind: nothing here may ask what a VC is. Beside what it is about, every law checks what holds of
all events (see `End`).
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from random import Random

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import IOBuffer
from vcproxy.engine.mutex import LockNotHeld
from vcproxy.engine.vconnection import ClosedError, Shutdown, VConnection
from vcproxy.engine.vio import VIO

Run = Callable[[Callable[[], bool]], None]
"""Drives what lies beneath until the condition holds; fails, saying so, when it never does."""

MOMENT_S = 0.02
"""How long to wait for what must not happen: many turns of any driver."""

LARGE = 3_000_017
"""Bytes of a large transfer: many slabs, and no multiple of anything."""

FLOOD = 64 * 1024 * 1024
"""More than any kernel buffers for a peer that never reads."""

_READY = (Event.READ_READY, Event.WRITE_READY)
_LAST = (Event.READ_COMPLETE, Event.WRITE_COMPLETE, Event.EOS, Event.ERROR)


class Trait(enum.Enum):
    """What a kind of VC may lack."""

    RESET = enum.auto()
    """An abnormal end is told from an orderly one."""
    HALF_CLOSE = enum.auto()
    """One direction may end and the other go on."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two connected VCs, on one engine or on two, and what makes them move."""

    a: VConnection
    b: VConnection
    run: Run


@dataclass(frozen=True, slots=True)
class Law:
    """One thing that every VC does; called with a fresh pair."""

    check: Callable[[End, End], None]
    needs: Trait | None

    def __str__(self) -> str:
        return self.check.__name__

    def __call__(self, pair: Pair) -> None:
        """Check it. Raises AssertionError."""
        a, b = End(pair.a, pair.run), End(pair.b, pair.run)
        self.check(a, b)
        for end in (a, b):
            if not end.closed:
                end.close()
        a.wait_a_moment()
        b.wait(lambda: True)
        for end in (a, b):
            end.let_go()


_LAWS: list[Law] = []


def laws(lacking: Sequence[Trait] = ()) -> list[Law]:
    """The laws for a kind that lacks some traits."""
    return [law for law in _LAWS if law.needs not in lacking]


def _law(check: Callable[[End, End], None]) -> None:
    _LAWS.append(Law(check, None))


def _law_needing(trait: Trait) -> Callable[[Callable[[End, End], None]], None]:
    return lambda check: _LAWS.append(Law(check, trait))


@dataclass(frozen=True, slots=True)
class _Do:
    """An event that has an end act, where it may: on its engine, under its mutex."""

    act: Callable[[], None]


class _Passed:
    """The event that a moment has passed."""


class End(Continuation):
    """One end: it does as it is told, and writes down what it hears.

    It objects to any event outside its mutex or engine, after the close, for a VIO that has been
    replaced, after the last event of a VIO, and to a READY that brings no news.
    """

    def __init__(self, vc: VConnection, run: Run) -> None:
        super().__init__(vc.engine, vc.mutex)
        self.vc = vc
        self.run = run
        self.heard: list[Event] = []
        self.on: dict[Event, Callable[[VIO], None]] = {}
        """What to do on an event, in its callback, instead of draining the buffer."""
        self.got = bytearray()
        """What came in and was taken from the buffer."""
        self.closed = False
        self._inward = IOBuffer(vc.engine.memory)
        self._incoming = self._inward.reader()
        self._outward = IOBuffer(vc.engine.memory)
        self.outgoing = self._outward.reader()
        self._over: set[VIO] = set()
        self._seen: dict[VIO, int] = {}
        self._objection: BaseException | None = None
        self._moments = 0

    def __repr__(self) -> str:
        return f"<End {self.vc.name} heard={self.heard}>"

    # -- what the laws say -------------------------------------------------------------------

    def do(self, act: Callable[[], None]) -> None:
        """Act on the end's engine, under its mutex, and wait until it is done."""
        done: list[bool] = []

        def acted() -> None:
            try:
                act()
            finally:
                done.append(True)

        self.engine.schedule(self, _Do, _Do(acted))
        self.wait(lambda: bool(done))

    def wait(self, until: Callable[[], bool]) -> None:
        """Run until a condition holds, or until this end objects to something."""
        self.run(lambda: self._objection is not None or until())
        if self._objection is not None:
            raise self._objection

    def hears(self, event: Event, times: int = 1) -> None:
        """Wait for an event."""
        self.wait(lambda: self.heard.count(event) >= times)

    def hears_an_end(self) -> None:
        """Wait for EOS or ERROR: which of them it is, is not the point."""
        self.wait(lambda: Event.EOS in self.heard or Event.ERROR in self.heard)

    def gets(self, data: bytes) -> None:
        """Wait until exactly this has come in all."""
        self.wait(lambda: len(self.got) >= len(data))
        assert _digest(self.got) == _digest(data), f"{len(self.got)} bytes came, but not the same"

    def wait_a_moment(self) -> None:
        """Wait for what must not happen."""
        moments = self._moments
        self.engine.schedule_in(MOMENT_S, self, _Passed, None)
        self.wait(lambda: self._moments > moments)

    def read(self, nbytes: int | None = None, water_mark: int = SLAB) -> None:
        """Begin to read; what comes is drained to `got`, unless `on` says otherwise."""
        self.do(lambda: self.read_now(nbytes, water_mark))

    def read_now(self, nbytes: int | None = None, water_mark: int = SLAB) -> None:
        """The same, in a callback."""
        self._incoming.close()
        self._inward = IOBuffer(self.engine.memory, water_mark)
        self._incoming = self._inward.reader()
        self.vc.do_io_read(self, nbytes, self._inward)

    def write(self, data: bytes) -> None:
        """Write this to the end, WRITE_COMPLETE included."""
        before = self.heard.count(Event.WRITE_COMPLETE)
        self.begin_writing(data, nbytes=len(data))
        self.hears(Event.WRITE_COMPLETE, before + 1)

    def begin_writing(self, data: bytes, nbytes: int | None = None) -> None:
        """Begin a write."""

        def act() -> None:
            self._outward.write(data)
            self.vc.do_io_write(self, nbytes, self.outgoing)

        self.do(act)

    def add(self, data: bytes) -> None:
        """Give the write that is going on more to write. In a callback."""
        self._outward.write(data)
        self.write_vio.reenable()

    def shutdown(self, how: Shutdown) -> None:
        """Shut directions down."""
        self.do(lambda: self.vc.do_io_shutdown(how))

    def close(self, error: Exception | None = None) -> None:
        """Close: from here on nothing may be heard."""
        self.do(lambda: self.close_now(error))

    def close_now(self, error: Exception | None = None) -> None:
        """The same, in a callback."""
        self.vc.do_io_close(error)
        self.closed = True
        self.let_go()

    def let_go(self) -> None:
        """Give the buffers up."""
        self.outgoing.close()
        self._incoming.close()

    def drain(self) -> None:
        """Take what is in the buffer, and say that there is room. In a callback."""
        self.got += self._incoming.read()
        self.read_vio.reenable()

    @property
    def read_vio(self) -> VIO:
        """The read that is going on."""
        assert self.vc.read_vio is not None
        return self.vc.read_vio

    @property
    def write_vio(self) -> VIO:
        """The write that is going on."""
        assert self.vc.write_vio is not None
        return self.vc.write_vio

    @property
    def held(self) -> int:
        """What its read buffer occupies."""
        return self._inward.held

    # -- what it hears -----------------------------------------------------------------------

    def handle_event(self, key: Hashable, data: object) -> None:
        """Obey, or write down and judge."""
        if key is _Passed:
            self._moments += 1
        elif isinstance(data, _Do):
            self._minding(data.act)
        else:
            assert isinstance(key, Event)
            assert isinstance(data, VIO)
            event, vio = key, data
            self.heard.append(event)
            self._minding(lambda: self._subscribe(event, vio))

    def _minding(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Crash:
            raise
        except Exception as objection:
            self._objection = self._objection or objection

    def _subscribe(self, event: Event, vio: VIO) -> None:
        assert self.mutex.held, f"{event} came without the mutex"
        assert self.engine.is_current, f"{event} came on another engine"
        assert not self.closed, f"{event} came after do_io_close()"
        assert vio in (self.vc.read_vio, self.vc.write_vio), f"{event} came for a replaced VIO"
        if event in _READY or event in _LAST:
            assert vio not in self._over, f"{event} came after the last event of {vio}"
        if event in _READY:
            assert vio.ndone != self._seen.get(vio), f"{event} came twice for the same news"
            self._seen[vio] = vio.ndone
        if event in _LAST:
            self._over.add(vio)
        if event in self.on:
            self.on[event](vio)
        elif vio.reads:
            self.drain()


class Crash(Exception):
    """A mistake made on purpose, in a callback."""


def _digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


def _some(count: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(count)


# -- bytes ------------------------------------------------------------------------------------


@_law
def bytes_go_both_ways(a: End, b: End) -> None:
    """What one end writes the other reads."""
    a.read()
    b.read()
    a.write(b"ping")
    b.gets(b"ping")
    b.write(b"pong")
    a.gets(b"pong")


@_law
def one_byte_at_a_time(a: End, b: End) -> None:
    """Crumbs are bytes too, and keep their order."""
    message = _some(64)
    b.read()
    for n in range(len(message)):
        a.write(message[n : n + 1])
    b.gets(message)


@_law
def large_transfers_at_once(a: End, b: End) -> None:
    """Both directions at the same time, each byte in its place."""
    there, back = _some(LARGE, 1), _some(LARGE, 2)
    a.read()
    b.read()
    a.begin_writing(there, nbytes=LARGE)
    b.begin_writing(back, nbytes=LARGE)
    b.gets(there)
    a.gets(back)
    a.hears(Event.WRITE_COMPLETE)
    b.hears(Event.WRITE_COMPLETE)


@_law
def a_write_goes_on_when_there_is_more(a: End, b: End) -> None:
    """Without a goal a write sleeps when it has nothing, until it is reenabled."""
    b.read()
    a.begin_writing(b"")
    a.hears(Event.WRITE_READY)
    a.do(lambda: a.add(b"one "))
    b.gets(b"one ")
    a.do(lambda: a.add(b"two"))
    b.gets(b"one two")
    assert Event.WRITE_COMPLETE not in a.heard


@_law
def a_full_buffer_stops_the_reading(a: End, b: End) -> None:
    """A buffer holds its mark and one slab; a consumer that reenables gets all the rest."""
    data = _some(LARGE)
    b.on[Event.READ_READY] = lambda _: None
    b.read(water_mark=64 * 1024)
    a.begin_writing(data, nbytes=LARGE)
    b.hears(Event.READ_READY)
    b.wait_a_moment()
    assert b.held <= 64 * 1024 + SLAB
    assert b.read_vio.ndone < LARGE
    del b.on[Event.READ_READY]
    b.do(b.drain)
    b.gets(data)


@_law
def a_peer_that_never_reads_holds_the_writer_up(a: End, b: End) -> None:
    """What a peer does not take stays with the writer, and costs bounded memory."""
    piece = bytes(SLAB)

    def fill(vio: VIO) -> None:
        if vio.ndone < FLOOD and a.outgoing.avail < SLAB:
            a.add(piece)

    a.on[Event.WRITE_READY] = fill
    a.begin_writing(piece)
    so_far = -1
    while so_far < a.write_vio.ndone:
        so_far = a.write_vio.ndone
        a.wait_a_moment()
    assert so_far < FLOOD, "a peer that never reads took it all"
    assert a.outgoing.avail <= 2 * SLAB
    assert not b.heard


# -- goals ------------------------------------------------------------------------------------


@_law
def a_read_ends_exactly_at_its_goal(a: End, b: End) -> None:
    """READ_COMPLETE at nbytes; what came with it waits for the next read."""
    a.begin_writing(b"head" + b"body")
    b.read(nbytes=4)
    b.hears(Event.READ_COMPLETE)
    assert b.got == b"head"
    b.read(nbytes=4)
    b.hears(Event.READ_COMPLETE, times=2)
    assert b.got == b"headbody"


@_law
def a_write_ends_exactly_at_its_goal(a: End, b: End) -> None:
    """WRITE_COMPLETE at nbytes; what lies behind them stays with the writer."""
    b.read()
    a.begin_writing(b"this, not that", nbytes=5)
    a.hears(Event.WRITE_COMPLETE)
    assert a.write_vio.ndone == 5
    b.gets(b"this,")
    b.wait_a_moment()
    assert a.outgoing.peek() == b" not that"
    assert b.got == b"this,"


@_law
def writes_follow_one_another(a: End, b: End) -> None:
    """Each write has its own goal and its own WRITE_COMPLETE."""
    pieces = [_some(size, seed=size) for size in (1, 5_000, 300_000, 2, 70_000)]
    b.read()
    for piece in pieces:
        a.write(piece)
    b.gets(b"".join(pieces))
    assert a.heard.count(Event.WRITE_COMPLETE) == len(pieces)


@_law
def a_goal_may_move(a: End, b: End) -> None:
    """nbytes is changed under the mutex; reenable makes it count."""

    def read_until(nbytes: int) -> None:
        b.read_vio.nbytes = nbytes
        b.read_vio.reenable()

    def write_until(nbytes: int) -> None:
        a.write_vio.nbytes = nbytes
        a.write_vio.reenable()

    b.read(nbytes=100)
    a.begin_writing(b"12345678")
    b.gets(b"12345678")
    b.do(lambda: read_until(12))
    a.do(lambda: a.add(b"90ab and more"))
    b.hears(Event.READ_COMPLETE)
    b.gets(b"1234567890ab")
    b.read()
    b.gets(b"1234567890ab and more")
    a.do(lambda: write_until(a.write_vio.ndone))
    a.hears(Event.WRITE_COMPLETE)
    b.do(lambda: read_until(b.read_vio.ndone))
    b.hears(Event.READ_COMPLETE, times=2)


@_law
def a_replaced_read_keeps_every_byte(a: End, b: End) -> None:
    """A read is replaced in the middle, by another buffer: nothing is lost, nothing comes twice."""
    data = _some(500_000)

    def take_and_replace(_: VIO) -> None:
        b.drain()
        b.read_now(water_mark=8 * 1024)

    b.on[Event.READ_READY] = take_and_replace
    b.read(water_mark=8 * 1024)
    a.begin_writing(data, nbytes=len(data))
    b.gets(data)


# -- ends -------------------------------------------------------------------------------------


@_law_needing(Trait.HALF_CLOSE)
def one_direction_ends_and_the_other_goes_on(a: End, b: End) -> None:
    """EOS comes after all data; then the other direction carries as before, and ends too."""
    data = _some(200_000)
    a.read()
    b.read()
    a.write(data)
    a.shutdown(Shutdown.WRITE)
    b.hears(Event.EOS)
    b.gets(data)
    assert Event.EOS not in a.heard
    b.write(data)
    a.gets(data)
    b.shutdown(Shutdown.WRITE)
    a.hears(Event.EOS)
    assert Event.ERROR not in a.heard + b.heard


@_law_needing(Trait.HALF_CLOSE)
def the_other_direction_may_end_first(a: End, b: End) -> None:
    """There is no first and second end."""
    a.read()
    b.write(b"goodbye")
    b.shutdown(Shutdown.WRITE)
    a.hears(Event.EOS)
    a.gets(b"goodbye")
    b.read()
    a.write(b"so long")
    b.gets(b"so long")


@_law
def a_close_is_an_orderly_end(a: End, b: End) -> None:
    """All that was WRITE_COMPLETE arrives, then EOS."""
    data = _some(100_000)
    b.read()
    a.write(data)
    a.close()
    b.hears(Event.EOS)
    b.gets(data)
    assert Event.ERROR not in b.heard


@_law
def an_end_is_told_to_each_new_reader(a: End, b: End) -> None:
    """EOS is a state of the stream, not of one read."""
    b.read()
    a.close()
    b.hears(Event.EOS)
    b.read()
    b.hears(Event.EOS, times=2)


@_law
def an_end_that_came_before_the_read(a: End, b: End) -> None:
    """A read that was complete hears of no end; the next one does."""
    a.read()
    b.read(nbytes=len(b"answer"))
    b.write(b"asked")
    a.gets(b"asked")
    a.write(b"answer")
    b.hears(Event.READ_COMPLETE)
    a.close()
    b.wait_a_moment()
    b.read()
    b.hears(Event.EOS)
    b.gets(b"answer")


@_law
def both_close_at_once(a: End, b: End) -> None:
    """Neither hears anything."""
    a.read()
    b.read()
    a.begin_writing(b"")
    a.hears(Event.WRITE_READY)
    heard = list(a.heard)
    a.engine.schedule(a, _Do, _Do(a.close_now))
    b.engine.schedule(b, _Do, _Do(b.close_now))
    a.wait(lambda: a.closed and b.closed)
    a.wait_a_moment()
    b.wait_a_moment()
    assert a.heard == heard


@_law
def shutdown_of_both_directions(a: End, b: End) -> None:
    """The peer hears EOS; who shut down hears nothing any more, and still owes the close."""
    a.read()
    b.read()
    a.shutdown(Shutdown.BOTH)
    b.hears(Event.EOS)
    heard = list(a.heard)
    a.wait_a_moment()
    assert a.heard == heard
    a.close()


@_law_needing(Trait.RESET)
def a_reset_is_an_error(a: End, b: End) -> None:
    """A close with an error is ERROR for both directions of the peer, and never EOS."""
    b.read()
    b.begin_writing(b"")
    b.hears(Event.WRITE_READY)
    a.close(ConnectionError("on purpose"))
    b.hears(Event.ERROR, times=2)
    assert Event.EOS not in b.heard
    assert isinstance(b.read_vio.error, Exception)
    b.read()
    b.hears(Event.ERROR, times=3)


@_law
def writing_to_a_closed_peer_is_an_error(a: End, b: End) -> None:
    """Sooner or later a writer learns that nobody takes it."""
    a.close()

    def more(_: VIO) -> None:
        b.add(bytes(1000))

    b.on[Event.WRITE_READY] = more
    b.begin_writing(bytes(1000))
    b.hears(Event.ERROR)


@_law
def closing_in_a_callback(a: End, b: End) -> None:
    """Any callback may close; it is the last one, though more was on its way."""
    b.on[Event.READ_READY] = lambda _: b.close_now()
    a.begin_writing(_some(300_000))
    b.read(water_mark=1024)
    b.wait(lambda: b.closed)
    b.wait_a_moment()
    assert b.heard == [Event.READ_READY]
    a.read()
    a.hears_an_end()


@_law
def a_crash_closes_the_connection(a: End, b: End) -> None:
    """A mistake in a callback ends the conversation; the peer learns of it."""

    def stumble(_: VIO) -> None:
        b.closed = True
        raise Crash("on purpose")

    a.read()
    b.on[Event.READ_READY] = stumble
    b.read()
    a.begin_writing(b"a banana skin")
    a.hears_an_end()
    assert b.vc.closed
    assert b.heard == [Event.READ_READY]


# -- verbs ------------------------------------------------------------------------------------


@_law
def reenable_is_always_harmless(a: End, b: End) -> None:
    """It may come at any time, from anywhere, and where nothing can be done nothing is said."""
    b.read()
    a.begin_writing(b"")
    a.hears(Event.WRITE_READY)
    for _ in range(20):
        a.write_vio.reenable()
        b.read_vio.reenable()
    a.wait_a_moment()
    b.wait_a_moment()
    assert a.heard == [Event.WRITE_READY]
    assert b.heard == []
    reading, writing = b.read_vio, a.write_vio
    a.close()
    b.close()
    reading.reenable()
    writing.reenable()
    a.wait_a_moment()
    b.wait_a_moment()


@_law
def after_the_close_only_closing_is_allowed(a: End, b: End) -> None:
    """Any other verb is a programmer's mistake, and says so."""
    a.close()
    a.do(lambda: a.vc.do_io_close())
    verbs: list[Callable[[], object]] = [
        lambda: a.vc.do_io_read(a, None, IOBuffer(a.engine.memory)),
        lambda: a.vc.do_io_write(a, None, a.outgoing),
        lambda: a.vc.do_io_shutdown(Shutdown.BOTH),
        lambda: a.vc.set_inactivity_timeout(1),
        lambda: a.vc.set_active_timeout(1),
    ]
    for verb in verbs:
        a.do(lambda verb=verb: _raises(ClosedError, verb))  # type: ignore[misc]


@_law
def verbs_need_the_mutex(a: End, b: End) -> None:
    """From another conversation's callback only reenable() is free."""
    verbs: list[Callable[[], object]] = [
        lambda: a.vc.do_io_read(b, None, IOBuffer(a.engine.memory)),
        lambda: a.vc.do_io_write(b, None, b.outgoing),
        lambda: a.vc.do_io_shutdown(Shutdown.BOTH),
        lambda: a.vc.do_io_close(),
        lambda: a.vc.set_inactivity_timeout(1),
        lambda: a.vc.set_active_timeout(1),
    ]
    for verb in verbs:
        b.do(lambda verb=verb: _raises(LockNotHeld, verb))  # type: ignore[misc]


def _raises(error: type[Exception], verb: Callable[[], object]) -> None:
    try:
        verb()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


# -- timeouts ---------------------------------------------------------------------------------


@_law
def inactivity_is_told_once(a: End, b: End) -> None:
    """The VC stays usable, and the timeout is silent until it is set again."""
    b.read()
    b.do(lambda: b.vc.set_inactivity_timeout(MOMENT_S))
    b.hears(Event.INACTIVITY_TIMEOUT)
    b.wait_a_moment()
    b.wait_a_moment()
    assert b.heard == [Event.INACTIVITY_TIMEOUT]
    a.write(b"late")
    b.gets(b"late")
    b.do(lambda: b.vc.set_inactivity_timeout(MOMENT_S))
    b.hears(Event.INACTIVITY_TIMEOUT, times=2)


@_law
def bytes_put_inactivity_off(a: End, b: End) -> None:
    """It counts from the byte that moved last, not from when it was set."""
    idle_s: list[float] = []
    moved_at = b.engine.now

    def moved(_: VIO) -> None:
        # Noted here: a byte may also move between the timeout and its delivery.
        nonlocal moved_at
        moved_at = b.vc.moved_at
        b.drain()

    b.on[Event.READ_READY] = moved
    b.on[Event.INACTIVITY_TIMEOUT] = lambda _: idle_s.append(b.engine.now - moved_at)
    b.read()
    b.do(lambda: b.vc.set_inactivity_timeout(2 * MOMENT_S))
    for _ in range(4):
        a.write(b".")
        b.wait_a_moment()
    b.wait(lambda: bool(idle_s))
    assert idle_s[0] > 2 * MOMENT_S - 1e-6


@_law
def active_timeout_comes_whatever_moves(a: End, b: End) -> None:
    """It counts from when it was set."""
    b.read()
    b.do(lambda: b.vc.set_active_timeout(2 * MOMENT_S))
    while Event.ACTIVE_TIMEOUT not in b.heard:
        a.write(b".")
        b.wait_a_moment()
    assert b.heard.count(Event.ACTIVE_TIMEOUT) == 1


@_law
def timeouts_may_be_cancelled(a: End, b: End) -> None:
    """0 cancels; so does the close."""

    def set_and_cancel() -> None:
        # In one callback: between two, a slow machine may take longer than the timeouts.
        b.vc.set_inactivity_timeout(MOMENT_S)
        b.vc.set_active_timeout(MOMENT_S)
        b.vc.set_inactivity_timeout(0)
        b.vc.set_active_timeout(0)

    b.read()
    b.do(set_and_cancel)
    b.wait_a_moment()
    b.wait_a_moment()
    assert b.heard == []


@_law
def a_read_of_nothing_hears_the_timeouts(a: End, b: End) -> None:
    """nbytes 0: the bytes wait for whoever reads in earnest."""
    a.begin_writing(b"patience")
    b.read(nbytes=0)
    b.do(lambda: b.vc.set_inactivity_timeout(MOMENT_S))
    b.hears(Event.INACTIVITY_TIMEOUT)
    assert b.heard == [Event.INACTIVITY_TIMEOUT]
    assert b.held == 0
    b.read()
    b.gets(b"patience")
