"""Transport streams of a multicast group to many viewers: the cost, also of a stalled viewer."""

import json
import sys
from dataclasses import dataclass, replace

from .measure import cpu_s, forget_peak, peak_kib, settle
from .peer import Failed, Peer, free_port, running
from .peers import TUNNEL_PEERS
from .ts_load import GROUP
from .workloads import Sample, answer, load, order

LOAD = "tests.bench.ts_load"
COSTS = ("mpegts-10", "mpegts-100")
STALLED = "mpegts-stalled"

CONFIG = """\
[proxy]
net_threads = 1

[[listener]]
name = "bench"
plugin = "{plugin}"

[listener.options]
source = "udp://{group}:$server?interface=127.0.0.1"
http_subscribers = "tcp://127.0.0.1:$listen"
on_lag = "drop_oldest"
"""


@dataclass(frozen=True, slots=True)
class Viewed:
    """A group at a constant rate, and viewers who get each datagram. Each is lost by none, or the
    measurement fails."""

    name: str
    title: str
    viewers: int
    pace: int
    seconds: float
    asleep: int = 0
    """How many viewers read nothing: then the cost is not CPU time for each datagram and viewer,
    but the growth of the memory."""
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        """Whether the workload applies to the peer."""
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        group, count = free_port(), int(self.pace * self.seconds)
        kind = "raw" if peer.name.startswith("socat") else "http"
        with (
            running(peer, group) as (pid, port),
            load(kind, port, self.viewers, count, self.asleep, module=LOAD) as viewers,
            load("sender", group, self.pace, count, module=LOAD) as sender,
        ):
            answer(viewers)
            answer(sender)
            settle(pid)
            forget_peak(pid)
            spent, peak = cpu_s(pid), peak_kib(pid)
            order(viewers)
            order(sender)
            figures = json.loads(answer(viewers))
            if figures["lost"]:
                raise Failed(f"{figures['lost']} of {count * self.viewers} datagrams were lost")
            settle(pid)
            cost = (cpu_s(pid) - spent) * 1e6 / figures["done"]
            if self.asleep:
                cost = peak_kib(pid) - peak
        rate = figures["done"] / figures["seconds"]
        return Sample(cost, rate, figures["p50_us"], figures["p99_us"])


def workloads(seconds: float) -> dict[str, Viewed]:
    """Every workload by name, in the sizes given."""
    every = (
        Viewed("mpegts-10", "8 Mbit/s of a group to 10 viewers", 10, 760, seconds),
        Viewed("mpegts-100", "3 Mbit/s of a group to 100 viewers", 100, 285, seconds),
        # far more than the kernel holds for a viewer that does not read, and max_lag
        Viewed(STALLED, "1 of 10 viewers stalled", 10, 3000, 6 * seconds, 1, "KiB"),
    )
    return {workload.name: workload for workload in every}


def vcproxy(plugin: str) -> Peer:
    config = CONFIG.replace("{plugin}", plugin).replace("{group}", GROUP)
    ours = TUNNEL_PEERS["vcproxy"]
    name, only = f"vcproxy-{plugin}-group", (*COSTS, STALLED)
    return replace(ours, name=name, config=config, only=only, one_port=True)


# As udpxy does: a process for each viewer, with a membership of its own.
SOCAT = (
    "socat",
    "-U",
    "TCP-LISTEN:$listen,bind=127.0.0.1,reuseaddr,fork,backlog=1024",
    f"UDP4-RECV:$server,bind={GROUP},reuseaddr,ip-add-membership={GROUP}:127.0.0.1",
)

TS_PEERS = {
    peer.name: peer
    for peer in (
        vcproxy("mpegts"),
        vcproxy("relay"),
        Peer("socat-group", SOCAT, version=("socat", "-V"), only=COSTS, one_port=True),
        Peer(
            "asyncio-group",
            (sys.executable, "-m", "tests.bench.ts_fan", "$listen", "$server"),
            version=(sys.executable, "-c", "import sys; print('Python', sys.version.split()[0])"),
            only=(*COSTS, STALLED),
            one_port=True,
        ),
    )
}
