"""The work that is measured, and one measurement of one peer at one work."""

import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .measure import cpu_s, resident_kib, settle
from .peers import ROOT, Failed, Peer, last_line, running, start_s, stop

PATIENCE_S = 60.0  # a load that says nothing for so long is stuck
STARTS = 10


@dataclass(frozen=True, slots=True)
class Sample:
    cost: float
    """What one unit of work cost the proxy, in the workload's unit."""
    rate: float | None = None
    """Units of work a second."""
    p50_us: float | None = None
    p99_us: float | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Tunnels between a client and a server of the load; the cost is the growth of a gauge."""

    name: str
    title: str
    cost_unit: str
    rate_unit: str
    server: str
    client: str
    tunnels: int
    amount: float
    gauge: Callable[[int], float] = cpu_s
    scale: float = 1e6

    def suits(self, peer: Peer) -> bool:
        meant = self.name in peer.only if peer.only else self.client != "lines"
        return meant and self.tunnels_of(peer) <= peer.most_tunnels

    def tunnels_of(self, peer: Peer) -> int:
        """Fewer tunnels are another work, unless each is weighed by itself."""
        return min(self.tunnels, peer.most_tunnels) if self.client == "idle" else self.tunnels

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with load(self.server) as server:
            server_port = int(answer(server))
            with (
                running(peer, server_port) as (pid, port),
                load(self.client, port, self.tunnels_of(peer), self.amount) as client,
            ):
                answer(client)
                settle(pid)
                before = self.gauge(pid)
                assert client.stdin
                client.stdin.write("go\n")
                client.stdin.flush()
                figures = json.loads(answer(client))
                settle(pid)
                cost = (self.gauge(pid) - before) * self.scale / figures["done"]
        return Sample(
            cost,
            figures["done"] / figures["seconds"],
            figures.get("p50_us"),
            figures.get("p99_us"),
        )


@dataclass(frozen=True, slots=True)
class Start:
    """From exec to `ready`, which only vcproxy says."""

    name: str = "start"
    title: str = "start to ready"
    cost_unit: str = "ms"
    rate_unit: str = ""

    def suits(self, peer: Peer) -> bool:
        return peer.name == "vcproxy"

    def measure(self, peer: Peer) -> Sample:
        """Start it many times, for the median. Raises Failed."""
        times = sorted(start_s(peer) for _ in range(STARTS))
        return Sample(times[STARTS // 2] * 1e3)


Workload = Traffic | Start


def workloads(bulk_gib: float, seconds: float, idle: int) -> dict[str, Workload]:
    """Every workload by name, in the sizes given."""

    def trips(tunnels: int) -> Traffic:
        title = f"64-byte round trips, {tunnels} connection{'s' if tunnels > 1 else ''}"
        return Traffic(f"trips-{tunnels}", title, "us", "/s", "echo", "trips", tunnels, seconds)

    def lines(plugin: str) -> Traffic:
        title = f"{plugin}: 200-byte JSON lines, 50 connections"
        return Traffic(plugin, title, "us", "/s", "echo", "lines", 50, seconds)

    every: tuple[Workload, ...] = (
        Traffic("bulk", "bulk", "ms/GiB", "GiB/s", "sink", "bulk", 1, bulk_gib * 2**30, scale=1e3),
        trips(1),
        trips(50),
        trips(1000),
        lines("validate"),
        lines("split"),
        Traffic("churn", "connect, echo, close", "us", "/s", "echo", "churn", 8, seconds),
        Traffic(
            "idle", "idle tunnel", "KiB", "opened/s", "echo", "idle", idle, 0, resident_kib, scale=1
        ),
        Start(),
    )
    return {workload.name: workload for workload in every}


@contextmanager
def load(*role: object) -> Iterator["subprocess.Popen[str]"]:
    """Run one process of the load."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load", *map(str, role)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        stop(process)


def answer(process: "subprocess.Popen[str]") -> str:
    """The next line the load says. Raises Failed if it dies or is stuck."""
    assert process.stdout
    assert process.stderr
    said, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
    if not said:
        raise Failed(f"the load got no further within {PATIENCE_S:.0f} s")
    if line := process.stdout.readline():
        return line
    raise Failed(f"the load ended: {last_line(process.stderr.read())}")
