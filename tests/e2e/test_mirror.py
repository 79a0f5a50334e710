"""The real proxy mirrors to real servers: Redis, socat, TLS."""

from __future__ import annotations

import re
from pathlib import Path
from time import monotonic

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import ECHO, Server, all_of, eventually, exactly, fill, refusing, reset

CONF = Path(__file__).parents[2] / "conf" / "mirror.toml"


def mirror(primary: str, *mirrors: str, options: str = "") -> str:
    """Return a configuration that mirrors listener "in"; `options`: further option lines."""
    return f"""
[[listener]]
name = "in"
bind = "tcp://127.0.0.1:0"
plugin = "mirror"
upstream = "out"

[listener.options]
mirrors = {list(mirrors)}
{options}

[upstream.out]
servers = ["{primary}"]
"""


@pytest.fixture
def redises(tools: Tools) -> list[str]:
    """The URIs of three Redis servers."""
    uris = [refusing() for _ in range(3)]
    for uri in uris:
        port = uri.rpartition(":")[2]
        tools.serve(uri, "redis-server", "--port", port, "--save", "", "--appendonly", "no")
    return uris


def redis(tools: Tools, port: object, *command: str) -> bytes:
    return tools.run("redis-cli", "-p", str(port), *command)


def test_the_configuration_as_it_is(proxy: Starter) -> None:
    ports = {port: refusing().rpartition(":")[2] for port in ("15600", "15601", "15602")}
    running = proxy(re.sub(r"(?<=:)1560\d", lambda port: ports[port[0]], CONF.read_text()))
    with running.connect("shop") as client:
        client.sendall(b"request\n")
        client.shutdown(1)
        assert all_of(client) == b"request\n"
    line = running.wait_for("mirrored to the end")
    assert line.endswith(f"mirror tcp://127.0.0.1:{ports['15602']}: "
                         "mirrored to the end; 8B sent")  # fmt: skip


def test_a_redis_set_reaches_all_servers(proxy: Starter, tools: Tools, redises: list[str]) -> None:
    running = proxy(mirror(*redises))
    assert redis(tools, running.port("in"), "SET", "key", "value") == b"OK\n"
    running.wait_for("mirrored to the end", times=2)
    for uri in redises:
        assert redis(tools, uri.rpartition(":")[2], "GET", "key") == b"value\n"


def test_a_different_redis_reply_is_logged(
    proxy: Starter, tools: Tools, redises: list[str]
) -> None:
    primary, other, _ = redises
    redis(tools, other.rpartition(":")[2], "SET", "key", "other")
    running = proxy(mirror(primary, other))
    redis(tools, running.port("in"), "GET", "key")
    running.wait_for("response differs from the primary at byte 1")


def test_redis_benchmark_has_no_error_with_failing_mirrors(
    proxy: Starter, tools: Tools, redises: list[str]
) -> None:
    primary, slow, _ = redises
    running = proxy(mirror(primary, slow, refusing(), options='max_lag = "16KiB"'))
    tools.run("redis-cli", "-p", slow.rpartition(":")[2], "CLIENT", "PAUSE", "5000")
    table = tools.run(
        *("redis-benchmark", "-p", str(running.port("in")), "-t", "set,get,lrange_100", "--csv"),
        *("-n", "2000", "-c", "20", "-P", "4"),
    )
    assert table.count(b"\n") >= 4
    assert b"rror" not in table


def test_socat_as_a_mirror_receives_all_bytes(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    copy, uri, echo = tmp_path / "copy", refusing(), refusing()
    tools.start("socat", "-u", f"TCP-LISTEN:{uri.rpartition(':')[2]}", f"CREATE:{copy}")
    tools.serve(echo, "socat", f"TCP-LISTEN:{echo.rpartition(':')[2]},fork", "EXEC:cat")
    running = proxy(mirror(echo, uri))
    sent = b"0123456789abcdef" * 200_000
    back = tools.run("socat", "-t9", "-", f"TCP:127.0.0.1:{running.port('in')}", stdin=sent)
    assert back == sent
    eventually(lambda: copy.exists() and copy.read_bytes() == sent, "the mirror has all")


def test_a_mirror_over_tls(proxy: Starter, certificates: Certificates, tmp_path: Path) -> None:
    certificate, key = certificates.issue("localhost")
    behind = proxy(
        ECHO.replace("tcp://127.0.0.1:0", "tls://localhost:0")
        + f'tls = {{ certificate = "{certificate}", key = "{key}" }}'
    )
    with Server() as primary:
        uri = behind.uri("echo")
        tls = f'tls = {{ ca = "{certificates.ca}" }}'
        running = proxy(
            mirror(primary.uri, f"tls://localhost:{uri.rpartition(':')[2]}", options=tls)
        )
        with running.connect("in") as client, primary.next() as server:
            client.sendall(b"ping")
            assert exactly(server, 4) == b"ping"
            server.sendall(b"pong")
            assert exactly(client, 4) == b"pong"
            running.wait_for("response differs from the primary at byte 1")


@pytest.mark.parametrize("options", ["", 'framing = "lines"\non_lag = "drop_oldest"'])
def test_a_client_reset_is_detected_while_the_primary_stalls(proxy: Starter, options: str) -> None:
    with Server() as primary, Server() as other:
        running = proxy(mirror(primary.uri, other.uri, options=options))
        client = running.connect("in")
        with primary.next(), other.next():
            fill(client)
            reset(client)
            began = monotonic()
            running.wait_for("a connection failed .*connection reset by peer")
            assert monotonic() - began < 3.0  # one second on an idle machine


def test_a_mirror_that_does_not_read_is_disconnected(proxy: Starter) -> None:
    with Server() as primary, Server() as stalled:
        running = proxy(mirror(primary.uri, stalled.uri))
        with running.connect("in") as client, primary.next() as server, stalled.next():
            sent = b"x" * 1_000_000
            for _ in range(20):
                client.sendall(sent)
                assert exactly(server, len(sent)) == sent
            running.wait_for("lagged too far behind")
            assert fill(client) > 0
