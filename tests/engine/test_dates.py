"""Dates: never early, at most a second late, and how jumps of the clock are followed."""

import pytest

from .world import EventRecorder, World

NOON = 1_000_000


class ClockedWorld(World):
    """A world whose time of day runs with its clock; `ahead` sets it forwards."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0
        self.set_time_of_day()

    def set_time_of_day(self) -> None:
        """Set the time of day, as a driver does in each second that has a turn."""
        self.engine.time_of_day(NOON + self.ahead + int(self.now))

    def pass_time(self, seconds: float) -> None:
        """Run a turn at each deadline, with the time of day set first."""
        end = self.now + seconds
        while True:
            due = self.engine.next_deadline()
            self.now = end if due is None else min(max(due, self.now), end)
            self.engine.clock(self.now)
            self.set_time_of_day()
            while self.engine.busy or self.engine.next_deadline() == self.now:
                self.engine.run()
                self.flush()
            if self.now >= end:
                return


@pytest.fixture
def world() -> ClockedWorld:
    return ClockedWorld()


def test_it_comes_at_its_second_and_not_before(world: ClockedWorld) -> None:
    recorder = EventRecorder(world.engine)
    world.engine.schedule_at_date(NOON + 100, recorder, "date", "data")
    world.pass_time(99.9)
    assert recorder.events == []
    world.pass_time(0.2)
    assert recorder.events == ["date"]
    assert recorder.data == ["data"]
    world.pass_time(1000)
    assert recorder.events == ["date"]


def test_a_fraction_of_a_second_is_rounded_up(world: ClockedWorld) -> None:
    recorder = EventRecorder(world.engine)
    world.engine.schedule_at_date(NOON + 1.5, recorder, "date", None)
    world.pass_time(1.9)
    assert recorder.events == []
    world.pass_time(0.2)
    assert recorder.events == ["date"]


def test_a_date_that_is_past_comes_at_once(world: ClockedWorld) -> None:
    recorder = EventRecorder(world.engine)
    world.engine.schedule_at_date(NOON - 100, recorder, "date", None)
    world.settle()
    assert recorder.events == ["date"]


def test_a_jump_forwards_is_noticed_within_10_seconds(world: ClockedWorld) -> None:
    recorder = EventRecorder(world.engine)
    world.engine.schedule_at_date(NOON + 3600, recorder, "date", None)
    world.pass_time(100)
    world.ahead = 7200
    world.pass_time(10)
    assert recorder.events == ["date"]


def test_a_jump_back_delays_it(world: ClockedWorld) -> None:
    recorder = EventRecorder(world.engine)
    world.engine.schedule_at_date(NOON + 60, recorder, "date", None)
    world.pass_time(55)
    world.ahead = -60
    world.pass_time(60)
    assert recorder.events == []
    world.pass_time(10)
    assert recorder.events == ["date"]


def test_it_can_be_cancelled(world: ClockedWorld) -> None:
    recorder = EventRecorder(world.engine)
    later = world.engine.schedule_at_date(NOON + 60, recorder, "date", None)
    due = world.engine.schedule_at_date(NOON, recorder, "due", None)
    world.pass_time(30)
    later.cancel()
    due.cancel()
    assert recorder.events == ["due"]
    world.pass_time(100)
    assert recorder.events == ["due"]
    assert world.engine.next_deadline() is None


def test_without_a_time_of_day_it_waits(world: ClockedWorld) -> None:
    recorder = EventRecorder(world.engine)
    world.engine.time_of_day(0)
    world.engine.schedule_at_date(NOON, recorder, "date", None)
    world.settle(5)
    assert recorder.events == []
    world.pass_time(10)
    assert recorder.events == ["date"]


def test_it_costs_few_turns(world: ClockedWorld) -> None:
    recorder = EventRecorder(world.engine)
    world.engine.schedule_at_date(NOON + 1000, recorder, "date", None)
    before = world.engine.turns
    world.pass_time(1001)
    assert recorder.events == ["date"]
    assert world.engine.turns - before < 125  # each 10 s, and 0.1 s apart in the last second
