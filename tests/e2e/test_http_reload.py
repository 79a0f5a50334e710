"""SIGHUP with idle HTTP connections: all of them are closed, and no request is lost."""

from __future__ import annotations

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import PATIENCE_S, Running, all_of
from tests.e2e.web import GET, nginx, origin, web


def reload(running: Running, text: str) -> None:
    """Reload with another configuration, and wait until it is in use."""
    running.file.write_text(text)
    count = running.log.count("reloaded")
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded", count + 1)


@pytest.mark.parametrize("net_threads", [1, 2])
def test_a_reload_under_load_loses_no_request(
    proxy: Starter, tools: Tools, tmp_path: Path, net_threads: int
) -> None:
    """wrk sends its next request as soon as it has a response, and reports failed ones."""
    uri = nginx(tools, tmp_path, 'location / { return 200 "ok\\n"; }')
    threads = f"[proxy]\nnet_threads = {net_threads}\n"
    texts = cycle(threads + web(uri, options=f'via = "{via}"') for via in ("a", "b"))
    running = proxy(next(texts))
    reloads = 0
    with ThreadPoolExecutor(1) as pool:
        address = f"http://127.0.0.1:{running.port('in')}/"
        wrk = pool.submit(tools.run, "wrk", "-t2", "-c40", "-d3s", address)
        while not wrk.done():
            reload(running, next(texts))
            reloads += 1
        output = wrk.result().decode()
    assert reloads > 3
    requests = re.search(r"(\d+) requests in", output)
    assert requests, output
    assert int(requests[1]) > 100
    assert "Socket errors" not in output, output
    assert "Non-2xx" not in output, output


def test_a_reload_closes_idle_connections_after_one_last_request(proxy: Starter) -> None:
    with origin() as server:
        running = proxy(web(server.uri, options='via = "first"'))
        asks = HTTPConnection("127.0.0.1", running.port("in"), timeout=PATIENCE_S)
        with running.connect("in") as idle, running.connect("in") as silent:
            idle.sendall(GET)
            assert b"\r\nVia: 1.1 first\r\n" in idle.recv(1 << 16)
            asks.request("GET", "/")
            asks.getresponse().read()
            reload(running, web(server.uri, options='via = "second"'))
            asks.request("POST", "/", b"once")
            answer = asks.getresponse()
            assert (answer.read(), answer.headers["Via"]) == (b"once", "1.1 first")
            assert answer.headers["Connection"] == "close"
            asks.request("GET", "/")  # on a new connection
            answer = asks.getresponse()
            assert (answer.read(), answer.headers["Via"]) == (b"", "1.1 second")
            began = time.monotonic()
            assert all_of(idle) == all_of(silent) == b""
            assert time.monotonic() - began < 10
            asks.request("GET", "/")  # on the same connection, which stays open
            answer = asks.getresponse()
            assert (answer.read(), answer.headers["Connection"]) == (b"", None)
        asks.close()
