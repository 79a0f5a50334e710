"""PROXY headers of accepted connections, in simulation: the client that they name, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from tests.proxy_protocol.headers import V4, V6, field, v2
from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.proxy_protocol.encoder import LOCAL, encode_v1, encode_v2
from vcproxy.proxy_protocol.senders import TrustedSenders

from .test_sim import Echo

FRONT = Address.parse("tcp://front:80")
BALANCER = "10.0.0.5"


class World:
    """A listener that echoes, for one load balancer."""

    def __init__(self, sim: Simulation, *, others_direct: bool = False) -> None:
        self.sim = sim
        self.driver = sim.driver()
        self.served: list[NetVConnection] = []
        self.listener = Listener("front", self._accept, self.driver.engine)
        network = ip_network("10.0.0.0/8")
        self.listener.senders = TrustedSenders([network], others_direct=others_direct)
        self.driver.listen(FRONT, self.listener)

    def _accept(self, vc: NetVConnection) -> Continuation:
        self.served.append(vc)
        return Echo(vc)

    def client(self, *pieces: bytes, address: str = BALANCER) -> Peer:
        """Connect, send pieces one after the other, and run."""
        peer = self.sim.client(FRONT, client_ip=address)
        for piece in pieces:
            peer.send(piece)
            self.sim.elapse(0.1)
        return peer

    @property
    def log(self) -> list[str]:
        return [text for _, _, text in self.sim.log]


@pytest.mark.parametrize("header", [encode_v1(V4), encode_v2(V4), encode_v2(V4, checksum=True)])
def test_the_client_is_the_one_that_the_header_names(header: bytes) -> None:
    with Simulation(1) as sim:
        world = World(sim)
        client = world.client(header + b"hello")
        assert client.received == b"hello"
        (vc,) = world.served
        assert (vc.peer, vc.peer_address) == ("203.0.113.7:40000", "203.0.113.7")
        assert vc.real_peer_address == BALANCER
        assert vc.name == "front 203.0.113.7:40000"
        assert vc.proxied is not None
        assert vc.proxied.target == "192.0.2.1:443"
        assert world.log == []


def test_an_ipv6_client_and_an_ipv4_client_written_as_ipv6() -> None:
    with Simulation(1) as sim:
        world = World(sim)
        world.client(encode_v2(V6))
        world.client(encode_v1(V4._replace(destination="::1")))
        assert [vc.peer for vc in world.served] == ["[2001:db8::7]:40000", "203.0.113.7:40000"]
        assert [vc.peer_address for vc in world.served] == ["2001:db8::7", "203.0.113.7"]


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n", v2(0x21, 0, field(1, b"h2"))])
def test_without_addresses_the_client_is_the_balancer(header: bytes) -> None:
    with Simulation(1) as sim:
        world = World(sim)
        assert world.client(header, b"check").received == b"check"
        (vc,) = world.served
        assert vc.peer_address == vc.real_peer_address == BALANCER
        assert vc.proxied is not None


def test_a_client_at_a_unix_socket_of_the_balancer_has_no_address() -> None:
    with Simulation(1) as sim:
        world = World(sim)
        assert world.client(v2(0x21, 0x31, bytes(216)), b"x").received == b"x"
        assert (world.served[0].peer_address, world.served[0].real_peer_address) == ("", BALANCER)


def test_a_header_cut_at_every_byte_is_read() -> None:
    for whole in (encode_v1(V6), encode_v2(V4, checksum=True)):
        for at in range(1, len(whole) + 1):
            with Simulation(at) as sim:
                world = World(sim)
                assert world.client(whole[:at], whole[at:] + b"data").received == b"data"
                assert world.served[0].proxied is not None


def test_headers_are_read_with_any_faults_of_the_network() -> None:
    for seed in range(30):
        faults = NetworkFaults(latency=(0.0, 0.1), short=0.5, one_byte=0.3, lock_miss=0.2)
        with Simulation(seed, faults) as sim:
            world = World(sim)
            client = world.client(encode_v2(V4) + b"data")
            sim.run(until=lambda client=client: client.received == b"data")  # type: ignore[misc]
            assert world.served[0].peer_address == "203.0.113.7"


REFUSED: dict[str, tuple[bytes, str]] = {
    "another protocol": (b"GET / HTTP/1.1\r\n", "at byte 0: it does not begin as one"),
    "a line of 108 bytes": (
        b"PROXY UNKNOWN " + b"x" * 94,
        "at byte 107: its line is longer than 107 bytes",
    ),
    "a wrong checksum": (
        v2(0x21, 0x11, bytes(12) + field(3, b"abcd")),
        "at byte 31: its checksum is wrong: it was damaged on the way",
    ),
    "a wrong family": (
        v2(0x21, 0x51, bytes(12)),
        "at byte 13: its family and transport, 0x51, are not known",
    ),
    "a field that lies": (
        v2(0x21, 0x11, bytes(12) + field(1, b"", 200)),
        "at byte 29: a field of type 0x01 claims 200 bytes and has 0",
    ),
    "too long": (v2(0x21, 0x11, bytes(5000)), "at byte 14: it has 5016 bytes: 4096 are allowed"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_valid_header_closes_the_connection(data: bytes, reason: str) -> None:
    with Simulation(1) as sim:
        world = World(sim)
        client = world.client(data)
        assert world.served == []
        assert client.ended or client.error is not None
        (line,) = world.log
        place, _, why = reason.partition(": ")
        assert line.startswith(f"front: {BALANCER}:")
        assert line.endswith(f" is refused: its PROXY header is not valid {reason}")
        (kept,) = world.driver.engine.refused
        assert (kept.kind, kept.listener, kept.reason) == ("PROXY header", "front", why)
        assert f"at byte {kept.position}" == place
        assert kept.size <= (kept.position or 0) + 32
        assert world.listener.open == 0


def test_refusals_are_logged_once_a_minute() -> None:
    with Simulation(1) as sim:
        world = World(sim)
        for _ in range(5):
            world.client(b"x")
        world.client(b"", address="192.0.2.9")
        assert len(world.log) == 2
        sim.elapse(60)
        world.client(b"x")
        assert len(world.log) == 3
        assert world.driver.engine.refused.count == 6


def test_a_stranger_is_refused_whatever_it_sends() -> None:
    for sent in ((), (b"hello",), (encode_v2(V4),)):
        with Simulation(1) as sim:
            world = World(sim)
            client = world.client(*sent, address="192.0.2.9")
            sim.elapse(1)
            assert client.ended or client.error is not None
            assert world.served == []
            (line,) = world.log
            assert line.endswith("is refused: its address is not in `from` of proxy_protocol")


def test_a_stranger_may_be_served_as_a_client_of_its_own() -> None:
    with Simulation(1) as sim:
        world = World(sim, others_direct=True)
        header = encode_v2(V4)
        client = world.client(header, address="192.0.2.9")
        assert client.received == header  # it is data
        (vc,) = world.served
        assert vc.proxied is None
        assert vc.peer_address == vc.real_peer_address == "192.0.2.9"
        assert world.client(header + b"x").received == b"x"


def ended(peer: Peer) -> None:
    peer.end()


def reset(peer: Peer) -> None:
    peer.reset()


@pytest.mark.parametrize("end", [ended, reset])
def test_a_check_that_sends_nothing_is_not_logged(end: Callable[[Peer], None]) -> None:
    with Simulation(1) as sim:
        world = World(sim)
        end(world.client())
        sim.elapse(1)
        assert world.log == []
        assert world.listener.open == 0


def test_a_connection_that_ends_within_its_header() -> None:
    with Simulation(1) as sim:
        world = World(sim)
        world.client(encode_v2(V4)[:20]).end()
        sim.elapse(1)
        (line,) = world.log
        assert line.endswith("it ended the connection within its PROXY header, after 20 bytes")
        assert (world.served, world.listener.open) == ([], 0)


def test_a_header_that_does_not_come_in_time() -> None:
    with Simulation(1) as sim:
        world = World(sim)
        client = world.client(b"PROXY ")
        sim.elapse(10.5)
        assert client.ended or client.error is not None
        assert world.log[0].endswith("is refused: no complete PROXY header came within 10s")


def test_the_client_counts_for_its_limit_and_the_balancer_does_not() -> None:
    with Simulation(1) as sim:
        world = World(sim)
        world.listener.max_per_client = 2
        other = encode_v2(V4._replace(source="203.0.113.8"))
        clients = [world.client(encode_v2(V4) + b"x") for _ in range(3)]
        clients += [world.client(other + b"x") for _ in range(3)]
        assert [client.received for client in clients] == [b"x", b"x", b"", b"x", b"x", b""]
        for client in clients:
            client.end()
        sim.elapse(1)
        assert world.client(other + b"x").received == b"x"
