"""DirectHeads returns for a head what parsing and forwarding would make of the same head."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.message import grammars
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.direct_heads import ORDINARY, Answer, DirectHeads, RequestFields
from vcproxy.http.message.forwarding import to_client, to_server
from vcproxy.http.message.keep_alive import keep_alive_s
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.parsing import head_end, parse_request, parse_response

LIMITS = MessageLimits(head=600, line=300, field=400, fields=12)
CLIENT = ClientFields("10.0.0.1", secure=False, mark="a1")

NAMES = [
    "Accept", "Cookie", "connection", "Connection", "Content-Length", "Content-Type", "Date",
    "ETag", "Expect", "Forwarded", "Host", "Keep-Alive", "Proxy", "Proxy-Connection", "Set-Cookie",
    "TE", "Test", "Trailer", "Transfer-Encoding", "Upgrade", "User_Agent", "Via", "Vary", "X",
    "X_Real_IP", "X-Forwarded-For", "X-Request-Id", "content-length", "date", "host", "KEEP-ALIVE",
]  # fmt: skip
VALUES = ["", "a", "a.example", "close", "keep-alive", "Keep-Alive", "0", "5", "05", "chunked",
          "timeout=5", "a, b", "100-continue", "websocket", "trailers", "é", " a", "a ", "a\tb",
          "[::1]:80", "x" * 80]  # fmt: skip
LINES = st.lists(
    st.builds("{}: {}".format, st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=9
)


def head(first: str, lines: list[str]) -> bytes:
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


REQUEST_LINES = st.sampled_from(
    ["GET / HTTP/1.1"] * 5
    + ["GET /a?b HTTP/1.1", "GET /# HTTP/1.1", "GET * HTTP/1.1", "HEAD / HTTP/1.1"]
    + ["GET http://a/ HTTP/1.1", "GET / HTTP/1.0", "POST / HTTP/1.1", "get / HTTP/1.1"]
    + ["GET /%s HTTP/1.1" % ("x" * 280)]
)
REQUESTS = st.one_of(
    st.builds(head, REQUEST_LINES, st.builds(lambda a: ["Host: a.example", *a], LINES)),
    st.builds(head, REQUEST_LINES, LINES),
    grammars.requests,
    grammars.mutated(grammars.requests),
)
STATUS_LINES = st.sampled_from(
    ["HTTP/1.1 200 OK"] * 5
    + ["HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified", "HTTP/1.1 200", "HTTP/1.1 200 "]
    + ["HTTP/1.0 200 OK", "HTTP/1.1 100 Continue", "HTTP/1.1 426 Upgrade", "HTTP/1.1 999 x"]
)
RESPONSES = st.one_of(
    st.builds(
        head, STATUS_LINES, st.builds(lambda a, b: [*a, "Content-Length: 5", *b], LINES, LINES)
    ),
    st.builds(head, STATUS_LINES, LINES),
    grammars.responses,
    grammars.mutated(grammars.responses),
)


def found(heads: DirectHeads, data: bytes) -> RequestFields | None:
    line = heads.request_line(data)
    return None if line is None else heads.request(data[line:]) or heads.parsed_request(data)


def as_forwarded(data: bytes) -> bytes | None:
    """Return the forwarded request, if it is the whole of the data and needs nothing besides."""
    try:
        if head_end(data, LIMITS) != len(data):
            return None
        request = parse_request(data, LIMITS)
    except BadMessage:
        return None
    if request.body or request.upgrade or request.expects_continue or not request.persistent:
        return None
    return to_server(request, CLIENT)


@settings(max_examples=1500)
@given(REQUESTS)
def test_a_request_is_forwarded_as_by_the_ordinary_path(data: bytes) -> None:
    heads = DirectHeads(LIMITS, "vcproxy")
    fields = found(heads, data)
    if fields is not None:
        line = data[: data.find(b"\r\n") + 2]
        assert line + fields.lines + CLIENT.lines_of(fields.host) + b"\r\n" == as_forwarded(data)
        assert fields.host == parse_request(data, LIMITS).host


@settings(max_examples=1500)
@given(RESPONSES, st.sampled_from(["vcproxy", ""]))
def test_a_response_is_forwarded_as_by_the_ordinary_path(data: bytes, pseudonym: str) -> None:
    heads = DirectHeads(LIMITS, pseudonym)
    for _ in range(2):  # the second time it may be parsed
        answer = heads.answer(data)
        if answer is ORDINARY:
            continue
        assert head_end(data, LIMITS) == len(data)
        response = parse_response(data, LIMITS, "GET")
        assert (response.body, response.persistent) == (answer.length, True)
        assert response.status >= 200
        forwarded = to_client(response, pseudonym=pseudonym, body=response.body)
        undated = "Date" not in response.fields
        kept_s = keep_alive_s(response.fields)
        extra = answer.extra
        assert (undated, kept_s) == ((False, None) if extra is None else tuple(extra))
        assert answer.head == (forwarded[:-2] if undated else forwarded)
    assert heads.answers(data) in (answer, None)


def request_of(*lines: str) -> RequestFields | None:
    return found(DirectHeads(LIMITS, ""), head("GET / HTTP/1.1", list(lines)))


def test_usual_requests_are_found_without_parsing() -> None:
    heads = DirectHeads(LIMITS, "")
    fields = head("", ["Host: A.example:", "Connection: keep-alive", "Cookie: a=b"])[2:]
    assert heads.request(fields) == (b"Host: A.example:\r\nCookie: a=b\r\n", "a.example")


def test_requests_whose_treatment_depends_on_more_are_not_found() -> None:
    host = "Host: a"
    assert request_of(host) is not None
    assert request_of(host, "Via: 1.1 b") is None
    assert request_of(host, "X-Forwarded-For: 10.1.1.1") is None
    assert request_of(host, "Connection: close") is None
    assert request_of(host, "Upgrade: a", "Connection: upgrade") is None
    assert request_of(host, "Content-Length: 1") is None
    assert request_of(host, "TE: trailers", "Connection: TE") is None
    assert request_of(host, host) is None
    assert request_of() is None


def test_a_usual_response_is_found_when_it_is_seen_first() -> None:
    heads = DirectHeads(LIMITS, "vcproxy")
    lines = ["Date: x", "Connection: keep-alive", "content-length: 5", "ETag: y"]
    sent = b"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length: 5\r\nETag: y\r\nVia: 1.1 vcproxy\r\n\r\n"
    assert heads.answer(head("HTTP/1.1 200 OK", lines)) == Answer(sent, 5, None)


def test_a_response_without_a_date_is_found_when_it_is_seen_first() -> None:
    heads = DirectHeads(LIMITS, "vcproxy")
    sent = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.1 vcproxy\r\n"
    assert heads.answer(head("HTTP/1.1 200 OK", ["Content-Length: 5"])) == (sent, 5, (True, None))
    dated = head("HTTP/1.1 200 OK", ["content-length: 5", "date: x"])
    assert heads.answer(dated).extra is None


def test_a_response_that_must_be_parsed_is_found_when_it_is_repeated() -> None:
    heads = DirectHeads(LIMITS, "")
    data = head("HTTP/1.1 200 OK", ["Content-Length: 5", "Keep-Alive: timeout=7"])
    assert heads.answer(data) is ORDINARY
    assert heads.answers(data) is None
    assert heads.answer(data) == (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", 5, (True, 7.0))
    assert heads.answers(data) == heads.answer(data)
