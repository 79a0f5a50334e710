"""The question `metrics`: what every kind of listener counts, asked of a proxy in simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.control.questions.asked_proxy import AskedProxy
from tests.control.questions.test_rows import FORWARD, HTTP, MIRROR, RELAY, SPLIT
from vcproxy.control.metrics.table import METRICS

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def found(proxy: AskedProxy) -> dict[str, Any]:
    """Return the values by the name of the metric and its labels. All are in the table."""
    rows = proxy.ask("metrics")
    values = {",".join([row["name"], *row["labels"]]): row["value"] for row in rows}
    assert len(values) == len(rows), "a name with its labels comes once"
    assert {row["name"] for row in rows} <= set(METRICS)
    for row in rows:
        names = tuple(label.partition("=")[0] for label in row["labels"])
        assert names == METRICS[row["name"]].labels, row
    return values


def test_a_forwarded_connection_counts_for_its_listener_and_its_server(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, FORWARD) as proxy:
        servers = proxy.server("tcp://10.0.0.7:1")
        client = proxy.client("front", b"ping")
        proxy.client("front", b"waits")
        servers[0].send(b"pongpong")
        proxy.sim.elapse(1.0)
        for ended in (False, True):
            values = found(proxy)
            server = "upstream=back,server=tcp://10.0.0.7:1"
            assert values["vcproxy_listener_accepted,listener=front"] == 2
            assert values["vcproxy_listener_received_bytes,listener=front"] == 4 + 5 * ended
            assert values["vcproxy_listener_sent_bytes,listener=front"] == 8
            assert values[f"vcproxy_server_received_bytes,{server}"] == 8
            assert values[f"vcproxy_server_sent_bytes,{server}"] == 4 + 5 * ended
            assert values[f"vcproxy_server_connects,{server}"] == 1 + ended
            assert values[f"vcproxy_server_state,{server},state=ready"] == 1
            assert values["vcproxy_queue_added,upstream=back"] == 1
            assert values["vcproxy_queue_waiting,upstream=back"] == 1 - ended
            assert values["vcproxy_listener_open,listener=front"] == 2 - ended
            assert values["vcproxy_machines,machine=TwoWayTunnel,state=BOTH"] == 1
            client.reset()
            proxy.sim.elapse(1.0)


def test_a_server_that_refuses_and_fails(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, HTTP) as proxy:
        proxy.client("web", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        proxy.sim.elapse(5.0)
        values = found(proxy)
        server = "upstream=back,server=tcp://10.0.0.7:1"
        assert values[f"vcproxy_server_connect_failures,{server}"] > 0
        assert values["vcproxy_http_responses,listener=web,class=5xx"] == 1
        assert values["vcproxy_plugin_events,listener=web,event=502"] == 1
        assert sum(values["vcproxy_http_request_duration_seconds,listener=web"][:-1]) == 1


def test_requests_are_counted_for_their_server_on_both_paths(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, HTTP) as proxy:
        servers = proxy.server("tcp://10.0.0.7:1")
        client = proxy.client("web")
        for _ in range(5):
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            proxy.sim.elapse(0.1)
            servers[0].send(ANSWER)
            proxy.sim.elapse(0.1)
        values = found(proxy)
        server = "upstream=back,server=tcp://10.0.0.7:1"
        assert values[f"vcproxy_server_answered,{server}"] == 5
        assert values[f"vcproxy_server_idle,{server}"] == 1
        assert values["vcproxy_http_responses,listener=web,class=2xx"] == 5


def test_a_relay_names_its_targets_and_counts_its_subscribers(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, RELAY) as proxy:
        proxy.server("tcp://10.0.0.9:1")
        proxy.client("ticker.subscribers")
        proxy.client("ticker", b"one\ntwo\n")
        proxy.sim.elapse(1.0)
        values = found(proxy)
        target = "listener=ticker,target=tcp://10.0.0.9:1"
        assert values[f"vcproxy_relay_target_up,{target}"] == 1
        assert values[f"vcproxy_relay_target_sent_bytes,{target}"] == 8
        assert values["vcproxy_relay_sinks,listener=ticker,state=up"] == 2
        assert values["vcproxy_relay_sinks,listener=ticker,state=down"] == 0
        assert values["vcproxy_plugin_events,listener=ticker,event=joined"] == 2


def test_mirrors_and_splits(tmp_path: Path) -> None:
    with AskedProxy(tmp_path, MIRROR) as proxy:
        proxy.server("tcp://10.0.0.7:1")
        proxy.server("tcp://10.0.0.8:1")
        proxy.client("shop", b"order")
        proxy.sim.elapse(0.5)
        values = found(proxy)
        assert values["vcproxy_mirror_open,listener=shop,mirror=tcp://10.0.0.8:1"] == 1
    with AskedProxy(tmp_path, SPLIT) as proxy:
        proxy.server("tcp://10.0.0.7:1")
        proxy.client("shared", b'{"id": 1}\n')
        proxy.sim.elapse(0.5)
        values = found(proxy)
        assert values["vcproxy_split_open,listener=shared,upstream=back"] == 1
        assert values["vcproxy_split_sources,listener=shared,upstream=back"] == 1
