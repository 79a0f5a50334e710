"""The cost of messages between machines, and what a network that loses much does to them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.bus.mailbox.network import STATED, Network, pour
from vcproxy.bus.mailbox.profile import PATIENT, README, WINK, Profile

from .measure import cpu_s
from .peer import LOOPBACK, Failed, Peer
from .workloads import Sample, answer, load

ECHO = "tests.bench.echo"
TRIPS_A_SECOND = 8_000
SETTLE_S = 0.5
"""How long a machine's start may go on after it has sent its first message."""
WAIT_S = 5.0
"""How long it is measured: less than the 10 s after which the message is given up."""


@dataclass(frozen=True, slots=True)
class Echo:
    """Round trips between two processes. The cost is the CPU time of both for each.

    On two processors, half of it is for waking the other one. On one, each process finds its code
    and data displaced from the caches by the other one, which is worse for the larger one.
    """

    name: str
    title: str
    trips: int
    processors: int
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        kind = peer.command[-1]
        *_, first, last = sorted(os.sched_getaffinity(0)) * 2
        if self.processors == 1:
            first = last
        with program(kind, "echo", last) as echo:
            port = int(answer(echo))
            with program(kind, "client", first, port, self.trips) as client:
                answer(client), answer(client)
                before = cpu_s(echo.pid) + cpu_s(client.pid)
                figures = json.loads(answer(client))
                spent = cpu_s(echo.pid) + cpu_s(client.pid) - before
        return Sample(spent * 1e6 / figures["done"], figures["done"] / figures["seconds"])


@dataclass(frozen=True, slots=True)
class AwaitedAck:
    """A machine that waits for acknowledgements that do not come. The cost is the share of a
    processor that it uses."""

    name: str
    title: str
    cost_unit: str = "%"
    rate_unit: str = ""

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed."""
        waiting = peer.command[-1], "client", max(os.sched_getaffinity(0))
        with silent() as port, program(*waiting, port, 1) as client:
            answer(client)
            time.sleep(SETTLE_S)
            before = cpu_s(client.pid)
            time.sleep(WAIT_S)
            spent = cpu_s(client.pid) - before
            if client.poll() is not None:
                raise Failed("the machine has ended")
            return Sample(spent / WAIT_S * 100)


@contextmanager
def program(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run the module `echo`. Its log goes to a file, as that of a machine does."""
    with (
        tempfile.TemporaryFile("w+") as log,
        load(*arguments, module=ECHO, errors=log) as process,
    ):
        yield process


@contextmanager
def silent() -> Iterator[int]:
    """Yield the port of a socket that nothing is read from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        yield sock.getsockname()[1]


@dataclass(frozen=True, slots=True)
class Lossy:
    """Messages through a network that loses a fifth, in virtual time. The cost is the most messages
    that one side stored at one time; the rate is messages for each second of real time."""

    profile: Profile
    messages: int
    cost_unit: str = "stored"
    rate_unit: str = "/s"

    @property
    def name(self) -> str:
        return f"lossy-{self.profile.name}"

    @property
    def title(self) -> str:
        return f"20 % loss, profile {self.profile.name}"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed if a message was delivered twice or in another order, or was
        lost and its sender is not informed."""
        network = Network(seed=time.monotonic_ns(), faults=replace(STATED))
        alice, bob = network.host(1, self.profile), network.host(2, self.profile)
        texts = [f"{number:06}" for number in range(self.messages)]
        begin = time.perf_counter()
        peak = pour(alice, bob, texts)
        seconds = time.perf_counter() - begin
        delivered = bob.texts()
        if delivered != sorted(set(delivered)):
            raise Failed("a message was delivered twice, or in another order")
        informed = {given_up.message.decode() for given_up in alice.given_up}
        if {*delivered, *informed} != set(texts):
            raise Failed("a message was lost, and its sender is not informed")
        if self.profile is PATIENT and delivered != texts:
            raise Failed(f"{len(texts) - len(delivered)} messages were given up")
        return Sample(max(peak.pending, peak.held), self.messages / seconds)


def workloads(seconds: float) -> dict[str, Echo | AwaitedAck | Lossy]:
    """Every workload by name, in the sizes given."""
    trips = max(int(TRIPS_A_SECOND * seconds), 1)
    every: list[Echo | AwaitedAck | Lossy] = [
        Echo("messages-echo", "echo of acknowledged datagrams", trips, 2),
        Echo("messages-echo-one", "the same on one processor", trips, 1),
        AwaitedAck("messages-wait", "waiting for an acknowledgement"),
        *(Lossy(profile, 20_000) for profile in (PATIENT, README, WINK)),
    ]
    return {workload.name: workload for workload in every}
