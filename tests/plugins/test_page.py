"""The bundled page: its responses."""

from __future__ import annotations

from vcproxy.plugins.page import VERSION, Page
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy


def served(*requests: bytes) -> tuple[bytes, bool]:
    """Return what is received for requests on one connection, and whether it was closed."""
    with SimulatedProxy(Page, servers=()) as proxy:
        client = proxy.client()
        client.send(b"".join(requests))
        proxy.run()
        return bytes(client.received), client.ended


GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:15002\r\nVia: 1.1 <b>\r\nCookie: secret\r\n\r\n"


def test_the_page() -> None:
    received, ended = served(GET)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head
    assert body.startswith(b"<!doctype html>")
    assert body.endswith(b"</html>\n")
    assert f"<small>{VERSION}</small>".encode() in body
    assert b"<td><code>1.1 &lt;b&gt;</code>" in body
    assert b"secret" not in body
    assert not ended


def test_the_page_loads_nothing_else() -> None:
    body = served(GET)[0].partition(b"\r\n\r\n")[2]
    assert b"src=" not in body
    assert b"<script" not in body


def test_one_request_after_the_other() -> None:
    received, ended = served(GET, GET.replace(b"GET /", b"GET /?again"))
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert not ended


def test_head_has_no_body() -> None:
    received, ended = served(GET.replace(b"GET", b"HEAD"), GET)
    first, second, _ = received.split(b"\r\n\r\n", 2)
    length = [line for line in first.splitlines() if line.startswith(b"Content-Length")]
    assert length[0] in second
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not ended


def test_other_paths_and_methods() -> None:
    assert served(GET.replace(b"/ ", b"/x "))[0].startswith(b"HTTP/1.1 404 Not Found\r\n")
    received, _ = served(GET.replace(b"GET", b"DELETE"))
    assert received.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nAllow: GET, HEAD\r\n" in received


def test_a_body_is_not_read_as_a_request() -> None:
    body = GET.replace(b"GET /", b"GET /inner")
    received, ended = served(
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body), body
    )
    assert received.count(b"HTTP/1.1 200") == 1
    assert b"\r\nConnection: close\r\n" in received
    assert ended


def test_an_invalid_request() -> None:
    received, ended = served(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", GET)
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert received.count(b"HTTP/1.1") == 1
    assert ended


def test_the_machine_is_sound() -> None:
    check_machine(Page)
