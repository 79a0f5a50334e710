"""Bad days of HTTP, on the direct path and on the ordinary one, with real sockets.

Each test begins with a request that leaves an idle connection to the server.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import Running, Server, all_of, exactly, reset
from tests.e2e.web import GET, web

PATHS = pytest.mark.parametrize(
    "path", ["", "[http]\ndirect = false\n"], ids=["direct", "ordinary"]
)

pytestmark = PATHS

FIRST = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: x\r\n\r\nfirst"
SECOND = FIRST.replace(b"first", b"other")
PLAIN = 'via = "p"\nforwarded = "off"'


@contextmanager
def kept(
    proxy: Starter, path: str, more: str = ""
) -> Iterator[tuple[Running, Server, socket.socket, socket.socket]]:
    """Yield the proxy, the server, and the connections of client and server, after a request."""
    with Server() as server:
        running = proxy(path + web(server.uri, options=f"{PLAIN}\n{more}"))
        with running.connect("in") as client:
            client.sendall(GET)
            with server.next() as behind:
                answer(client, behind, FIRST)
                yield running, server, client, behind


def request(behind: socket.socket) -> bytes:
    """Receive one request."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = behind.recv(1)
        assert piece, f"the connection ended after {head!r}"
        head += piece
    return head


def response(client: socket.socket) -> bytes:
    """Receive one response to its end; return its body."""
    head = request(client)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return exactly(client, length)


def answer(client: socket.socket, behind: socket.socket, data: bytes) -> None:
    """Answer a request in one piece; the client must get the body."""
    request(behind)
    behind.sendall(data)
    assert response(client) == data.partition(b"\r\n\r\n")[2]


def test_requests_one_after_the_other(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (_, _, client, behind):
        for number in range(50):
            client.sendall(GET.replace(b"GET / ", b"GET /%d " % number))
            assert request(behind).startswith(b"GET /%d HTTP/1.1\r\n" % number)
            behind.sendall(SECOND)
            assert response(client) == b"other"


def test_a_server_that_answers_before_the_request(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (_, server, client, behind):
        behind.sendall(SECOND)
        assert all_of(behind) == b""  # what nothing was asked for is no answer
        client.sendall(GET)
        with server.next() as fresh:
            answer(client, fresh, FIRST)


def test_a_server_that_answers_twice(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (_, server, client, behind):
        client.sendall(GET)
        request(behind)
        behind.sendall(FIRST + SECOND)
        assert response(client) == b"first"
        client.sendall(GET)
        with server.next() as fresh:
            answer(client, fresh, FIRST)


@pytest.mark.parametrize("cut", [1, 2, 20, len(FIRST) - 2])
def test_a_server_that_closes_inside_the_response(proxy: Starter, path: str, cut: int) -> None:
    with kept(proxy, path) as (_, server, client, behind):
        client.sendall(GET)
        request(behind)
        behind.sendall(FIRST[:cut])
        behind.shutdown(socket.SHUT_WR)
        if cut < len(FIRST) - 5:  # no part was passed on
            assert client.recv(12) == b"HTTP/1.1 502"
        else:
            with pytest.raises(ConnectionResetError):
                all_of(client)
        assert server


def test_a_server_that_resets_the_reused_connection(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (_, server, client, behind):
        client.sendall(GET)
        request(behind)
        reset(behind)
        with server.next() as fresh:
            answer(client, fresh, SECOND)


def test_a_server_that_closes_while_its_connection_is_idle(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (_, server, client, behind):
        behind.close()
        client.sendall(GET)
        with server.next() as fresh:
            answer(client, fresh, SECOND)


def test_a_client_that_pipelines(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (_, _, client, behind):
        client.sendall(GET * 3)
        for body in (FIRST, SECOND, FIRST):
            answer(client, behind, body)


def test_a_client_that_sends_the_next_request_too_early(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (_, _, client, behind):
        client.sendall(GET)
        request(behind)
        client.sendall(GET)
        behind.sendall(FIRST)
        assert response(client) == b"first"
        answer(client, behind, SECOND)


def test_a_client_that_half_closes(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (_, _, client, behind):
        client.sendall(GET)
        client.shutdown(socket.SHUT_WR)
        request(behind)
        behind.sendall(SECOND)
        assert all_of(client).endswith(b"\r\n\r\nother")


def test_a_client_that_resets(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (_, _, client, behind):
        client.sendall(GET)
        request(behind)
        reset(client)
        with pytest.raises(ConnectionResetError):
            all_of(behind)


def test_a_client_that_never_reads(proxy: Starter, path: str) -> None:
    body = b"x" * 20_000
    large = FIRST.replace(b": 5", b": %d" % len(body)).replace(b"first", body)
    with kept(proxy, path) as (_, _, client, behind):
        count = 0
        behind.settimeout(0.5)
        try:
            for _ in range(2000):
                client.sendall(GET)
                request(behind)
                behind.sendall(large)
                count += 1
        except TimeoutError:  # further requests are not read
            pass
        assert 0 < count < 2000
        for _ in range(count):
            assert response(client) == body


def test_a_reload_between_request_and_response(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (running, server, client, behind):
        client.sendall(GET)
        request(behind)
        running.file.write_text(path + web(server.uri, options=f"{PLAIN}\nretries = 0"))
        running.signal(signal.SIGHUP)
        running.wait_for("reloaded")
        behind.sendall(SECOND)
        rest = all_of(client)
        assert b"\r\nConnection: close\r\n" in rest
        assert rest.endswith(b"other")


def test_a_drain_between_request_and_response(proxy: Starter, path: str) -> None:
    with kept(proxy, path) as (running, _, client, behind):
        client.sendall(GET)
        request(behind)
        running.signal(signal.SIGTERM)
        running.wait_for("draining")
        behind.sendall(SECOND)
        rest = all_of(client)
        assert b"\r\nConnection: close\r\n" in rest
        assert rest.endswith(b"other")


def test_a_response_that_is_too_late(proxy: Starter, path: str) -> None:
    with kept(proxy, path, 'timeouts = { first_byte = "300ms" }') as (_, _, client, behind):
        client.sendall(GET)
        request(behind)
        assert client.recv(12) == b"HTTP/1.1 504"
