"""Datagrams through the forward plugin, under random faults and interleavings.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random

import pytest

from tests.engine.world import EventRecorder
from tests.sim.test_tunnels import BATCHES
from vcproxy.drivers.datagrams import MAX_SEGMENTS, MAX_SEND_BYTES, DatagramPort, batches
from vcproxy.drivers.sim import DatagramPeer, NetworkFaults, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.sources.datagrams import HostPort
from vcproxy.plugins.forward import Forward
from vcproxy.testing.proxy import SimulatedProxy

SIZES = [1, 2, 100, 1200, 9_000, 65_507]

INACTIVITY_S = 3.0


def datagram(random: Random, client: int, number: int) -> bytes:
    """Return a datagram with unique content."""
    name = b"%d.%d|" % (client, number)
    return name + bytes(max(random.choice(SIZES) - len(name), 0))


def run(seed: int, faults: NetworkFaults, clients: int, limit: int) -> None:
    """Run clients with a server that replies to each datagram; check what all have received."""
    random = Random(seed)
    with SimulatedProxy(
        Forward,
        datagrams=True,
        max_connections=limit,
        inactivity_s=INACTIVITY_S,
        seed=seed,
        faults=faults,
    ) as proxy:
        server = proxy.datagram_server()
        requests: list[set[bytes]] = []
        peers: list[DatagramPeer] = []
        most = 0

        def reply(data: bytes, source: HostPort) -> None:
            server.send(data[::-1], source)

        def send_one(client: DatagramPeer, data: bytes) -> None:
            nonlocal most
            client.send(data)
            most = max(most, sum(vc.listener is not None for vc in proxy.engine.vcs))

        server.on_datagram = reply
        for index in range(clients):
            client = proxy.datagram_client()
            sent = [datagram(random, index, number) for number in range(random.randint(1, 30))]
            peers.append(client)
            requests.append(set(sent))
            for data in sent:
                when = random.uniform(0.0, 2.0 * INACTIVITY_S)
                proxy.sim.clock.at(when, partial(send_one, client, data))
        proxy.run()
        everything = set[bytes]().union(*requests)
        assert set(server.received) <= everything, "only complete datagrams that were sent"
        for client, own in zip(peers, requests, strict=True):
            assert {data[::-1] for data in client.received} <= own, (
                "only replies to its own datagrams"
            )
        if faults == NetworkFaults() and limit >= clients:
            assert len(server.received) == len(everything)
            assert Counter(map(len, server.received)) == Counter(map(len, everything))
            assert sum(len(client.received) for client in peers) == len(everything)
        assert most <= limit
        assert not proxy.engine.vcs, "no open session"
        assert proxy.engine.memory.used == 0
        assert all(session.state.final for session in proxy.sessions)


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}...")
def test_datagrams_arrive_unchanged_at_their_destination(batch: list[int]) -> None:
    for seed in batch:
        random = Random(seed)
        clients = random.randint(1, 8)
        limit = random.choice([1, 3, 100])
        run(seed, NetworkFaults.all().some(random), clients, limit)


def test_without_faults_every_datagram_arrives_once() -> None:
    for seed in range(20):
        run(seed, NetworkFaults(), 5, 100)


@pytest.mark.parametrize("seed", range(50))
def test_a_server_closed_within_a_burst_keeps_what_it_received(seed: int) -> None:
    """Its session ends as refused; another session of the listener continues."""
    servers = "first", "second"
    with SimulatedProxy(
        Forward, servers, datagrams=True, inactivity_s=INACTIVITY_S, seed=seed
    ) as proxy:
        sent = [b"%d" % number for number in range(200)]
        first, second = map(proxy.datagram_server, servers)
        one, other = proxy.datagram_client(), proxy.datagram_client()
        kept = Random(seed).randint(1, 199)

        def read(_: bytes, __: HostPort) -> None:
            if len(first.received) == kept:
                first.close()

        first.on_datagram = read
        one.send(sent[0])
        proxy.sim.run(until=lambda: bool(first.received))
        other.send(sent[0])
        proxy.sim.run(until=lambda: bool(second.received))
        for data in sent[1:]:
            one.send(data)
            other.send(data)
        proxy.run()
        assert first.received == sent[:kept]
        others = second.sources[0]
        received = zip(second.received, second.sources, strict=True)
        assert [data for data, source in received if source == others] == sent
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0


def test_a_seed_repeats_the_run() -> None:
    def run() -> list[object]:
        with Simulation(17, NetworkFaults.all(), trace=True) as sim:
            driver = sim.driver()
            recorder = EventRecorder(driver.engine)
            server = sim.datagram_server(Address.parse("udp://server:1"))
            with recorder.mutex.hold(driver.engine):
                vc = driver.engine.connect(recorder, server.address)
                reader = driver.engine.buffer(message_oriented=True).reader()
                for number in range(50):
                    reader.buffer.write(b"%d" % number)
                vc.do_io_write(recorder, None, reader)
            sim.run()
            assert sim.trace is not None
            return [*sim.trace, *server.received]

    assert run() == run()


def test_members_receive_by_interface_and_source() -> None:
    with Simulation(1) as sim:
        driver = sim.driver()
        engine = driver.engine
        group = "udp://239.1.1.1:5000"

        def join(query: str) -> tuple[EventRecorder, list[bytes]]:
            recorder = EventRecorder(engine)
            received: list[bytes] = []
            inbox = engine.buffer(message_oriented=True).reader()
            with recorder.mutex.hold(engine):
                vc = engine.subscribe(recorder, Address.parse(group + query))
                vc.do_io_read(recorder, None, inbox.buffer)
            recorder.on[Event.READ_READY] = lambda: received.append(inbox.read())
            return recorder, received

        _, on_lo = join("?interface=lo")
        _, on_eth0 = join("?interface=eth0")
        _, from_source = join("?source=10.0.0.9")
        wrong, _ = join("?interface=eth9")
        sim.run()
        assert wrong.events == [Event.ERROR]
        sender = sim.datagram_client(Address.parse(f"{group}?interface=lo"))
        sender.send(b"hello")
        sim.run()
        assert (on_lo, on_eth0, from_source) == ([b"hello"], [], [])


@pytest.mark.parametrize("seed", range(30))
def test_batches_respect_the_limits_of_a_segmented_send(seed: int) -> None:
    random = Random(seed)
    blocks = [
        bytes(random.choice([1, 3, 100, 1200, 65_507])) for _ in range(random.randint(1, 200))
    ]
    parts = list(batches(blocks))
    assert [block for run in parts for block in run] == blocks
    for run in parts:
        assert len(run) <= MAX_SEGMENTS
        assert sum(map(len, run)) <= MAX_SEND_BYTES
        assert len({len(block) for block in run[:-1]}) <= 1
        assert len(run[-1]) <= len(run[0])


def test_a_failed_segmented_send_is_not_tried_again() -> None:
    with Simulation(1, NetworkFaults(no_segmentation=1.0)) as sim:
        driver = sim.driver()
        server = sim.datagram_server(Address.parse("udp://server:1"))
        recorder = EventRecorder(driver.engine)
        with recorder.mutex.hold(driver.engine):
            vc = driver.engine.connect(recorder, server.address)
        sim.run()
        port = vc.port
        assert isinstance(port, DatagramPort)
        assert port.segments
        assert port.push_each([b"one", b"two"]) == 6
        assert not port.segments
        sim.run()
        assert server.received == [b"one", b"two"]
