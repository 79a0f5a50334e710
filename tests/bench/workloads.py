"""The workloads that are measured, and how one peer is measured with one of them."""

import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import IO, Protocol

from .measure import cpu_s, forget_peak, peak_kib, resident_kib, settle
from .peer import Failed, Peer, free_port, last_line, running, start_s, stop
from .revision import ROOT

PATIENCE_S = 60.0  # if a load prints nothing for this time, it hangs
STARTS = 10
WRITE = 64 * 1024
LINE = 200


@dataclass(frozen=True, slots=True)
class Sample:
    cost: float
    """What one unit of work cost the proxy, in the workload's unit."""
    rate: float | None = None
    """Units of work a second."""
    p50_us: float | None = None
    p99_us: float | None = None


class Workload(Protocol):
    """A workload that peers are measured with."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def cost_unit(self) -> str: ...
    @property
    def rate_unit(self) -> str: ...

    def suits(self, peer: Peer) -> bool:
        """Whether the workload applies to the peer."""

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""


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
        special = self.client in ("lines", "proxied", "hellos", "hello_bulk") or self.name in (
            "access-log-tcp",
            "admission",
        )
        meant = self.name in peer.only if peer.only else not special
        return meant and self.tunnels_of(peer) <= peer.most_tunnels

    def tunnels_of(self, peer: Peer) -> int:
        """Return the number of tunnels; fewer than configured only if the cost is per tunnel."""
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
                order(client)
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
class Poured:
    """The figures of one transfer through a fan."""

    bytes: float
    seconds: float
    p50_us: float | None
    p99_us: float | None
    cpu_s: float
    peak_kib: float


@dataclass(frozen=True, slots=True)
class Fan:
    """A producer, and sinks that receive all its data; `size` is in bytes, for each sink."""

    name: str
    title: str
    cost_unit: str
    rate_unit: str
    sinks: int
    size: float
    unit: int
    """Bytes in one unit of work."""
    scale: float = 1e6
    producer: str = "pour"
    pace: int = 0
    consumer: str = "sinks"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with self.poured(peer) as pour:
            done = pour()
        units = done.bytes / self.unit
        cost = done.cpu_s * self.scale / units
        return Sample(cost, units / done.seconds, done.p50_us, done.p99_us)

    @contextmanager
    def poured(self, peer: Peer) -> Iterator[Callable[..., Poured]]:
        """Start all; yield a function that has the producer send `size` while some sinks sleep."""
        subscribers = free_port()
        with (
            running(peer, subscribers) as (pid, port),
            load(
                self.consumer, port if peer.one_port else subscribers, self.sinks, self.size
            ) as sinks,
        ):
            answer(sinks)
            settle(pid)  # every sink has joined
            with load(self.producer, port, self.pace, self.size) as producer:
                answer(producer)
                settle(pid)

                def pour(asleep: int = 0) -> Poured:
                    forget_peak(pid)
                    spent = cpu_s(pid)
                    order(sinks, asleep)
                    order(producer)
                    figures = json.loads(answer(sinks))
                    settle(pid)
                    return Poured(
                        figures["done"],
                        figures["seconds"],
                        figures.get("p50_us"),
                        figures.get("p99_us"),
                        cpu_s(pid) - spent,
                        peak_kib(pid),
                    )

                yield pour


@dataclass(frozen=True, slots=True)
class Stalled:
    """Two fans in turn, so that a disturbance affects both: in one all sinks read, in the other one
    sink never reads."""

    name: str
    title: str
    cost_unit: str
    fan: Fan
    judge: Callable[[Poured, Poured], float]
    """(figures with no stalled sink, figures with one) -> the cost."""
    turns: int
    rate_unit: str = "GiB/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with self.fan.poured(peer) as pour, self.fan.poured(peer) as pour_past_one:
            pour(), pour_past_one()  # warm-up: all sinks read
            pairs = [(pour(), pour_past_one(asleep=1)) for _ in range(self.turns)]
        return Sample(
            median(self.judge(*pair) for pair in pairs),
            median(other.bytes / other.seconds for _, other in pairs) / self.fan.unit,
        )


@dataclass(frozen=True, slots=True)
class Start:
    """The time from exec to the line `ready`, which only vcproxy prints."""

    name: str
    title: str
    peers: tuple[str, ...]
    cost_unit: str = "ms"
    rate_unit: str = ""

    def suits(self, peer: Peer) -> bool:
        return peer.name in self.peers

    def measure(self, peer: Peer) -> Sample:
        """Start the proxy STARTS times; return the median time. Raises Failed."""
        times = sorted(start_s(peer) for _ in range(STARTS))
        return Sample(times[STARTS // 2] * 1e3)


def workloads(bulk_gib: float, seconds: float, idle: int) -> dict[str, Workload]:
    """Every workload by name, in the sizes given."""

    def trips(tunnels: int) -> Traffic:
        title = f"64-byte round trips, {tunnels} connection{'s' if tunnels > 1 else ''}"
        return Traffic(f"trips-{tunnels}", title, "us", "/s", "echo", "trips", tunnels, seconds)

    def lines(plugin: str) -> Traffic:
        title = f"{plugin}: 200-byte JSON lines, 50 connections"
        return Traffic(plugin, title, "us", "/s", "echo", "lines", 50, seconds)

    def fan(sinks: int, gib: float = 4 * bulk_gib) -> Fan:
        size = gib * 2**30 / sinks // WRITE * WRITE
        title = f"fan-out of 64 KiB writes, {sinks} sinks"
        return Fan(f"fan-{sinks}", title, "ms/GiB", "GiB/s", sinks, size, 2**30, scale=1e3)

    def ticks(name: str, sinks: int, pace: int) -> Fan:
        title = f"{pace} lines a second to {sinks} sinks"
        size = int(pace * seconds) * LINE
        return Fan(name, title, "us", "/s", sinks, size, LINE, 1e6, "tick", pace, "readers")

    def slowed(calm: Poured, stalled: Poured) -> float:
        """Return the ratio of the times that the other sinks need for the same data."""
        return stalled.seconds / calm.seconds

    def grown(calm: Poured, stalled: Poured) -> float:
        return stalled.peak_kib - calm.peak_kib

    # each sink gets far more than the kernel and max_lag hold for one that never reads
    short = fan(100, max(1, 2 * bulk_gib))
    every: tuple[Workload, ...] = (
        Traffic("bulk", "bulk", "ms/GiB", "GiB/s", "sink", "bulk", 1, bulk_gib * 2**30, scale=1e3),
        trips(1),
        trips(50),
        trips(1000),
        lines("validate"),
        lines("split"),
        Traffic("churn", "connect, echo, close", "us", "/s", "echo", "churn", 8, seconds),
        Traffic(
            *("proxy-protocol", "churn with PROXY v2 in and out", "us", "/s"),
            *("unproxied", "proxied", 8, seconds),
        ),
        Traffic(
            "admission", "churn with allow, deny, rate", "us", "/s", "echo", "churn", 8, seconds
        ),
        Traffic("sni", "churn, routed by SNI", "us", "/s", "echo", "hellos", 8, seconds),
        Traffic(
            *("sni-bulk", "bulk, routed by SNI", "ms/GiB", "GiB/s", "hello_sink", "hello_bulk"),
            *(1, bulk_gib * 2**30),
            scale=1e3,
        ),
        Traffic("access-log-tcp", "churn with access log", "us", "/s", "echo", "churn", 8, seconds),
        Traffic(
            "idle", "idle tunnel", "KiB", "opened/s", "echo", "idle", idle, 0, resident_kib, scale=1
        ),
        Start("start", "start to ready", ("vcproxy", "before")),
        Start("start-http", "start to ready: HTTP", ("vcproxy-http", "before-http")),
        fan(8),
        fan(100),
        ticks("lines-10", 10, 1000),
        ticks("lines-100", 100, 1000),
        ticks("lines-1000", 1000, 100),  # at higher rates one send has several lines
        ticks("lines-million", 1000, 1000),
        Stalled("stalled", "1 of 100 sinks stalled: time", "x", short, slowed, 7),
        Stalled("stalled-memory", "1 of 100 sinks stalled: memory", "KiB", short, grown, 1),
    )
    return {workload.name: workload for workload in every}


@contextmanager
def load(
    *role: object, module: str = "tests.bench.load", errors: int | IO[str] = subprocess.PIPE
) -> Iterator["subprocess.Popen[str]"]:
    """Run one process of the load. `errors`: where its standard error goes."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, role)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        process_group=0,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        stop(process)


def order(process: "subprocess.Popen[str]", how: object = "go") -> None:
    """Start the load."""
    assert process.stdin
    process.stdin.write(f"{how}\n")
    process.stdin.flush()


def answer(process: "subprocess.Popen[str]") -> str:
    """Return the next line of the load's output. Raises Failed if it ends or hangs."""
    assert process.stdout
    readable, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
    if not readable:
        raise Failed(f"the load got no further within {PATIENCE_S:.0f} s")
    if line := process.stdout.readline():
        return line
    why = last_line(process.stderr.read()) if process.stderr else "see its log"
    raise Failed(f"the load ended: {why}")
