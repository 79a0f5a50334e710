"""Forwarding: which fields are removed or generated; all others are forwarded unchanged."""

from __future__ import annotations

import pytest

from tests.http.message.reading import LIMITS
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.forwarding import hop_by_hop, max_forwards, to_client, to_server
from vcproxy.http.message.messages import UNTIL_CLOSE, Body, Request, Response
from vcproxy.http.message.parsing import parse_request, parse_response

SILENT = ClientFields("192.0.2.1", secure=False, pseudonym="", style="off")


def request(*lines: str, line: str = "GET / HTTP/1.1") -> Request:
    head = "\r\n".join([line, "Host: a.example", *lines, "", ""])
    return parse_request(head.encode("latin-1"), LIMITS)


def response(*lines: str, line: str = "HTTP/1.1 200 OK", method: str = "GET") -> Response:
    head = "\r\n".join([line, *lines, "", ""])
    return parse_response(head.encode("latin-1"), LIMITS, method)


def sent(incoming: Request, sender: ClientFields = SILENT, upgrade: bool = False) -> list[str]:
    """The lines that a server gets."""
    return to_server(incoming, sender, upgrade=upgrade).decode("latin-1").split("\r\n")[:-2]


def got(answer: Response, body: Body = 0, version: int = 11, keep: bool = True) -> list[str]:
    """The lines that a client gets."""
    head = to_client(answer, pseudonym="", version=version, keep=keep, body=body)
    return head.decode("latin-1").split("\r\n")[:-2]


# -- to the server -----------------------------------------------------------------------------


def test_other_fields_are_forwarded_unchanged() -> None:
    lines = ["GET /a?b HTTP/1.1", "Host: a.example", "x-Y: 1  2", "Cookie: \xe4", "Trailer: Digest"]
    assert sent(request(*lines[2:], line=lines[0])) == lines


def test_hop_by_hop_fields_are_removed() -> None:
    incoming = request(
        "Connection: keep-alive, X-One",
        "Keep-Alive: timeout=5",
        "A: b",
        "x-one: 1",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eA==",
        "TE: gzip",
        "Upgrade: websocket",
        "X-One: 2",
        "Connection: X-Two",
        "X-Two: 3",
    )
    assert sent(incoming) == ["GET / HTTP/1.1", "Host: a.example", "A: b"]


def test_connection_does_not_remove_what_servers_rely_on() -> None:
    named = "Content-Length, Host, Cookie, X-Forwarded-For, Forwarded, Via, A, TE"
    kept = [
        "Content-Length: 2",
        "Cookie: c",
        "X-Forwarded-For: x",
        "Forwarded: for=x",
        "Via: 1.1 y",
    ]
    incoming = request(f"Connection: {named}", *kept, "A: b", line="PUT / HTTP/1.1")
    assert sent(incoming) == ["PUT / HTTP/1.1", "Host: a.example", *kept]


def test_thousands_of_names_in_connection() -> None:
    incoming = request("Connection: " + ",".join(f"x{n}" for n in range(2000)), "X7: a", "X2000: b")
    assert sent(incoming) == ["GET / HTTP/1.1", "Host: a.example", "X2000: b"]
    assert len(hop_by_hop(incoming.fields)) == 2001


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("GET http://a.example/b?c HTTP/1.1", "GET /b?c HTTP/1.1"),
        ("GET http://A.example HTTP/1.0", "GET / HTTP/1.1"),
        ("OPTIONS http://a.example HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
    ],
)
def test_requests_are_sent_in_origin_form(line: str, first: str) -> None:
    assert sent(request(line=line)) == [first, "Host: a.example"]


def test_another_target() -> None:
    incoming = request(line="GET http://a.example/b HTTP/1.1")
    assert to_server(incoming, SILENT, target="/c").startswith(b"GET /c HTTP/1.1\r\n")
    incoming.target = "/d"
    assert sent(incoming)[0] == "GET /d HTTP/1.1"
    for incoming.target in ("/d HTTP/1.1\r\nX: y", "/\xe4", "/\u20ac"):
        with pytest.raises(ValueError, match="without white space"):
            to_server(incoming, SILENT)


def test_a_request_without_host_gets_one() -> None:
    for line, host in (("GET / HTTP/1.0", "Host:"), ("GET http://B/ HTTP/1.0", "Host: b")):
        incoming = parse_request(line.encode() + b"\r\nA: b\r\n\r\n", LIMITS)
        assert sent(incoming) == ["GET / HTTP/1.1", host, "A: b"]


@pytest.mark.parametrize(
    ("line", "body", "framed"),
    [
        ("Content-Length: 5", 5, ["Content-Length: 5"]),
        ("Content-Length: 005", 5, ["Content-Length: 5"]),
        ("Content-Length: 5", 7, ["Content-Length: 7"]),
        ("Content-Length: 5", 0, ["Content-Length: 0"]),
        ("Content-Length: 5", None, ["Transfer-Encoding: chunked"]),
        ("Transfer-Encoding: CHUNKED", None, ["Transfer-Encoding: chunked"]),
        ("Transfer-Encoding: chunked", 7, ["Content-Length: 7"]),
        ("Transfer-Encoding: chunked", 0, []),
        ("A: b", 0, ["A: b"]),
        ("A: b", 7, ["A: b", "Content-Length: 7"]),
    ],
)
def test_framing_follows_the_body(line: str, body: Body, framed: list[str]) -> None:
    incoming = request(line, line="POST / HTTP/1.1")
    incoming.body = body
    assert sent(incoming)[2:] == framed


def test_expect_is_forwarded_if_the_client_waits() -> None:
    lines = ["Content-Length: 5", "Expect: 100-continue"]
    assert sent(request(*lines, line="PUT / HTTP/1.1"))[2:] == lines
    assert sent(request(*lines, line="PUT / HTTP/1.0"))[2:] == lines[:1]


def test_an_upgrade_is_passed_on_when_allowed() -> None:
    incoming = request("Connection: Upgrade", "Upgrade: websocket, h2c", "Sec-WebSocket-Key: x")
    assert sent(incoming)[2:] == ["Sec-WebSocket-Key: x"]
    assert sent(incoming, upgrade=True)[2:] == [
        "Sec-WebSocket-Key: x",
        "Connection: upgrade",
        "Upgrade: websocket",
    ]
    assert sent(request(), upgrade=True)[2:] == []


def test_te_trailers_is_forwarded() -> None:  # RFC 9110 10.1.4
    incoming = request("TE: gzip;q=0.5, trailers", "Connection: TE, Upgrade", "Upgrade: websocket")
    assert sent(incoming)[2:] == ["Connection: te", "TE: trailers"]
    assert sent(incoming, upgrade=True)[2:] == [
        "Connection: te, upgrade",
        "TE: trailers",
        "Upgrade: websocket",
    ]
    assert sent(request("TE: trailers", line="GET / HTTP/1.0"))[2:] == []


@pytest.mark.parametrize(
    ("via", "passed"),
    [
        ("1.1 vcproxy (5f3a)", True),
        ("1.0 fred, 1.1 VCPROXY (5F3A) , 1.1 x", True),
        ("1.1 vcproxy", False),
        ("1.1 vcproxy (0000)", False),
        ("1.1 other (vcproxy (5f3a))", False),
        ("1.1 vcproxy (5f3a) x", False),
        ("vcproxy (5f3a)", False),
        ("", False),
    ],
)
def test_loops_are_detected_by_via(via: str, passed: bool) -> None:
    sender = ClientFields("192.0.2.1", secure=False, mark="5f3a")
    assert sent(request(), sender)[2] == "Via: 1.1 vcproxy (5f3a)"
    assert sender.is_looping(request(f"Via: {via}")) is passed
    assert sender.is_looping(request("Via: 1.1 x", f"Via: {via}")) is passed
    assert not SILENT.is_looping(request(f"Via: {via}"))


def test_a_host_with_a_comma_is_no_list() -> None:
    incoming = parse_request(b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", LIMITS)
    sender = ClientFields("192.0.2.1", secure=False, style="both")
    assert "X-Forwarded-Host: a%2Cb" in sent(incoming, sender)
    assert sent(incoming)[1] == "Host: a,b"


def test_max_forwards() -> None:  # RFC 9110 7.6.2
    options = request("Max-Forwards: 7", line="OPTIONS / HTTP/1.1")
    assert (max_forwards(options), sent(options)[2:]) == (7, ["Max-Forwards: 6"])
    assert max_forwards(request("Max-Forwards: 0", line="TRACE / HTTP/1.1")) == 0
    assert max_forwards(request("Max-Forwards: x", line="OPTIONS * HTTP/1.1")) is None
    assert sent(request("Max-Forwards: 7"))[2:] == ["Max-Forwards: 7"]


# -- what is told of the client ----------------------------------------------------------------


def test_forwarding_fields_are_added() -> None:
    sender = ClientFields("192.0.2.1", secure=True)
    result = [
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: a.example",
    ]
    assert sent(request(), sender)[2:] == ["Via: 1.1 vcproxy", *result]
    assert sent(request(line="GET / HTTP/1.0"), sender)[2] == "Via: 1.0 vcproxy"
    assert sent(request("Via: 1.1 x"), sender)[2:4] == ["Via: 1.1 x", "Via: 1.1 vcproxy"]


CLAIMS = (
    "X-Forwarded-For: 10.0.0.1",
    "x-forwarded-for: 10.0.0.2",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Port: 443",
    "Forwarded: for=10.0.0.1",
)


def test_forwarding_fields_of_an_untrusted_client_are_replaced() -> None:
    result = [
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: a.example",
    ]
    assert sent(request(*CLAIMS), ClientFields("192.0.2.1", False, ""))[2:] == result


def test_a_trusted_proxy_is_continued() -> None:
    sender = ClientFields("192.0.2.1", False, "", style="both", trusted=True)
    assert sent(request(*CLAIMS), sender)[2:] == [
        "X-Forwarded-Proto: https",
        "X-Forwarded-Port: 443",
        "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 192.0.2.1",
        "X-Forwarded-Host: a.example",
        'Forwarded: for=10.0.0.1, for=192.0.2.1;proto=http;host="a.example"',
    ]


@pytest.mark.parametrize(("address", "node"), [("2001:db8::1", '"[2001:db8::1]"'), ("", "unknown")])
def test_forwarded(address: str, node: str) -> None:  # RFC 7239 6
    sender = ClientFields(address, True, "", style="forwarded")
    assert sent(request(), sender)[2:] == [f'Forwarded: for={node};proto=https;host="a.example"']


def test_style_off_adds_no_fields() -> None:
    assert sent(request(*CLAIMS), SILENT)[2:] == list(CLAIMS)


def test_lines_are_cached_for_few_hosts() -> None:
    sender = ClientFields("192.0.2.1", False, "")
    for n in range(100):
        incoming = parse_request(b"GET / HTTP/1.1\r\nHost: h%d\r\n\r\n" % n, LIMITS)
        assert sent(incoming, sender)[-1] == f"X-Forwarded-Host: h{n}"
    assert len(sender._cached) <= 8


# -- to the client -----------------------------------------------------------------------------


def test_hop_by_hop_fields_of_an_answer_are_removed() -> None:
    answer = response(
        "Server: a",
        "Connection: keep-alive, X-One",
        "Keep-Alive: timeout=5",
        "Content-Length: 5",
        "X-One: 1",
        "Upgrade: h2,h2c",
        "Proxy-Authenticate: Basic",
        line="HTTP/1.0 404 Gone Fishing",
    )
    assert got(answer, 5) == ["HTTP/1.1 404 Gone Fishing", "Server: a", "Content-Length: 5"]
    assert to_client(answer, body=5).endswith(b"\r\nVia: 1.0 vcproxy\r\n\r\n")


@pytest.mark.parametrize(
    ("line", "body", "version", "keep", "framed"),
    [
        ("Content-Length: 5", 5, 11, True, ["Content-Length: 5"]),
        ("Content-Length: 5", 5, 11, False, ["Content-Length: 5", "Connection: close"]),
        ("Content-Length: 5", 5, 10, True, ["Content-Length: 5", "Connection: keep-alive"]),
        ("Content-Length: 5", 5, 10, False, ["Content-Length: 5", "Connection: close"]),
        ("Content-Length: 5", 7, 11, True, ["Content-Length: 7"]),
        ("Content-Length: 5", 0, 11, True, ["Content-Length: 0"]),
        ("Content-Length: 5", None, 11, True, ["Transfer-Encoding: chunked"]),
        ("Transfer-Encoding: chunked", None, 11, True, ["Transfer-Encoding: chunked"]),
        ("Transfer-Encoding: chunked", 7, 11, True, ["Content-Length: 7"]),
        ("Transfer-Encoding: chunked", UNTIL_CLOSE, 10, True, ["Connection: close"]),
        ("A: b", UNTIL_CLOSE, 11, True, ["A: b", "Connection: close"]),
        ("A: b", 0, 11, True, ["A: b", "Content-Length: 0"]),
    ],
)
def test_answers_are_framed(
    line: str, body: Body, version: int, keep: bool, framed: list[str]
) -> None:
    assert got(response(line), body, version, keep)[1:] == framed


def test_no_chunks_for_http_1_0() -> None:
    with pytest.raises(ValueError, match=r"HTTP/1\.0"):
        to_client(response("Transfer-Encoding: chunked"), version=10, body=None)


@pytest.mark.parametrize(
    ("status", "method", "line", "framed"),
    [
        (200, "HEAD", "Content-Length: 5", ["Content-Length: 5"]),
        (200, "HEAD", "Transfer-Encoding: chunked", []),
        (304, "GET", "Content-Length: 5", ["Content-Length: 5"]),
        (204, "GET", "Content-Length: 0", []),
        (103, "GET", "Link: </a>", ["Link: </a>"]),
    ],
)
def test_answers_without_a_body(status: int, method: str, line: str, framed: list[str]) -> None:
    answer = response(line, line=f"HTTP/1.1 {status} x", method=method)
    assert got(answer)[1:] == framed


def test_upgraded() -> None:
    lines = ["Connection: upgrade", "Upgrade: websocket"]
    assert got(response(*lines, line="HTTP/1.1 101 Switching Protocols"))[1:] == lines
    assert got(response(*lines, "Content-Length: 0", line="HTTP/1.1 426 x"))[2:] == lines


def test_a_generated_answer() -> None:
    answer = Response(403, {"Content-Type": "text/plain"}, b"no\n")
    assert got(answer, len(answer.content), keep=False) == [
        "HTTP/1.1 403 Forbidden",
        "Content-Type: text/plain",
        "Content-Length: 3",
        "Connection: close",
    ]
    answer.bodiless = True  # the response to a HEAD request
    assert got(answer, len(answer.content))[-1] == "Content-Length: 3"


def test_a_generated_request() -> None:
    incoming = Request("POST", "/a", {"A": "b"}, host="B.example:81", body=3)
    assert sent(incoming) == ["POST /a HTTP/1.1", "Host: b.example:81", "A: b", "Content-Length: 3"]
    assert sent(Request("GET", "/", {"Host": "c"})) == ["GET / HTTP/1.1", "Host: c"]
    assert sent(Request("GET", "http://d/e")) == ["GET /e HTTP/1.1", "Host: d"]


def test_invalid_messages_cannot_be_made() -> None:
    for method, target, host in [
        ("G T", "/", "a"),
        ("GET", "/ ", "a"),
        ("GET", "/\r\n", "a"),
        ("GET", "", "a"),
        ("GET", "/\u20ac", "a"),
        ("GET", "/", ""),
        ("GET", "/", "a b"),
        ("CONNECT", "/", "a"),
    ]:
        with pytest.raises(ValueError, match=r"method|target|host"):
            Request(method, target, host=host)
    for status, body, reason in [
        (99, b"", ""),
        (204, b"a", ""),
        (200, b"", "a\r\nb"),
        (200, b"", "\u20ac"),
    ]:
        with pytest.raises(ValueError, match=r"status|reason|latin-1"):
            Response(status, (), body, reason)
    answer = Response(200)
    answer.reason = "a\r\nb: c"
    with pytest.raises(ValueError, match="one line"):
        to_client(answer, body=0)
