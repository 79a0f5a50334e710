"""The records of sessions: how each way to end is shown, and what was measured."""

from __future__ import annotations

from vcproxy.plugins.echo import Echo
from vcproxy.plugins.forward import Forward
from vcproxy.testing.proxy import SimulatedProxy


def test_an_orderly_session() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"ping")
        proxy.elapse(1.0)
        server.send(b"pong!")
        proxy.elapse(1.0)
        client.end()
        server.end()
        proxy.run()
        (record,) = proxy.access_log
    assert record["kind"] == "tcp"
    assert record["listener"] == "proxy"
    assert record["upstream"] == "upstream"
    assert record["server"] == "tcp://server:1"
    assert (record["bytes_up"], record["bytes_down"]) == (4, 5)
    assert (record["time_first_byte"], record["time_total"]) == (1000.0, 2000.0)
    assert (record["end"], record["reason"]) == ("--", None)


def test_the_client_resets() -> None:
    with SimulatedProxy(Forward) as proxy:
        client = proxy.client()
        proxy.server()
        client.reset()
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "CD"


def test_the_server_resets() -> None:
    with SimulatedProxy(Forward) as proxy:
        proxy.client()
        proxy.server().reset()
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "SD"


def test_no_server_can_be_reached() -> None:
    with SimulatedProxy(Forward, servers=("a", "b"), refusing=("a", "b")) as proxy:
        proxy.client()
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "SC"
    assert record["tried"] == ["tcp://a:1"]
    assert record["server"] == "tcp://b:1"


def test_nothing_moves() -> None:
    with SimulatedProxy(Forward, inactivity_s=5.0) as proxy:
        proxy.client()
        proxy.run()
        (record,) = proxy.access_log
    assert (record["end"], record["time_total"]) == ("cD", 5000.0)


def test_a_session_without_a_server() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        client.send(b"hello")
        client.end()
        proxy.run()
        (record,) = proxy.access_log
    assert (record["end"], record["bytes_up"], record["bytes_down"]) == ("--", 5, 5)
    assert record["server"] is None
