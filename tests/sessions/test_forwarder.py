"""Forwarder: what a subclass says of a client and its bytes. The rest is told in test_forward."""

from __future__ import annotations

from vcproxy.sessions.forwarder import Forwarder
from vcproxy.testing.proxy import SimulatedProxy


class Spell:
    """Says everything in another way, and something at the end."""

    def __init__(self, how: str) -> None:
        self.how = how

    def feed(self, data: bytes) -> bytes:
        spelt: bytes = getattr(data, self.how)()
        return spelt

    def finish(self) -> bytes:
        return b"."


class Picky(Forwarder):
    """Serves the first client only."""

    def refusal(self) -> bytes | None:
        if self.service.counts["served"]:
            return b"full\n"
        self.count("served")
        return None

    def unserved(self) -> bytes:
        return b"down\n"

    def upward(self) -> Spell:
        return Spell("upper")

    def downward(self) -> Spell:
        return Spell("swapcase")


def test_bytes_are_changed_each_way() -> None:
    with SimulatedProxy(Picky) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"Hello")
        client.end()
        server.send(b"Hello")
        server.end()
        proxy.run()
        assert server.received == b"HELLO."
        assert client.received == b"hELLO."


def test_who_is_not_served_is_told_so_and_no_server_hears_of_it() -> None:
    with SimulatedProxy(Picky) as proxy:
        proxy.client()
        proxy.server()
        client = proxy.client()
        client.send(bytes(1_000_000))
        client.end()
        proxy.run()
        assert client.received == b"full\n"
        assert client.ended
        assert not client.reset_seen
        assert proxy.connections() == 1
        assert proxy.service.counts["refused"] == 1


def test_without_a_server_the_client_is_told_so() -> None:
    with SimulatedProxy(Picky, refusing=["server"]) as proxy:
        client = proxy.client()
        proxy.run()
        assert client.received == b"down\n"
        assert client.ended
        assert proxy.service.counts["unserved"] == 1


def test_who_leaves_while_being_refused_is_not_a_mistake() -> None:
    with SimulatedProxy(Picky) as proxy:
        proxy.client()
        proxy.server()
        client = proxy.client()
        proxy.sim.run(until=lambda: len(proxy.sessions) == 2)
        client.reset()
        proxy.run()
        assert len(proxy.engine.vcs) == 2, "the first client and its server"
