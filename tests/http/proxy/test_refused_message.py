"""What is kept of HTTP messages that are refused: the place of the bad byte, and no credentials."""

from __future__ import annotations

from time import process_time

import pytest

from tests.http.proxy.harness import GET, Http, answer, request, status
from vcproxy.engine.refused_messages import RefusedMessage
from vcproxy.http.proxy.refused_message import without_credentials

BAD_REQUESTS = {
    "the version": (b"GET / |HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
    "the method": (b"GE|(T / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    "the target": (b"GET /a|#b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    "the request line": (b"|GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    "a NUL": (b"GET / HTTP/1.1\r\nHost: a\r\nX: y|\0\r\n\r\n", "400"),
    "a NUL in a part of a head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: y|\0", "400"),
    "a bare LF": (b"GET / HTTP/1.1|\nHost: a\r\n\r\n", "400"),
    "a folded line": (b"GET / HTTP/1.1\r\nHost: a\r\n| b\r\n\r\n", "400"),
    "a line without a colon": (b"GET / HTTP/1.1\r\nHost: a\r\nX|\r\n\r\n", "400"),
    "a space before the colon": (b"GET / HTTP/1.1\r\nHost| : a\r\n\r\n", "400"),
    "a field name": (b"GET / HTTP/1.1\r\nHost: a\r\nX|(: 1\r\n\r\n", "400"),
    "the second Host": (b"GET / HTTP/1.1\r\nHost: a\r\n|Host: b\r\n\r\n", "400"),
    "the length": (b"POST / HTTP/1.1\r\nHost: a\r\n|Content-Length: x\r\n\r\n", "400"),
    "a second framing": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n|Transfer-Encoding: chunked\r\n\r\n",
        "400",
    ),
    "after an empty line": (b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX|\r\n\r\n", "400"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", "400"),
    "long line": (b"GET /" + b"x" * 9000, "414"),
    "an expectation": (request("POST", "/", "|Expect: a", body=b"x"), "417"),
}


def kept(proxy: Http) -> RefusedMessage:
    (one,) = proxy.engine.refused
    return one


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_the_bad_byte_of_a_request_is_marked(name: str) -> None:
    marked, wanted = BAD_REQUESTS[name]
    before, bar, after = marked.partition(b"|")
    with Http() as proxy:
        client = proxy.send(before + after)
        proxy.go()
        assert f" {wanted} " in status(client)
        one = kept(proxy)
        assert (one.kind, one.listener, one.server) == ("http request", proxy.service.name, "")
        assert one.client == proxy.sessions[0].name
    at = len(before.removeprefix(b"\r\n")) if bar else None
    assert one.position == at
    if at is not None:
        assert one.mark is not None
        assert one.piece[at - one.begin :].startswith(after[:10])


BAD_RESPONSES = {
    "the status line": b"|HTTP/1.1 x\r\n\r\n",
    "the length": b"HTTP/1.1 200 OK\r\n|Content-Length: x\r\n\r\n",
    "a bare CR": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a|\rb\r\n\r\n",
    "a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab|x",
}


@pytest.mark.parametrize("name", BAD_RESPONSES)
def test_the_bad_byte_of_a_response_is_marked(name: str) -> None:
    before, _, after = BAD_RESPONSES[name].partition(b"|")
    with Http() as proxy:
        proxy.send(GET)
        server = proxy.server()
        proxy.go()
        server.send(before + after)
        proxy.go()
        one = kept(proxy)
        assert (one.kind, one.listener) == ("http response", proxy.service.name)
        assert one.server == "tcp://server:1"
        assert one.client == proxy.sessions[0].name
        if name != "a chunk":
            assert one.position == len(before)
        else:
            assert one.position is not None
            assert one.piece[one.position :].startswith(b"bx")


def test_good_messages_and_silence_are_not_kept() -> None:
    with Http() as proxy:
        proxy.send(GET)
        server = proxy.server()
        proxy.go()
        server.send(answer(b"x"))
        slow = proxy.send(b"GET / HT")
        proxy.elapse(30.0)
        assert " 408 " in status(slow)
        assert list(proxy.engine.refused) == []


def test_credentials_are_replaced_by_stars() -> None:
    head = (
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\ncookie:a=b; c=d\r\n"
        b"X-Api-Key: 12\r\nX-Secret : 3\r\nAccept: text/html\r\n\r\n"
    )
    assert without_credentials(head, None) == (
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: **********\r\ncookie:********\r\n"
        b"X-Api-Key: **\r\nX-Secret : *\r\nAccept: text/html\r\n\r\n"
    )


def test_the_bad_byte_of_credentials_stays() -> None:
    head = b"GET / HTTP/1.1\r\nCookie: a=\x00b\r\n\r\n"
    at = head.index(b"\x00")
    assert without_credentials(head, at) == b"GET / HTTP/1.1\r\nCookie: **\x00*\r\n\r\n"


@pytest.mark.parametrize("piece", [b"auth", b"auth:", b": ", b"a\r\n", b"\n", b" "])
def test_no_head_takes_long(piece: bytes) -> None:
    head = piece * (32_768 // len(piece))
    began = process_time()
    without_credentials(head, None)
    assert process_time() - began < 0.5
