"""max_body of a route: a body that is longer is answered by 413, however it is framed."""

from __future__ import annotations

import pytest

from tests.http.proxy.harness import Http, chunks, received, request, status
from tests.http.proxy.test_options import read

OPTIONS = read(
    forwarded="off",
    limits={"body": "4B"},
    routes=[{"path": "/long", "max_body": "10B"}, {"path": "/any", "max_body": "0B"}, {}],
)
EXPECT = "Expect: 100-continue"
TOO_LONG = "HTTP/1.1 413 Request Entity Too Large"


def chunked(target: str, *fields: str) -> bytes:
    return request("POST", target, "Transfer-Encoding: chunked", *fields)


@pytest.mark.parametrize(
    ("target", "most"), [("/", 4), ("/long", 10), ("/%6cong/x", 10), ("/any", 100_000)]
)
def test_a_body_of_the_limit_and_one_more(target: str, most: int) -> None:
    with Http(options=OPTIONS) as proxy:
        client = proxy.send(request("POST", target, body=b"x" * most))
        proxy.go()
        server = proxy.server()
        assert received(server).endswith("x" * most)
    if most < 100:
        with Http(options=OPTIONS) as proxy:
            client = proxy.send(request("POST", target, body=b"x" * (most + 1)))
            proxy.go()
            assert status(client) == TOO_LONG
            assert proxy.peers("server") == [], "no server is contacted"


def test_a_client_that_expects_100_sends_no_body() -> None:
    with Http(options=OPTIONS) as proxy:
        client = proxy.send(request("POST", "/long", EXPECT, "Content-Length: 11"))
        proxy.go()
        assert status(client) == TOO_LONG, "and no 100 before"
        assert client.ended, "whether the body follows is not known"
        assert proxy.peers("server") == []


def test_chunks_are_counted_as_they_arrive() -> None:
    with Http(options=OPTIONS) as proxy:
        client = proxy.send(chunked("/long"), b"6\r\nhello \r\n")
        proxy.go()
        server = proxy.server()
        assert "hello" in received(server)
        client.send(chunks(b"world"))
        proxy.go()
        assert status(client) == TOO_LONG
        assert server.reset_seen or server.ended, "it gets no complete request"
        assert "0\n\n" not in received(server)


def test_chunks_within_the_limit_after_100() -> None:
    with Http(options=OPTIONS) as proxy:
        client = proxy.send(chunked("/long", EXPECT))
        proxy.go()
        server = proxy.server()
        server.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        proxy.go()
        assert status(client) == "HTTP/1.1 100 Continue"
        client.send(chunks(b"ten bytes!"))
        proxy.go()
        assert "ten bytes!" in received(server)


def test_chunks_above_the_limit_after_100() -> None:
    with Http(options=OPTIONS) as proxy:
        client = proxy.send(chunked("/long", EXPECT))
        proxy.go()
        server = proxy.server()
        server.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        proxy.go()
        received(client)
        client.send(chunks(b"eleven bytes"))
        proxy.go()
        assert status(client) == TOO_LONG
        assert "eleven" not in received(server)
