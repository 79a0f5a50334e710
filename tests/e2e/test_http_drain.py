"""SIGTERM with HTTP requests in progress: they are answered, then the connections are closed."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from threading import Event

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import PATIENCE_S, all_of, eventually
from tests.e2e.web import GET, Echo, Received, origin, way_out, web

COUNT = 100


def body_of(answer: bytes) -> bytes:
    """Return the body of a response; its head must have Connection: close."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close" in head
    return body


@pytest.mark.parametrize("net_threads", [1, 2])
def test_requests_under_way_are_answered(proxy: Starter, net_threads: int) -> None:
    """Heads, bodies and pipelines; idle clients get the end of the stream."""
    draining = Event()

    class Late(Echo):
        """Answers POST only when the proxy drains."""

        def answer(self, received: Received) -> None:
            """Send the body back; for POST, only when the proxy drains."""
            if received.method == "POST":
                draining.wait(PATIENCE_S)
            super().answer(received)

    with origin(Late) as server, ExitStack() as stack:
        running = proxy(f"[proxy]\nnet_threads = {net_threads}\n" + web(server.uri))
        clients = [stack.enter_context(running.connect("in")) for _ in range(COUNT)]
        for client in clients:
            client.sendall(GET)
        for client in clients:
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        idle, busy = clients[: COUNT // 4], clients[COUNT // 4 :]
        for client in busy:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nsome")
        half = busy[::2]  # the proxy has their complete bodies
        for client in half:
            client.sendall(b"more" + GET)  # the second request comes too late to be answered
        eventually(lambda: len(server.received) == COUNT + len(half), "the server has been asked")
        running.signal(signal.SIGTERM)
        running.wait_for(r"draining connections: \d+, 10s at most")
        for client in idle:
            assert all_of(client) == b""
            client.close()
        draining.set()
        for client in busy[1::2]:
            client.sendall(b"more")
        for client in busy:
            assert body_of(all_of(client)) == b"somemore"
            client.close()
        began = time.monotonic()
        assert running.wait() == 0
        assert time.monotonic() - began < 3


def test_connections_to_servers_that_clients_have_named_are_not_waited_for(proxy: Starter) -> None:
    class Patient(Echo):
        """Keeps connections for long, and announces it in Keep-Alive."""

        def end_headers(self) -> None:
            self.send_header("Keep-Alive", "timeout=60")
            super().end_headers()

    with origin(Patient) as server:
        running = proxy(way_out())
        with running.connect("in") as client:
            place = server.uri[6:].encode()
            client.sendall(b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n" % (place, place))
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        eventually(
            lambda: running.descriptors() == running.idle_descriptors + 1, "the client has gone"
        )
        began = time.monotonic()
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        assert time.monotonic() - began < 5
