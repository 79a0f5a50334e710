"""Forward: client and server talk through it, and what goes wrong is told to both."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import Peer
from vcproxy.plugins.forward import Forward
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy


def met(proxy: SimulatedProxy) -> tuple[Peer, Peer]:
    client = proxy.client()
    return client, proxy.server()


def test_client_and_server_talk() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = met(proxy)
        client.send(b"ping")
        proxy.run()
        assert server.received == b"ping"
        server.send(b"pong")
        proxy.run()
        assert client.received == b"pong"


def test_each_side_may_have_its_last_word() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = met(proxy)
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
        assert not proxy.engine.vcs, "all is closed"


def test_without_half_close_the_first_end_is_the_end_of_both() -> None:
    with SimulatedProxy(Forward, half_close=False) as proxy:
        client, server = met(proxy)
        client.send(b"bye")
        client.end()
        proxy.run()
        assert server.received == b"bye"
        assert server.ended
        assert client.ended
        assert not client.reset_seen


def test_the_client_is_not_read_before_there_is_somewhere_to_send_it() -> None:
    with SimulatedProxy(Forward) as proxy:
        client = proxy.client()
        client.send(bytes(3_000_000))
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(2.0)
        proxy.elapse(1.0)
        assert proxy.engine.memory.used == 0
        assert client.sent == 256 * 1024, "as much as the network holds"
        server = proxy.server()
        proxy.run()
        assert server.received == bytes(3_000_000)


def test_servers_take_turns() -> None:
    with SimulatedProxy(Forward, ["a", "b", "c"]) as proxy:
        for turns, name in enumerate("abcabc"):
            proxy.client()
            proxy.server(name)
            assert sum(map(proxy.connections, "abc")) == turns + 1


def test_a_server_that_refuses_is_followed_by_the_next() -> None:
    with SimulatedProxy(Forward, ["a", "b", "c"], refusing=["a", "b"]) as proxy:
        client = proxy.client()
        client.send(b"anybody?")
        server = proxy.server("c")
        proxy.run()
        assert server.received == b"anybody?"
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


def test_with_no_server_left_the_client_is_closed_and_the_reasons_are_logged() -> None:
    with SimulatedProxy(Forward, ["a", "b"], refusing=["a", "b"]) as proxy:
        client = proxy.client()
        proxy.run()
        assert client.ended
        assert client.received == b""
        assert "tcp://a:1 failed" in proxy.log[0]
        assert "tcp://b:1: connection refused; no server is left" in proxy.log[1]
        assert not proxy.engine.vcs


def test_a_client_that_breaks_off_is_not_connected_any_more() -> None:
    with SimulatedProxy(Forward, ["a", "b"], connect_s=5.0) as proxy:
        client = proxy.client()
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(1.0)
        client.reset()
        proxy.run()
        assert proxy.sim.now == 1.0
        assert not proxy.engine.vcs
        assert proxy.log == [], "a load balancer's check is worth no line"


@pytest.mark.parametrize("limit", ["inactivity_s", "active_s"])
def test_a_clients_time_counts_while_servers_are_tried(limit: str) -> None:
    with SimulatedProxy(Forward, **{limit: 3.0}) as proxy:  # type: ignore[arg-type]
        client = proxy.client()
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(60.0)
        proxy.run()
        assert client.ended
        assert not proxy.engine.vcs
        [line] = proxy.log
        assert line.endswith("connection timed out before a server answered")


@pytest.mark.parametrize("said", [b"", b"hello"])
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_reaches_the_other_side_as_a_reset(who: str, said: bytes) -> None:
    with SimulatedProxy(Forward) as proxy:
        sides = dict(zip(("client", "server"), met(proxy), strict=True))
        sides["client"].send(said)
        proxy.run()
        breaking = sides.pop(who)
        [other] = sides.values()
        breaking.reset()
        proxy.run()
        assert other.reset_seen
        assert not other.ended
        assert not proxy.engine.vcs
        if who == "client" and not said:
            assert proxy.log == [], "a load balancer's check is worth no line"
        else:
            assert "a connection failed" in proxy.log[0]
            assert "connection reset by peer" in proxy.log[0]


@pytest.mark.parametrize(("limit", "why"), [
    ("inactivity_s", "connection timed out: nothing moved for too long"),
    ("active_s", "connection timed out: open for too long"),
])  # fmt: skip
def test_a_time_limit_is_no_orderly_end(limit: str, why: str) -> None:
    with SimulatedProxy(Forward, **{limit: 10.0}) as proxy:  # type: ignore[arg-type]
        client, server = met(proxy)
        server.send(b"the first half of a")
        proxy.run()
        assert client.received == b"the first half of a"
        assert client.reset_seen
        assert not client.ended, "or half an answer would pass for all of it"
        assert server.reset_seen
        assert why in proxy.log[0]


def test_bytes_either_way_are_activity() -> None:
    with SimulatedProxy(Forward, inactivity_s=10.0) as proxy:
        client, server = met(proxy)
        for peer in (client, server, server, server, client):
            proxy.elapse(9.0)
            peer.send(b"still here")
        proxy.elapse(9.0)
        assert not client.reset_seen
        proxy.elapse(1.5)
        assert client.reset_seen


def test_one_conversation_does_not_disturb_another() -> None:
    with SimulatedProxy(Forward) as proxy:
        (first, its_server), (second, another) = met(proxy), met(proxy)
        its_server.stall()
        first.send(bytes(5_000_000))
        second.send(b"quick")
        proxy.run()
        assert another.received == b"quick"
        first.reset()
        proxy.run()
        another.send(b"still there")
        proxy.run()
        assert second.received == b"still there"


def test_every_state_takes_what_may_reach_it() -> None:
    assert check_machine(Forward) == {
        "CONNECTING TunnelDone",  # there is no tunnel yet
        "RELAYING REFUSED",  # it is served
        # The session's own operations are over: what happens now is told to the tunnel.
        "RELAYING ERROR", "RELAYING CONNECTED",
        "RELAYING INACTIVITY_TIMEOUT", "RELAYING ACTIVE_TIMEOUT",
    }  # fmt: skip
