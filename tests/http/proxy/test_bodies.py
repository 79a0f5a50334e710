"""HttpProxy: bodies both ways, with any framing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tunnels.harness import BULK
from vcproxy.drivers.sim import NetworkFaults
from vcproxy.http.filters import Filter
from vcproxy.http.proxy.options import HttpLimits
from vcproxy.http.proxy.transaction import Transaction

from .harness import GET, OK, PLAIN, Http, answer, chunks, received, request, status

CHUNKED = "Transfer-Encoding: chunked"


def test_a_body_that_comes_with_its_head() -> None:
    with Http() as proxy:
        client = proxy.send(request("POST", "/", body=b"hello"), GET)
        server = proxy.server()
        proxy.go()
        assert received(server) == (
            "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nVia: 1.1 vcproxy\n\nhello"
        )
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert received(server).startswith("GET / ")


@pytest.mark.parametrize("size", [1, 70_000, len(BULK)])
def test_a_body_that_comes_later(size: int) -> None:
    with Http() as proxy:
        body = BULK[:size]
        whole = request("PUT", "/", body=body)
        client = proxy.send(whole[:-size])
        server = proxy.server()
        for start in range(0, size, size // 3 + 1):
            client.send(body[start : start + size // 3 + 1])
            proxy.go()
        assert server.received.endswith(b"\r\n\r\n" + body)
        client.send(GET)
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert proxy.connections() == 1


@pytest.mark.parametrize("late", [False, True])
def test_a_body_in_chunks_with_trailers(late: bool) -> None:
    with Http() as proxy:
        head = request("POST", "/", CHUNKED)
        body = chunks(b"hello ", b"world", trailers="Sum: 11\r\nTransfer-Encoding: x\r\n")
        client = proxy.send(head) if late else proxy.send(head, body, GET)
        server = proxy.server()
        proxy.go()
        if late:
            for byte in body + GET:
                client.send(bytes([byte]))
                proxy.go()
        text = received(server)
        assert text.startswith(f"POST / HTTP/1.1\nHost: a\nVia: 1.1 vcproxy\n{CHUNKED}\n\n")
        assert text.endswith("\n0\nSum: 11\n\n")
        if not late:
            assert "\n\n6\nhello \n5\nworld\n0\n" in text
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert received(server).startswith("GET / ")


def test_a_body_in_chunks_and_then_the_end_of_the_client() -> None:
    with Http() as proxy:
        client = proxy.send(request("POST", "/", CHUNKED))
        server = proxy.server()
        proxy.go()
        client.send(chunks(b"all"))
        client.end()
        proxy.go()
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert client.ended


@pytest.mark.parametrize("size", [0, 3, 70_000, len(BULK)])
@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_an_answer_of_any_size_and_framing(size: int, framing: str) -> None:
    body = BULK[:size]
    with Http() as proxy:
        client = proxy.send(GET, GET)
        server = proxy.server()
        proxy.go()
        if framing == "length":
            server.send(answer(body))
        elif framing == "chunks":
            server.send(f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\n\r\n".encode())
            proxy.go()
            server.send(chunks(body, trailers="Sum: 1\r\n"))
        else:
            server.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
            proxy.go()
            server.end()
        proxy.elapse(0.1)
        head, _, rest = bytes(client.received).partition(b"\r\n\r\n")
        assert b"Connection" not in head
        if framing == "length":
            assert rest == body
        else:
            assert CHUNKED.encode() in head
            end = b"0\r\nSum: 1\r\n\r\n" if framing == "chunks" else b"0\r\n\r\n"
            assert rest.endswith(end)
            assert size - 10 <= len(rest) <= size + len(end) + 40 * (size // 1000 + 1)
        client.received.clear()
        (proxy.server() if framing == "close" else server).send(OK)
        proxy.go()
        assert received(client).endswith("yes")


def test_chunks_are_undone_for_an_old_client() -> None:
    for first, more in [(b"all of it", b""), (b"all ", b"of it")]:
        with Http() as proxy:
            client = proxy.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            server = proxy.server()
            body = chunks(first + more)
            if more:
                body = b"%x\r\n%b\r\n" % (len(first), first)
            server.send(f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\n\r\n".encode() + body)
            proxy.go()
            server.send(chunks(more) if more else b"")
            proxy.go()
            text = received(client)
            assert text.endswith("\nConnection: close\n\nall of it")
            assert CHUNKED not in text
            assert client.ended
            assert not server.ended


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", "200 OK\r\nContent-Length: 5000"),
        ("HEAD", f"200 OK\r\n{CHUNKED}"),
        ("GET", "204 No Content"),
        ("GET", "304 Not Modified\r\nContent-Length: 5000"),
    ],
)
def test_answers_without_a_body(method: str, head: str) -> None:
    with Http() as proxy:
        client = proxy.send(request(method), GET)
        server = proxy.server()
        server.send(f"HTTP/1.1 {head}\r\n\r\n".encode())
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 " + head.partition("\r\n")[0])
        assert ("Content-Length: 5000" in text) == ("Content-Length" in head)
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")


def test_interim_answers_are_passed_on() -> None:
    early = "HTTP/1.1 103 Early Hints\nLink: </x>\n\n"
    with Http() as proxy:
        client = proxy.send(GET, b"GET / HTTP/1.0\r\n\r\n")
        server = proxy.server()
        server.send(early.replace("\n", "\r\n").encode())
        proxy.go()
        assert received(client) == early.replace("\n\n", "\nVia: 1.1 vcproxy\n\n")
        server.send(early.replace("\n", "\r\n").encode() + OK)
        proxy.go()
        assert received(client).count("103 Early") == 1
        server.send(early.replace("\n", "\r\n").encode() + OK)
        proxy.go()
        assert received(client).startswith("HTTP/1.1 200 OK")  # HTTP/1.0 has no 100 Continue


def test_endless_interim_answers_use_bounded_memory() -> None:
    with Http() as proxy:
        client = proxy.client()
        client.stall()
        client.send(GET)
        server = proxy.server()
        for _ in range(100):
            server.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500)
            proxy.go()
        assert proxy.engine.memory.used < 800_000
        server.send(OK)
        client.resume()
        proxy.go()
        assert received(client).endswith("yes")


def test_a_client_that_waits_for_leave_to_send_its_body() -> None:
    with Http() as proxy:
        client = proxy.send(request("POST", "/", "Content-Length: 5", "Expect: 100-continue"))
        server = proxy.server()
        proxy.go()
        assert "\nExpect: 100-continue\n" in received(server)
        server.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        proxy.go()
        assert status(client) == "HTTP/1.1 100 Continue"
        client.send(b"hello" + GET)
        proxy.go()
        assert received(server) == "hello"
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert received(server).startswith("GET")


def test_a_server_that_does_not_want_the_body() -> None:
    with Http() as proxy:
        client = proxy.send(request("POST", "/", "Content-Length: 5", "Expect: 100-continue"))
        server = proxy.server()
        proxy.go()
        server.send(answer(b"no", status="417 Expectation Failed"))
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 417")
        assert "\nConnection: close\n" in text
        assert client.ended
        assert server.ended  # the server was still waiting for five bytes


def test_an_answer_before_all_of_the_body_has_come() -> None:
    with Http() as proxy:
        client = proxy.send(request("POST", "/", "Content-Length: 1000"), b"some")
        server = proxy.server()
        proxy.go()
        server.send(answer(bytes(100_000), status="403 Forbidden"))
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 403")
        assert "\nConnection: close\n" in text
        assert len(text) > 100_000
        assert client.ended
        assert server.ended


def test_an_answer_that_comes_while_the_body_does() -> None:
    with Http() as proxy:
        client = proxy.send(request("POST", "/", "Content-Length: 10"), b"some ")
        server = proxy.server()
        proxy.go()
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nreal ")
        proxy.go()
        client.send(b"bytes")
        proxy.go()
        assert server.received.endswith(b"some bytes")
        server.send(b"bytes")
        proxy.go()
        text = received(client)
        assert "\nConnection: close\n" in text
        assert text.endswith("real bytes")
        assert client.ended
        assert not server.ended


def test_a_server_that_answers_and_leaves_while_the_body_comes() -> None:
    with Http() as proxy:
        client = proxy.send(request("POST", "/", "Content-Length: 1000000"), bytes(10_000))
        server = proxy.server()
        proxy.go()
        server.send(answer(BULK[:500_000], status="413 Content Too Large"))
        server.close()
        client.send(bytes(10_000))
        proxy.elapse(0.1)
        assert client.received.startswith(b"HTTP/1.1 413")
        assert client.received.endswith(BULK[:500_000])
        assert client.ended


def test_a_response_before_earlier_output_was_sent() -> None:
    class Whole(Filter):
        def request_body(self, tx: Transaction, body: bytes) -> bytes:
            return body

    with Http(filters=[Whole], faults=NetworkFaults(socket=(1000, 1000))) as proxy:
        client = proxy.send(request("POST", "/", body=bytes(60_000)))
        server = proxy.server()
        server.stall()
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        client.send(GET)
        other = proxy.server()
        other.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert received(other).startswith("GET / HTTP/1.1\n")
        server.resume()
        proxy.go()
        assert server.ended
        assert len(server.received) < 60_000


def test_a_body_that_is_too_long() -> None:
    options = replace(PLAIN, limits=HttpLimits(body=10))
    with Http(options=options) as proxy:
        client = proxy.send(request("POST", "/", body=bytes(11)), GET)
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 413 ")
        assert text.count("HTTP/1.1") == 1
        assert client.ended
        assert proxy.connections() == 0
    for late in (False, True):
        with Http(options=options) as proxy:
            client = proxy.send(request("POST", "/", CHUNKED))
            if late:
                proxy.server()
                proxy.go()
            client.send(chunks(b"123456", b"78901"))
            proxy.go()
            assert status(client).startswith("HTTP/1.1 413 ")
            assert client.ended
            assert all(server.ended or server.reset_seen for server in proxy.peers())


@pytest.mark.parametrize("late", [False, True])
def test_a_malformed_body(late: bool) -> None:
    with Http() as proxy:
        client = proxy.send(request("POST", "/", CHUNKED))
        if late:
            proxy.server()
            proxy.go()
        client.send(b"5\r\nhello\r\nG\r\n")
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 400 ")
        assert "client: " in text
        assert client.ended
        for server in proxy.peers():
            assert not server.received.endswith(b"0\r\n\r\n")
