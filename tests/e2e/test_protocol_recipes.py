"""Recipes of the cookbook with the real programs of their protocols."""

from __future__ import annotations

import os
import subprocess

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.cookbook.recipes import configured
from tests.e2e.conftest import Starter, Tools
from tests.e2e.postgresql import PROGRAMS, postgresql_server
from tests.e2e.running import PATIENCE_S, free_port, refusing


@pytest.mark.parametrize("version", ["-2", "-3"])
def test_redis_commands(proxy: Starter, tools: Tools, version: str) -> None:
    redis = refusing()
    tools.serve(redis, "redis-server", "--port", redis.rpartition(":")[2], "--save", "")
    running = proxy(
        configured("redis_commands", redis, table='options.allowed = ["GET", "PING", "HELLO"]')
    )
    cli = ("redis-cli", version, "-p", str(running.port("in")))
    commands = b"PING\nSET a 1\nget a\nFLUSHALL\nPING\n"
    refused = b"NOPERM this command is not allowed here\n\n"
    assert tools.run(*cli, stdin=commands) == b"PONG\n" + refused + b"\n" + refused + b"PONG\n"
    direct = ("redis-cli", "-p", redis.rpartition(":")[2])
    assert tools.run(*direct, "DBSIZE") == b"0\n"


@pytest.mark.parametrize("query", [dns.query.udp, dns.query.tcp], ids=["udp", "tcp"])
def test_dns_names(proxy: Starter, tools: Tools, query: object) -> None:
    server = refusing()
    port = server.rpartition(":")[2]
    local = ("--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=127.0.0.1")
    addresses = ("--address=/www.example/192.0.2.1", "--address=/ads.example/192.0.2.2")
    tools.serve(
        server,
        *("dnsmasq", "-k", "-p", port, "--pid-file=", "-C", "/dev/null"),
        *(*local, *addresses),
    )
    ours = free_port()
    binds = (f"udp://127.0.0.1:{ours}", f"tcp://127.0.0.1:{ours}")
    table = 'options.hidden = ["ads.example"]\ntimeouts.inactivity = "1s"'
    proxy(configured("dns_names", server, *binds, table=table))
    answers = {}
    for name in ("www.example", "ads.example", "x.ADS.example", "ads.example.www.example"):
        question = dns.message.make_query(name, "A")
        assert callable(query)
        answer = query(question, "127.0.0.1", port=ours, timeout=PATIENCE_S)
        answers[name] = (dns.rcode.to_text(answer.rcode()), len(answer.answer))
    assert answers == {
        "www.example": ("NOERROR", 1),
        "ads.example": ("NXDOMAIN", 0),
        "x.ADS.example": ("NXDOMAIN", 0),
        "ads.example.www.example": ("NOERROR", 1),
    }


@pytest.mark.parametrize("tls", ["disable", "prefer"])
def test_postgresql_audit(proxy: Starter, tls: str) -> None:
    with postgresql_server() as server:
        running = proxy(configured("postgresql_audit", f"tcp://{server}"))
        statements = "CREATE TABLE t (n int); INSERT INTO t VALUES (1);"
        psql = str(PROGRAMS[-1] / "psql")
        place = ("-h", "127.0.0.1", "-p", str(running.port("in")), "-U", "owner")
        done = subprocess.run(
            [psql, "-AtX", *place, "-c", statements, "-c", "SELECT n + 1 FROM t", "postgres"],
            env=os.environ | {"PGSSLMODE": tls},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "2"
        running.wait_for(f"owner: '{statements}'".replace("(", r"\(").replace(")", r"\)"))
        running.wait_for(r"owner: 'SELECT n \+ 1 FROM t'")
