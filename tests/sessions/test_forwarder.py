"""Forwarder: what a subclass may override. The rest is in tests/plugins/test_forward.py."""

from __future__ import annotations

from vcproxy.sessions.forwarder import Forwarder
from vcproxy.testing.proxy import SimulatedProxy


class Rewrite:
    """Applies a method of bytes, and appends a byte at the end."""

    def __init__(self, method: str) -> None:
        self.method = method

    def feed(self, data: bytes) -> bytes:
        changed: bytes = getattr(data, self.method)()
        return changed

    def finish(self) -> bytes:
        return b"."


class Selective(Forwarder):
    """Serves the first client only."""

    def refusal(self) -> bytes | None:
        if self.service.counts["served"]:
            return b"full\n"
        self.count("served")
        return None

    def unserved(self) -> bytes:
        return b"down\n"

    def upward(self) -> Rewrite:
        return Rewrite("upper")

    def downward(self) -> Rewrite:
        return Rewrite("swapcase")


def test_bytes_are_changed_each_way() -> None:
    with SimulatedProxy(Selective) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"Hello")
        client.end()
        server.send(b"Hello")
        server.end()
        proxy.run()
        assert server.received == b"HELLO."
        assert client.received == b"hELLO."


def test_a_refused_client_gets_the_refusal_and_no_server_is_connected() -> None:
    with SimulatedProxy(Selective) as proxy:
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


def test_without_a_server_the_client_gets_the_unserved_answer() -> None:
    with SimulatedProxy(Selective, refusing=["server"]) as proxy:
        client = proxy.client()
        proxy.run()
        assert client.received == b"down\n"
        assert client.ended
        assert proxy.service.counts["unserved"] == 1


def test_a_client_may_reset_while_it_is_refused() -> None:
    with SimulatedProxy(Selective) as proxy:
        proxy.client()
        proxy.server()
        client = proxy.client()
        proxy.sim.run(until=lambda: len(proxy.sessions) == 2)
        client.reset()
        proxy.run()
        assert len(proxy.engine.vcs) == 2, "the first client and its server"
