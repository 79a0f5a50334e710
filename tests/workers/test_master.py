"""The decisions of the master, as transcripts: an event, then what the master does."""

from __future__ import annotations

import random

import pytest

from vcproxy.supervise.actions import Log
from vcproxy.supervise.intensity import Intensity
from vcproxy.workers.actions import (
    Action,
    Adopt,
    AskStacks,
    Drop,
    Exit,
    Kill,
    Load,
    NotReloaded,
    Offer,
    Ready,
    Reloaded,
    Reopen,
    Send,
    Spawn,
    Unlisten,
)
from vcproxy.workers.limits import (
    EXHAUSTED_STATUS,
    EXITED_0,
    GRACE_S,
    PREPARE_S,
    STACKS_S,
)
from vcproxy.workers.master import Master
from vcproxy.workers.messages import Message, Verb
from vcproxy.workers.phases import Phase

DRAIN_S = 10.0
TIMEOUT_S = 30.0
INTENSITY = Intensity(5, 10.0)
CRASHED = "was killed by SIGKILL"


def commit(worker: int, generation: int) -> Send:
    """COMMIT for a worker."""
    return Send(worker, Message(Verb.COMMIT, generation))


def drain(worker: int, signal: int = 15, pid: int = 0) -> Send:
    """DRAIN for a worker."""
    return Send(worker, Message(Verb.DRAIN, signal=signal, pid=pid))


def again(worker: int, how: str = CRASHED) -> Log:
    """The line of the log about a worker that has died."""
    return Log("error", f"worker {worker} {how}: its connections are lost; it is started again")


class Script:
    """A master with two workers, and the worker's messages by name."""

    def __init__(self, workers: int = 2) -> None:
        self.master = Master(workers, DRAIN_S, TIMEOUT_S, INTENSITY, random.Random(7))
        self.now = 100.0
        self.generation = 1

    def __call__(self, worker: int, verb: Verb, text: str = "", pid: int = 0) -> list[Action]:
        message = Message(verb, self.generation, text, pid=pid)
        return self.master.received(worker, message, self.now)

    def ended(self, worker: int, how: str = CRASHED) -> list[Action]:
        return self.master.ended(worker, how, self.now)

    def restarted(self) -> None:
        """The worker that waits for its restart is started."""
        deadline = self.master.deadline
        assert deadline is not None
        if deadline < self.now + 10.0:  # not that of a heartbeat
            self.now = deadline
            assert [type(action) for action in self.master.elapsed(self.now)] == [Spawn]

    def serving(self) -> Script:
        """Return itself after the start."""
        self.master.start(self.now)
        for verb in (Verb.PREPARED, Verb.SERVING):
            for worker in (1, 2):
                self(worker, verb)
        assert self.master.phase is Phase.SERVING
        return self

    def preparing(self) -> Script:
        """Return itself in the middle of a reload."""
        self.serving()
        assert self.master.reload(self.now) == [Load()]
        self.generation = 2
        assert self.master.loaded(self.now, 3.0) == [Offer(1, 2), Offer(2, 2)]
        return self


# -- the start -----------------------------------------------------------------------------------


def test_no_worker_serves_before_all_are_prepared() -> None:
    script = Script()
    assert script.master.start(script.now) == [Spawn(1, 1), Spawn(2, 1)]
    assert script(2, Verb.PREPARED) == []
    assert script(1, Verb.PREPARED) == [commit(1, 1), commit(2, 1)]
    assert script(1, Verb.SERVING) == []
    assert script(2, Verb.SERVING) == [Ready()]


def test_a_worker_that_refuses_at_the_start_ends_it_with_its_reason() -> None:
    script = Script()
    script.master.start(script.now)
    script(1, Verb.PREPARED)
    assert script(2, Verb.REFUSED, "proxy.toml: why") == [
        Kill(1),
        Kill(2),
        Exit(1, "proxy.toml: why"),
    ]


def test_a_program_that_cannot_be_started_ends_the_start_and_no_later_one() -> None:
    script = Script()
    script.master.start(script.now)
    for worker in (1, 2):
        script(worker, Verb.PREPARED)
    assert script(2, Verb.SERVING) == []
    assert script(1, Verb.SERVING, "listener.a: why") == [
        Kill(1),
        Kill(2),
        Exit(1, "listener.a: why"),
    ]
    serving = Script().serving()
    serving.ended(1)
    serving.restarted()
    serving(1, Verb.PREPARED)
    assert serving(1, Verb.SERVING, "listener.a: why") == []
    assert serving.master.phase is Phase.SERVING


def test_a_worker_that_dies_at_the_start_ends_it() -> None:
    script = Script()
    script.master.start(script.now)
    assert script.ended(1) == [
        Kill(2),
        Exit(1, "worker 1 was killed by SIGKILL before it was ready"),
    ]


def test_a_worker_that_dies_when_all_were_prepared_is_replaced() -> None:
    script = Script()
    script.master.start(script.now)
    script(1, Verb.PREPARED)
    script(2, Verb.PREPARED)
    assert script.ended(1) == [again(1), Spawn(1, 1)]
    assert script(2, Verb.SERVING) == []
    assert script(1, Verb.PREPARED) == [commit(1, 1)]
    assert script(1, Verb.SERVING) == [Ready()]


# -- ends ----------------------------------------------------------------------------------------


def test_a_dead_worker_is_started_again_at_once() -> None:
    script = Script().serving()
    assert script.ended(2) == [again(2), Spawn(2, 1)]
    assert script(2, Verb.PREPARED) == [commit(2, 1)]
    assert script(2, Verb.SERVING) == []


def test_it_may_die_before_it_serves_again() -> None:
    script = Script().serving()
    script.ended(2)
    assert script(2, Verb.REFUSED, "no memory") == [
        Log("error", "worker 2 cannot start: no memory")
    ]
    (log,) = script.ended(2, "exited with status 1")
    assert isinstance(log, Log)
    assert log.text.startswith(again(2, "exited with status 1").text)
    script.restarted()
    assert script(2, Verb.PREPARED) == [commit(2, 1)]


def test_why_a_worker_fails_is_logged_in_any_phase() -> None:
    script = Script()
    script.master.start(script.now)
    failed = Log("error", "worker 2 has failed, and ends:\nTraceback ...")
    assert script(2, Verb.ERRORED, "Traceback ...") == [failed]
    script.serving()
    script.master.end(15, 1, script.now)
    assert script(2, Verb.ERRORED, "Traceback ...") == [failed]


def test_an_unasked_end_with_status_0_is_a_death_too() -> None:
    assert Script().serving().ended(1, EXITED_0) == [again(1, EXITED_0), Spawn(1, 1)]


def test_its_first_restart_is_immediate_and_the_next_ones_wait_longer_each_time() -> None:
    script = Script().serving()
    assert script.ended(1) == [again(1), Spawn(1, 1)]
    delays = []
    for _ in range(3):
        (log,) = script.ended(1)
        assert isinstance(log, Log)
        deadline = script.master.deadline
        assert deadline is not None
        delays.append(deadline - script.now)
        assert log.text == f"{again(1).text} in {delays[-1]:.1f}s"
        script.now = deadline
        assert script.master.elapsed(script.now) == [Spawn(1, 1)]
    assert delays == sorted(delays)
    assert 0.05 <= delays[0] <= 0.1


def test_after_ten_seconds_of_service_a_restart_is_immediate_again() -> None:
    script = Script().serving()
    script.ended(1)
    script(1, Verb.PREPARED)
    script(1, Verb.SERVING)
    script.now += 10.0
    assert script.ended(1) == [again(1), Spawn(1, 1)]


def test_more_failures_than_the_intensity_drain_the_others_and_end_with_a_status() -> None:
    script = Script().serving()
    for _ in range(5):
        script.ended(1)
        script.restarted()
    assert script.ended(2) == [
        Log(
            "error",
            "worker 2 was killed by SIGKILL: its connections are lost, "
            "after more than 5 restarts in 10s; all are stopped",
        ),
        Unlisten(),
        Drop(),
        drain(1),
    ]
    assert script.ended(1, EXITED_0) == [Exit(EXHAUSTED_STATUS)]


def test_slow_failures_never_end_the_proxy() -> None:
    script = Script().serving()
    for _ in range(20):
        assert script.ended(1)[-1] == Spawn(1, 1)
        script(1, Verb.PREPARED)
        script(1, Verb.SERVING)
        script.now += 10.1


# -- silence -------------------------------------------------------------------------------------


def test_a_silent_worker_is_asked_for_its_stacks_then_killed_and_replaced() -> None:
    script = Script().serving()
    script.now += TIMEOUT_S - 1
    assert script(1, Verb.PULSED) == []
    assert script.master.deadline == script.now + 1
    script.now += 1
    assert script.master.elapsed(script.now) == [AskStacks(2)]
    script.now += STACKS_S
    silent = "worker 2 has sent no heartbeat for 30s"
    assert script.master.elapsed(script.now) == [Log("error", f"{silent}: it is killed"), Kill(2)]
    assert script.ended(2) == [Log("error", f"{silent}; it is started again"), Spawn(2, 1)]


def test_a_worker_that_turns_again_while_its_stacks_are_awaited_stays() -> None:
    script = Script().serving()
    script.now += TIMEOUT_S
    assert script.master.elapsed(script.now) == [AskStacks(1), AskStacks(2)]
    for worker in (1, 2):
        script(worker, Verb.PULSED)
    assert script.master.deadline == script.now + TIMEOUT_S
    script.now += TIMEOUT_S
    assert script.master.elapsed(script.now) == [AskStacks(1), AskStacks(2)]


def test_pulses_count_during_a_reload_too() -> None:
    script = Script().preparing()
    script.now += TIMEOUT_S / 2
    script(1, Verb.PREPARED)
    script(1, Verb.PULSED)
    script(2, Verb.PULSED)
    script(2, Verb.PREPARED)
    assert script.master.deadline == script.now + TIMEOUT_S


def test_without_a_limit_a_worker_that_serves_may_be_silent() -> None:
    script = Script()
    script.master = Master(2, DRAIN_S, 0.0, INTENSITY, random.Random(7))
    script.serving()
    assert script.master.deadline is None


def test_a_worker_that_hangs_at_its_restart_is_killed() -> None:
    script = Script().serving()
    script.ended(2)
    script.now += PREPARE_S
    script(1, Verb.PULSED)
    assert script.master.elapsed(script.now) == [AskStacks(2)]
    script.now += STACKS_S
    text = "worker 2 has not loaded the configuration within 30s: it is killed"
    assert script.master.elapsed(script.now) == [Log("error", text), Kill(2)]


def test_a_worker_that_hangs_at_the_start_ends_it() -> None:
    script = Script()
    script.master.start(script.now)
    script(1, Verb.PREPARED)
    script.now += PREPARE_S
    assert script.master.elapsed(script.now) == [AskStacks(2)]
    script.now += STACKS_S
    text = "worker 2 has not loaded the configuration within 30s"
    assert script.master.elapsed(script.now) == [Kill(1), Kill(2), Exit(1, text)]


# -- reload --------------------------------------------------------------------------------------


def test_no_worker_uses_a_configuration_before_all_are_prepared() -> None:
    script = Script().preparing()
    assert script(1, Verb.PREPARED) == []
    assert script(2, Verb.PREPARED) == [Adopt(), commit(1, 2), commit(2, 2)]
    assert script(2, Verb.SERVING) == []
    assert script(1, Verb.SERVING) == [Reloaded()]


def test_a_file_with_errors_changes_nothing() -> None:
    script = Script().serving()
    assert script.master.reload(script.now) == [Load()]
    assert script.master.loaded(script.now, error="proxy.toml:1:1: bad") == [
        NotReloaded("proxy.toml:1:1: bad")
    ]
    assert script.master.reload(script.now) == [Load()]


def test_a_configuration_that_one_worker_refuses_is_used_by_none() -> None:
    script = Script().preparing()
    script(1, Verb.PREPARED)
    back = Message(Verb.ROLL_BACK, 2)
    assert script(2, Verb.REFUSED, "no such file") == [
        NotReloaded("worker 2: no such file"),
        Send(1, back),
        Send(2, back),
        Drop(),
    ]
    assert script(1, Verb.PREPARED) == []  # too late: the reload has failed


def test_a_worker_that_dies_while_it_loads_rolls_back_the_others() -> None:
    script = Script().preparing()
    script(1, Verb.PREPARED)
    assert script.ended(2) == [
        NotReloaded("worker 2 was killed by SIGKILL while it loaded the configuration"),
        Send(1, Message(Verb.ROLL_BACK, 2)),
        Drop(),
        again(2),
        Spawn(2, 3),
    ]
    script.generation = 3
    assert script(2, Verb.PREPARED) == [commit(2, 3)]
    assert script(2, Verb.SERVING) == []
    assert script.master.phase is Phase.SERVING


def test_a_worker_that_never_answers_rolls_back_the_others() -> None:
    script = Script().preparing()
    script.now += 10.0
    for worker in (1, 2):
        script(worker, Verb.PULSED)
    script.now -= 10.0
    script(1, Verb.PREPARED)
    assert script.master.deadline == script.now + PREPARE_S
    assert script.master.elapsed(script.now) == []
    back = Message(Verb.ROLL_BACK, 2)
    assert script.master.elapsed(script.now + PREPARE_S) == [
        NotReloaded("worker 2 has not loaded the configuration within 30s"),
        Send(1, back),
        Send(2, back),
        Drop(),
    ]
    assert script(2, Verb.PREPARED) == []  # too late: the reload has failed


def test_a_worker_that_dies_after_the_decision_starts_with_the_new_configuration() -> None:
    script = Script().preparing()
    script(1, Verb.PREPARED)
    script(2, Verb.PREPARED)
    assert script.ended(2) == [again(2), Spawn(2, 2)]
    assert script(1, Verb.SERVING) == []
    assert script(2, Verb.PREPARED) == [commit(2, 2)]
    assert script(2, Verb.SERVING) == [Reloaded()]


def test_a_configuration_that_is_never_loaded_is_given_up() -> None:
    script = Script().serving()
    assert script.master.reload(script.now) == [Load()]
    assert script.master.reload(script.now) == []  # when this one has ended
    for _ in range(2):
        script.now += 15.0
        for worker in (1, 2):
            script(worker, Verb.PULSED)
    reason = "it was not loaded within 30s: a plugin blocks, or a file cannot be read"
    assert script.master.elapsed(script.now) == [NotReloaded(reason), Load()]
    assert script.master.loaded(script.now, error="bad") == [NotReloaded("bad")]
    assert script.master.loaded(script.now) == [Drop()]  # too late
    assert script.master.phase is Phase.SERVING


def test_a_reload_waits_for_a_worker_that_is_being_replaced() -> None:
    script = Script().serving()
    script.ended(2)
    assert script.master.reload(script.now) == [Load()]
    assert script.master.loaded(script.now) == []
    assert script(2, Verb.PREPARED) == [commit(2, 1)]
    assert script(2, Verb.SERVING) == [Offer(1, 2), Offer(2, 2)]


def test_reloads_during_a_reload_cause_one_more() -> None:
    script = Script().preparing()
    assert script.master.reload(script.now) == []
    assert script.master.reload(script.now) == []
    script(1, Verb.PREPARED)
    script(2, Verb.PREPARED)
    script(1, Verb.SERVING)
    assert script(2, Verb.SERVING) == [Reloaded(), Load()]


def test_a_plugin_may_request_it() -> None:
    assert Script().serving()(2, Verb.RELOAD_REQUESTED) == [Load()]


# -- the end -------------------------------------------------------------------------------------


def test_a_signal_drains_all_and_the_last_one_ends_the_master() -> None:
    script = Script().serving()
    assert script.master.end(2, 4711, script.now) == [
        Unlisten(),
        Drop(),
        drain(1, 2, 4711),
        drain(2, 2, 4711),
    ]
    assert script.ended(2, EXITED_0) == []
    assert script.ended(1, EXITED_0) == [Exit(0)]


def test_a_second_signal_stops_at_once() -> None:
    script = Script().serving()
    script.master.end(15, 1, script.now)
    stop = Message(Verb.STOP)
    assert script.master.end(15, 1, script.now) == [Send(1, stop), Send(2, stop)]
    assert script.master.end(15, 1, script.now) == []
    assert script.ended(1, EXITED_0) == []
    assert script.ended(2, EXITED_0) == [Exit(0)]


def test_a_plugin_may_request_the_stop_once() -> None:
    script = Script().serving()
    assert script(1, Verb.STOP_REQUESTED, pid=77)[2:] == [drain(1, 15, 77), drain(2, 15, 77)]
    assert script(2, Verb.STOP_REQUESTED, pid=78) == []
    assert script.ended(1, EXITED_0) == []
    assert script.ended(2, EXITED_0) == [Exit(0)]


def test_a_plugin_may_choose_the_status_of_the_stop() -> None:
    script = Script().serving()
    script(1, Verb.STOP_REQUESTED, "3", pid=77)
    assert script.ended(1, EXITED_0) == []
    assert script.ended(2, EXITED_0) == [Exit(3)]


def test_a_worker_that_does_not_end_is_killed() -> None:
    script = Script().serving()
    script.master.end(15, 1, script.now)
    script.ended(1, EXITED_0)
    assert script.master.deadline == script.now + DRAIN_S + GRACE_S
    script.now += DRAIN_S + GRACE_S
    assert script.master.elapsed(script.now) == [AskStacks(2)]
    assert script.master.elapsed(script.now + STACKS_S) == [
        Log("error", "worker 2 has not ended in time: it is killed"),
        Kill(2),
    ]
    text = "worker 2 was killed by SIGKILL while it was ending: its connections are lost"
    assert script.ended(2) == [Log("error", text), Exit(1)]


def test_the_drain_timeout_is_that_of_the_configuration_in_use() -> None:
    script = Script().preparing()
    for verb in (Verb.PREPARED, Verb.SERVING):
        for worker in (1, 2):
            script(worker, verb)
    script.master.end(15, 1, script.now)
    assert script.master.deadline == script.now + 3.0 + GRACE_S


def test_a_death_during_the_end_is_not_replaced() -> None:
    script = Script().serving()
    script.master.end(15, 1, script.now)
    text = "worker 1 was killed by SIGKILL while it was ending: its connections are lost"
    assert script.ended(1) == [Log("error", text)]
    assert script.ended(2, EXITED_0) == [Exit(1)]


@pytest.mark.parametrize("answered", [0, 1])
def test_a_signal_during_a_reload_drops_it(answered: int) -> None:
    script = Script().preparing()
    for worker in range(1, answered + 1):
        script(worker, Verb.PREPARED)
    assert script.master.end(15, 1, script.now)[:2] == [Unlisten(), Drop()]
    assert script(2, Verb.PREPARED) == []
    assert script.master.reload(script.now) == []


def test_a_configuration_that_is_loaded_too_late_is_dropped() -> None:
    script = Script().serving()
    script.master.reload(script.now)
    script.master.end(15, 1, script.now)
    assert script.master.loaded(script.now) == [Drop()]


def test_a_signal_during_the_start_ends_it() -> None:
    script = Script()
    script.master.start(script.now)
    assert script.master.end(15, 1, script.now)[2:] == [drain(1, pid=1), drain(2, pid=1)]
    assert script.ended(1, EXITED_0) == []
    assert script.ended(2, EXITED_0) == [Exit(0)]


def test_changed_certificates_concern_all_until_the_end() -> None:
    script = Script().serving()
    renew = Message(Verb.RENEW)
    assert script.master.renew() == [Send(1, renew), Send(2, renew)]
    script.master.end(15, 0, script.now)
    assert script.master.renew() == []


def test_the_log_is_reopened_by_all() -> None:
    script = Script().serving()
    reopen = Message(Verb.REOPEN)
    assert script.master.reopen() == [Reopen(), Send(1, reopen), Send(2, reopen)]
