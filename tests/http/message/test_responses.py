"""Responses: how their bodies are framed, and which rule turns an invalid one into a 502."""

from __future__ import annotations

import pytest

from tests.http.message.reading import LIMITS, halves, one_by_one, read
from vcproxy.http.message.messages import UNTIL_CLOSE, Response
from vcproxy.http.message.parsing import parse_response


def response(*lines: str, line: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1")


def parsed(*lines: str, line: str = "HTTP/1.1 200 OK", method: str = "GET") -> Response:
    return parse_response(response(*lines, line=line), LIMITS, method)


REFUSED = [
    ("9112 4", response(line="HTTP/1.1 20 OK")),
    ("9112 4", response(line="HTTP/1.1 2000 OK")),
    ("9112 4", response(line="HTTP/1.1 099 OK")),
    ("9112 4", response(line="HTTP/1.1  200 OK")),
    ("9112 4", response(line="HTTP/1.1 200OK")),
    ("9112 4", response(line="HTTP/2.0 200 OK")),
    ("9112 4", response(line="HTTP/1.1")),
    ("9112 4", response(line="ICY 200 OK")),
    ("9112 4", b"\r\n" + response()),
    ("9112 2.2", response(line="HTTP/1.1 200 O\rK")),
    ("9112 2.2", response("A: b\nC: d")),
    ("9112 2.2", response().replace(b"\r\n", b"\n")),
    ("9110 5.5", response("A: b\0")),
    ("9112 5.1", response("A : b")),
    ("9112 5.2", response("A: b", " c")),
    ("9112 5", response("A")),
    ("9110 5.1", response("A(: b")),
    ("9112 6.3", response("Content-Length: 5", "Transfer-Encoding: chunked")),
    ("9112 6.3", response("Content-Length: 5", "Content-Length: 6")),
    ("9112 6.3", response("Content-Length: 5", "Content-Length: 5")),
    ("9112 6.3", response("Content-Length: 5,5")),
    ("9112 6.3", response("Content-Length: -1")),
    ("9112 6.3", response("Content-Length:")),
    ("9112 6.3", response("Content-Length: x", line="HTTP/1.1 304 Not Modified")),
    ("9112 6.1", response("Transfer-Encoding: gzip, chunked")),
    ("9112 6.1", response("Transfer-Encoding: identity")),
    ("9112 6.1", response("Transfer-Encoding: chunked", line="HTTP/1.0 200 OK")),
    ("6585 5", response(*["A: b"] * 101)),
]


@pytest.mark.parametrize(("rfc", "head"), REFUSED, ids=lambda case: repr(case)[:60])
def test_refused(rfc: str, head: bytes) -> None:
    for pieces in ([head], one_by_one(head), *halves(head)):
        refused = read(pieces, "GET").refused
        assert refused is not None, "it is taken"
        assert (refused.status, refused.rfc) == (502, f"RFC {rfc}"), refused


def test_a_plain_response() -> None:
    answer = parsed("Server: a", line="HTTP/1.1 404 Not  Here")
    assert (answer.status, answer.reason, answer.version) == (404, "Not  Here", 11)
    assert answer.fields.items() == [("Server", "a")]
    assert answer.content == b""


@pytest.mark.parametrize("line", ["HTTP/1.1 200", "HTTP/1.1 200 "])
def test_a_reason_is_not_needed(line: str) -> None:
    assert parsed(line=line).reason == ""


CHUNKED = "Transfer-Encoding: chunked"
FIVE = "Content-Length: 5"


@pytest.mark.parametrize(
    ("status", "method", "lines", "body", "bodiless", "persistent"),
    [
        (200, "GET", [FIVE], 5, False, True),
        (200, "GET", [CHUNKED], None, False, True),
        (200, "GET", [], UNTIL_CLOSE, False, False),
        (200, "HEAD", [FIVE], 0, True, True),
        (200, "HEAD", [CHUNKED], 0, True, True),
        (200, "CONNECT", [], 0, True, True),
        (407, "CONNECT", [FIVE], 5, False, True),
        (100, "PUT", [], 0, True, True),
        (101, "GET", ["Upgrade: a"], 0, True, True),
        (204, "GET", [], 0, True, True),
        (204, "GET", ["Content-Length: 0"], 0, True, True),
        (204, "GET", [FIVE], 0, True, False),  # the server sends a body although it must not
        (204, "GET", [CHUNKED], 0, True, False),
        (304, "GET", [FIVE], 0, True, True),
        (500, "GET", [FIVE, "Connection: close"], 5, False, False),
        (999, "GET", [FIVE], 5, False, True),
    ],
)
def test_framing(
    status: int, method: str, lines: list[str], body: int | None, bodiless: bool, persistent: bool
) -> None:
    answer = parsed(*lines, line=f"HTTP/1.1 {status} x", method=method)
    assert (answer.body, answer.bodiless, answer.persistent) == (body, bodiless, persistent)


def test_http_1_0_closes_without_keep_alive() -> None:
    assert not parsed(FIVE, line="HTTP/1.0 200 OK").persistent
    assert parsed(FIVE, "Connection: Keep-Alive", line="HTTP/1.0 200 OK").persistent
