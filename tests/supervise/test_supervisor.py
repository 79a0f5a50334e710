"""The decisions of a supervisor, as transcripts: an event, then what it asks for."""

from __future__ import annotations

from random import Random

import pytest

from vcproxy.supervise.actions import (
    Ended,
    Escalate,
    KillChild,
    Log,
    StartChild,
    StopChild,
    SupervisorAction,
)
from vcproxy.supervise.child_spec import ChildSpec, Restart
from vcproxy.supervise.intensity import Intensity
from vcproxy.supervise.strategy import Strategy
from vcproxy.supervise.supervisor import Life, Supervisor

CRASHED = "exited with status 1"


class Maximum(Random):
    """Returns the upper bound: delays of 0.1 s, 0.2 s, 0.4 s ..."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Script:
    """A supervisor, the time, and its children's events. Each returns what is asked for."""

    def __init__(
        self,
        *specs: ChildSpec | str,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: tuple[int, float] = (5, 10.0),
    ) -> None:
        children = [ChildSpec(each) if isinstance(each, str) else each for each in specs]
        self.supervisor = Supervisor(children, strategy, Intensity(*intensity), Maximum())
        self.names = [child.name for child in children]
        self.now = 100.0

    def running(self) -> Script:
        """Return itself after all children have started."""
        assert self.supervisor.start(self.now) == [StartChild(self.names[0])]
        for name, following in zip(self.names, [*self.names[1:], ""], strict=True):
            assert self.started(name) == ([StartChild(following)] if following else [])
        assert self.deadline is None
        return self

    @property
    def deadline(self) -> float | None:
        """Return the seconds until the supervisor's deadline."""
        at = self.supervisor.deadline
        return None if at is None else round(at - self.now, 6)

    def started(self, name: str) -> list[SupervisorAction]:
        return self.supervisor.started(name, self.now)

    def crashed(self, name: str) -> list[SupervisorAction]:
        return self.supervisor.ended(name, False, CRASHED, self.now)

    def ended(self, name: str) -> list[SupervisorAction]:
        return self.supervisor.ended(name, True, "exited with status 0", self.now)

    def wait(self, seconds: float) -> list[SupervisorAction]:
        self.now += seconds
        return self.supervisor.elapsed(self.now)

    def stop(self) -> list[SupervisorAction]:
        return self.supervisor.stop(self.now)


def again(name: str, tail: str = "it is started again") -> Log:
    """The line of the log about a child that has crashed."""
    return Log("error", f"child {name} {CRASHED}; {tail}")


# -- order ---------------------------------------------------------------------------------------


def test_each_child_starts_after_the_one_before_has_started() -> None:
    script = Script("a", "b", "c")
    assert script.supervisor.start(script.now) == [StartChild("a")]
    assert script.started("a") == [StartChild("b")]
    assert script.started("b") == [StartChild("c")]
    assert script.started("c") == []


def test_children_stop_in_the_reverse_order_each_after_the_one_before_has_ended() -> None:
    script = Script("a", "b", "c").running()
    assert script.stop() == [StopChild("c")]
    assert script.ended("c") == [StopChild("b")]
    assert script.ended("b") == [StopChild("a")]
    assert script.ended("a") == [Ended()]
    assert script.deadline is None


def test_children_that_do_not_need_one_another_stop_together() -> None:
    script = Script("a", "b").running()
    asked = script.supervisor.stop(script.now, together=True)
    assert asked == [StopChild("b"), StopChild("a")]
    assert script.ended("a") == []
    assert script.ended("b") == [Ended()]


def test_a_supervisor_without_children_has_ended_when_it_is_stopped() -> None:
    script = Script()
    assert script.supervisor.start(script.now) == []
    assert script.stop() == [Ended()]
    assert script.stop() == []


def test_a_child_may_be_stopped_while_it_starts() -> None:
    script = Script("a", "b")
    script.supervisor.start(script.now)
    assert script.stop() == [StopChild("a")]
    assert script.started("a") == []
    assert script.ended("a") == [Ended()]


def test_two_children_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two children are named a"):
        Script("a", "b", "a")


# -- restart -------------------------------------------------------------------------------------


def test_a_permanent_child_is_started_again_whatever_its_end_was() -> None:
    script = Script("a").running()
    assert script.crashed("a") == [again("a"), StartChild("a")]
    script.started("a")
    script.now += 20
    assert script.ended("a") == [
        Log("warning", "child a exited with status 0; it is started again"),
        StartChild("a"),
    ]


def test_a_transient_child_is_started_again_unless_its_end_was_orderly() -> None:
    script = Script(ChildSpec("a", Restart.TRANSIENT)).running()
    assert script.crashed("a") == [again("a"), StartChild("a")]
    script.started("a")
    assert script.ended("a") == [
        Log("info", "child a exited with status 0; it is not started again")
    ]
    assert script.stop() == [Ended()]


def test_a_temporary_child_is_never_started_again() -> None:
    script = Script(ChildSpec("a", Restart.TEMPORARY)).running()
    assert script.crashed("a") == [again("a", "it is not started again")]
    assert script.stop() == [Ended()]


def test_a_failure_of_a_child_that_raises_stops_the_others_and_then_the_supervisor() -> None:
    script = Script("a", ChildSpec("b", Restart.RAISE), "c").running()
    assert script.crashed("b") == [
        Log("error", f"child b {CRASHED}; all are stopped"),
        StopChild("c"),
    ]
    assert script.ended("c") == [StopChild("a")]
    assert script.ended("a") == [Escalate(f"child b {CRASHED}")]


def test_an_orderly_end_of_a_child_that_raises_concerns_no_others() -> None:
    script = Script("a", ChildSpec("b", Restart.RAISE)).running()
    assert script.ended("b") == [
        Log("info", "child b exited with status 0; it is not started again")
    ]
    assert script.stop() == [StopChild("a")]


def test_a_first_start_that_fails_is_a_failure_like_any_other() -> None:
    script = Script("a", "b")
    script.supervisor.start(script.now)
    failed = script.supervisor.ended("a", False, "cannot be started: no such file", script.now)
    text = "child a cannot be started: no such file; it is started again"
    assert failed == [Log("error", text), StartChild("a")]


def test_a_second_report_of_the_same_end_is_ignored() -> None:
    script = Script(ChildSpec("a", Restart.TEMPORARY)).running()
    script.crashed("a")
    assert script.crashed("a") == []


# -- strategies ----------------------------------------------------------------------------------


def test_one_for_one_concerns_the_child_alone() -> None:
    script = Script("a", "b", "c").running()
    assert script.crashed("b") == [again("b"), StartChild("b")]


def test_rest_for_one_stops_those_after_it_and_starts_them_in_order() -> None:
    script = Script("a", "b", "c", "d", strategy=Strategy.REST_FOR_ONE).running()
    tail = "it and those after it are started again"
    assert script.crashed("b") == [again("b", tail), StopChild("d")]
    assert script.ended("d") == [StopChild("c")]
    assert script.ended("c") == [StartChild("b")]
    assert script.started("b") == [StartChild("c")]
    assert script.started("c") == [StartChild("d")]


def test_one_for_all_stops_all_others_and_starts_all_in_order() -> None:
    script = Script("a", "b", "c", strategy=Strategy.ONE_FOR_ALL).running()
    assert script.crashed("b") == [again("b", "all are started again"), StopChild("c")]
    assert script.ended("c") == [StopChild("a")]
    assert script.ended("a") == [StartChild("a")]
    assert script.started("a") == [StartChild("b")]
    assert script.started("b") == [StartChild("c")]


def test_a_temporary_child_that_a_strategy_has_stopped_is_not_started_again() -> None:
    script = Script(
        "a", ChildSpec("b", Restart.TEMPORARY), "c", strategy=Strategy.ONE_FOR_ALL
    ).running()
    script.crashed("a")
    assert script.ended("c") == [StopChild("b")]
    assert script.ended("b") == [StartChild("a")]
    assert script.started("a") == [StartChild("c")]


def test_a_transient_child_that_had_ended_is_started_with_its_group() -> None:
    script = Script(
        "a", ChildSpec("b", Restart.TRANSIENT), strategy=Strategy.REST_FOR_ONE
    ).running()
    script.ended("b")
    assert script.crashed("a")[-1] == StartChild("a")
    assert script.started("a") == [StartChild("b")]


def test_a_second_failure_while_a_group_stops_is_part_of_the_first() -> None:
    script = Script("a", "b", "c", strategy=Strategy.ONE_FOR_ALL).running()
    assert script.crashed("a")[-1] == StopChild("c")
    assert script.crashed("b") == []
    assert script.crashed("c") == [
        Log("warning", f"child c {CRASHED} while it was stopped"),
        StartChild("a"),
    ]


def test_those_after_a_child_wait_until_it_has_started_again() -> None:
    script = Script("a", "b", strategy=Strategy.REST_FOR_ONE)
    script.supervisor.start(script.now)
    assert script.crashed("a")[-1] == StartChild("a")
    tail = "it and those after it are started again in 0.1s"
    assert script.crashed("a") == [again("a", tail)]
    assert script.deadline == 0.1
    assert script.wait(0.1) == [StartChild("a")]
    assert script.started("a") == [StartChild("b")]


def test_with_one_for_one_the_others_do_not_wait_for_a_child_that_is_delayed() -> None:
    script = Script("a", "b")
    script.supervisor.start(script.now)
    assert script.crashed("a")[-1] == StartChild("a")
    assert script.crashed("a") == [again("a", "it is started again in 0.1s"), StartChild("b")]
    assert script.deadline == 0.1
    assert script.wait(0.1) == [StartChild("a")]


# -- back-off ------------------------------------------------------------------------------------


def test_the_first_restart_is_immediate_and_those_that_follow_wait_longer_and_longer() -> None:
    script = Script("a").running()
    waited = []
    for _ in range(5):
        if StartChild("a") not in script.crashed("a"):
            waited.append(script.deadline or 0)
            assert script.wait(waited[-1]) == [StartChild("a")]
        script.started("a")
    assert waited == [0.1, 0.2, 0.4, 0.8]


def test_a_delay_has_passed_only_when_it_has() -> None:
    script = Script("a").running()
    script.crashed("a")
    script.crashed("a")
    assert script.wait(0.099) == []
    assert script.wait(0.001) == [StartChild("a")]


@pytest.mark.parametrize(("ran_s", "immediate"), [(9.9, False), (10, True)])
def test_ten_seconds_of_health_make_the_next_restart_immediate(
    ran_s: float, immediate: bool
) -> None:
    script = Script("a").running()
    assert StartChild("a") in script.crashed("a")
    script.started("a")
    script.now += ran_s
    assert (StartChild("a") in script.crashed("a")) == immediate


def test_a_long_start_is_no_health() -> None:
    script = Script("a")
    script.supervisor.start(script.now)
    script.crashed("a")
    script.now += 30
    assert script.crashed("a") == [again("a", "it is started again in 0.1s")]


def test_a_whole_group_waits_for_the_delay_of_the_child_that_failed() -> None:
    script = Script("a", "b", strategy=Strategy.ONE_FOR_ALL).running()
    assert script.crashed("b")[-1] == StopChild("a")
    script.ended("a")
    script.started("a")
    script.started("b")
    script.crashed("b")
    assert script.ended("a") == []
    assert script.wait(0.1) == [StartChild("a")]


# -- intensity -----------------------------------------------------------------------------------


def test_one_restart_more_than_the_intensity_stops_all_and_then_the_supervisor() -> None:
    script = Script("a", "b", "c", intensity=(2, 10)).running()
    for name in ("b", "c"):
        assert script.crashed(name) == [again(name), StartChild(name)]
        script.started(name)
    why = f"child a {CRASHED}, after more than 2 restarts in 10s"
    assert script.crashed("a") == [Log("error", f"{why}; all are stopped"), StopChild("c")]
    assert script.ended("c") == [StopChild("b")]
    assert script.ended("b") == [Escalate(why)]
    assert script.stop() == []


def test_a_failure_of_a_group_counts_once() -> None:
    script = Script("a", "b", strategy=Strategy.ONE_FOR_ALL, intensity=(1, 10)).running()
    script.crashed("a")
    assert script.ended("b") == [StartChild("a")]


def test_ends_that_were_asked_for_or_need_no_restart_do_not_count() -> None:
    spec = ChildSpec("a", Restart.TEMPORARY)
    script = Script(spec, "b", intensity=(0, 10)).running()
    assert script.crashed("a") == [again("a", "it is not started again")]
    assert script.supervisor.life("b") is Life.RUNNING


def test_a_supervisor_that_fails_while_it_is_stopped_again_still_fails() -> None:
    script = Script("a", ChildSpec("b", Restart.RAISE)).running()
    assert script.crashed("b")[-1] == StopChild("a")
    assert script.stop() == []
    assert script.ended("a") == [Escalate(f"child b {CRASHED}")]


# -- limits --------------------------------------------------------------------------------------


def test_a_child_that_does_not_end_in_time_is_killed() -> None:
    script = Script("a", "b").running()
    assert script.stop() == [StopChild("b")]
    assert script.deadline == 5
    assert script.wait(5) == [
        Log("warning", "child b has not ended within 5s: it is killed"),
        KillChild("b"),
    ]
    assert script.deadline is None
    assert script.crashed("b") == [StopChild("a")]


def test_a_shutdown_of_0_kills_at_once_and_one_of_none_never() -> None:
    script = Script(ChildSpec("a", shutdown_s=None), ChildSpec("b", shutdown_s=0)).running()
    assert script.stop() == [KillChild("b")]
    assert script.ended("b") == [StopChild("a")]
    assert script.deadline is None


def test_a_child_without_a_limit_for_its_end_has_one_for_its_start() -> None:
    script = Script(ChildSpec("a", shutdown_s=None, start_s=3))
    script.supervisor.start(script.now)
    assert script.stop() == [StopChild("a")]
    assert script.deadline == 3
    text = "child a has not started within 3s: it is killed"
    assert script.wait(3) == [Log("error", text), KillChild("a")]


def test_a_child_that_starts_after_its_stop_may_take_its_time() -> None:
    script = Script(ChildSpec("a", shutdown_s=None, start_s=3))
    script.supervisor.start(script.now)
    script.stop()
    script.started("a")
    assert script.deadline is None


def test_a_child_that_does_not_start_in_time_is_killed_and_has_failed() -> None:
    script = Script(ChildSpec("a", start_s=3))
    script.supervisor.start(script.now)
    text = "child a has not started within 3s"
    assert script.deadline == 3
    assert script.wait(3) == [Log("error", f"{text}: it is killed"), KillChild("a")]
    assert script.crashed("a") == [Log("error", f"{text}; it is started again"), StartChild("a")]


def test_a_child_without_a_limit_for_its_start_is_awaited() -> None:
    script = Script(ChildSpec("a", start_s=None))
    script.supervisor.start(script.now)
    assert script.deadline is None


def test_a_child_that_hangs_is_killed_and_has_failed() -> None:
    script = Script("a", "b", strategy=Strategy.REST_FOR_ONE).running()
    text = "has sent no heartbeat for 1m"
    assert script.supervisor.hung("a", text, script.now) == [
        Log("error", f"child a {text}: it is killed"),
        KillChild("a"),
    ]
    assert script.supervisor.hung("a", text, script.now) == []
    tail = "it and those after it are started again"
    assert script.crashed("a") == [Log("error", f"child a {text}; {tail}"), StopChild("b")]
    assert script.crashed("b")[-1] == StartChild("a")
    script.started("a")
    assert script.crashed("a")[0] == again("a", f"{tail} in 0.1s")


def test_those_after_a_child_that_was_killed_wait_for_its_end() -> None:
    script = Script("a", "b", "c", strategy=Strategy.REST_FOR_ONE)
    script.supervisor.start(script.now)
    script.started("a")
    script.supervisor.hung("a", "hangs", script.now)
    assert script.started("b") == []


def test_kill_ends_all_at_once() -> None:
    script = Script("a", "b", "c").running()
    assert script.stop() == [StopChild("c")]
    killed = script.supervisor.kill(script.now)
    assert killed == [KillChild("c"), KillChild("b"), KillChild("a")]
    assert [script.crashed(name) for name in "bca"] == [[], [], [Ended()]]


@pytest.mark.parametrize("spec", [("", 5.0, 5.0), ("a", -1.0, 5.0), ("a", 5.0, -1.0)])
def test_a_specification_that_cannot_be_followed_is_refused(
    spec: tuple[str, float, float],
) -> None:
    name, shutdown_s, start_s = spec
    with pytest.raises(ValueError, match=r"needs a name|is negative"):
        ChildSpec(name, shutdown_s=shutdown_s, start_s=start_s)
