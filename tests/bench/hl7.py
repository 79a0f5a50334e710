"""HL7 messages over MLLP: the cost of a proxy for each, and how many it leaves unanswered."""

import json
import sys
from dataclasses import dataclass, replace

from .measure import cpu_s, settle
from .peer import Peer, running
from .peers import TUNNEL_PEERS
from .workloads import Sample, answer, load, order

LOAD = "tests.bench.hl7_load"
COSTS = ("mllp-messages",)
LOSSES = ("mllp-silent", "mllp-dying", "mllp-stalled")
CLIENTS = 50
FEW, MESSAGES = 10, 5
"""The clients whose answers are counted, and the messages of each."""

MLLP = """\
[[listener]]
name = "bench"
bind = "tcp://127.0.0.1:$listen"
plugin = "mllp"
upstream = "bench"
options = { timeout = "1s", in_flight = {in_flight} }

[upstream.bench]
servers = ["tcp://127.0.0.1:$server"]
"""


@dataclass(frozen=True, slots=True)
class Hl7Traffic:
    """Messages of many clients; the cost is CPU time for each message and its acknowledgement."""

    name: str
    title: str
    seconds: float
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        """Whether the workload applies to the peer."""
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with (
            load("server", module=LOAD) as server,
            running(peer, int(answer(server))) as (pid, port),
            load("clients", port, CLIENTS, self.seconds, module=LOAD) as clients,
        ):
            answer(clients)
            settle(pid)
            before = cpu_s(pid)
            order(clients)
            figures = json.loads(answer(clients))
            settle(pid)
            cost = (cpu_s(pid) - before) * 1e6 / figures["done"]
        rate = figures["done"] / figures["seconds"]
        return Sample(cost, rate, figures["p50_us"], figures["p99_us"])


@dataclass(frozen=True, slots=True)
class Hl7Losses:
    """Senders whose messages should be answered, whatever others do. The cost is the percentage of
    their messages without an answer after three seconds."""

    name: str
    title: str
    server: str
    client: str
    cost_unit: str = "%"
    rate_unit: str = ""

    def suits(self, peer: Peer) -> bool:
        """Whether the workload applies to the peer."""
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed, also if a receiver got a part of a
        message."""
        with (
            load(self.server, module=LOAD) as server,
            running(peer, int(answer(server))) as (_, port),
            load(self.client, port, FEW, MESSAGES, module=LOAD) as clients,
        ):
            answer(clients)
            order(clients)
            return Sample(json.loads(answer(clients))["done"])


def workloads(seconds: float) -> dict[str, Hl7Traffic | Hl7Losses]:
    """Every workload by name, in the sizes given."""
    every: tuple[Hl7Traffic | Hl7Losses, ...] = (
        Hl7Traffic("mllp-messages", f"HL7 over MLLP: 500 bytes, {CLIENTS} connections", seconds),
        Hl7Losses("mllp-silent", "each 10th message unanswered: lost", "silent", "steady"),
        Hl7Losses("mllp-dying", "senders die in mid-message: lost", "server", "dying"),
        Hl7Losses("mllp-stalled", "senders do not read: lost", "server", "stalled"),
    )
    return {workload.name: workload for workload in every}


def hl7_peer(kind: str, only: tuple[str, ...]) -> Peer:
    """A program with python-hl7's own server: see the module `hl7_proxies`."""
    code = "import hl7; print('python-hl7', hl7.__version__)"
    return Peer(
        f"python-hl7-{kind}",
        (sys.executable, "-m", "tests.bench.hl7_proxies", kind, "$listen", "$server"),
        version=(sys.executable, "-c", code),
        needs="hl7",
        only=only,
    )


def vcproxy_peer(name: str, in_flight: int, only: tuple[str, ...]) -> Peer:
    """The plugin mllp, with so many messages at its receiver."""
    config = MLLP.replace("{in_flight}", str(in_flight))
    return replace(TUNNEL_PEERS["vcproxy"], name=name, config=config, only=only)


HL7_PEERS = {
    peer.name: peer
    for peer in (
        vcproxy_peer("vcproxy-mllp", 1, COSTS + LOSSES),
        vcproxy_peer("vcproxy-mllp-many", 0, COSTS),
        hl7_peer("answer", COSTS),
        hl7_peer("forward", COSTS + LOSSES),
        hl7_peer("share", COSTS + LOSSES),
    )
}
