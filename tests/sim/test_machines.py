"""Trees of machines under random faults: of the network, and of their processes.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from time import process_time

import pytest

from tests.sim.machine_tree import Ledger, Node, Parent, names
from vcproxy.api import Peer, Process
from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.drivers.sim.processes import ProcessFaults
from vcproxy.testing.simulated_machines import SimulatedMachines

SEEDS = list(seeds(100))

NETWORK = NetworkFaults(latency=(0.0, 0.05), loss=0.1, duplicate=0.1)
"""Each datagram has its own delay, so they are reordered."""

PROCESSES = ProcessFaults(
    launch_s=(0.0, 0.5), no_launch=0.05, crash=0.3, crash_s=(0.0, 60.0), hang=0.15
)

STORM_S = 90.0
"""How long there are faults."""

CALM_S = 200.0
"""How long it may take until all is repaired. A crash is noticed after 60 s of silence, and one
level of the tree after the other."""


def without_unnoticed(machines: SimulatedMachines) -> list[Process]:
    """Return the machines that run, without those that hang, and their descendants.

    A machine that hangs is killed, unless it hangs before its parent has got its `started`: then
    only the end of its server ends it.
    """
    lost: set[Peer] = set()
    found = []
    for pid, process in machines.simulation.processes.running.items():  # parents come first
        machine = machines.unfinished[pid]
        if process.hangs or machine.parent in lost:
            lost.add(machine.address)
        else:
            found.append(machine)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree_survives_a_storm(seed: int) -> None:
    """Each note is received once and in order, or its sender is informed; whoever fails is started
    again; in the end nothing runs that should not."""
    ledger = Ledger()
    kind = type("Node", (Node,), {"ledger": ledger})
    with SimulatedMachines({"tree/Node": kind}, seed=seed) as machines:
        simulation = machines.simulation
        machines.start("tree/Node#0", "3", "2", "0")  # the root itself has no faults
        simulation.network.faults = NETWORK
        simulation.processes.faults = PROCESSES
        machines.elapse(STORM_S)
        simulation.processes.faults = ProcessFaults()
        machines.elapse(CALM_S)
        tree = without_unnoticed(machines)
        assert sorted(each.name for each in tree) == names("tree/Node#0", 3, 2)
        children = {child.peer for each in tree for child in each.children}
        assert children == {each.address for each in tree} - {tree[0].address}

        machines.stop()
        machines.run(until=lambda: not machines.server.machines, limit=60.0)
        assert machines.running == []
        ledger.received[0] = [text for text in machines.client.texts if text.startswith("note ")]
        for line in machines.log:  # at its end a machine has no states that could be informed
            if " not acknowledged by " in line:
                ledger.given_up.add(line.partition(": ")[2].partition(": ")[2])
        lost = machines.unfinished
        assert list(ledger.faults(set(lost), {each.address for each in lost.values()})) == []
        assert len(ledger.accepted) > 100


def test_a_tree_of_a_thousand_machines() -> None:
    """60 virtual seconds, each machine with its pulses, in at most 30 s of a processor: 1.3 s here,
    most of it for the start."""
    began = process_time()
    with SimulatedMachines({"tree/Node": Parent}) as machines:
        machines.start("tree/Node#0", "9", "10", "10")
        machines.elapse(60.0)
        assert sorted(machines.running) == sorted(names("tree/Node#0", 9, 10, 10))
        parents = machines.machines.values()
        assert sum(len(parent.children) for parent in parents) == 999
        assert sum(" pulsed " in line and " < " in line for line in machines.log) >= 5 * 999
        machines.stop()
        machines.run(until=lambda: not machines.server.machines)
    assert process_time() - began < 30.0
