"""Forward: bytes both ways between client and server; errors of one side reach the other."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import Peer
from vcproxy.plugins.forward import Forward
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy


def connected(proxy: SimulatedProxy) -> tuple[Peer, Peer]:
    client = proxy.client()
    return client, proxy.server()


def test_bytes_are_moved_both_ways() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = connected(proxy)
        client.send(b"ping")
        proxy.run()
        assert server.received == b"ping"
        server.send(b"pong")
        proxy.run()
        assert client.received == b"pong"


def test_each_direction_ends_for_itself() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = connected(proxy)
        client.send(b"question")
        client.end()
        proxy.run()
        assert server.received == b"question"
        assert server.ended
        assert not client.ended
        server.send(b"answer")
        server.end()
        proxy.run()
        assert client.received == b"answer"
        assert client.ended
        assert proxy.log == []
        assert not proxy.engine.vcs, "all connections are closed"


def test_without_half_close_the_first_end_ends_both_directions() -> None:
    with SimulatedProxy(Forward, half_close=False) as proxy:
        client, server = connected(proxy)
        client.send(b"bye")
        client.end()
        proxy.run()
        assert server.received == b"bye"
        assert server.ended
        assert client.ended
        assert not client.reset_seen


def test_the_client_is_not_read_before_a_server_is_connected() -> None:
    with SimulatedProxy(Forward) as proxy:
        client = proxy.client()
        client.send(bytes(3_000_000))
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(2.0)
        proxy.elapse(1.0)
        assert proxy.engine.memory.used == 0
        assert client.sent == 256 * 1024, "the capacity of the simulated network"
        server = proxy.server()
        proxy.run()
        assert server.received == bytes(3_000_000)


def test_servers_are_used_in_turn() -> None:
    with SimulatedProxy(Forward, ["a", "b", "c"]) as proxy:
        for turns, name in enumerate("abcabc"):
            proxy.client()
            proxy.server(name)
            assert sum(map(proxy.connections, "abc")) == turns + 1


def test_a_server_that_refuses_is_followed_by_the_next() -> None:
    with SimulatedProxy(Forward, ["a", "b", "c"], refusing=["a", "b"]) as proxy:
        client = proxy.client()
        client.send(b"request")
        server = proxy.server("c")
        proxy.run()
        assert server.received == b"request"
        assert [line.split("; ")[1] for line in proxy.log] == ["trying the next"] * 2
        assert "server tcp://a:1 failed: tcp://a:1: connection refused" in proxy.log[0]


def test_a_server_that_does_not_answer_in_time_is_followed_by_the_next() -> None:
    with SimulatedProxy(Forward, ["a", "b"], connect_s=5.0) as proxy:
        client = proxy.client()
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(7.0)
        server = proxy.server("b")
        assert proxy.sim.now == 7.0
        [line] = proxy.log
        assert line.endswith("server tcp://a:1 failed: connection timed out; trying the next")
        server.send(b"here")
        proxy.run()
        assert client.received == b"here"


def test_if_no_server_is_left_the_client_is_closed_and_each_error_is_logged() -> None:
    with SimulatedProxy(Forward, ["a", "b"], refusing=["a", "b"]) as proxy:
        client = proxy.client()
        proxy.run()
        assert client.ended
        assert client.received == b""
        assert "tcp://a:1 failed" in proxy.log[0]
        assert "tcp://b:1: connection refused; no server is left" in proxy.log[1]
        assert not proxy.engine.vcs


def test_a_client_that_resets_stops_the_attempts() -> None:
    with SimulatedProxy(Forward, ["a", "b"], connect_s=5.0) as proxy:
        client = proxy.client()
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(1.0)
        client.reset()
        proxy.run()
        assert proxy.sim.now == 1.0
        assert not proxy.engine.vcs
        assert proxy.log == [], "a load balancer's probe is not logged"


@pytest.mark.parametrize("limit", ["inactivity_s", "active_s"])
def test_a_clients_timeout_runs_while_servers_are_tried(limit: str) -> None:
    with SimulatedProxy(Forward, **{limit: 3.0}) as proxy:  # type: ignore[arg-type]
        client = proxy.client()
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(60.0)
        proxy.run()
        assert client.ended
        assert not proxy.engine.vcs
        [line] = proxy.log
        assert line.endswith("connection timed out before a server answered")


@pytest.mark.parametrize("sent", [b"", b"hello"])
@pytest.mark.parametrize("failing", ["client", "server"])
def test_a_reset_reaches_the_other_side_as_a_reset(failing: str, sent: bytes) -> None:
    with SimulatedProxy(Forward) as proxy:
        sides = dict(zip(("client", "server"), connected(proxy), strict=True))
        sides["client"].send(sent)
        proxy.run()
        breaking = sides.pop(failing)
        [other] = sides.values()
        breaking.reset()
        proxy.run()
        assert other.reset_seen
        assert not other.ended
        assert not proxy.engine.vcs
        if failing == "client" and not sent:
            assert proxy.log == [], "a load balancer's probe is not logged"
        else:
            assert "a connection failed" in proxy.log[0]
            assert "connection reset by peer" in proxy.log[0]


@pytest.mark.parametrize(("limit", "why"), [
    ("inactivity_s", "connection timed out: nothing moved for too long"),
    ("active_s", "connection timed out: open for too long"),
])  # fmt: skip
def test_a_timeout_is_a_reset_not_an_orderly_end(limit: str, why: str) -> None:
    with SimulatedProxy(Forward, **{limit: 10.0}) as proxy:  # type: ignore[arg-type]
        client, server = connected(proxy)
        server.send(b"the first half of a")
        proxy.run()
        assert client.received == b"the first half of a"
        assert client.reset_seen
        assert not client.ended, "an orderly end would hide that the answer is incomplete"
        assert server.reset_seen
        assert why in proxy.log[0]


def test_bytes_in_either_direction_are_activity() -> None:
    with SimulatedProxy(Forward, inactivity_s=10.0) as proxy:
        client, server = connected(proxy)
        for peer in (client, server, server, server, client):
            proxy.elapse(9.0)
            peer.send(b"still here")
        proxy.elapse(9.0)
        assert not client.reset_seen
        proxy.elapse(1.5)
        assert client.reset_seen


def test_conversations_do_not_affect_each_other() -> None:
    with SimulatedProxy(Forward) as proxy:
        (first, first_server), (second, second_server) = connected(proxy), connected(proxy)
        first_server.stall()
        first.send(bytes(5_000_000))
        second.send(b"quick")
        proxy.run()
        assert second_server.received == b"quick"
        first.reset()
        proxy.run()
        second_server.send(b"still there")
        proxy.run()
        assert second.received == b"still there"


def test_every_state_handles_the_events_that_can_reach_it() -> None:
    assert check_machine(Forward) == {
        "CONNECTING TunnelDone",  # there is no tunnel before RELAYING
        "RELAYING REFUSED",  # the connection was not refused
        # The tunnel has the VCs: it gets their events.
        "RELAYING ERROR", "RELAYING CONNECTED",
        "RELAYING INACTIVITY_TIMEOUT", "RELAYING ACTIVE_TIMEOUT",
    }  # fmt: skip
