"""Datagrams through forward, under random faults and interleavings: what must hold.

VCPROXY_SEEDS sets how many seeds are run, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random

import pytest

from tests.engine.world import Ear
from tests.sim.test_tunnels import BATCHES
from vcproxy.drivers.datagrams import MAX_SEGMENTS, MAX_SEND_BYTES, DatagramPort, batches
from vcproxy.drivers.sim import DatagramPeer, NetworkFaults, Simulation
from vcproxy.drivers.sim.datagram_network import HostPort
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.plugins.forward import Forward
from vcproxy.testing.proxy import SimulatedProxy

SIZES = [1, 2, 100, 1200, 9_000, 65_507]

INACTIVITY_S = 3.0


def datagram(random: Random, who: int, number: int) -> bytes:
    """One that is like no other."""
    name = b"%d.%d|" % (who, number)
    return name + bytes(max(random.choice(SIZES) - len(name), 0))


def play(seed: int, faults: NetworkFaults, clients: int, limit: int) -> None:
    """Clients talk to a server that answers each datagram; all are looked at afterwards."""
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
        asked: list[set[bytes]] = []
        peers: list[DatagramPeer] = []
        most = 0

        def answer(data: bytes, source: HostPort) -> None:
            server.send(data[::-1], source)

        def look(client: DatagramPeer, data: bytes) -> None:
            nonlocal most
            client.send(data)
            most = max(most, sum(vc.listener is not None for vc in proxy.engine.vcs))

        server.on_datagram = answer
        for who in range(clients):
            client = proxy.datagram_client()
            said = [datagram(random, who, number) for number in range(random.randint(1, 30))]
            peers.append(client)
            asked.append(set(said))
            for data in said:
                when = random.uniform(0.0, 2.0 * INACTIVITY_S)
                proxy.sim.clock.at(when, partial(look, client, data))
        proxy.run()
        everything = set[bytes]().union(*asked)
        assert set(server.received) <= everything, "whole, and as it was sent"
        for client, own in zip(peers, asked, strict=True):
            assert {data[::-1] for data in client.received} <= own, "to whom it was meant"
        if faults == NetworkFaults() and limit >= clients:
            assert len(server.received) == len(everything)
            assert Counter(map(len, server.received)) == Counter(map(len, everything))
            assert sum(len(client.received) for client in peers) == len(everything)
        assert most <= limit
        assert not proxy.engine.vcs, "no session is left"
        assert proxy.engine.memory.used == 0
        assert all(session.state.final for session in proxy.sessions)


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}...")
def test_what_arrives_is_what_was_sent(batch: list[int]) -> None:
    for seed in batch:
        random = Random(seed)
        clients = random.randint(1, 8)
        limit = random.choice([1, 3, 100])
        play(seed, NetworkFaults.all().some(random), clients, limit)


def test_without_faults_all_arrives_once() -> None:
    for seed in range(20):
        play(seed, NetworkFaults(), 5, 100)


@pytest.mark.parametrize("seed", range(50))
def test_a_server_that_goes_within_a_burst_has_what_came_before(seed: int) -> None:
    """Its session ends as refused; another session of the listener goes on."""
    servers = "first", "second"
    with SimulatedProxy(
        Forward, servers, datagrams=True, inactivity_s=INACTIVITY_S, seed=seed
    ) as proxy:
        said = [b"%d" % number for number in range(200)]
        first, second = map(proxy.datagram_server, servers)
        one, other = proxy.datagram_client(), proxy.datagram_client()
        kept = Random(seed).randint(1, 199)

        def read(_: bytes, __: HostPort) -> None:
            if len(first.received) == kept:
                first.close()

        first.on_datagram = read
        one.send(said[0])
        proxy.sim.run(until=lambda: bool(first.received))
        other.send(said[0])
        proxy.sim.run(until=lambda: bool(second.received))
        for data in said[1:]:
            one.send(data)
            other.send(data)
        proxy.run()
        assert first.received == said[:kept]
        others = second.sources[0]
        heard = zip(second.received, second.sources, strict=True)
        assert [data for data, source in heard if source == others] == said
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0


def test_the_same_seed_is_the_same_run() -> None:
    def run() -> list[object]:
        with Simulation(17, NetworkFaults.all(), trace=True) as sim:
            driver = sim.driver()
            ear = Ear(driver.engine)
            server = sim.datagram_server(Address.parse("udp://server:1"))
            with ear.mutex.hold(driver.engine):
                vc = driver.engine.connect(ear, server.address)
                reader = driver.engine.buffer(message_oriented=True).reader()
                for number in range(50):
                    reader.buffer.write(b"%d" % number)
                vc.do_io_write(ear, None, reader)
            sim.run()
            assert sim.trace is not None
            return [*sim.trace, *server.received]

    assert run() == run()


def test_who_hears_a_group() -> None:
    with Simulation(1) as sim:
        driver = sim.driver()
        engine = driver.engine
        group = "udp://239.1.1.1:5000"

        def hear(query: str) -> tuple[Ear, list[bytes]]:
            ear = Ear(engine)
            heard: list[bytes] = []
            inbox = engine.buffer(message_oriented=True).reader()
            with ear.mutex.hold(engine):
                vc = engine.subscribe(ear, Address.parse(group + query))
                vc.do_io_read(ear, None, inbox.buffer)
            ear.on[Event.READ_READY] = lambda: heard.append(inbox.read())
            return ear, heard

        _, here = hear("?interface=lo")
        _, there = hear("?interface=eth0")
        _, particular = hear("?source=10.0.0.9")
        wrong, _ = hear("?interface=eth9")
        sim.run()
        assert wrong.heard == [Event.ERROR]
        sender = sim.datagram_client(Address.parse(f"{group}?interface=lo"))
        sender.send(b"hello")
        sim.run()
        assert (here, there, particular) == ([b"hello"], [], [])


@pytest.mark.parametrize("seed", range(30))
def test_runs_keep_what_one_send_can_be_cut_to(seed: int) -> None:
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


def test_a_device_that_does_not_cut_is_met_once() -> None:
    with Simulation(1, NetworkFaults(no_segmentation=1.0)) as sim:
        driver = sim.driver()
        server = sim.datagram_server(Address.parse("udp://server:1"))
        ear = Ear(driver.engine)
        with ear.mutex.hold(driver.engine):
            vc = driver.engine.connect(ear, server.address)
        sim.run()
        port = vc.port
        assert isinstance(port, DatagramPort)
        assert port.segments
        assert port.push_each([b"one", b"two"]) == 6
        assert not port.segments
        sim.run()
        assert server.received == [b"one", b"two"]
