"""Mutex: re-entrant, never waited for; events that find it taken are posted at its release."""

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from vcproxy.engine.engine import Engine
from vcproxy.engine.iobuffer import IOBuffer
from vcproxy.engine.mutex import LockNotHeld, Mutex, current
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vconnection import Shutdown

from .world import TARGET, EventRecorder, World, engine


def test_its_owner_takes_it_again() -> None:
    mutex, mine, other = Mutex(), engine(), engine()
    assert mutex.try_acquire(mine)
    assert mutex.try_acquire(mine)
    assert not mutex.try_acquire(other)
    mutex.release(mine)
    assert not mutex.try_acquire(other)
    mutex.release(mine)
    assert mutex.try_acquire(other)
    mutex.release(other)


def test_the_owner_is_the_engine_and_not_the_thread() -> None:
    mutex, mine, other = Mutex(), engine(), engine()
    mine.clock(0.0)
    mutex.try_acquire(mine)
    assert mutex.held
    other.clock(0.0)
    assert not mutex.held
    mine.clock(0.0)
    mutex.release(mine)
    assert not mutex.held


def test_a_call_is_parked_and_posted_on_the_last_release() -> None:
    mutex, mine, other = Mutex(), engine(), engine()
    done: list[str] = []
    mutex.try_acquire(mine)
    mutex.try_acquire(mine)
    mutex.park(other, lambda: done.append("retried"))
    mutex.release(mine)
    assert not other.inbox.calls
    mutex.release(mine)
    assert done == [], "not inline"
    other.clock(0.0)
    assert done == ["retried"]


def test_a_release_just_before_parking_is_detected() -> None:
    mutex, other = Mutex(), engine()
    mutex.park(other, lambda: None)
    assert other.inbox.calls


def test_hold_is_for_code_outside_a_turn() -> None:
    mutex, mine, other = Mutex(), engine(), engine()
    other.clock(0.0)
    with mutex.hold(mine), mutex.hold(mine):
        assert mutex.held
        assert mine.is_current
    assert other.is_current
    mutex.try_acquire(other)
    with pytest.raises(LockNotHeld, match="taken by another engine"), mutex.hold(mine):
        pass
    assert other.is_current
    mutex.release(other)


VERBS: dict[str, Callable[[NetVConnection, EventRecorder], object]] = {
    "do_io_read": lambda vc, recorder: vc.do_io_read(
        recorder, None, IOBuffer(recorder.engine.memory)
    ),
    "do_io_write": lambda vc, recorder: vc.do_io_write(recorder, None, recorder.outgoing),
    "do_io_shutdown": lambda vc, recorder: vc.do_io_shutdown(Shutdown.BOTH),
    "do_io_close": lambda vc, recorder: vc.do_io_close(),
    "set_inactivity_timeout": lambda vc, recorder: vc.set_inactivity_timeout(1),
    "set_active_timeout": lambda vc, recorder: vc.set_active_timeout(1),
    "connect": lambda vc, recorder: vc.engine.connect(EventRecorder(vc.engine), TARGET),
}


@pytest.mark.parametrize("verb", VERBS)
def test_each_method_needs_it(verb: str) -> None:
    world = World()
    vc, _ = world.vc()
    with pytest.raises(LockNotHeld, match=rf"^{verb}\(\) needs the mutex of its conversation"):
        VERBS[verb](vc, EventRecorder(world.engine))
    assert not vc.closed


def test_parked_events_keep_their_order() -> None:
    world, other = World(), engine()
    recorder = EventRecorder(world.engine)
    for n in range(5):
        world.engine.schedule(recorder, n, None)
    with recorder.mutex.hold(other):
        world.turn()
    world.engine.schedule(recorder, 5, None)
    world.settle()
    assert recorder.events == [0, 1, 2, 3, 4, 5]


def test_an_event_does_not_overtake_a_parked_one() -> None:
    """Another thread releases the mutex in the middle of a turn."""
    world, other = World(), engine()
    recorder, meanwhile = EventRecorder(world.engine), EventRecorder(world.engine)
    meanwhile.on["let go"] = lambda: recorder.mutex.release(other)
    recorder.mutex.try_acquire(other)
    world.engine.schedule(recorder, "first", None)
    world.engine.schedule(meanwhile, "let go", None)
    world.engine.schedule(recorder, "second", None)
    world.settle()
    assert recorder.events == ["first", "second"]


@pytest.fixture
def tiny_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("tiny_switch_interval")
def test_two_threads_lose_no_event() -> None:
    """Two engines deliver to one conversation: each event once, never two at a time."""
    rounds = 2_000
    shared = Mutex()
    inside: list[Engine] = []
    collisions: list[object] = []

    class Counter(EventRecorder):
        def handle_event(self, key: object, data: object) -> None:
            inside.append(self.engine)
            self.events.append(data)
            if inside != [self.engine]:
                collisions.append(data)
            inside.pop()

    counters = [Counter(engine(name=name), shared) for name in ("one", "two")]

    def net_thread(counter: Counter, other: Counter) -> None:
        for n in range(rounds):
            counter.engine.clock(float(n))
            counter.engine.schedule(counter, "mine", n)
            other.engine.schedule(other, "theirs", -n)
            counter.engine.run()
        while len(counter.events) < 2 * rounds and alive():
            counter.engine.clock(float(rounds))
            counter.engine.run()
        current.engine = None

    deadline = threading.Event()
    timer = threading.Timer(20, deadline.set)
    timer.start()

    def alive() -> bool:
        return not deadline.is_set()

    threads = [
        threading.Thread(target=net_thread, args=pair)
        for pair in (counters, list(reversed(counters)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    timer.cancel()
    timer.join()
    assert collisions == []
    for counter in counters:
        mine = [n for n in counter.events if isinstance(n, int) and n > 0]
        theirs = [n for n in counter.events if isinstance(n, int) and n < 0]
        assert mine == list(range(1, rounds))
        assert theirs == list(range(-1, -rounds, -1))
        assert len(counter.events) == 2 * rounds
