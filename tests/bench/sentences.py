"""NMEA sentences of a receiver at a serial line to many consumers: the cost, and what is lost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from subprocess import Popen

from .measure import cpu_s, settle
from .nmea_load import PATIENT_S, line_name
from .peer import Failed, Peer, free_port, running
from .peers import TUNNEL_PEERS
from .workloads import Sample, answer, load, order

LOAD = "tests.bench.nmea_load"
COSTS = ("nmea-10", "nmea-50")
HARMS = ("nmea-stalled", "nmea-damaged", "nmea-gone")
LINE = line_name(0).as_posix().removesuffix("0") + "$server"

CONFIG = """\
[proxy]
net_threads = 1

[[listener]]
name = "bench"
plugin = "{plugin}"

[listener.options]
source = "serial:{line}?baud=115200"
subscribers = "tcp://127.0.0.1:$listen"
framing = "{framing}"
on_lag = "drop_oldest"
max_lag = "64KiB"
"""

SER2NET = """\
connection: &bench
  accepter: tcp,127.0.0.1,$listen
  connector: serialdev,{line},115200n81,local
  options:
    max-connections: 100
"""


@contextmanager
def receiver(at: int, *given: object) -> Iterator["Popen[str]"]:
    """A receiver whose line is there: not every program looks for it again."""
    try:
        with load("device", at, *given, module=LOAD) as device:
            answer(device)
            yield device
    finally:
        line_name(at).unlink(missing_ok=True)  # the load is killed


@dataclass(frozen=True, slots=True)
class Heard:
    """Sentences at a constant rate, each to every consumer; the cost is CPU time for each sentence
    and consumer. None is lost, or the measurement fails."""

    name: str
    title: str
    consumers: int
    pace: int
    seconds: float
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        """Whether the workload applies to the peer."""
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        at, count = free_port(), int(self.pace * self.seconds)
        with (
            receiver(at, self.pace, count, "steady") as device,
            running(peer, at) as (pid, port),
            load("consumers", port, self.consumers, count, "steady", module=LOAD) as consumers,
        ):
            answer(consumers)
            settle(pid)
            spent = cpu_s(pid)
            order(consumers)
            order(device)
            figures = json.loads(answer(consumers))
            if figures["lost"]:
                raise Failed(f"{figures['lost']} of {count * self.consumers} sentences were lost")
            settle(pid)
            cost = (cpu_s(pid) - spent) * 1e6 / figures["done"]
        rate = figures["done"] / figures["seconds"]
        return Sample(cost, rate, figures["p50_us"], figures["p99_us"])


@dataclass(frozen=True, slots=True)
class Harmed:
    """What ten consumers notice when something goes wrong: `figure` of the load. "lost": the
    percentage of good sentences that they miss; "bad": lines that are none, for each hundred sent;
    "gap_s": seconds until sentences arrive again."""

    name: str
    title: str
    device: str
    consumer: str
    figure: str
    count: int
    pace: int
    cost_unit: str
    rate_unit: str = ""

    def suits(self, peer: Peer) -> bool:
        """Whether the workload applies to the peer."""
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        at, number = free_port(), 10
        with (
            receiver(at, self.pace, self.count, self.device) as device,
            running(peer, at) as (pid, port),
            load("consumers", port, number, self.count, self.consumer, module=LOAD) as consumers,
        ):
            answer(consumers)
            settle(pid)
            order(consumers)
            order(device)
            figures = json.loads(answer(consumers))
        found: float = figures[self.figure]
        if self.figure == "gap_s":
            if figures["lost"] >= self.count * number / 2:
                raise Failed(f"no sentences came again within {PATIENT_S:.0f} s")
            return Sample(found)
        awake = number - (self.consumer == "stalled")
        return Sample(100 * found / (self.count * awake))


def workloads(seconds: float) -> dict[str, Heard | Harmed]:
    """Every workload by name, in the sizes given."""
    every: tuple[Heard | Harmed, ...] = (
        Heard("nmea-10", "1,000 sentences a second to 10 consumers", 10, 1000, 3 * seconds),
        Heard("nmea-50", "200 sentences a second to 50 consumers", 50, 200, 3 * seconds),
        Harmed(
            "nmea-stalled",
            "1 of 10 consumers stalled: the others miss",
            *("steady", "stalled", "lost"),
            int(40_000 * seconds),
            4000,
            "%",
        ),
        Harmed(
            "nmea-damaged",
            "1 of 10 sentences damaged: lines that are none",
            *("damaged", "steady", "bad"),
            int(2000 * seconds),
            1000,
            "%",
        ),
        Harmed(
            "nmea-gone",
            "a device that is away for a second: no sentence",
            *("gone", "gone", "gap_s"),
            200,
            100,
            "s",
        ),
    )
    return {workload.name: workload for workload in every}


def vcproxy(plugin: str, framing: str) -> Peer:
    config = CONFIG.replace("{plugin}", plugin).replace("{framing}", framing)
    return replace(
        TUNNEL_PEERS["vcproxy"],
        name=f"vcproxy-{plugin}-line",
        config=config.replace("{line}", LINE),
        only=COSTS + HARMS,
        one_port=True,
    )


# A broker of TCP clients, and the line as one of them: what one copies from the web.
NCAT = f"""\
ncat --listen --broker --max-conns 100 127.0.0.1 $listen &
while true; do socat -u OPEN:{LINE},rdonly,raw,echo=0 TCP:127.0.0.1:$listen; sleep 0.1; done
"""

NMEA_PEERS = {
    peer.name: peer
    for peer in (
        vcproxy("nmea", "nmea"),
        vcproxy("relay", "lines"),
        Peer(
            "gpsd-line",
            ("gpsd", "-N", "-n", "-b", "-S", "$listen", LINE),
            version=("gpsd", "-V"),
            only=COSTS + HARMS,
            one_port=True,
        ),
        Peer(
            "ser2net-line",
            (
                "sh",
                "-c",
                "mv $config $config.yaml && exec ser2net -n -c $config.yaml -P $config.pid",
            ),
            SER2NET.replace("{line}", LINE),
            version=("ser2net", "-v"),
            only=COSTS + HARMS,
            one_port=True,
        ),
        Peer(
            "ncat-line",
            ("sh", "$config"),
            NCAT,
            version=("ncat", "--version"),
            only=COSTS + HARMS,
            one_port=True,
        ),
    )
}
