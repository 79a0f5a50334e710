"""Gateways that share one Modbus device among many clients: their cost, delay, and errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .measure import cpu_s, settle
from .peer import Failed, Peer, running
from .workloads import Sample, Workload, answer, load, order

LOAD = "tests.bench.modbus_load"
CLIENTS = 50
DEAD_REQUESTS = 10_000

GATEWAY = """\
[proxy]
net_threads = 1

[[listener]]
name = "bench"
bind = "tcp://127.0.0.1:$listen"
plugin = "modbus"
upstream = "device"
options = {{ {options} }}

[upstream.device]
servers = ["tcp://127.0.0.1:$server"]
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of the clients has measured."""

    done: int
    cpu_s: float
    seconds: float
    p50_us: float
    p99_us: float
    wrong: int
    lost: int
    direct_p99_us: float = 0.0


@contextmanager
def device() -> Iterator[int]:
    with load("device", module=LOAD) as process:
        yield int(answer(process))


def clients(role: str, ports: object, amount: float, pid: int) -> Figures:
    """Run the clients of the gateway `pid`. Raises Failed."""
    with load(role, ports, CLIENTS, amount, module=LOAD) as process:
        answer(process)
        settle(pid)
        before = cpu_s(pid)
        order(process)
        figures = json.loads(answer(process))
        settle(pid)
        return Figures(cpu_s=cpu_s(pid) - before, **figures)


@dataclass(frozen=True, slots=True)
class Gateway:
    """50 clients that poll as fast as they are answered. The cost is the CPU time of a request."""

    seconds: float
    name: str = "modbus-poll"
    title: str = "Modbus: 50 clients share a device"
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed, also for a wrong or lost reply."""
        with device() as server, running(peer, server) as (pid, port):
            done = clients("poll", port, self.seconds, pid)
        unwrong(done)
        cost = done.cpu_s * 1e6 / done.done
        return Sample(cost, done.done / done.seconds, done.p50_us, done.p99_us)


@dataclass(frozen=True, slots=True)
class Delay:
    """Requests at a rate that all gateways sustain. The cost is by how much the 99th percentile of
    their delay is above that of requests which go directly to the device, at the same time."""

    seconds: float
    name: str = "modbus-latency"
    title: str = "Modbus: 250 requests/s, added p99"
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed, also for a wrong or lost reply."""
        with device() as server, running(peer, server) as (pid, port):
            done = clients("paced", f"{port},{server}", self.seconds, pid)
        unwrong(done)
        added = done.p99_us - done.direct_p99_us
        return Sample(added, done.done / done.seconds, done.p50_us, done.p99_us)


@dataclass(frozen=True, slots=True)
class DeadUnit:
    """10,000 requests for five units, one of which never answers. The cost is how many replies are
    wrong or lost; a proxy that is slow at this is measured with fewer requests."""

    name: str = "modbus-dead"
    title: str = "Modbus: wrong, lost with a dead unit"
    cost_unit: str = "of 10,000"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed if a request is never answered."""
        with device() as server, running(peer, server) as (pid, port):
            requests = DEAD_REQUESTS if peer.name.startswith("vcproxy") else DEAD_REQUESTS / 20
            done = clients("dead", port, requests, pid)
        failed = (done.wrong + done.lost) * DEAD_REQUESTS / requests
        return Sample(failed, done.done / done.seconds, done.p50_us, done.p99_us)


def unwrong(done: Figures) -> None:
    if done.wrong or done.lost:
        raise Failed(f"{done.wrong} wrong and {done.lost} lost replies of {done.done}")


def workloads(seconds: float) -> dict[str, Workload]:
    """Every workload of Modbus by name, in the sizes given."""
    every: tuple[Workload, ...] = (Gateway(seconds), Delay(3 * seconds), DeadUnit())
    return {workload.name: workload for workload in every}


def ours(name: str, options: str, only: tuple[str, ...]) -> Peer:
    return Peer(
        name,
        (sys.executable, "-m", "$cli", "-c", "$config"),
        GATEWAY.format(options=options),
        version=(sys.executable, "-m", "$cli", "--version"),
        only=only,
    )


def modbus_proxy(name: str, timeout_s: float, only: tuple[str, ...]) -> Peer:
    code = "import modbus_proxy; print('modbus-proxy', modbus_proxy.__version__)"
    device = ("--modbus", "tcp://127.0.0.1:$server", "--timeout", str(timeout_s))
    return Peer(
        name,
        (sys.executable, "-m", "modbus_proxy", "-b", "tcp://127.0.0.1:$listen", *device),
        version=(sys.executable, "-c", code),
        needs="modbus_proxy",
        only=only,
    )


MODBUS_PEERS = {
    peer.name: peer
    for peer in (
        ours("vcproxy-modbus", "", ("modbus-poll", "modbus-latency")),
        ours("vcproxy-modbus-many", "in_flight = 0", ("modbus-poll", "modbus-latency")),
        ours("vcproxy-modbus-dead", 'timeout = "50ms", in_flight = 8', ("modbus-dead",)),
        modbus_proxy("modbus-proxy", 10, ("modbus-poll", "modbus-latency")),
        modbus_proxy("modbus-proxy-dead", 0.05, ("modbus-dead",)),
    )
}
"""vcproxy-modbus and modbus-proxy send the device one request at a time; most of what that costs is
system calls, the same for both. vcproxy-modbus-many sends all that there are, which modbus-proxy
cannot. With the dead unit modbus-proxy waits 50 ms, twice, for each request to it."""
