"""Metrics of a running proxy: net threads and workers are added up, and no counter falls."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import ECHO, PATIENCE_S, VCPROXY, Running, eventually, exactly, free_port
from tests.e2e.several import listener, replaced, served_by, two_workers, workers

BIND = '[metrics]\nbind = "tcp://127.0.0.1:0"\n'

ORDERS = """
from vcproxy.api import Counter, Event, Histogram, Message, Session, State

class Orders(Session):
    orders = Counter("orders", "Orders accepted.", labels=("kind",))
    sizes = Histogram("order_size_bytes", "Size of an order.", buckets=(4, 8))
    READING, CLOSED = State(initial=True), State(final=True)
    READING.goes(Event.EOS, CLOSED)

    @READING.on(Message)
    def ordered(self, message):
        self.orders.add(kind=message.data.split()[0].decode())
        self.sizes.observe(len(message.data))
        self.count("read")
        self.answer(b"ok\\n")
"""


def place(running: Running) -> str:
    """Return the host and port of the metrics, from the log."""
    return running.wait_for(r"INFO metrics at tcp:.*$").partition("tcp://")[2]


def get(where: str, path: str, **fields: str) -> tuple[int, str]:
    """Return the status and the text of a page."""
    with closing(http.client.HTTPConnection(where, timeout=PATIENCE_S)) as connection:
        connection.request("GET", path, headers=fields)
        response = connection.getresponse()
        return response.status, response.read().decode()


def scrape(where: str) -> dict[str, float]:
    """Return all values, by the name with its labels."""
    status, text = get(where, "/metrics")
    assert status == 200, text
    return {
        sample.name + "".join(f",{name}={value}" for name, value in sample.labels.items()): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def order(running: Running, line: bytes) -> None:
    with running.connect("shop") as client:
        client.sendall(line)
        assert exactly(client, 3) == b"ok\n"


def test_net_threads_are_added_up(proxy: Starter) -> None:
    running = proxy(f"[proxy]\nnet_threads = 2\n{BIND}{ECHO}")
    where = place(running)
    with running.connect("echo") as one, running.connect("echo") as two:
        for each in (one, two):
            each.sendall(b"ping\n")
            assert exactly(each, 5) == b"ping\n"
        found = scrape(where)
    assert found["vcproxy_listener_accepted_total,listener=echo"] == 2
    assert found["vcproxy_listener_open,listener=echo"] == 2
    assert found["vcproxy_listener_received_bytes_total,listener=echo"] == 10
    assert found["vcproxy_net_threads"] == 2
    assert found["vcproxy_scrape_missing"] == 0
    assert found[f"vcproxy_process_info,pid={running.pid},version=0.1.0,worker=0"] == 1


def test_what_a_plugin_counts_survives_a_reload_of_its_code(proxy: Starter, tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_text(ORDERS)
    running = proxy(f"{BIND}{listener('shop', plugin='orders.py')}")
    where = place(running)
    order(running, b"new 1\n")
    file.write_text(ORDERS.replace("Orders accepted.", "Orders that were accepted."))
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded")
    order(running, b"new 12345\n")
    order(running, b"old\n")
    found = scrape(where)
    assert found["orders_total,kind=new,listener=shop"] == 2
    assert found["orders_total,kind=old,listener=shop"] == 1
    assert found["order_size_bytes_bucket,le=4.0,listener=shop"] == 1
    assert found["order_size_bytes_bucket,le=+Inf,listener=shop"] == 3
    assert found["order_size_bytes_sum,listener=shop"] == 17
    assert found["vcproxy_plugin_events_total,event=read,listener=shop"] == 3
    assert found["vcproxy_reload_generation"] == 2


def test_workers_are_added_up_and_a_killed_one_takes_nothing_along(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(two_workers(tmp_path) + BIND)
    where, accepted = place(running), "vcproxy_listener_accepted_total,listener=who"
    first, second = workers(running)
    with served_by(running, first), served_by(running, second):
        before = scrape(where)
        assert before[accepted] >= 2
        assert before["vcproxy_listener_open,listener=who"] == 2
        assert get(where, "/readyz") == (200, "serving\n")
    os.kill(first, signal.SIGKILL)
    replaced(running, first)
    eventually(lambda: get(where, "/readyz")[0] == 200, "a worker that serves again")
    with served_by(running, workers(running)[0]):
        assert scrape(where)[accepted] > before[accepted]


def test_it_is_healthy_and_not_ready_while_it_drains(proxy: Starter) -> None:
    running = proxy(f'[proxy]\ndrain_timeout = "1m"\n{BIND}{ECHO}')
    where = place(running)
    with running.connect("echo") as client:
        client.sendall(b"ping\n")
        assert exactly(client, 5) == b"ping\n"
        assert get(where, "/readyz") == (200, "serving\n")
        running.signal(signal.SIGTERM)
        running.wait_for("draining connections: 1")
        assert get(where, "/readyz") == (503, "draining\n")
        assert get(where, "/healthz") == (200, "ok\n")
        assert scrape(where)["vcproxy_draining"] == 1
    assert running.wait() == 0


def test_a_unix_socket_is_removed_at_the_end(proxy: Starter, tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    running = proxy(f'[metrics]\nbind = "unix:{path}"\n{ECHO}')
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    running.stop()
    assert not path.exists()


def test_an_address_in_use_is_reported_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(f'[metrics]\nbind = "tcp://127.0.0.1:{port}"\n{ECHO}')
        done = subprocess.run(
            [*VCPROXY, "-c", str(file)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    text = f"metrics.bind: cannot listen at tcp://127.0.0.1:{port}: address already in use"
    assert done.stderr.splitlines()[-1].endswith(text)


def test_promtool_finds_nothing_to_improve(proxy: Starter, tools: Tools) -> None:
    tools.require("promtool")
    where = place(proxy(BIND + ECHO))
    _, text = get(where, "/metrics")
    assert tools.run("promtool", "check", "metrics", stdin=text.encode()) == b""


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_prometheus_scrapes_it(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    running = proxy(BIND + ECHO)
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {"job_name": "vcproxy", "static_configs": [{"targets": [place(running)]}]}
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    here = f"127.0.0.1:{free_port()}"
    tools.serve(
        f"tcp://{here}",
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={here}",
    )
    with running.connect("echo"):
        query = quote('vcproxy_listener_accepted_total{listener="echo"} == 1')

        def known() -> bool:
            status, text = get(here, f"/api/v1/query?query={query}")
            return status == 200 and bool(json.loads(text)["data"]["result"])

        eventually(known, "a scrape of Prometheus")
