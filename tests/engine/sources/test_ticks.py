"""Ticks: the grid, missed points, and what disables them."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.world import EventRecorder, World
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.continuation import OwnTimer
from vcproxy.engine.sources.ticks import Tick, Ticks


@pytest.fixture
def world() -> World:
    return World()


class Clock:
    """A Ticks source, and the times of its events."""

    def __init__(self, world: World, every_s: float, first_s: float | None = None) -> None:
        self.world = world
        self.recorder = EventRecorder(world.engine)
        self.start = world.now
        with self.recorder.mutex.hold(world.engine):
            self.source = Ticks(self.recorder, "clock", every_s, first_s)
        self.times: list[float] = []
        self.recorder.on[Tick] = lambda: self.times.append(round(world.engine.now - self.start, 6))

    def at(self, seconds: float) -> None:
        self.world.now = self.start + seconds
        self.world.settle()

    @property
    def missed(self) -> list[int]:
        return [event.missed for event in self.recorder.data if isinstance(event, Tick)]


def test_one_comes_at_each_point_of_the_grid(world: World) -> None:
    clock = Clock(world, 1.0)
    for tenth in range(35):
        clock.at(tenth / 10)
    assert clock.times == [1.0, 2.0, 3.0]
    assert clock.recorder.data == [Tick("clock", 0)] * 3


def test_the_first_may_come_earlier_or_later(world: World) -> None:
    soon, late = Clock(world, 1.0, 0.0), Clock(world, 1.0, 1.5)
    for tenth in range(35):
        soon.at(tenth / 10)
    assert soon.times == [0.0, 1.0, 2.0, 3.0]
    assert late.times == [1.5, 2.5]


def test_a_late_one_does_not_shift_the_grid_and_missed_ones_are_counted(world: World) -> None:
    clock = Clock(world, 0.1)
    for seconds in (0.13, 0.2, 0.52, 0.59, 0.6):
        clock.at(seconds)
    assert clock.times == [0.13, 0.2, 0.52, 0.6]
    assert clock.missed == [0, 0, 2, 0]


def test_at_most_one_waits(world: World) -> None:
    clock = Clock(world, 1.0)
    other = World()
    with clock.recorder.mutex.hold(other.engine):  # another engine has the conversation
        for seconds in (1.0, 2.0, 3.0):
            clock.at(seconds)
    clock.at(3.5)
    assert clock.missed == [0]
    clock.at(4.0)
    assert clock.missed == [0, 2]


def test_while_it_is_disabled_points_are_missed(world: World) -> None:
    clock = Clock(world, 1.0)
    clock.at(1.0)
    with clock.recorder.mutex.hold(world.engine):
        clock.source.disable()
    for tenth in range(10, 36):
        clock.at(tenth / 10)
    with clock.recorder.mutex.hold(world.engine):
        clock.source.enable()
    clock.at(3.9)
    clock.at(4.0)
    assert clock.times == [1.0, 4.0]
    assert clock.missed == [0, 2]


def test_one_that_was_queued_is_kept_until_enable(world: World) -> None:
    clock = Clock(world, 1.0)
    engine = world.engine
    world.now += 1
    engine.clock(world.now)
    engine.run()  # the tick is queued
    with clock.recorder.mutex.hold(engine):
        clock.source.disable()
    clock.at(1.5)
    assert clock.times == []
    with clock.recorder.mutex.hold(engine):
        clock.source.enable()
    clock.at(1.6)
    assert clock.times == [1.6]


def test_nothing_comes_after_close(world: World) -> None:
    clock = Clock(world, 1.0)
    clock.at(1.0)
    with clock.recorder.mutex.hold(world.engine):
        clock.source.close()
        clock.source.close()
    clock.at(2.0)
    assert clock.times == [1.0]
    assert world.engine.sources == {}
    assert world.engine.next_deadline() is None
    assert world.commands == []  # the driver has no part in it


def test_a_closed_one_leaves_nothing_to_the_garbage_collector(world: World) -> None:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        source = Ticks(recorder, "clock", 1.0)
        world.now += 1.0
        world.settle()
        gc.collect()
        source.close()
    del source
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        left = {type(each) for each in gc.garbage}  # other threads may leave objects of their own
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not left & {Ticks, OwnTimer}


@pytest.mark.parametrize(
    ("every_s", "first_s", "error"),
    [
        (0.0, None, "clock: every_s is 0.0: it must be at least 0.001"),
        (1.0, -1.0, "clock: first_s is -1.0: it must not be negative"),
    ],
)
def test_other_intervals_are_refused(
    world: World, every_s: float, first_s: float | None, error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        Clock(world, every_s, first_s)
    assert world.engine.sources == {}


@given(
    every_ms=st.integers(1, 5000),
    first_ms=st.none() | st.integers(0, 5000),
    pauses_ms=st.lists(st.integers(0, 20_000), max_size=30),
)
def test_every_point_is_a_tick_or_counted_as_missed(
    every_ms: int, first_ms: int | None, pauses_ms: list[int]
) -> None:
    world = World()
    every_s = every_ms / 1000
    first_s = None if first_ms is None else first_ms / 1000
    clock = Clock(world, every_s, first_s)
    now_s = 0.0
    for pause in pauses_ms:
        now_s += pause / 1000
        clock.at(now_s)
        for _ in range(5):  # the engine postpones all timers by a second after a delay
            now_s += 0.3
            clock.at(now_s)
    clock.at(now_s)  # without pauses too: the first tick may be at once
    points = 0
    while (
        clock.source.engine.now
        >= clock.start + (every_s if first_s is None else first_s) + points * every_s
    ):
        points += 1
    assert len(clock.missed) + sum(clock.missed) == points


def test_in_a_simulation_time_is_virtual() -> None:
    with Simulation(0) as sim:
        driver = sim.driver()
        recorder = EventRecorder(driver.engine)
        with recorder.mutex.hold(driver.engine):
            Ticks(recorder, "hourly", 3600.0)
        sim.run(until=lambda: len(recorder.data) == 24, limit=100_000.0)
        assert recorder.data == [Tick("hourly", 0)] * 24
        assert sim.now == 24 * 3600.0
