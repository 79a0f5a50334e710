"""The cost of a round trip on the bus, and what many connections do when their server returns."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bus.connections.returning import Returned, real, simulated

from .measure import cpu_s
from .peer import Failed, Peer
from .workloads import Sample, answer, load, order

ECHO = "tests.bench.bus_echo"
TRIPS_A_SECOND = 8_000
PAUSE_S = 2.0
"""The one pause between attempts: long enough for some attempts in each 100 ms of 200 clients."""
OUTAGE_S = 10.0


@dataclass(frozen=True, slots=True)
class Trips:
    """Round trips of a plain client over a Unix stream socket. The cost is the CPU time of the
    service, for each."""

    trips: int
    name: str = "bus-trips"
    title: str = "round trip over a Unix stream socket"
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        *_, first, last = sorted(os.sched_getaffinity(0)) * 2
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            path = Path(folder) / "s"
            with load("serve", peer.command[-1], last, path, module=ECHO) as service:
                answer(service)
                with load("ask", first, path, self.trips, module=ECHO) as client:
                    answer(client)
                    before = cpu_s(service.pid)
                    order(client)
                    figures = json.loads(answer(client))
                    spent = cpu_s(service.pid) - before
        return Sample(spent * 1e6 / figures["done"], figures["done"] / figures["seconds"])


@dataclass(frozen=True, slots=True)
class Returning:
    """Permanent connections whose server goes away and comes back. The cost is how long it takes
    until the last one is back; or, with `crowd`, the most attempts in any 100 ms, from the loss on,
    as a multiple of their mean."""

    count: int
    simulated: bool
    crowd: bool
    rate_unit: str = ""

    @property
    def name(self) -> str:
        return f"bus-{'crowd' if self.crowd else 'return'}-{self.count}"

    @property
    def title(self) -> str:
        kind = "simulated" if self.simulated else "real"
        what = "the most attempts in 100 ms" if self.crowd else "until all are back"
        return f"{self.count} {kind} connections, {what}"

    @property
    def cost_unit(self) -> str:
        return "x" if self.crowd else "s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed if a connection does not come back."""
        try:
            returned = self._returned()
        except TimeoutError as error:
            raise Failed(str(error)) from None
        return Sample(returned.crowd if self.crowd else returned.back_s)

    def _returned(self) -> Returned:
        pauses = (PAUSE_S,)
        if self.simulated:
            seed = time.monotonic_ns()
            return simulated(self.count, pauses, OUTAGE_S, seed, whole=True)
        return real(self.count, pauses, OUTAGE_S, whole=True)


def workloads(seconds: float) -> dict[str, Trips | Returning]:
    """Every workload by name, in the sizes given."""
    every: list[Trips | Returning] = [
        Trips(max(int(TRIPS_A_SECOND * seconds), 1)),
        *(
            Returning(count, simulated=count > 200, crowd=crowd)
            for count in (1000, 200)
            for crowd in (False, True)
        ),
    ]
    return {workload.name: workload for workload in every}
