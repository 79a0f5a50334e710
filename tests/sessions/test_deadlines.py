"""Deadlines: LATE is delivered after the time, with one timer for all that wait."""

from __future__ import annotations

from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.mutex import Mutex
from vcproxy.sessions.deadlines import LATE, Deadlines


class Waiting(Continuation):
    """Keeps when it got LATE."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, Mutex())
        self.late: list[float] = []

    def handle_event(self, key: Hashable, data: object) -> None:
        assert key == LATE
        assert data == 10.0
        self.late.append(self.engine.now)


@given(st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 20)), max_size=20))
def test_each_gets_it_after_its_time_unless_its_wait_has_ended(
    waits: list[tuple[int, int | None]],
) -> None:
    """`waits`: when each begins, and after how many seconds it ends; None: never."""
    with Simulation(0) as sim:
        engine = sim.driver("proxy").engine
        deadlines = Deadlines(engine, 10.0)
        waiting = [Waiting(engine) for _ in waits]
        steps = [
            (begin, 0, deadlines.begin, each)
            for (begin, _), each in zip(waits, waiting, strict=True)
        ]
        steps += [
            (begin + end, 1, deadlines.end, each)
            for (begin, end), each in zip(waits, waiting, strict=True)
            if end is not None and end != 10
        ]
        for when, _, step, each in sorted(steps, key=lambda step: step[:2]):
            sim.elapse(max(0.0, when - sim.now))
            engine.clock(sim.now)
            step(each)
        sim.run()
        for (begin, end), each in zip(waits, waiting, strict=True):
            never = end is not None and end < 10
            assert [round(late) for late in each.late] == ([] if never else [begin + 10])
        assert len(engine.timers) == 0


def test_a_time_of_0_is_no_limit() -> None:
    with Simulation(0) as sim:
        engine = sim.driver("proxy").engine
        waiting = Waiting(engine)
        Deadlines(engine, 0.0).begin(waiting)
        sim.run()
        assert waiting.late == []
