"""Several servers behind the real program: health checks, limits and the end."""

from __future__ import annotations

import re
import signal
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.e2e.conftest import Starter
from tests.e2e.running import Server, all_of, exactly, forward
from tests.e2e.web import GET, origin, web


class Health(BaseHTTPRequestHandler):
    """Replies with the status of its class."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


def test_a_server_is_used_while_it_is_healthy(proxy: Starter) -> None:
    class Sick(Health):
        status = 200

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Health, Sick)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    well, sick = (f"tcp://127.0.0.1:{server.server_port}" for server in servers)
    check = 'check = { kind = "http", path = "/health", interval = "20ms", fall = 2 }'
    try:
        running = proxy(forward(well, sick, upstream=check))
        Sick.status = 503
        running.wait_for(
            f"WARN.* upstream out: {re.escape(sick)} is down: 2 health checks in a row "
            "failed: status 503; 1 of 2 servers are up"
        )
        for _ in range(4):
            with running.connect("in") as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert all_of(client).startswith(b"HTTP/1.0 200")
        Sick.status = 200
        running.wait_for(f"{re.escape(sick)} is up: 2 health checks in a row passed; 2 of 2")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def test_a_client_without_room_waits(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(forward(server.uri, upstream="max_connections = 1"))
        with running.connect("in") as first, running.connect("in") as second:
            with server.next() as accepted:
                first.sendall(b"one")
                assert exactly(accepted, 3) == b"one"
                second.sendall(b"two")
                first.close()
                assert all_of(accepted) == b""
            with server.next() as accepted:
                assert exactly(accepted, 3) == b"two"


def test_a_client_beyond_the_queue_is_closed(proxy: Starter) -> None:
    with Server() as server:
        limits = "max_connections = 1\nqueue = { size = 0 }"
        running = proxy(forward(server.uri, upstream=limits))
        with running.connect("in") as first, server.next() as accepted:
            with running.connect("in") as second:
                assert all_of(second) == b""
            running.wait_for("server out failed: no server has room, and 0 connections wait")
            first.sendall(b"undisturbed")
            assert exactly(accepted, 11) == b"undisturbed"


def test_connections_of_a_full_server_are_reused(proxy: Starter) -> None:
    """After a response a server connection is used for the next waiting request, not closed."""
    with origin() as server, ExitStack() as stack:
        running = proxy(web(server.uri, upstream="max_connections = 2"))
        clients = [stack.enter_context(running.connect("in")) for _ in range(30)]
        for _ in range(10):
            for client in clients:
                client.sendall(GET)
            for client in clients:
                assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        assert len(server.received) == 300
        assert len(server.connections) <= 2
