"""Requests: which ones are accepted, their properties, and the rule that refuses the others."""

from __future__ import annotations

import pytest

from tests.http.message.reading import LIMITS, halves, one_by_one, read
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Request
from vcproxy.http.message.parsing import head_end, parse_request


def request(*lines: str, line: str = "GET / HTTP/1.1", host: str = "Host: a.example") -> bytes:
    return "\r\n".join([line, *([host] if host else []), *lines, "", ""]).encode("latin-1")


def parsed(*lines: str, line: str = "GET / HTTP/1.1", host: str = "Host: a.example") -> Request:
    return parse_request(request(*lines, line=line, host=host), LIMITS)


REFUSED = [
    # -- the request line: RFC 9112 3 and 2.3
    (400, "9112 3", request(line="GET  / HTTP/1.1")),
    (400, "9112 3", request(line="GET / HTTP/1.1 ")),
    (400, "9112 3", request(line=" GET / HTTP/1.1")),
    (400, "9112 3", request(line="GET /")),
    (400, "9112 3", request(line="GET / a HTTP/1.1")),
    (400, "9112 3", request(line="GET\t/\tHTTP/1.1")),
    (400, "9112 3", request(line="GET / http/1.1")),
    (400, "9112 3", request(line="GET / HTTP/1.10")),
    (400, "9112 3", request(line="GET / HTTP/11")),
    (400, "9112 3", request(line="GET / HTTP/1.1/HTTP/1.1 ")),
    (400, "9112 3", b"\r\n\r\n" + request()),
    (505, "9110 15.6.6", request(line="GET / HTTP/2.0")),
    (505, "9110 15.6.6", request(line="GET / HTTP/0.9")),
    (505, "9110 15.6.6", b"PRI * HTTP/2.0\r\n\r\n"),
    (400, "9110 9.1", request(line="G(ET / HTTP/1.1")),
    (400, "9110 9.1", request(line="G\xc4T / HTTP/1.1")),
    # -- targets: RFC 9112 3.2
    (400, "9112 3.2", request(line="GET /\xe4 HTTP/1.1")),
    (400, "9112 3.2", request(line="GET /a#b HTTP/1.1")),
    (400, "9112 3.2", request(line="GET a HTTP/1.1")),
    (400, "9112 3.2", request(line="GET * HTTP/1.1")),
    (400, "9112 3.2", request(line="GET ftp://a.example/ HTTP/1.1")),
    (400, "9112 3.2", request(line="GET http:///a HTTP/1.1")),
    (400, "9112 3.2", request(line="GET http://u@a.example/ HTTP/1.1")),
    (400, "9112 3.2", request(line="GET a.example:80 HTTP/1.1")),
    (400, "9112 3.2", request(line="CONNECT / HTTP/1.1")),
    (400, "9112 3.2", request(line="CONNECT a.example HTTP/1.1")),
    (400, "9112 3.2", request(line="CONNECT a.example:0 HTTP/1.1")),
    (400, "9112 3.2", request(line="CONNECT http://a.example:443/ HTTP/1.1")),
    # -- Host: RFC 9112 3.2
    (400, "9112 3.2", request(host="")),
    (400, "9112 3.2", request(host="Host:")),
    (400, "9112 3.2", request("Host: a.example")),
    (400, "9112 3.2", request("HOST: b.example")),
    (400, "9112 3.2", request("Host: b.example", line="GET / HTTP/1.0")),
    (400, "9112 3.2", request(host="Host: a b")),
    (400, "9112 3.2", request("Host: b", host="Host: a")),
    (400, "9112 3.2", request("Host:", host="Host: a")),
    (400, "9112 3.2", request(host="Host: a%2")),
    (400, "9112 3.2", request(host="Host: u@a")),
    (400, "9112 3.2", request(host="Host: a/b")),
    (400, "9112 3.2", request(host="Host: a:b")),
    (400, "9112 3.2", request(host="Host: a:65536")),
    (400, "9112 3.2", request(host="Host: a:80:80")),
    (400, "9112 3.2", request(host="Host: ::1")),
    (400, "9112 3.2", request(host="Host: [::1")),
    (400, "9112 3.2", request(host="Host: [1:2]")),
    (400, "9112 3.2", request(host="Host: [fe80::1%25eth0]")),
    (400, "9112 3.2", request(host="Host: \xe4")),
    # -- field lines: RFC 9112 5, 2.2, RFC 9110 5.5
    (400, "9112 5.1", request("A : b")),
    (400, "9112 5.1", request("A\t: b")),
    (400, "9112 5.2", request("A: b", " c")),
    (400, "9112 5.2", request("A: b", "\tc")),
    (400, "9112 5.2", request(" A: b", host="")),
    (400, "9112 5", request("A")),
    (400, "9110 5.1", request(": b")),
    (400, "9110 5.1", request("A b: c")),
    (400, "9110 5.1", request("A@: c")),
    (400, "9110 5.1", request("\xc4: c")),
    (400, "9112 2.2", request("A: b\nC: d")),
    (400, "9112 2.2", request("A: b\rC: d")),
    (400, "9112 2.2", request("A: b\r\r")),
    (400, "9112 2.2", request().replace(b"\r\n", b"\n")),
    (400, "9112 2.2", request().replace(b"\r\n", b"\r")),
    (400, "9112 2.2", request()[:-2] + b"\n"),
    (400, "9110 5.5", request("A: b\0c")),
    (400, "9110 5.5", request("A: b\x1fc")),
    (400, "9110 5.5", request("A: b\x7fc")),
    (400, "9110 5.5", request("A: \x0b")),
    (400, "9110 5.5", b"\x16\x03\x01\x02\0\x01"),  # TLS
    # -- framing: RFC 9112 6
    (400, "9112 6.3", request("Content-Length: 5", "Transfer-Encoding: chunked")),
    (400, "9112 6.3", request("Transfer-Encoding: chunked", "Content-Length: 0")),
    (400, "9112 6.3", request("Content-Length: 5", "Content-Length: 5")),
    (400, "9112 6.3", request("Content-Length: 5", "content-length:6")),
    (400, "9112 6.3", request("Content-Length:5", "Content-Length:5")),
    (400, "9112 6.3", request("Content-Length: 5, 5")),
    (400, "9112 6.3", request("Content-Length:")),
    (400, "9112 6.3", request("Content-Length: +5")),
    (400, "9112 6.3", request("Content-Length: -5")),
    (400, "9112 6.3", request("Content-Length: 0x5")),
    (400, "9112 6.3", request("Content-Length: 5 5")),
    (400, "9112 6.3", request("Content-Length: 5.0")),
    (400, "9112 6.3", request("Content-Length: 1_0")),
    (400, "9112 6.3", request("Content-Length: \xb2")),
    (400, "9112 6.3", request("Content-Length: 9223372036854775808")),
    (400, "9112 6.3", request("Content-Length: 00000000000000000005")),
    (501, "9112 6.1", request("Transfer-Encoding: gzip, chunked")),
    (400, "9112 6.1", request("Transfer-Encoding: chunked, chunked")),
    (400, "9112 6.1", request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
    (400, "9112 6.1", request("Transfer-Encoding: chunked", "Transfer-Encoding: identity")),
    (400, "9112 6.1", request("Transfer-Encoding: chunked;a=b")),
    (501, "9112 6.1", request("Transfer-Encoding: xchunked")),
    (501, "9112 6.1", request("Transfer-Encoding: identity")),
    (501, "9112 6.1", request('Transfer-Encoding: gzip;level="\\"9", deflate, chunked')),
    (400, "9112 6.1", request("Transfer-Encoding: gzip;level, chunked")),
    (400, "9112 6.1", request("Transfer-Encoding: gzip, chunked, gzip")),
    (400, "9112 6.1", request("Transfer-Encoding:")),
    (400, "9112 6.1", request("Transfer-Encoding: ,chunked")),
    (400, "9112 6.1", request('Transfer-Encoding: "chunked"')),
    (400, "9112 6.1", request("Transfer-Encoding: chunked", line="POST / HTTP/1.0")),
    (400, "9110 9.3.6", request("Content-Length: 5", line="CONNECT a.example:443 HTTP/1.1")),
    (400, "9110 9.3.6", request("Transfer-Encoding: chunked", line="CONNECT a.example:1 HTTP/1.1")),
    # -- expectations: RFC 9110 10.1.1
    (417, "9110 10.1.1", request("Expect: 200-ok")),
    (417, "9110 10.1.1", request("Expect: 100-continue, more")),
    # -- sizes: RFC 6585 5, RFC 9110 15.5.15
    (414, "9110 15.5.15", request(line=f"GET /{'a' * 8192} HTTP/1.1")),
    (414, "9110 15.5.15", b"a" * 9000),
    (431, "6585 5", request("A: " + "b" * (16 << 10))),
    (431, "6585 5", request(*["A: b"] * 100)),
    (431, "6585 5", request("A: " + "b" * 16000, "C: " + "d" * 16000, "E: " + "f" * 1000)),
    (431, "6585 5", request("A: " + "b" * 16000, "C: " + "d" * 16000, "E: " + "f" * 1000)[:-2]),
]


@pytest.mark.parametrize(("status", "rfc", "head"), REFUSED, ids=lambda case: repr(case)[:60])
def test_refused(status: int, rfc: str, head: bytes) -> None:
    refused = read([head]).refused
    assert refused is not None, "it is taken"
    assert (refused.status, refused.rfc) == (status, f"RFC {rfc}"), refused


@pytest.mark.parametrize(
    "head", [head for _, _, head in REFUSED if len(head) < 1000], ids=lambda head: repr(head)[:60]
)
def test_refused_however_it_is_cut(head: bytes) -> None:
    verdict = read([head]).verdict
    assert read(one_by_one(head)).verdict == verdict
    for pieces in halves(head):
        assert read(pieces).verdict == verdict, pieces


def test_a_plain_request() -> None:
    get = parsed("Accept: */*", line="GET /a?b HTTP/1.1", host="Host: A.Example:8080")
    assert (get.method, get.target, get.origin_form, get.version) == ("GET", "/a?b", "/a?b", 11)
    assert (get.host, get.form, get.body, get.chunked) == ("a.example:8080", "origin", 0, False)
    assert (get.persistent, get.expects_continue, get.upgrade) == (True, False, None)
    assert get.fields.items() == [("Host", "A.Example:8080"), ("Accept", "*/*")]


@pytest.mark.parametrize(
    ("line", "host", "form", "path", "authority"),
    [
        ("GET / HTTP/1.1", "Host: [2001:DB8::1]:80", "origin", "/", "[2001:db8::1]:80"),
        ("GET // HTTP/1.1", "Host: a_b.example.", "origin", "//", "a_b.example."),
        ("GET http://B.example HTTP/1.1", "Host: b.Example", "absolute", "/", "b.example"),
        ("GET HTTP://b.example:80/a HTTP/1.1", "Host: b.example", "absolute", "/a", "b.example:80"),
        (
            "GET https://b.example?c/ HTTP/1.1",
            "Host: b.example:443",
            "absolute",
            "/?c/",
            "b.example",
        ),
        ("GET http://b.example/ HTTP/1.0", "", "absolute", "/", "b.example"),
        ("OPTIONS http://b.example HTTP/1.1", "Host: b.example:", "absolute", "*", "b.example"),
        ("OPTIONS * HTTP/1.1", "Host: b.example", "asterisk", "*", "b.example"),
        ("CONNECT b.example:443 HTTP/1.1", "Host: b.example", "authority", *["b.example:443"] * 2),
        ("CONNECT [::1]:443 HTTP/1.1", "Host: [::1]:443", "authority", *["[::1]:443"] * 2),
        ("GET / HTTP/1.0", "", "origin", "/", ""),
        ("get-it / HTTP/1.7", "Host: a", "origin", "/", "a"),
        ("TRACE / HTTP/1.1", "Host: a", "origin", "/", "a"),
    ],
)
def test_form_and_path_of_targets(
    line: str, host: str, form: str, path: str, authority: str
) -> None:
    seen = parsed(line=line, host=host)
    assert (seen.form, seen.origin_form, seen.host) == (form, path, authority)


@pytest.mark.parametrize(
    ("line", "host", "now"),
    [
        ("GET http://b.example/ HTTP/1.1", "a.example", "b.example"),
        ("GET http://a.example:81/ HTTP/1.1", "a.example", "a.example:81"),
        ("GET https://a.example/ HTTP/1.1", "a.example:80", "a.example"),
        ("GET http://a.example/ HTTP/1.1", "A.example", "A.example"),
        ("GET http://b.example/ HTTP/1.1", "a.example \t", "b.example"),
        ("CONNECT b.example:443 HTTP/1.1", "a.example", "b.example:443"),
    ],
)
def test_the_host_of_the_target_counts(line: str, host: str, now: str) -> None:
    """The Host field is ignored: RFC 9112 3.2.2."""
    seen = parsed("A:b", line=line, host=f"Host: {host}")
    assert seen.fields.get_all("Host") == [now]
    assert seen.host == now.lower()
    assert seen.fields["A"] == "b"


@pytest.mark.parametrize(
    ("host", "name"),
    [("a!$&'()*+,;=b~", "a!$&'()*+,;=b~"), ("%41.%7e%2F:80", "a.~%2f"), ("a,b", "a,b")],
)
def test_hosts_are_registered_names(host: str, name: str) -> None:
    """RFC 3986 3.2.2."""
    seen = parsed(host=f"Host: {host}")
    assert seen.fields["Host"] == host
    assert seen.hostname == name


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ((), 0),
        (("Content-Length: 0",), 0),
        (("Content-Length: 007",), 7),
        (("content-length:5 ",), 5),
        (("Content-Length: 9223372036854775807",), (1 << 63) - 1),
        (("Transfer-Encoding: chunked",), None),
        (("transfer-encoding:\tChunked",), None),
    ],
)
def test_framing(lines: tuple[str, ...], body: int | None) -> None:
    assert parsed(*lines, line="POST / HTTP/1.1").body == body


@pytest.mark.parametrize(
    ("version", "lines", "persistent"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: close",), False),
        ("1.1", ("Connection: a, CLOSE",), False),
        ("1.1", ("Connection: keep-alive", "Connection: close"), False),
        ("1.0", (), False),
        ("1.0", ("Connection: Keep-Alive",), True),
        ("1.0", ("Connection: keep-alive, close",), False),
    ],
)
def test_persistence(version: str, lines: tuple[str, ...], persistent: bool) -> None:
    assert parsed(*lines, line=f"GET / HTTP/{version}").persistent is persistent


def test_upgrades() -> None:
    both = ("Connection: keep-alive, Upgrade", "Upgrade: WebSocket")
    assert parsed(*both).upgrade == "websocket"
    assert parsed(*both, line="GET / HTTP/1.0").upgrade is None
    assert parsed(both[1]).upgrade is None
    h2c = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk")
    assert parsed(*h2c, "Upgrade: h2c").upgrade is None
    assert parsed(*h2c, "Upgrade: h2c, HTTP/2.0, websocket").upgrade == "websocket"


def test_expectations() -> None:
    expecting = ("Expect: 100-Continue", "Content-Length: 5")
    assert parsed(*expecting, line="PUT / HTTP/1.1").expects_continue
    assert not parsed(*expecting, line="PUT / HTTP/1.0").expects_continue
    assert not parsed("Expect: 100-continue").expects_continue, "there is nothing to wait for"


def test_rarer_lines_become_usual_ones() -> None:
    rare = parsed("A:b", "C:   d", "E: f\t ", "G:", "H: ", "I: \xe4 \t j", host="Host:a.example ")
    assert rare.fields.raw == (
        b"Host: a.example\r\nA: b\r\nC: d\r\nE: f\r\nG:\r\nH:\r\nI: \xe4 \t j\r\n"
    )


def test_an_empty_line_may_come_first() -> None:  # RFC 9112 2.2
    head = b"\r\n" + request()
    assert head_end(head, LIMITS) == len(head)
    assert parse_request(head, LIMITS).host == "a.example"
    assert read(one_by_one(head)).verdict == read([head]).verdict


def test_a_head_ends_where_its_empty_line_does() -> None:
    head = request()
    pipelined = head + head
    assert head_end(pipelined, LIMITS) == len(head)
    assert head_end(pipelined, LIMITS, len(head)) == len(pipelined)
    for size in range(len(head)):
        assert head_end(head[:size], LIMITS, seen=max(0, size - 1)) == -1


def test_limits_are_reached_and_not_passed() -> None:
    fits = request("A: " + "b" * 27, "C: d", line="GET /abcdefg HTTP/1.1")
    limits = MessageLimits(head=len(fits), line=21, field=30, fields=3)
    assert not read(one_by_one(fits), limits=limits).refused
    for status, longer in [
        (414, fits.replace(b"/", b"/a").replace(b"C: d", b"C:")),
        (431, fits.replace(b"bb", b"bbb", 1).replace(b"C: d", b"C:")),
        (431, fits.replace(b"C: d", b"C:\r\nD:").replace(b"bbbb", b"")),
        (431, fits.replace(b"C: d", b"C: de")),
    ]:
        assert read([longer], limits=limits).verdict == status
        assert read(one_by_one(longer), limits=limits).verdict == status


def test_a_reason_is_one_line() -> None:
    with pytest.raises(BadMessage) as caught:
        parsed("Content-Length: 1\x802" + "9" * 100)
    assert str(caught.value) == (
        f"Content-Length '1\\x802{'9' * 57}'... is not a number (RFC 9112 6.3)"
    )
