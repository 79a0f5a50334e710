"""Echo: each client hears itself."""

from __future__ import annotations

import pytest

from vcproxy.engine.blocks import SLAB
from vcproxy.plugins.echo import Echo
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy


def test_a_client_hears_itself() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        client.send(b"hello")
        proxy.run()
        assert client.received == b"hello"
        client.send(b", world")
        client.end()
        proxy.run()
        assert client.received == b"hello, world"
        assert client.ended
        assert proxy.log == []
        assert not proxy.engine.vcs


def test_clients_hear_only_themselves() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        clients = [proxy.client() for _ in range(3)]
        for n, client in enumerate(clients):
            client.send(b"%d" % n)
        proxy.run()
        assert [bytes(client.received) for client in clients] == [b"0", b"1", b"2"]


def test_bulk_comes_back_whole() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        data = bytes(range(256)) * 20_000
        client.send(data)
        client.end()
        proxy.run()
        assert client.received == data


def test_who_does_not_listen_cannot_go_on_talking() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        client.stall()
        client.send(bytes(50_000_000))
        proxy.run()
        assert client.sent < 4 * SLAB
        client.resume()
        proxy.run()
        assert len(client.received) == 50_000_000


@pytest.mark.parametrize("said", [b"", b"hello"])
def test_a_reset_is_logged_unless_it_is_all_there_was(said: bytes) -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        client.send(said)
        proxy.run()
        client.reset()
        proxy.run()
        assert not proxy.engine.vcs
        lines = ["connection reset by peer" in line for line in proxy.log]
        assert lines == ([True] if said else [])


def test_every_state_takes_what_may_reach_it() -> None:
    assert check_machine(Echo) == set()
