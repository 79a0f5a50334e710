"""The decisions of the master, as transcripts: an event, then what the master does."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from vcproxy.supervise.actions import Log
from vcproxy.workers.actions import (
    Action,
    Adopt,
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
from vcproxy.workers.master import DEATHS_STATUS, EXITED_0, GRACE_S, PREPARE_S, Master, Phase
from vcproxy.workers.messages import Message, Verb

DRAIN_S = 10.0
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
        self.master = Master(workers, DRAIN_S)
        self.now = 100.0
        self.generation = 1

    def __call__(self, worker: int, verb: Verb, text: str = "", pid: int = 0) -> list[Action]:
        message = Message(verb, self.generation, text, pid=pid)
        return self.master.received(worker, message, self.now)

    def ended(self, worker: int, how: str = CRASHED) -> list[Action]:
        return self.master.ended(worker, how, self.now)

    def serving(self) -> Script:
        """Return itself after the start."""
        self.master.start()
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
    assert script.master.start() == [Spawn(1, 1), Spawn(2, 1)]
    assert script(2, Verb.PREPARED) == []
    assert script(1, Verb.PREPARED) == [commit(1, 1), commit(2, 1)]
    assert script(1, Verb.SERVING) == []
    assert script(2, Verb.SERVING) == [Ready()]


def test_a_worker_that_refuses_at_the_start_ends_it_with_its_reason() -> None:
    script = Script()
    script.master.start()
    script(1, Verb.PREPARED)
    assert script(2, Verb.REFUSED, "proxy.toml: why") == [
        Kill(1),
        Kill(2),
        Exit(1, "proxy.toml: why"),
    ]


def test_a_worker_that_dies_at_the_start_ends_it() -> None:
    script = Script()
    script.master.start()
    assert script.ended(1) == [
        Kill(2),
        Exit(1, "worker 1 was killed by SIGKILL before it was ready"),
    ]


def test_a_worker_that_dies_when_all_were_prepared_is_replaced() -> None:
    script = Script()
    script.master.start()
    script(1, Verb.PREPARED)
    script(2, Verb.PREPARED)
    assert script.ended(1) == [again(1), Spawn(1, 1)]
    assert script(2, Verb.SERVING) == []
    assert script(1, Verb.PREPARED) == [commit(1, 1)]
    assert script(1, Verb.SERVING) == [Ready()]


# -- deaths --------------------------------------------------------------------------------------


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
    assert script.ended(2, "exited with status 1") == [
        again(2, "exited with status 1"),
        Spawn(2, 1),
    ]


def test_an_unasked_end_with_status_0_is_a_death_too() -> None:
    assert Script().serving().ended(1, EXITED_0) == [again(1, EXITED_0), Spawn(1, 1)]


def test_five_deaths_in_ten_seconds_drain_the_others_and_end_with_a_status() -> None:
    script = Script().serving()
    for _ in range(4):
        assert script.ended(1)[1:] == [Spawn(1, 1)]
        script.now += 2.4
    assert script.ended(2) == [
        Log("error", "worker 2 was killed by SIGKILL: its connections are lost"),
        Log("error", "5 workers have ended within 10s: the proxy ends"),
        Unlisten(),
        Drop(),
        drain(1),
    ]
    assert script.ended(1, EXITED_0) == [Exit(DEATHS_STATUS)]


def test_slow_deaths_never_end_the_proxy() -> None:
    script = Script().serving()
    for _ in range(20):
        assert script.ended(1) == [again(1), Spawn(1, 1)]
        script.now += 2.6


# -- reload --------------------------------------------------------------------------------------


def test_no_worker_uses_a_configuration_before_all_are_prepared() -> None:
    script = Script().preparing()
    assert script(1, Verb.PREPARED) == []
    assert script(2, Verb.PREPARED) == [Adopt(), commit(1, 2), commit(2, 2)]
    assert script(2, Verb.SERVING) == []
    assert script(1, Verb.SERVING) == [Reloaded()]
    assert script.master.deadline is None


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
    assert script.master.deadline is None
    assert script(2, Verb.PREPARED) == []  # too late: the reload has failed


def test_a_worker_that_dies_after_the_decision_starts_with_the_new_configuration() -> None:
    script = Script().preparing()
    script(1, Verb.PREPARED)
    script(2, Verb.PREPARED)
    assert script.ended(2) == [again(2), Spawn(2, 2)]
    assert script(1, Verb.SERVING) == []
    assert script(2, Verb.PREPARED) == [commit(2, 2)]
    assert script(2, Verb.SERVING) == [Reloaded()]


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


def test_a_worker_that_does_not_end_is_killed() -> None:
    script = Script().serving()
    script.master.end(15, 1, script.now)
    script.ended(1, EXITED_0)
    assert script.master.deadline == script.now + DRAIN_S + GRACE_S
    assert script.master.elapsed(script.now + DRAIN_S + GRACE_S) == [
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
    script.master.start()
    assert script.master.end(15, 1, script.now)[2:] == [drain(1, pid=1), drain(2, pid=1)]
    assert script.ended(1, EXITED_0) == []
    assert script.ended(2, EXITED_0) == [Exit(0)]


def test_the_log_is_reopened_by_all() -> None:
    script = Script().serving()
    reopen = Message(Verb.REOPEN)
    assert script.master.reopen() == [Reopen(), Send(1, reopen), Send(2, reopen)]


# -- random runs ---------------------------------------------------------------------------------


class Model:
    """Workers that answer as real ones do, with deaths, refusals and signals at random moments.

    It holds the configuration that each worker uses, and checks after each step that no worker
    uses one that was not adopted, and that none is left out.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = self.random.randint(1, 4)
        self.master = Master(self.count, DRAIN_S)
        self.now = 0.0
        self.adopted = 1
        """The configuration in use, by the number of its Load."""
        self.loads = 1
        self.candidate: int | None = None
        self.loading = False
        self.alive: dict[int, int] = {}
        """The number of the process of each live worker."""
        self.spawned = 0
        self.prepared: dict[int, int] = {}
        self.uses: dict[int, int] = {}
        """The configuration that each worker uses."""
        self.queue: list[tuple[int, int, Message | str]] = []
        """What is on its way from a process: a message, or how it has ended."""
        self.exit: Exit | None = None
        self.ending = False
        self.perform(self.master.start())

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out actions."""
        for action in actions:
            assert self.exit is None, f"{action} after the exit"
            match action:
                case Spawn(worker, generation):
                    assert worker not in self.alive
                    self.spawned += 1
                    self.alive[worker] = self.spawned
                    self.prepare(worker, generation, self.adopted)
                case Offer(worker, generation):
                    assert self.candidate is not None
                    self.prepare(worker, generation, self.candidate)
                case Send(worker, message):
                    assert worker in self.alive or not self.expects(worker)
                    self.deliver(worker, message)
                case Kill(worker):
                    self.die(worker, CRASHED)
                case Load():
                    assert not self.loading
                    self.loading = True
                case Adopt():
                    assert self.candidate is not None
                    self.adopted, self.candidate = self.candidate, None
                case Drop():
                    self.candidate = None
                case Ready() | Reloaded():
                    for worker in self.alive:
                        if self.expects(worker):
                            assert self.uses[worker] == self.adopted
                case Exit():
                    self.exit = action

    def expects(self, worker: int) -> bool:
        """Whether the end of a worker's process is not on its way to the master."""
        return not any(one == worker and isinstance(what, str) for one, _, what in self.queue)

    def prepare(self, worker: int, generation: int, configuration: int) -> None:
        """A worker gets PREPARE."""
        if worker not in self.alive:
            return
        if self.random.random() < 0.1:
            self.report(worker, Message(Verb.REFUSED, generation, "no"))
            if worker not in self.uses:
                self.die(worker, "exited with status 1")
        else:
            self.prepared[worker] = configuration
            self.report(worker, Message(Verb.PREPARED, generation))

    def deliver(self, worker: int, message: Message) -> None:
        """A worker gets a message."""
        if worker not in self.alive:
            return
        if message.verb is Verb.COMMIT:
            self.uses[worker] = self.prepared.pop(worker)
            assert self.uses[worker] == self.adopted, "it uses what was not decided"
            self.report(worker, Message(Verb.SERVING, message.generation))
        elif message.verb is Verb.ROLL_BACK:
            self.prepared.pop(worker, None)
        elif message.verb in (Verb.DRAIN, Verb.STOP):
            self.die(worker, EXITED_0)

    def report(self, worker: int, what: Message | str) -> None:
        """Something goes to the master."""
        self.queue.append((worker, self.alive[worker], what))

    def die(self, worker: int, how: str) -> None:
        """A process ends; its end is reported after what it has sent."""
        if worker in self.alive:
            self.report(worker, how)
            del self.alive[worker]
            self.prepared.pop(worker, None)
            self.uses.pop(worker, None)

    def step(self) -> None:
        """One random event."""
        self.now += self.random.choice((0.0, 0.1, 3.0))
        choice = self.random.random()
        if choice < 0.6 and self.queue:
            first = self.random.choice(sorted({worker for worker, _, _ in self.queue}))
            at = next(i for i, (worker, _, _) in enumerate(self.queue) if worker == first)
            worker, _, what = self.queue.pop(at)
            if isinstance(what, str):
                self.perform(self.master.ended(worker, what, self.now))
            else:
                self.perform(self.master.received(worker, what, self.now))
        elif choice < 0.7 and self.loading:
            self.loading = False
            self.loads += 1
            if self.random.random() < 0.3:
                self.perform(self.master.loaded(self.now, error="bad"))
            else:
                self.candidate = self.loads
                self.perform(self.master.loaded(self.now, DRAIN_S))
        elif choice < 0.8:
            self.perform(self.master.reload(self.now))
        elif choice < 0.85 and self.alive:
            self.die(self.random.choice(sorted(self.alive)), CRASHED)
        elif choice < 0.86:
            self.perform(self.master.end(15, 1, self.now))
        elif choice < 0.95 and self.master.deadline is not None and self.random.random() < 0.1:
            self.now = max(self.now, self.master.deadline)
            self.perform(self.master.elapsed(self.now))

    def settle(self) -> None:
        """Deliver everything without further faults, and end."""
        self.random.random = lambda: 0.5  # type: ignore[method-assign]
        for _ in range(1000):
            if self.exit is not None:
                return
            if self.queue:
                worker, _, what = self.queue.pop(0)
                if isinstance(what, str):
                    self.perform(self.master.ended(worker, what, self.now))
                else:
                    self.perform(self.master.received(worker, what, self.now))
            elif self.loading:
                self.loading = False
                self.loads += 1
                self.candidate = self.loads
                self.perform(self.master.loaded(self.now, DRAIN_S))
            elif self.ending:
                raise AssertionError("it does not exit")
            else:
                if self.master.phase is Phase.SERVING:
                    assert self.candidate is None
                    assert self.uses == dict.fromkeys(range(1, self.count + 1), self.adopted)
                self.ending = True
                self.perform(self.master.end(15, 1, self.now))


@pytest.mark.parametrize("block", range(10))
def test_in_random_runs_all_workers_use_the_same_configuration(block: int) -> None:
    for seed in range(block * 200, block * 200 + 200):
        model = Model(seed)
        for _ in range(model.random.randint(0, 200)):
            if model.exit is not None:
                break
            model.step()
        try:
            model.settle()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        assert model.exit is not None, f"seed {seed}"
        assert model.exit.status in (0, 1, DEATHS_STATUS)
