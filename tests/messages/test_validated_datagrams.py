"""Validators of datagrams: on the side of the clients, of the servers, or on both."""

from __future__ import annotations

import pytest

from tests.messages.test_validator import Orders
from vcproxy.drivers.sim import DatagramPeer, NetworkFaults, seeds
from vcproxy.engine.sources.datagrams import HostPort
from vcproxy.framing.framing import UNFRAMED
from vcproxy.testing.proxy import SimulatedProxy


class Packets(Orders):
    """One message in each datagram."""

    datagrams = True
    datagram_framing = UNFRAMED


class Silent(Packets):
    """The same, for a server that never answers."""

    one_way = True


def answering(server: DatagramPeer) -> DatagramPeer:
    """Let a server answer each datagram in upper case."""

    def answer(data: bytes, source: HostPort) -> None:
        server.send(data.upper(), source)

    server.on_datagram = answer
    return server


def test_each_datagram_is_checked_and_forwarded_or_answered() -> None:
    with SimulatedProxy(Packets, datagrams=True, inactivity_s=30.0) as proxy:
        server, client = answering(proxy.datagram_server()), proxy.datagram_client()
        for data in (b"ok 1", b"huh", b"rewrite me", b"defer known", b"", b"wait 2"):
            client.send(data)
        proxy.run()
        assert server.received == [b"ok 1", b"me", b"defer known", b"wait 2"]
        assert sorted(client.received) == sorted(
            [b"OK 1", b"what?\n", b"ME", b"DEFER KNOWN", b"what?\n", b"working\n", b"WAIT 2"]
        )
        assert not proxy.engine.vcs
        assert proxy.log == []


def test_a_client_of_datagrams_goes_on_after_a_reject() -> None:
    with SimulatedProxy(Packets, datagrams=True, inactivity_s=30.0) as proxy:
        server, client = proxy.datagram_server(), proxy.datagram_client()
        for data in (b"bad 1", b"ok 1", b"bad 2", b"ok 2"):
            client.send(data)
        proxy.run()
        assert server.received == [b"ok 1", b"ok 2"]
        assert client.received == [b"bad\n", b"bad\n"]
        assert len(proxy.sessions) == 1


def test_datagrams_become_messages_of_a_stream() -> None:
    with SimulatedProxy(
        Packets, datagrams=True, server_datagrams=False, inactivity_s=30.0
    ) as proxy:
        client = proxy.datagram_client()
        client.send(b"ok 1")
        client.send(b"ok 2")
        server = proxy.server()
        proxy.elapse(1)
        server.send(b"done 1\ndo")
        proxy.elapse(1)
        server.send(b"ne 2\n")
        proxy.elapse(1)
        assert server.received == b"ok 1\nok 2\n"
        assert client.received == [b"done 1", b"done 2"]
        proxy.run()
        assert server.ended
        assert not server.reset_seen
        assert proxy.log == []


def test_messages_of_a_stream_become_datagrams() -> None:
    with SimulatedProxy(Packets, server_datagrams=True, inactivity_s=30.0) as proxy:
        server, client = answering(proxy.datagram_server()), proxy.client()
        client.send(b"ok 1\nhuh\nok 2\nbad\nok 3\n")
        proxy.elapse(1)
        assert server.received == [b"ok 1", b"ok 2"]
        assert client.received == b"what?\nbad\nOK 1\nOK 2\n"
        proxy.run()  # a server of datagrams has no end: the session ends when nothing moves
        assert client.ended
        assert not client.reset_seen
        assert proxy.log == []


@pytest.mark.parametrize("server_datagrams", [False, True])
def test_a_server_that_sends_nothing_back_is_not_waited_for(server_datagrams: bool) -> None:
    with SimulatedProxy(Silent, server_datagrams=server_datagrams, inactivity_s=30.0) as proxy:
        client = proxy.client()
        client.send(b"ok 1\nok 2\n")
        proxy.elapse(1)
        client.end()
        proxy.elapse(1)
        assert client.ended
        assert not proxy.engine.vcs
        if server_datagrams:
            assert proxy.datagram_server().received == [b"ok 1", b"ok 2"]
        else:
            [server] = proxy.peers()
            assert server.received == b"ok 1\nok 2\n"
            assert server.ended
            assert not server.reset_seen


def test_what_such_a_server_sends_is_dropped_and_its_end_ends_the_session() -> None:
    with SimulatedProxy(Silent) as proxy:
        client = proxy.client()
        client.send(b"ok 1\n")
        server = proxy.server()
        server.send(b"x" * 1_000_000)
        proxy.elapse(1)
        assert server.sent == 1_000_000
        assert client.received == b""
        assert proxy.engine.memory.used == 0
        server.close()
        proxy.elapse(1)
        assert client.ended


def test_a_server_of_datagrams_that_refuses_resets_the_client() -> None:
    with SimulatedProxy(Silent, server_datagrams=True, refusing=["server"]) as proxy:
        client = proxy.client()
        client.send(b"ok 1\n")
        proxy.run()
        assert client.reset_seen
        assert [line for line in proxy.log if "connection refused" in line]
        assert not proxy.engine.vcs


def test_without_a_server_datagrams_are_dropped_and_the_next_one_tries_again() -> None:
    with SimulatedProxy(
        Packets, datagrams=True, server_datagrams=False, refusing=["server"]
    ) as proxy:
        client = proxy.datagram_client()
        for _ in range(2):
            client.send(b"ok 1")
            proxy.run()
        assert len(proxy.sessions) == 2
        assert proxy.service.counts["unserved"] == 2
        assert not proxy.engine.vcs


@pytest.mark.parametrize("datagrams", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("seed", list(seeds(12)))
def test_on_a_bad_network_only_valid_messages_arrive_and_whole(
    seed: int, datagrams: tuple[bool, bool]
) -> None:
    at_clients, at_servers = datagrams
    with SimulatedProxy(
        Packets,
        datagrams=at_clients,
        server_datagrams=at_servers,
        inactivity_s=30.0,
        seed=seed,
        faults=NetworkFaults.all(),
    ) as proxy:
        sent = [b"ok %d" % number if number % 3 else b"huh" for number in range(90)]
        if at_clients:
            client = proxy.datagram_client()
            for data in sent:
                client.send(data)
        else:
            peer = proxy.client()
            peer.send(b"".join(data + b"\n" for data in sent))
            peer.end()
        proxy.run()
        if at_servers:
            received = proxy.datagram_server().received
        else:
            received = []
            for server in proxy.peers():  # the last message may be cut by a fault
                received += bytes(server.received).split(b"\n")[:-1]
        assert set(received) <= {data for data in sent if data != b"huh"}
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0
