"""What a tree of 1,000 machines costs in simulation: 60 virtual seconds with all their pulses."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.sim.machine_tree import Parent, names
from vcproxy.testing import SimulatedMachines

from .peer import Failed, Peer
from .workloads import Sample

CHILDREN = (9, 10, 10)
"""Children of each machine, by level: 1,000 with the root."""
VIRTUAL_S = 60.0


@dataclass(frozen=True, slots=True)
class SimulatedTree:
    """The cost is real seconds; the rate is virtual seconds for each of them."""

    name: str = "machines-tree"
    title: str = "1,000 machines for 60 virtual s"
    cost_unit: str = "s"
    rate_unit: str = "s/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed if a machine does not run, or has a child too few."""
        begin = time.perf_counter()
        with SimulatedMachines({"tree/Node": Parent}, seed=time.monotonic_ns()) as machines:
            machines.start("tree/Node#0", *map(str, CHILDREN))
            machines.elapse(VIRTUAL_S)
        seconds = time.perf_counter() - begin
        children = sum(len(each.children) for each in machines.machines.values())
        if sorted(machines.running) != sorted(names("tree/Node#0", *CHILDREN)) or children != 999:
            raise Failed(f"{len(machines.running)} machines run, with {children} children")
        return Sample(seconds, VIRTUAL_S / seconds)
