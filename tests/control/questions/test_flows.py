"""The question `flows`, asked of a proxy in simulation."""

from __future__ import annotations

from pathlib import Path

from tests.control.questions.asked_proxy import AskedProxy
from tests.control.questions.test_rows import FORWARD, HTTP, RELAY


def test_clients_are_counted_by_server_and_state(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, FORWARD) as proxy:
        proxy.server("tcp://10.0.0.7:1")
        names = "listener", "upstream", "server", "state", "tunnel", "connections", "bridged"
        idle = ("front", "back", "", "", "", 0, 0)
        assert proxy.columns("flows", *names) == [idle], "what it may use, before it does"
        first = proxy.client("front", b"one")
        proxy.client("front", b"two")
        relaying = ("front", "back", "tcp://10.0.0.7:1", "RELAYING", "TwoWayTunnel", 1, 0)
        waiting = ("front", "back", "", "CONNECTING", "", 1, 0)
        assert proxy.columns("flows", *names) == [idle, relaying, waiting]
        first.reset()
        proxy.sim.elapse(1.0)
        assert proxy.columns("flows", *names) == [idle, relaying]


def test_a_client_of_http_between_its_requests(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, HTTP) as proxy:
        servers = proxy.server("tcp://10.0.0.7:1")
        names = "upstream", "server", "connections"
        proxy.client("web", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert ("back", "tcp://10.0.0.7:1", 1) in proxy.columns("flows", *names)
        servers[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        proxy.sim.elapse(0.5)
        assert ("back", "", 1) in proxy.columns("flows", *names)


def test_the_producer_of_a_relay_has_no_server(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, RELAY) as proxy:
        proxy.server("tcp://10.0.0.9:1")
        proxy.client("ticker", b"tick\n")
        [row] = proxy.ask("flows", listener="ticker")
        assert (row["upstream"], row["server"], row["connections"]) == ("", "", 1)
