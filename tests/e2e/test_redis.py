"""A Redis server with its client and benchmark through the proxy, on every kind of listener."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import forward, refusing


@pytest.fixture
def redis(tools: Tools) -> str:
    """A Redis server's URI."""
    uri = refusing()
    port = uri.rpartition(":")[2]
    tools.serve(uri, "redis-server", "--port", port, "--save", "", "--appendonly", "no")
    return uri


@pytest.mark.parametrize("net_threads", [1, 3])
def test_the_benchmark_runs_through_the_proxy(
    proxy: Starter, tools: Tools, redis: str, net_threads: int
) -> None:
    running = proxy(f"[proxy]\nnet_threads = {net_threads}\n" + forward(redis))
    port = str(running.port("in"))
    table = tools.run(
        *("redis-benchmark", "-p", port, "-t", "set,get,lrange_100,mset", "--csv"),
        *("-n", "3000", "-c", "50", "-P", "4"),
    )
    assert table.count(b"\n") >= 5
    assert b"rror" not in table


def test_large_values_are_unchanged(proxy: Starter, tools: Tools, redis: str) -> None:
    running = proxy(forward(redis))
    cli = "redis-cli", "-p", str(running.port("in"))
    value = b"0123456789abcdef" * 300_000
    assert tools.run(*cli, "-x", "SET", "large", stdin=value) == b"OK\n"
    assert tools.run(*cli, "GET", "large") == value + b"\n"


def test_over_a_unix_socket(proxy: Starter, tools: Tools, redis: str, tmp_path: Path) -> None:
    running = proxy(forward(redis, bind="unix:redis.sock"))
    path = str(tmp_path / "redis.sock")
    assert running.uri("in") == f"unix:{path}"
    assert tools.run("redis-cli", "-s", path, "SET", "key", "value") == b"OK\n"
    assert tools.run("redis-cli", "-s", path, "GET", "key") == b"value\n"


def test_over_tls(proxy: Starter, tools: Tools, redis: str, certificates: Certificates) -> None:
    certificate, key = certificates.issue("localhost")
    running = proxy(
        forward(
            redis,
            bind="tls://localhost:0",
            listener=f'tls = {{ certificate = "{certificate}", key = "{key}" }}',
        )
    )
    cli = (
        *("redis-cli", "-h", "localhost", "-p", str(running.port("in"))),
        *("--tls", "--sni", "localhost", "--cacert", str(certificates.ca)),
    )
    value = b"tls" * 100_000
    assert tools.run(*cli, "-x", "SET", "key", stdin=value) == b"OK\n"
    assert tools.run(*cli, "GET", "key") == value + b"\n"
