"""Trees of supervising machines under random faults: of the network, and of their processes.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from random import Random

import pytest

from vcproxy.api import Intensity, MachineSpec, Process, State, Strategy, SupervisingProcess
from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.drivers.sim.processes import ProcessFaults
from vcproxy.testing.simulated_machines import SimulatedMachines

SEEDS = list(seeds(100))

NETWORK = NetworkFaults(latency=(0.0, 0.05), loss=0.1, duplicate=0.1)
"""Each datagram has its own delay, so they are reordered."""

PROCESSES = ProcessFaults(
    launch_s=(0.0, 0.5), no_launch=0.05, crash=0.2, crash_s=(0.0, 60.0), hang=0.1
)

STORM_S = 90.0
"""How long there are faults."""

CALM_S = 400.0
"""How long it may take until all is repaired: a crash is noticed after 60 s of silence, one level
of the tree after the other, with the limits for a start (60 s) and an end (20 s) of each."""


MIDDLES, LEAVES = 3, 2
"""Children of the root, and of each of them."""


class Leaf(Process):
    MAIN = State(initial=True)


class Middle(SupervisingProcess):
    MAIN = State(initial=True)

    def specs(self) -> Sequence[MachineSpec]:
        tag = self.invocation.name.partition("#")[2]
        return [MachineSpec(f"tree/Leaf#{tag}.{number}") for number in range(LEAVES)]


class Root(SupervisingProcess):
    MAIN = State(initial=True)
    intensity = Intensity(restarts=10_000)

    def specs(self) -> Sequence[MachineSpec]:
        return [MachineSpec(f"tree/Middle#{number}", shutdown_s=60) for number in range(MIDDLES)]


WHOLE = sorted(
    ["tree/Root"]
    + [f"tree/Middle#{number}" for number in range(MIDDLES)]
    + [f"tree/Leaf#{one}.{other}" for one in range(MIDDLES) for other in range(LEAVES)]
)


def restarts(machines: SimulatedMachines) -> dict[str, list[float]]:
    """Return when each supervisor has made a restart, by its address."""
    found: dict[str, list[float]] = defaultdict(list)
    for time, _, text in machines.simulation.log:
        line = re.fullmatch(r"(\S+@\S+): child .*(is|are) started again.*", text)
        if line:
            found[line[1]].append(time)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_supervised_tree_survives_a_storm(seed: int) -> None:
    """No supervisor makes more restarts than its intensity allows; one that fails is started again
    by its own; in the end everything runs once, and after that nothing."""
    random = Random(seed)
    limit = random.choice([0, 2, 100])
    root, middle = (
        type(kind.__name__, (kind,), {"strategy": random.choice(list(Strategy))} | more)
        for kind, more in ((Root, {}), (Middle, {"intensity": Intensity(limit, 10.0)}))
    )
    kinds = {"tree/Root": root, "tree/Middle": middle, "tree/Leaf": Leaf}
    with SimulatedMachines(kinds, seed=seed) as machines:
        simulation = machines.simulation
        machines.start("tree/Root")  # it has no faults itself
        simulation.network.faults = NETWORK
        simulation.processes.faults = PROCESSES
        machines.elapse(STORM_S)
        simulation.processes.faults = ProcessFaults()
        machines.elapse(CALM_S)
        assert sorted(machines.running) == WHOLE

        machines.stop()
        machines.run(until=lambda: not machines.server.machines, limit=60.0)
        assert machines.running == []
        for name, times in restarts(machines).items():
            if "Middle" in name:
                for first in times:
                    assert sum(first <= time <= first + 10.0 for time in times) <= limit
