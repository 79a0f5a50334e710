"""A supervisor whose children start late, fail, hang, and ignore their stop, in virtual time.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random

import pytest

from vcproxy.drivers.sim import seeds
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
from vcproxy.supervise.supervisor import HEALTHY_S, Supervisor

SEEDS = list(seeds(1000))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

FAULTS_S = 60.0
"""How long children fail."""

QUIET_S = 120.0
"""How long they then do not: longer than the longest delay, a limit for a start, and 5 stops."""


@dataclass
class Child:
    """One simulated child, and what the law says about it."""

    index: int
    spec: ChildSpec
    run: int = 0
    """Counts its starts: events for an earlier one are dropped."""
    alive: bool = False
    up: bool = False
    """It has reported that it has started."""
    up_at: float = inf
    start_at: float = 0.0
    stop_at: float = inf
    """When it was asked to end."""
    hung: bool = False
    """It was reported to hang."""
    deaf: bool = False
    """It does not end when it is asked to."""
    expected: bool = False
    """Its end is no failure."""
    wanted: bool = True
    not_before: float = 0.0
    failures: int = 0
    """Failures in a row, each after less than 10 s of health."""


@dataclass
class World:
    """A supervisor, its children, and the checks of each action."""

    seed: int
    now: float = 1000.0
    final: SupervisorAction | None = None
    killing: bool = False
    stopping: bool = False
    doomed: bool = False
    """The law requires the supervisor to fail."""
    restarts: list[float] = field(default_factory=list)
    starts: int = 0

    def __post_init__(self) -> None:
        random = self.random = Random(self.seed)
        specs = [
            ChildSpec(
                f"c{index}",
                random.choice([*[Restart.PERMANENT] * 4, *Restart]),
                shutdown_s=random.choice([0, 0.5, 5, None]),
                start_s=random.choice([1, 10]),
            )
            for index in range(random.randint(0, 6))
        ]
        self.children = {spec.name: Child(index, spec) for index, spec in enumerate(specs)}
        self.strategy = random.choice(list(Strategy))
        self.intensity = Intensity(random.choice([0, 1, 3, 5, 50, 1000]), random.choice([1, 10]))
        self.fault_rate = random.choice([0.05, 0.3, 0.9])
        self.faults_end = self.now + FAULTS_S
        self.supervisor = Supervisor(specs, self.strategy, self.intensity, Random(self.seed))
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = count()

    # -- time ----------------------------------------------------------------------------------

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        heappush(self.events, (self.now + seconds, next(self.numbers), call))

    def run(self, until: float) -> None:
        """Deliver events and deadlines in their order."""
        while True:
            deadline = self.supervisor.deadline
            assert deadline is None or deadline > self.now, "no deadline lies in the past"
            at = min(self.events[0][0] if self.events else inf, deadline or inf)
            if at > until:
                self.now = until
                return
            self.now = at
            if deadline is not None and at >= deadline:
                self.take(self.supervisor.elapsed(self.now))
            else:
                heappop(self.events)[2]()

    # -- children ------------------------------------------------------------------------------

    def fault(self) -> bool:
        return self.now < self.faults_end and self.random.random() < self.fault_rate

    def started(self, child: Child, run: int) -> None:
        """It reports that it has started; later it may fail or hang."""
        if not child.alive or child.run != run:
            return
        child.up, child.up_at = True, self.now
        if self.fault():
            lives_s = self.random.choice([0, 0.1, 5, 15])
            if self.random.random() < 0.7:
                self.after(lives_s, lambda: self.ends(child, run))
            else:
                self.after(lives_s, lambda: self.hangs(child, run))
        self.take(self.supervisor.started(child.spec.name, self.now))

    def hangs(self, child: Child, run: int) -> None:
        if child.alive and child.run == run:
            child.deaf = True
            child.hung = not child.expected
            self.take(self.supervisor.hung(child.spec.name, "hangs", self.now))

    def ends(self, child: Child, run: int) -> None:
        """It ends: the law says what must follow."""
        if not child.alive or child.run != run:
            return
        child.alive = child.up = False
        if self.now >= child.up_at + HEALTHY_S:
            child.failures = 0
        orderly = not child.hung and self.random.random() < 0.3
        if not child.expected:
            self.failed(child, orderly)
        elif child.spec.restart is Restart.TEMPORARY:
            child.wanted = False
        child.expected = child.hung = False
        child.up_at = inf
        self.take(self.supervisor.ended(child.spec.name, orderly, "ended", self.now))

    def failed(self, child: Child, orderly: bool) -> None:
        restart = child.spec.restart
        if restart is Restart.TEMPORARY or (orderly and restart is not Restart.PERMANENT):
            child.wanted = False
            return
        lately = [at for at in self.restarts if self.now - at <= self.intensity.period_s]
        if restart is Restart.RAISE or len(lately) == self.intensity.restarts:
            self.doomed = True
            self.expect_the_end()
            return
        self.restarts.append(self.now)
        child.failures += 1
        least_s = min(0.05 * 2 ** (child.failures - 2), 15) if child.failures > 1 else 0
        for each in self.children.values():
            after = each.index > child.index
            in_group = {
                Strategy.ONE_FOR_ONE: False,
                Strategy.REST_FOR_ONE: after,
                Strategy.ONE_FOR_ALL: True,
            }[self.strategy]
            if each is child or in_group:
                each.not_before = max(each.not_before, self.now + least_s)
                each.expected = each.alive
                each.wanted = each.wanted or each.spec.restart is not Restart.TEMPORARY

    def expect_the_end(self) -> None:
        self.stopping = True
        for each in self.children.values():
            each.expected = each.alive

    # -- actions -------------------------------------------------------------------------------

    def take(self, actions: list[SupervisorAction]) -> None:
        for action in actions:
            assert self.final is None, f"{action} after {self.final}"
            match action:
                case StartChild(name):
                    self.start(self.children[name])
                case StopChild(name):
                    self.stop(self.children[name])
                case KillChild(name):
                    self.kill(self.children[name])
                case Ended() | Escalate():
                    self.final = action
                    assert not any(each.alive for each in self.children.values())
                    assert isinstance(action, Escalate) == self.doomed
                case Log():
                    pass

    def start(self, child: Child) -> None:
        assert not self.stopping
        assert not child.alive, "it is not started twice"
        assert child.wanted
        assert self.now >= child.not_before, "it waits for its delay"
        before = [each for each in self.children.values() if each.index < child.index]
        assert all(each.up for each in before if each.alive and not each.hung)
        if self.strategy is not Strategy.ONE_FOR_ONE:
            assert all(each.up and not each.hung for each in before if each.wanted)
        child.run += 1
        self.starts += 1
        child.alive, child.start_at, child.stop_at = True, self.now, inf
        child.hung = False
        child.deaf = self.random.random() < 0.2
        run = child.run
        if not self.fault():
            self.after(self.random.choice([0, 0.5]), lambda: self.started(child, run))
        elif self.random.random() < 0.5:
            self.after(self.random.choice([0, 0.5]), lambda: self.ends(child, run))
        # else it hangs while it starts

    def stop(self, child: Child) -> None:
        assert child.alive
        assert child.expected
        assert not any(each.alive for each in self.children.values() if each.index > child.index), (
            "the last first, each after the end of the one before"
        )
        child.stop_at = self.now
        run = child.run
        may_be_deaf = child.spec.shutdown_s is not None  # else it would never be killed
        if not (child.deaf and may_be_deaf):
            self.after(self.random.choice([0, 0.3]), lambda: self.ends(child, run))

    def kill(self, child: Child) -> None:
        spec = child.spec
        assert child.alive
        in_order = not any(
            each.alive for each in self.children.values() if each.index > child.index
        )
        late_end = spec.shutdown_s is not None and self.now >= child.stop_at + spec.shutdown_s
        late_start = not child.up and self.now >= child.start_at + (spec.start_s or inf)
        at_once = spec.shutdown_s == 0 and child.expected and in_order
        assert self.killing or late_end or late_start or at_once or child.hung
        child.hung = child.hung or not child.expected
        run = child.run
        self.after(self.random.choice([0, 0.01]), lambda: self.ends(child, run))


def simulate(seed: int) -> World:
    """Run one seed; all laws are checked on the way."""
    world = World(seed)
    world.take(world.supervisor.start(world.now))
    ends_early = world.random.random() < 0.3
    world.run(world.now + (world.random.uniform(0, FAULTS_S) if ends_early else FAULTS_S + QUIET_S))
    if not world.doomed and not ends_early:
        for child in world.children.values():
            assert child.up == child.wanted, "all that are wanted run in the end"
    if world.final is None:
        if not world.stopping:
            world.expect_the_end()
        if world.random.random() < 0.2:
            world.killing = True
            world.take(world.supervisor.kill(world.now))
        else:
            world.take(world.supervisor.stop(world.now))
        world.run(world.now + QUIET_S)
    assert world.final is not None, "it ends"
    assert world.supervisor.deadline is None
    return world


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}-{batch[-1]}")
def test_the_laws_of_restart_and_order_are_kept(batch: list[int]) -> None:
    for seed in batch:
        try:
            simulate(seed)
        except AssertionError as error:
            error.add_note(f"VCPROXY_SEED={seed}")
            raise


def test_the_seeds_reach_what_they_are_for() -> None:
    worlds = [simulate(seed) for seed in range(200)]
    assert sum(world.doomed for world in worlds) > 20
    assert sum(not world.doomed and len(world.restarts) > 5 for world in worlds) > 20
    assert sum(world.starts for world in worlds) > 800
    assert {world.strategy for world in worlds} == set(Strategy)
