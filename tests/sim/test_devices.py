"""Devices behind splitters under random faults: each request has one end, and it is its own.

Requests are "ID get" or "ID set". A device has a number, which each "set" increases; its answer is
the number. It is slow, silent, says what nobody has asked for, answers twice, and resets its
connection at any point. VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from tests.sessions.world import BACK, World
from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation, seeds
from vcproxy.messages.keyed import Keyed
from vcproxy.messages.split_rules import Orphans, Part
from vcproxy.messages.splitter import Splitter
from vcproxy.messages.succession import shared_connections
from vcproxy.messages.unanswered import Unanswered

SEEDS = list(seeds(400))
BATCHES = [SEEDS[n::8] for n in range(8) if SEEDS[n::8]]
UNSEEN = {Unanswered.NOT_SENT.name, Unanswered.NO_SERVER.name}
"""Reasons which say that the device has not seen a request."""


class Device:
    """A device, and its rules of misbehaviour."""

    def __init__(self, sim: Simulation, random: Random) -> None:
        self.sim, self.random = sim, random
        self.value = 0
        self.seen: Counter[bytes] = Counter()
        """How often it has received each request, by client and id."""
        self.busy: dict[Peer, int] = {}
        """Requests at the device, by connection."""
        self.most_busy = 0
        self.trouble = random.choice([0.0, 0.0, 0.02, 0.2])
        self.delay = random.choice([0.0, 0.01, 0.5])
        sim.server(BACK, self.connected)

    def connected(self, peer: Peer) -> None:
        self.busy[peer] = 0
        pending = bytearray()

        def take(data: bytes) -> None:
            pending.extend(data)
            *lines, rest = bytes(pending).split(b"\n")
            pending[:] = rest
            for line in lines:
                self.received(peer, line)

        peer.on_data = take
        peer.on_end = peer.close
        if self.random.random() < self.trouble:
            peer.reset()

    def received(self, peer: Peer, line: bytes) -> None:
        number, name, what = line.split(b" ")
        self.seen[name] += 1
        self.busy[peer] += 1
        self.most_busy = max(self.most_busy, self.busy[peer])
        random = self.random
        if random.random() < self.trouble:
            action = random.choice(["reset", "silent", "half", "close"])
            if action == "half":
                peer.send(number + b" ")
            if action in ("half", "reset"):
                peer.reset()
            if action == "close":
                peer.close()
            return

        def answer() -> None:
            if peer.ended:
                return
            self.busy[peer] -= 1
            self.value += what == b"set"
            answer = b"%b %d\n" % (number, self.value)
            times = 2 if random.random() < self.trouble else 1
            news = b"news\n" if random.random() < self.trouble else b""
            peer.send(news + answer * times)

        self.sim.clock.at(random.random() * self.delay, answer)


class Plugin(Splitter):
    """Its attributes are chosen by the seed."""

    size = 1 << 16

    def key(self, request: bytes) -> Keyed:
        what = request.split(b" ")[1]
        number = self.fresh_id(self.size)
        return Keyed(number, b"%d %b" % (number, request), b"get" if what == b"get" else None)

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        number, _, value = reply.partition(b" ")
        yield Part(int(number) if value else None, value or reply)

    def restore(self, request: bytes, part: bytes) -> bytes:
        return request.split(b" ")[0] + b" " + part

    def unanswered(self, request: bytes, why: Unanswered) -> bytes:
        return request.split(b" ")[0] + b" " + why.name.encode()

    def lost(self, why: str) -> bytes:
        return b"lost"


class Client:
    """One that sends requests, some at once, and checks what it gets."""

    def __init__(self, world: World, random: Random, number: int) -> None:
        self.world, self.random = world, random
        self.name = b"c%d" % number
        self.left = random.randint(1, 20)
        self.open: dict[bytes, int] = {}
        """The least value that the answer may have, by the name of the request."""
        self.ends: dict[bytes, bytes] = {}
        self.least = 0
        self.wrong: list[bytes] = []
        self.left_early = False
        self.retired = False
        """Whether a reload may have closed it, after the answers to what was read of it."""
        self.peer = world.client()
        self.peer.on_data = self.received
        self.peer.on_end = self.peer.close
        self._rest = b""
        world.sim.clock.at(random.random() * 2.0, self.send)

    def send(self) -> None:
        if self.peer.ended:
            return
        for _ in range(min(self.random.randint(1, 4), self.left)):
            name = b"%b.%d" % (self.name, self.left)
            self.left -= 1
            self.open[name] = self.least
            self.peer.send(name + b" " + self.random.choice([b"get", b"get", b"set"]) + b"\n")
        if not self.left and self.random.random() < 0.3:
            self.peer.end()
        elif self.random.random() < 0.02:
            self.peer.reset()
            self.left_early = True

    def received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line in (b"news", b"lost"):
                continue
            name, _, end = line.partition(b" ")
            if name not in self.open or (end.isdigit() and int(end) < self.open[name]):
                self.wrong.append(line)
                continue
            del self.open[name]
            self.ends[name] = end
            if end.isdigit():
                self.least = max(self.least, int(end))
        if not self.open and self.left:
            self.world.sim.clock.at(self.random.random(), self.send)


@pytest.mark.parametrize("batch", range(len(BATCHES)))
def test_each_request_has_one_end_of_its_own(batch: int) -> None:
    for seed in BATCHES[batch]:
        random = Random(seed)
        run(seed, random, NetworkFaults.all().some(random))


@pytest.mark.parametrize("batch", range(len(BATCHES)))
def test_with_a_network_that_loses_nothing_each_request_has_an_end(batch: int) -> None:
    for seed in BATCHES[batch]:
        clients = run(seed, Random(seed), NetworkFaults(latency=(0.0, 0.02), short=0.1))
        for client in clients:
            gone = client.left_early or client.retired
            assert gone or not client.open, f"{seed=} {client.name!r}"


def run(seed: int, random: Random, faults: NetworkFaults) -> list[Client]:
    """Run clients and a device; check what holds with any faults."""
    orphan_rules: list[Orphans] = ["drop", "broadcast", "reconnect"]

    class Own(Plugin):
        in_flight = random.choice([0, 1, 1, 3])
        attempts = random.choice([1, 1, 2, 3])
        silences = random.choice([1, 1, 3])
        shares_s = random.choice([0.0, 0.0, 1.0])
        orphans: Orphans = random.choice(orphan_rules)
        timeout_s = random.choice([0.3, 2.0, 30.0])
        queue_timeout_s = random.choice([1.0, 60.0])
        window = random.choice([1, 2, 16])
        size = random.choice([2, 7, 1 << 16])

    with Simulation(seed, faults) as sim:
        world = World(sim, Own, inactivity_s=10_000.0)
        device = Device(sim, random)
        clients = [Client(world, random, number) for number in range(random.randint(1, 6))]
        if random.random() < 0.3:

            def reload() -> None:
                before, world.service = world.service, replace(world.service, origin=object())
                before.draining = True
                for client in clients:
                    client.retired = True
                clients.extend(Client(world, random, number) for number in range(10, 13))

            sim.clock.at(random.random() * 3.0, reload)
        sim.elapse(5000.0)
        assert world.mistakes == []
        for client in clients:
            assert client.wrong == [], f"{seed=} {client.name!r}"
            for name, end in client.ends.items():
                if end.decode() in UNSEEN:
                    assert not device.seen[name], f"{seed=} {name!r} {end!r}"
        assert max(device.seen.values(), default=0) <= Own.attempts, f"{seed=}"
        if Own.in_flight and not device.trouble and Own.timeout_s == 30.0:
            assert device.most_busy <= Own.in_flight, f"{seed=}"
        for shared in shared_connections(world.service.persistent):
            counts = shared.counts()
            assert (counts.open, counts.unsent_bytes) == (0, 0), f"{seed=}"
        for client in clients:
            client.peer.close()
        world.settle()
        assert world.service.persistent == {}
    return clients
