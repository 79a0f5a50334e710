"""The rows of every question, asked of a proxy in simulation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.control.questions.asked_proxy import AskedProxy
from vcproxy.control.questions.table import QUESTIONS
from vcproxy.engine.waited_for import CONNECTION, waited_for

FORWARD = """
[[listener]]
name = "front"
bind = "tcp://proxy:1"
plugin = "forward"
upstream = "back"
limits = { max_connections = 100, max_per_client = 2 }

[upstream.back]
servers = ["tcp://10.0.0.7:1", { address = "tcp://10.0.0.8:1", backup = true }]
max_connections = 1
queue = { size = 5, timeout = "60s" }
"""

HTTP = """
[[listener]]
name = "web"
bind = "tcp://proxy:80"
plugin = "http_proxy"
upstream = "back"

[upstream.back]
servers = ["tcp://10.0.0.7:1"]
"""

SPLIT = """
[[listener]]
name = "shared"
bind = "tcp://proxy:1"
plugin = "split"
upstream = "back"
[listener.options]
framing = "json-lines"
key = "id"

[upstream.back]
servers = ["tcp://10.0.0.7:1"]
"""

MIRROR = """
[[listener]]
name = "shop"
bind = "tcp://proxy:1"
plugin = "mirror"
upstream = "back"
[listener.options]
mirrors = ["tcp://10.0.0.8:1"]

[upstream.back]
servers = ["tcp://10.0.0.7:1"]
"""

RELAY = """
[[listener]]
name = "ticker"
bind = "tcp://proxy:1"
plugin = "relay"
[listener.options]
subscribers = "tcp://proxy:2"
targets = [{ to = "tcp://10.0.0.9:1", on_lag = "drop_oldest" }]
framing = "lines"
"""


def test_connections_and_their_listener(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, FORWARD) as proxy:
        servers = proxy.server("tcp://10.0.0.7:1")
        client = proxy.client("front", b"ping")
        servers[0].send(b"pongpong")
        proxy.sim.elapse(2.0)
        [row] = proxy.ask("conns", kind="client")
        assert row["id"] == "0-1"
        assert (row["listener"], row["server"]) == ("front", "tcp://10.0.0.7:1")
        assert (row["bytes_in"], row["bytes_out"]) == (4, 8)
        assert (row["plugin"], row["tunnel"], row["state"]) == (
            "Forward",
            "TwoWayTunnel",
            "RELAYING",
        )
        assert row["age"] > row["idle"] > 1.9
        assert proxy.columns("conns", "id", "partner", "listener", "upstream") == [
            ("0-1", "0-2", "front", "back"),
            ("0-2", "0-1", "front", "back"),
        ]
        client.reset()
        proxy.sim.elapse(1.0)
        assert proxy.ask("conns") == []
        [listener] = proxy.ask("listeners")
        assert (listener["open"], listener["accepted"]) == (0, 1)
        assert (listener["bytes_in"], listener["bytes_out"]) == (4, 8)
        assert (listener["max_connections"], listener["max_per_client"]) == (100, 2)
        assert (listener["addresses"], listener["state"]) == (["tcp://proxy:1"], "open")


def test_servers_upstreams_and_queues(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, FORWARD) as proxy:
        proxy.server("tcp://10.0.0.7:1")
        proxy.client("front", b"one")
        proxy.client("front", b"two")
        proxy.sim.elapse(3.0)
        assert proxy.columns("servers", "server", "state", "up", "connections", "backup") == [
            ("tcp://10.0.0.7:1", "ready", 1, 1, False),
            ("tcp://10.0.0.8:1", "ready", 1, 0, True),
        ]
        assert proxy.columns("upstreams", "upstream", "up", "connections", "waiting") == [
            ("back", 2, 1, 1)
        ]
        [queue] = proxy.ask("queues")
        assert (queue["waiting"], queue["size"]) == (1, 5)
        assert 3.0 <= queue["longest"] < 4.0


def test_the_bytes_of_a_server_are_those_of_all_its_connections(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, FORWARD) as proxy:
        servers = proxy.server("tcp://10.0.0.7:1")
        first = proxy.client("front", b"one")
        servers[0].send(b"answer")
        proxy.sim.elapse(0.5)
        moved = "bytes_in", "bytes_out"
        assert proxy.columns("servers", *moved) == [(6, 3), (0, 0)]
        first.reset()
        proxy.sim.elapse(0.5)
        assert proxy.columns("servers", *moved) == [(6, 3), (0, 0)]
        proxy.client("front", b"another")
        assert proxy.columns("servers", *moved) == [(6, 10), (0, 0)]


def test_machines_are_counted_by_state(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, FORWARD) as proxy:
        proxy.server("tcp://10.0.0.7:1")
        for _ in range(2):
            proxy.client("front", b"ping")
        assert proxy.columns("machines", "machine", "state", "count") == [
            ("Forward", "CONNECTING", 1),
            ("Forward", "RELAYING", 1),
            ("TwoWayTunnel", "BOTH", 1),
        ]


def test_the_pool_of_an_upstream(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, HTTP) as proxy:
        servers = proxy.server("tcp://10.0.0.7:1")
        client = proxy.client("web", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        servers[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        proxy.sim.elapse(1.5)
        assert client.received.endswith(b"ok")
        [pool] = proxy.ask("pools")
        assert (pool["upstream"], pool["server"], pool["idle"]) == ("back", "tcp://10.0.0.7:1", 1)
        assert 1.0 < pool["longest"] < 2.0


def test_the_last_refused_messages(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, HTTP) as proxy:
        proxy.client("web", b"GET / HTTP/1.1\r\nHost: a\r\nBad\x01: x\r\n\r\n")
        [error] = proxy.ask("errors")
        assert (error["kind"], error["listener"]) == ("http request", "web")
        assert error["text"][error["mark"] :].startswith("\\x01: x")


def test_a_shared_connection_and_its_requests(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, SPLIT) as proxy:
        proxy.server("tcp://10.0.0.7:1")
        gone = proxy.client("shared", b'{"id": 1}\n')
        proxy.client("shared", b'{"id": 2}\n{"id": 3}\n')
        gone.reset()
        proxy.sim.elapse(1.0)
        [split] = proxy.ask("splits")
        assert (split["server"], split["state"]) == ("tcp://10.0.0.7:1", "SERVING")
        assert (split["sources"], split["open"], split["orphans"]) == (1, 3, 1)
        assert 1.0 < split["longest"] < 3.0


def test_mirrors(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, MIRROR) as proxy:
        primaries = proxy.server("tcp://10.0.0.7:1")
        mirrors = proxy.server("tcp://10.0.0.8:1")
        first = proxy.client("shop", b"ping")
        for each in (first, primaries[0], mirrors[0]):
            each.close()
        proxy.sim.elapse(5.0)
        proxy.client("shop", b"ping")
        mirrors[-1].stall()
        proxy.sim.elapse(0.5)
        [row] = proxy.ask("mirrors")
        assert (row["listener"], row["mirror"]) == ("shop", "tcp://10.0.0.8:1")
        assert (row["open"], row["followed"] + row["lost"]) == (1, 1)
        assert proxy.columns("sinks", "sink", "on_lag", "required") == [
            ("tcp://10.0.0.7:1", "block", True),
            ("tcp://10.0.0.8:1", "disconnect", False),
        ]


def test_the_sinks_of_a_relay(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, RELAY) as proxy:
        proxy.client("ticker.subscribers")
        proxy.client("ticker", b"one\ntwo\n")
        rows = proxy.columns("sinks", "tunnel", "sink", "state", "sent", "on_lag")
        assert rows[0] == ("ticker", "tcp://10.0.0.9:1", "down", 0, "drop_oldest")
        tunnel, sink, *rest = rows[1]
        assert (tunnel, rest) == ("ticker", ["up", 8, "disconnect"])
        assert sink.startswith("ticker.subscribers ")
        moved = proxy.columns("listeners", "listener", "bytes_in", "bytes_out")
        assert moved == [("ticker", 8, 0), ("ticker.subscribers", 0, 8)]
        assert proxy.columns("sources", "kind", kind="Datagrams") == []


def test_a_sink_that_is_written_to_is_not_idle(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, RELAY) as proxy:
        proxy.client("ticker.subscribers")
        producer = proxy.client("ticker", b"one\n")
        for _ in range(20):
            producer.send(b"two\n")
            proxy.sim.elapse(1.0)
        [(sent, idle)] = proxy.columns(
            "conns", "bytes_out", "idle", kind="client", listener="ticker.subscribers"
        )
        assert sent == 84
        assert idle <= 1.0
        sinks = [each for each in waited_for(proxy.engines[0]) if "subscribers" in each.name]
        assert [each.since_s <= 1.0 for each in sinks if each.kind == CONNECTION] == [True]


def test_every_question_has_rows_as_documented(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, FORWARD) as proxy:
        proxy.server("tcp://10.0.0.7:1")
        proxy.client("front", b"ping")
        for question in QUESTIONS:
            proxy.ask(question)
        [memory] = proxy.ask("memory")
        assert memory["used"] == memory["buffers"] + memory["held"] + memory["tls"]
        [thread] = proxy.ask("threads")
        assert (thread["connections"], thread["lag"]) == (2, 0.002)


@pytest.mark.parametrize("question", [name for name in QUESTIONS if name != "metrics"])
def test_a_proxy_without_traffic_is_asked_too(tmp_path: Path, question: str) -> None:
    with AskedProxy(tmp_path, '[[listener]]\nname="e"\nbind="tcp://p:1"\nplugin="echo"\n') as proxy:
        proxy.ask(question)
