"""Echo: each client gets its own bytes back."""

from __future__ import annotations

import pytest

from vcproxy.engine.blocks import SLAB
from vcproxy.plugins.echo import Echo
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy


def test_a_client_gets_its_bytes_back() -> None:
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


def test_clients_get_only_their_own_bytes() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        clients = [proxy.client() for _ in range(3)]
        for n, client in enumerate(clients):
            client.send(b"%d" % n)
        proxy.run()
        assert [bytes(client.received) for client in clients] == [b"0", b"1", b"2"]


def test_bulk_comes_back_complete() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        data = bytes(range(256)) * 20_000
        client.send(data)
        client.end()
        proxy.run()
        assert client.received == data


def test_a_client_that_does_not_read_is_not_read() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        client.stall()
        client.send(bytes(50_000_000))
        proxy.run()
        assert client.sent < 4 * SLAB
        client.resume()
        proxy.run()
        assert len(client.received) == 50_000_000


@pytest.mark.parametrize("sent", [b"", b"hello"])
def test_a_reset_is_logged_unless_no_byte_was_sent_before(sent: bytes) -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        client.send(sent)
        proxy.run()
        client.reset()
        proxy.run()
        assert not proxy.engine.vcs
        lines = ["connection reset by peer" in line for line in proxy.log]
        assert lines == ([True] if sent else [])


def test_every_state_handles_the_events_that_can_reach_it() -> None:
    assert check_machine(Echo) == set()
