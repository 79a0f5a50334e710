"""Scheduler against a sorted list."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from vcproxy.engine.scheduler import SWEEP_AT, Action, Scheduler

from .world import EventRecorder, engine

EAR = EventRecorder(engine())
seconds = st.integers(0, 50).map(float)


def action(name: object, when: float = 0.0, period: float = 0.0) -> Action:
    return Action(EAR, name, None, when, period)


class Model(RuleBasedStateMachine):
    """Due events come by time, then in the order of scheduling; cancelled ones never."""

    actions = Bundle("actions")

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler()
        self.waiting: list[tuple[float, int, Action]] = []
        self.due: list[Action] = []
        self.n = 0

    def _wait(self, when: float, action: Action) -> None:
        self.n += 1
        self.waiting.append((when, self.n, action))

    @rule(target=actions, when=seconds, period=st.sampled_from((0.0, 0.0, 3.0, 7.0)))
    def later(self, when: float, period: float) -> Action:
        new = action(f"later {self.n}", when, period)
        self.scheduler.later(new)
        self._wait(when, new)
        return new

    @rule(target=actions)
    def soon(self) -> Action:
        self.n += 1
        new = action(f"soon {self.n}")
        self.scheduler.soon(new)
        self.due.append(new)
        return new

    @rule(cancelled=actions)
    def cancel(self, cancelled: Action) -> None:
        cancelled.cancel()
        self.waiting = [entry for entry in self.waiting if entry[2] is not cancelled]
        self.due = [due for due in self.due if due is not cancelled]

    @rule(passed=seconds)
    def clock(self, passed: float) -> None:
        now = self.scheduler.now + passed
        self.scheduler.clock(now)
        for entry in sorted(entry for entry in self.waiting if entry[0] <= now):
            self.waiting.remove(entry)
            self.due.append(entry[2])
            if entry[2].period:
                self._wait(now + entry[2].period, entry[2])

    @rule()
    def run(self) -> None:
        assert [ticket for ticket, _, _ in self.scheduler.queue if ticket.live] == self.due
        self.scheduler.queue.clear()
        self.due.clear()

    @invariant()
    def the_deadline_is_that_of_the_first(self) -> None:
        assert self.scheduler.next_deadline() == min((e[0] for e in self.waiting), default=None)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40)


def test_the_clock_never_runs_backwards() -> None:
    scheduler = Scheduler()
    scheduler.clock(10.0)
    scheduler.clock(5.0)
    assert scheduler.now == 10.0


def test_a_delayed_thread_gets_no_burst_of_ticks() -> None:
    scheduler = Scheduler()
    scheduler.later(action("tick", when=1.0, period=1.0))
    scheduler.clock(100.0)
    assert [key for _, key, _ in scheduler.queue] == ["tick"]
    assert scheduler.next_deadline() == 101.0


class Counting(Scheduler):
    """Counts how often it looks at every timer."""

    __slots__ = ("sweeps",)

    def __init__(self) -> None:
        super().__init__()
        self.sweeps = 0

    def _sweep(self) -> None:
        self.sweeps += 1
        super()._sweep()


def test_cancelled_timers_are_removed() -> None:
    scheduler = Counting()
    kept = action("kept", when=9e9)
    scheduler.later(kept)
    for n in range(10 * SWEEP_AT):
        limit = action(n, when=1e9)
        scheduler.later(limit)
        limit.cancel()
    assert len(scheduler.timers) <= SWEEP_AT
    assert scheduler.sweeps == 10
    assert scheduler.next_deadline() == 9e9


def test_live_timers_are_checked_each_time_they_have_doubled() -> None:
    scheduler = Counting()
    for n in range(10 * SWEEP_AT):
        scheduler.later(action(n, when=float(n)))
    assert scheduler.sweeps == 4  # at 1, 2, 4 and 8 times SWEEP_AT
    assert len(scheduler.timers) == 10 * SWEEP_AT


def test_renewing_a_period_removes_nothing() -> None:
    """`clock` holds the list of timers while it renews them."""
    scheduler = Counting()
    ticks = [action(n, when=1.0, period=1.0) for n in range(SWEEP_AT - 1)]
    for tick in ticks:
        scheduler.later(tick)
    for now in (1.0, 2.0, 3.0):
        scheduler.clock(now)
        assert [ticket for ticket, _, _ in scheduler.queue] == ticks
        scheduler.queue.clear()
    assert scheduler.sweeps == 0
