"""Forward and echo at udp://: one session per source address; datagram boundaries are kept."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vcproxy.drivers.sim import DatagramPeer
from vcproxy.engine.failures import Exhausted
from vcproxy.engine.sources.datagrams import HostPort
from vcproxy.plugins.echo import Echo
from vcproxy.plugins.forward import Forward
from vcproxy.sessions.forwarder import Forwarder
from vcproxy.testing import NetworkFaults, SimulatedProxy
from vcproxy.tunnels.transform import Transform


class Same(Transform):
    """Changes nothing."""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class WithTransforms(Forwarder):
    """A forwarder with a transform in each direction that changes nothing."""

    datagrams = True

    def upward(self) -> Transform:
        return Same()

    def downward(self) -> Transform:
        return Same()


def answering(server: DatagramPeer) -> DatagramPeer:
    """Let a server answer each datagram in upper case."""

    def answer(data: bytes, source: HostPort) -> None:
        server.send(data.upper(), source)

    server.on_datagram = answer
    return server


def test_each_source_address_has_its_own_session() -> None:
    with SimulatedProxy(Forward, datagrams=True) as proxy:
        server = answering(proxy.datagram_server())
        clients = [proxy.datagram_client() for _ in range(3)]
        for number, client in enumerate(clients):
            client.send(b"client %d" % number)
            client.send(b"again")
        proxy.run()
        for number, client in enumerate(clients):
            assert client.received == [b"CLIENT %d" % number, b"AGAIN"]
        assert len(proxy.sessions) == len(set(server.sources)) == 3
        assert proxy.log == []


def test_no_datagram_is_cut_or_joined() -> None:
    sent = [b"x" * size for size in (1, 4096, 5, 65_507, 5, 5, 40_000)]
    with SimulatedProxy(Forward, datagrams=True) as proxy:
        server = answering(proxy.datagram_server())
        client = proxy.datagram_client()
        client.send(sent[0])
        proxy.run()
        for data in sent[1:]:
            client.send(data)
        proxy.run()
        assert server.received == sent
        assert client.received == [data.upper() for data in sent]


@pytest.mark.parametrize("plugin", [Forward, WithTransforms])
def test_empty_datagrams_are_forwarded(plugin: type[Forwarder]) -> None:
    sent = [b"", b"a", b"", b"", b"b" * 60_000, b"c", b"d", b"", b"ee", b""]
    with SimulatedProxy(plugin, datagrams=True) as proxy:
        server = answering(proxy.datagram_server())
        client = proxy.datagram_client()
        client.send(b"")
        proxy.run()
        for data in sent:
            client.send(data)
        proxy.run()
        assert server.received == [b"", *sent]
        assert client.received == [b"", *(data.upper() for data in sent)]
        assert proxy.engine.memory.used == 0


def test_datagrams_before_the_server_is_known_wait_within_a_limit() -> None:
    with SimulatedProxy(
        Forward, datagrams=True, faults=NetworkFaults(resolve_s=(1.0, 1.0))
    ) as proxy:
        client, server = proxy.datagram_client(), proxy.datagram_server()
        for data in (b"a", b"", b"b" * 60_000, b"c"):
            client.send(data)
        proxy.run()
        assert server.received == [b"a", b"", b"b" * 60_000], "a limited number waits"
        assert proxy.log == [
            "warning: proxy: a datagram was dropped: their session did not read them in time"
        ]
        assert proxy.engine.memory.used == 0


def test_inactivity_ends_a_session_and_is_not_logged() -> None:
    for plugin in (Forward, Echo):
        servers = ["server"] if plugin.needs_upstream else []
        with SimulatedProxy(plugin, servers, datagrams=True, inactivity_s=5.0) as proxy:
            client = proxy.datagram_client()
            client.send(b"hello")
            proxy.elapse(4.0)
            client.send(b"still here")
            proxy.elapse(4.0)
            assert len(proxy.engine.vcs) == 1 + len(servers)
            proxy.run()
            assert not proxy.engine.vcs
            assert proxy.log == []
            client.send(b"here again")
            proxy.run()
            assert len(proxy.sessions) == 2


def test_a_server_that_refuses_ends_the_session_and_the_next_is_tried() -> None:
    with SimulatedProxy(Forward, ["gone", "server"], refusing=["gone"], datagrams=True) as proxy:
        client = proxy.datagram_client()
        client.send(b"one")
        proxy.run()
        assert not proxy.engine.vcs
        (line,) = proxy.log
        assert "udp://gone:1: connection refused" in line
        client.send(b"two")
        proxy.run()
        assert proxy.datagram_server().received == [b"two"]


def test_datagrams_over_the_session_limit_are_dropped_and_logged_once_a_second() -> None:
    with SimulatedProxy(Forward, datagrams=True, max_connections=2, inactivity_s=9.0) as proxy:
        server = proxy.datagram_server()
        clients = [proxy.datagram_client() for _ in range(4)]
        for _ in range(30):
            for client in clients:
                client.send(b"hello")
            proxy.elapse(0.1)
        assert len(proxy.sessions) == 2
        assert len(server.received) == 60
        logged = [(when, text) for when, _, text in proxy.sim.log]
        assert len(logged) == 3
        assert logged[0][1] == (
            "proxy: a datagram was dropped: limits.max_connections = 2 sessions are open"
        )
        assert all(later - before >= 1.0 for (before, _), (later, _) in pairwise(logged))
        proxy.run()
        clients[3].send(b"now?")
        proxy.run()
        assert server.received[-1] == b"now?"


def test_without_descriptors_the_session_that_was_idle_longest_is_closed() -> None:
    with SimulatedProxy(Forward, datagrams=True, inactivity_s=60.0) as proxy:
        proxy.driver.max_sessions = 3
        server = answering(proxy.datagram_server())
        clients = [proxy.datagram_client() for _ in range(5)]
        for client in clients[:3]:
            client.send(b"hello")
            proxy.elapse(2.0)
        for client in clients[0], clients[3]:
            client.send(b"and now")
            proxy.elapse(0.5)
        assert [line.split(";")[0] for line in proxy.log] == [
            "warning: proxy 10.0.0.1:40002: closed after 4 s without a datagram"
        ]
        assert len(server.received) == 5
        clients[4].send(b"me too")
        proxy.elapse(0.1)
        assert clients[0].received == [b"HELLO", b"AND NOW"]
        assert clients[4].received == [b"ME TOO"], "the third session was closed for it"
        assert clients[2].received == [b"HELLO"]


def test_a_flood_without_descriptors_is_logged_once_a_second() -> None:
    with SimulatedProxy(Forward, datagrams=True, inactivity_s=60.0) as proxy:
        proxy.driver.max_sessions = 50
        server = proxy.datagram_server()
        for _ in range(20):
            for _ in range(100):
                proxy.datagram_client().send(b"spoofed")
            proxy.elapse(0.1)
        assert len(proxy.log) <= 6
        assert len(server.received) == 100, "sessions that were idle for a second were closed"
        proxy.driver.connect_errors.extend(Exhausted("too many open files") for _ in range(100))
        proxy.driver.max_sessions = None
        before = len(proxy.log)
        for _ in range(100):
            proxy.datagram_client().send(b"spoofed")
        proxy.elapse(0.5)
        assert len(proxy.log) <= before + 2


def test_echo_keeps_boundaries() -> None:
    with SimulatedProxy(Echo, [], datagrams=True) as proxy:
        client = proxy.datagram_client()
        for data in (b"one", b"two", b"three"):
            client.send(data)
        proxy.run()
        assert client.received == [b"one", b"two", b"three"]


class Doubled(Transform):
    """Doubles each datagram, and drops one."""

    def feed(self, data: bytes) -> bytes:
        return b"" if data == b"drop" else data + data

    def finish(self) -> bytes:
        return b""


class Doubling(Forwarder):
    """Transforms both ways."""

    datagrams = True

    def upward(self) -> Transform:
        return Doubled()

    def downward(self) -> Transform:
        return Doubled()

    def unserved(self) -> bytes:
        return b"unserved"


def test_a_transform_makes_one_datagram_out_of_one() -> None:
    with SimulatedProxy(Doubling, datagrams=True) as proxy:
        server, client = answering(proxy.datagram_server()), proxy.datagram_client()
        client.send(b"start")
        proxy.run()
        for data in (b"a", b"drop", b"b", b"c" * 30_000):
            client.send(data)
        proxy.run()
        assert server.received == [b"startstart", b"aa", b"bb", b"c" * 60_000]
        assert client.received[1:3] == [b"AAAA", b"BBBB"]


def test_a_datagram_that_a_transform_makes_too_large_is_dropped() -> None:
    with SimulatedProxy(Doubling, datagrams=True) as proxy:
        server, client = proxy.datagram_server(), proxy.datagram_client()
        client.send(b"x" * 40_000)
        proxy.run()
        client.send(b"y")
        proxy.run()
        assert server.received == [b"yy"]
        assert proxy.log == [
            "warning: udp://server:1: a datagram was dropped: too large for the path (80000 bytes)"
        ]
        assert len(proxy.engine.vcs) == 2


class Refusing(Doubling):
    """Refuses all clients."""

    def refusal(self) -> bytes:
        return b"refused"


def test_a_refused_client_gets_one_datagram_and_is_closed_at_once() -> None:
    with SimulatedProxy(Refusing, datagrams=True) as proxy:
        client = proxy.datagram_client()
        client.send(b"hello")
        proxy.elapse(0.1)
        assert client.received == [b"refused"]
        assert not proxy.engine.vcs
