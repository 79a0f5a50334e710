"""Clients that read nothing do not affect others."""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import ExitStack

import pytest

from tests.bench.excess import ENDLESS, SMALL, Crowd, serving, settle, small
from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import exactly
from tests.e2e.web import web

CLIENTS = 80
MIB = 1 << 20


def two_listeners(server: int, memory: str) -> str:
    """A configuration with two listeners for one server."""
    text = web(f"tcp://127.0.0.1:{server}")
    other = re.sub(r"(?s).*(\[\[listener\]\].*?)\[upstream.*", r"\1", text)
    other = other.replace('name = "in"', 'name = "other"')
    return f'[proxy]\nmemory = "{memory}"\n{text}\n{other}'


@pytest.mark.parametrize(
    ("payload", "most"),
    [(ENDLESS, len(ENDLESS)), (SMALL * 500, MIB // 8)],
    ids=["unread", "pipelined"],
)
def test_clients_that_do_not_read_delay_no_others(
    proxy: Starter, payload: bytes, most: int
) -> None:
    """80 clients, each with 128 KiB in buffers, exceed the memory budget of 4 MiB."""
    with serving() as server, ExitStack() as stack:
        running = proxy(two_listeners(server, "4MiB"))
        port, other = running.port("in"), running.port("other")
        assert small(port) is not None
        before = running.resident()
        crowd = Crowd(port, CLIENTS, payload, most)
        stack.callback(crowd.leave)
        settle(crowd, running.pid)
        lost = sum(small(door) is None for door in [port, other] * 10)
        assert lost == 0
        assert running.resident() - before < 32 * MIB


def test_tls_counts_in_the_budget_and_the_longest_idle_makes_room(
    proxy: Starter, certificates: Certificates
) -> None:
    """The budget of 1 MiB has room for 15 connections with TLS."""
    certificate, key = certificates.issue("localhost")
    running = proxy(f"""
[proxy]
memory = "1MiB"

[[listener]]
name = "echo"
bind = "tls://127.0.0.1:0"
plugin = "echo"
tls = {{ certificate = "{certificate}", key = "{key}" }}
""")
    context = ssl.create_default_context(cafile=str(certificates.ca))
    with ExitStack() as stack:
        for _ in range(20):
            plain = socket.create_connection(("127.0.0.1", running.port("echo")), timeout=30)
            client = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
        client.sendall(b"served on")
        assert exactly(client, len(b"served on")) == b"served on"
        running.wait_for("for TLS, idle for")
