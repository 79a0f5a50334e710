"""The master with simulated workers in virtual time: kill storms, hangs, stops, reloads, by seed.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import pytest

from vcproxy.drivers.sim import seeds
from vcproxy.supervise.actions import Log
from vcproxy.supervise.intensity import Intensity
from vcproxy.workers.actions import (
    Action,
    Adopt,
    Drop,
    Exit,
    Kill,
    KillLeaving,
    KillSuccessor,
    Load,
    NotRestarted,
    Offer,
    Ready,
    Reloaded,
    Restarted,
    Send,
    SendLeaving,
    Spawn,
    StartSuccessor,
    Succeed,
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
from vcproxy.workers.silence import LATE_S

SEEDS = list(seeds(300))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

STORM_S = 120.0
DRAIN_S = 10.0
TIMEOUT_S = 6.0


@dataclass(eq=False)
class Worker:
    """A process of a worker."""

    number: int
    born: float
    prepared: dict[int, int] = field(default_factory=dict)
    """The configuration that it has prepared, by generation."""
    uses: int = 0
    """The configuration that it uses; 0: none yet."""
    dead: bool = False
    hung: bool = False
    """Whether it answers nothing: it loops, or is stopped."""
    arrives: float = 0.0
    """When what it sent last arrives: its messages stay in order."""


class World:
    """A master and its workers. It checks the laws after each step."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = self.random.randint(1, 4)
        self.intensity = Intensity(self.random.choice((0, 2, 5, 20)), 10.0)
        self.hangs = self.random.choice((0.0, 0.0, 0.02))
        self.refuses = self.random.choice((0.0, 0.1))
        self.crashes = self.random.choice((0.0, 0.0, 0.2))
        self.now = 0.0
        self.calls: list[tuple[float, int, Callable[[], None]]] = []
        self.order = 0
        self.paused_until = 0.0
        """The master and its workers are stopped until then."""
        self.live: dict[int, Worker] = {}
        self.successor: Worker | None = None
        self.leaving: Worker | None = None
        self.restarted = 0
        """How many restarts of all workers were carried out."""
        self.failures: list[float] = []
        """When the master was informed of each failure."""
        self.adopted = self.loads = 1
        self.candidate: int | None = None
        self.exit: Exit | None = None
        self.log: list[str] = []
        self.master = Master(
            self.count, DRAIN_S, TIMEOUT_S, self.intensity, random.Random(self.random.random())
        )
        self.perform(self.master.start(self.now))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something later."""
        self.order += 1
        heappush(self.calls, (self.now + seconds, self.order, call))

    def run(self, until: float) -> None:
        """Run until a time, or the exit of the master."""
        while self.exit is None:
            deadline = self.master.deadline
            if deadline is not None:
                deadline = max(deadline, self.paused_until, self.now)
            first = max(self.calls[0][0], self.now) if self.calls else until
            if min(first, until if deadline is None else deadline) >= until:
                break
            if deadline is not None and deadline <= first:
                self.now = deadline
                self.perform(self.master.elapsed(self.now))
            else:
                self.now = first
                heappop(self.calls)[2]()
        self.now = max(self.now, until)

    # -- the master ----------------------------------------------------------------------------

    def event(self, call: Callable[[], Sequence[Action]]) -> None:
        """An event of the master: after its pause, if it is stopped."""
        if self.now < self.paused_until:
            self.after(self.paused_until - self.now, lambda: self.event(call))
        elif self.exit is None:
            self.perform(call())

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out what the master has decided."""
        for action in actions:
            assert self.exit is None, f"{action} after the exit"
            match action:
                case Spawn(number, generation):
                    assert number not in self.live, "one process for each worker"
                    worker = self.live[number] = Worker(number, self.now)
                    self.prepare(worker, generation, self.adopted)
                case Offer(number, generation):
                    assert self.candidate is not None
                    if number in self.live:
                        self.prepare(self.live[number], generation, self.candidate)
                case Send(number, message):
                    if number in self.live:
                        worker = self.live[number]
                        self.after(self.latency(), lambda w=worker, m=message: self.deliver(w, m))  # type: ignore[misc]
                case Kill(number):
                    if number in self.live:
                        worker = self.live[number]
                        ending = self.ending or self.master.phase is Phase.STARTING
                        assert worker.hung or ending, f"worker {number} works, and is killed"
                        self.die(worker, "was killed by SIGKILL")
                case StartSuccessor(number, generation):
                    assert self.successor is None
                    assert self.leaving is None, "one after the other"
                    assert number in self.live, "the old process serves meanwhile"
                    self.successor = Worker(number, self.now)
                    self.prepare(self.successor, generation, self.adopted)
                case Succeed(number):
                    assert self.successor is not None
                    self.leaving = self.live[number]
                    self.live[number], self.successor = self.successor, None
                case KillSuccessor():
                    if self.successor is not None:
                        self.successor.dead = True
                        self.successor = None
                case SendLeaving(message):
                    if self.leaving is not None:
                        worker = self.leaving
                        self.after(self.latency(), lambda w=worker, m=message: self.deliver(w, m))  # type: ignore[misc]
                case KillLeaving():
                    assert self.leaving is not None
                    paused = self.now < self.paused_until + LATE_S
                    assert self.leaving.hung or paused, "a process that leaves works, is killed"
                    self.die(self.leaving, "was killed by SIGKILL")
                case Restarted(count):
                    assert count == self.count
                    assert self.leaving is None
                    for worker in self.live.values():
                        assert worker.uses == self.adopted
                    self.restarted += 1
                case NotRestarted(reason):
                    self.log.append(f"{self.now:.3f} not restarted: {reason}")
                case Load():
                    self.after(self.random.uniform(0.01, 1.0), lambda: self.event(self.loaded))
                case Adopt():
                    assert self.candidate is not None
                    self.adopted, self.candidate = self.candidate, None
                case Drop():
                    self.candidate = None
                case Ready() | Reloaded():
                    for worker in self.live.values():
                        assert worker.uses == self.adopted
                case Log(_, text):
                    self.log.append(f"{self.now:.3f} {text}")
                case Exit():
                    self.exit = action

    @property
    def ending(self) -> bool:
        """Whether the master ends."""
        return self.master.phase in (Phase.DRAINING, Phase.STOPPING)

    def loaded(self) -> list[Action]:
        """The result of Load."""
        self.loads += 1
        if self.random.random() < 0.2:
            return self.master.loaded(self.now, error="bad")
        self.candidate = self.loads
        return self.master.loaded(self.now, DRAIN_S)

    # -- workers -------------------------------------------------------------------------------

    def latency(self) -> float:
        """How long a message takes, or a turn."""
        return self.random.choice((0.0, 0.001, 0.02))

    def prepare(self, worker: Worker, generation: int, configuration: int) -> None:
        """A worker gets PREPARE."""

        def prepared() -> None:
            if worker.dead or worker.hung:
                return
            if self.random.random() < self.refuses and self.master.phase is not Phase.STARTING:
                self.send(worker, Verb.REFUSED, generation)
                if not worker.uses:
                    self.die(worker, "exited with status 1")
                return
            worker.prepared[generation] = configuration
            self.send(worker, Verb.PREPARED, generation)

        if not worker.uses and self.master.phase is not Phase.STARTING:
            if self.random.random() < self.crashes:
                self.after(0.1, lambda: self.die(worker, "exited with status 1"))
            worker.hung = self.random.random() < self.hangs
        self.after(self.random.uniform(0.05, 0.5), prepared)

    def deliver(self, worker: Worker, message: Message) -> None:
        """A worker gets another message."""
        if worker.dead or worker.hung:
            return
        if message.verb is Verb.COMMIT:
            first = not worker.uses
            worker.uses = worker.prepared.pop(message.generation)
            assert worker.uses == self.adopted, "it uses what was not decided"
            self.send(worker, Verb.SERVING, message.generation)
            if first:
                self.pulse(worker)
        elif message.verb is Verb.ROLL_BACK:
            worker.prepared.pop(message.generation, None)
        elif message.verb is Verb.DRAIN:
            self.after(self.random.uniform(0.0, DRAIN_S), lambda: self.die(worker, EXITED_0))
        elif message.verb is Verb.STOP:
            self.die(worker, EXITED_0)

    def pulse(self, worker: Worker) -> None:
        """Its net threads turn, unless it hangs, or all are stopped."""
        if worker.dead:
            return
        if not worker.hung and self.now >= self.paused_until:
            self.send(worker, Verb.PULSED)
        self.after(TIMEOUT_S / 4, lambda: self.pulse(worker))

    def send(self, worker: Worker, verb: Verb, generation: int = 0) -> None:
        """A message goes to the master."""
        message = Message(verb, generation, pid=worker.number)

        def received() -> list[Action]:
            if worker is self.live.get(worker.number):
                return self.master.received(worker.number, message, self.now)
            if worker is self.successor:
                return self.master.successor_received(message, self.now)
            return []

        self.arrive(worker, received)

    def arrive(self, worker: Worker, event: Callable[[], list[Action]]) -> None:
        """Something of a worker arrives, after what it has sent before."""
        worker.arrives = max(worker.arrives, self.now + self.latency())
        self.after(worker.arrives - self.now, lambda: self.event(event))

    def die(self, worker: Worker, how: str) -> None:
        """A process ends."""
        if worker.dead:
            return
        worker.dead = True

        def ended() -> list[Action]:
            if worker is self.successor:
                self.successor = None
                return self.master.successor_ended(how, self.now)
            if worker is self.leaving:
                self.leaving = None
                return self.master.left(how, self.now)
            if worker is not self.live.get(worker.number):
                return []  # a successor that was killed
            del self.live[worker.number]
            before = self.master.phase
            if not (self.ending or before is Phase.STARTING):
                self.failures.append(self.now)
            return self.master.ended(worker.number, how, self.now)

        self.arrive(worker, ended)

    # -- the storm -----------------------------------------------------------------------------

    def trouble(self) -> None:
        """One thing that goes wrong, or that an operator does."""
        choice = self.random.random()
        others = (self.successor, self.leaving)
        running = [*self.live.values(), *(each for each in others if each is not None)]
        victims = [worker for worker in running if not worker.dead]
        victim = self.random.choice(victims) if victims else None
        if choice < 0.6 and victim is not None:
            self.die(victim, "was killed by SIGKILL")
        elif choice < 0.7 and victim is not None and victim.uses:
            victim.hung = True  # it loops, or was stopped
        elif choice < 0.9:
            self.event(lambda: self.master.reload(self.now))
        elif choice < 0.94:
            self.event(self.restart)
        elif choice < 0.97:
            self.pause(self.random.uniform(0.5, 3 * TIMEOUT_S))

    def restart(self) -> list[Action]:
        """RESTART, some workers being alone."""
        if self.master.rolling.running or self.master.phase is Phase.STARTING:
            return []
        return self.master.restart((1,) if self.random.random() < 0.5 else (), self.now)

    def pause(self, seconds: float) -> None:
        """The whole proxy is stopped, as on a suspended machine: nothing of it moves."""
        self.paused_until = self.now + seconds
        self.calls = [(max(at, self.paused_until), order, call) for at, order, call in self.calls]
        self.calls.sort(key=lambda entry: entry[:2])

    def storm(self) -> None:
        """Troubles until STORM_S."""
        self.run(5.0)
        mean_s = self.random.choice((1.0, 4.0, 15.0))
        while self.now < STORM_S and self.exit is None:
            self.run(self.now + self.random.expovariate(1 / mean_s))
            if self.now >= self.paused_until:
                self.trouble()

    def too_many(self) -> bool:
        """Whether more failures than allowed were within the period."""
        span = self.intensity.restarts
        return any(
            later - earlier <= self.intensity.period_s
            for earlier, later in zip(self.failures, self.failures[span:], strict=False)
        )

    def settle(self) -> None:
        """Without further troubles all workers serve, and the end is orderly."""
        self.hangs = self.refuses = self.crashes = 0.0
        quiet_s = TIMEOUT_S + PREPARE_S + 2 * STACKS_S + LATE_S + 3 * TIMEOUT_S + 32.0
        quiet_s += self.count * (PREPARE_S + DRAIN_S + GRACE_S)  # a restart goes on
        self.run(self.now + 2 * quiet_s)
        if self.exit is None and not self.ending:
            assert self.master.phase is Phase.SERVING
            assert self.candidate is None
            assert not self.master.rolling.running
            assert self.successor is self.leaving is None
            assert {number: worker.uses for number, worker in self.live.items()} == dict.fromkeys(
                range(1, self.count + 1), self.adopted
            )
            if self.random.random() < 0.3:
                self.live[1].hung = True
            self.perform(self.master.end(15, 1, self.now))
        self.run(self.now + DRAIN_S + GRACE_S + 2 * STACKS_S + LATE_S)
        assert self.exit is not None, "it does not exit"
        assert not self.live, "nothing is left running"
        assert self.leaving is None
        assert (self.exit.status == EXHAUSTED_STATUS) == self.too_many()


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}...")
def test_workers_are_replaced_as_the_intensity_allows(batch: list[int]) -> None:
    for seed in batch:
        world = World(seed)
        try:
            world.storm()
            world.settle()
        except BaseException as error:
            error.add_note(f"seed {seed}, at {world.now:.3f}:\n" + "\n".join(world.log[-20:]))
            raise


def test_the_storms_reach_what_they_are_for() -> None:
    """Restarts, hangs, reloads and exhausted intensities occur."""
    statuses, lines, reloads, restarts = set(), "", 0, 0
    for seed in range(40):
        world = World(seed)
        world.storm()
        world.settle()
        assert world.exit is not None
        statuses.add(world.exit.status)
        lines += "\n".join(world.log)
        reloads += world.adopted - 1
        restarts += world.restarted
    assert statuses == {0, 1, EXHAUSTED_STATUS}
    assert "it is started again in" in lines
    assert "has sent no heartbeat for 6s: it is killed" in lines
    assert "has not loaded the configuration within 30s: it is killed" in lines
    assert "has not ended in time" in lines
    assert reloads > 40
    assert restarts > 10
    assert "while its successor loaded the configuration" in lines
    assert "not restarted: " in lines
    assert "after it was replaced: it is killed" in lines
