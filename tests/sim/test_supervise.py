"""Kill storms: the plugin supervise with programs that fail, hang and are killed, in virtual time.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random
from signal import SIGKILL, SIGTERM
from typing import Any

import pytest

from vcproxy.config.options import read_options
from vcproxy.drivers.sim import seeds
from vcproxy.drivers.sim.process import SimProcess
from vcproxy.drivers.sim.processes import ProcessFaults
from vcproxy.engine.sources.signals import Signal
from vcproxy.plugins.supervise import Options, Supervise
from vcproxy.testing.proxy import SimulatedProxy

SEEDS = list(seeds(300))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

STORM_S = 40.0
"""How long programs are killed."""

END_S = 6 * 5.5
"""How long six programs may take to end: each its time to end, and a launch in progress."""


class Storm:
    """One seed: a proxy with random programs, and what must be true at any time."""

    def __init__(self, seed: int) -> None:
        random = self.random = Random(seed)
        children = [
            {
                "name": f"c{number}",
                "command": f"/bin/c{number}",
                "restart": random.choice([*["permanent"] * 4, "transient", "temporary", "raise"]),
                "shutdown": random.choice(["0s", "500ms", "5s"]),
            }
            for number in range(random.randint(1, 6))
        ]
        table: dict[str, Any] = {
            "children": children,
            "strategy": random.choice(["one_for_one", "rest_for_one", "one_for_all"]),
            "intensity": random.choice([0, 2, 5, 100]),
            "period": random.choice(["1s", "10s"]),
        }
        options, _ = read_options(Supervise, table, Path())
        assert isinstance(options, Options)
        self.options = options
        self.proxy = SimulatedProxy(Supervise, (), options=options, seed=seed)
        self.sim = self.proxy.sim
        self.sim.processes.faults = random.choice([ProcessFaults(), ProcessFaults.all()])
        self.alive: dict[str, SimProcess] = {}
        self.launches = 0
        for child in children:
            self.sim.programs[child["command"]] = partial(self._runs, child["name"])

    def _runs(self, name: str, process: SimProcess) -> None:
        before = self.alive.get(name)
        assert before is None or before.ended, f"{name} runs twice"
        self.alive[name] = process
        self.launches += 1
        self.sim.clock.after(self.random.choice([0, 0.2, 12, 100]), partial(self._ends, process))
        if self.random.random() < 0.2:
            process.on_signal = lambda number: None

    def _ends(self, process: SimProcess) -> None:
        if not process.hangs:
            process.exit(self.random.choice([0, 1]))

    @property
    def running(self) -> list[SimProcess]:
        return list(self.sim.processes.running.values())

    def kill_some(self) -> None:
        for process in self.running:
            if self.random.random() < 0.3:
                process.signal(self.random.choice([SIGKILL, SIGKILL, SIGTERM]))

    def run(self) -> None:
        """Kill programs for a while, then end the proxy."""
        for _ in range(int(STORM_S)):
            self.proxy.elapse(1)
            self.kill_some()
        failed = "the proxy goes on without them" in str(self.sim.log)
        assert not (failed and self.running), "nothing runs after a failure"
        self.proxy.programs.deliver(Signal(SIGTERM))
        self.proxy.elapse(END_S)
        assert self.running == [], "nothing runs at the end"
        assert not self.proxy.engine.sources
        self.check_restarts()

    def check_restarts(self) -> None:
        """Check that no period has more restarts than the intensity allows."""
        at = [
            time
            for time, _, text in self.sim.log
            if "started again" in text and " not " not in text
        ]
        for first in at:
            lately = [time for time in at if first <= time <= first + self.options.period]
            assert len(lately) <= self.options.intensity


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}-{batch[-1]}")
def test_storms_of_kills(batch: list[int]) -> None:
    for seed in batch:
        try:
            Storm(seed).run()
        except AssertionError as error:
            error.add_note(f"VCPROXY_SEED={seed}")
            raise


def test_the_seeds_reach_what_they_are_for() -> None:
    storms = [Storm(seed) for seed in range(60)]
    for storm in storms:
        storm.run()
    failed = sum("the proxy goes on" in str(storm.sim.log) for storm in storms)
    assert 10 < failed < 50
    assert sum(storm.launches for storm in storms) > 300
    assert any("has not ended within" in str(storm.sim.log) for storm in storms)
    assert any("limit of processes" in str(storm.sim.log) for storm in storms)


def test_a_seed_repeats_the_storm() -> None:
    one, other = Storm(17), Storm(17)
    one.run()
    other.run()
    assert one.sim.log == other.sim.log
