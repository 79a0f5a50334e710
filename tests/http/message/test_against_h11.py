"""Comparison with h11: it accepts all messages that the parser accepts, and reads the same."""

from __future__ import annotations

import re

import h11
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.http.message import grammars
from tests.http.message.reading import LIMITS, Read, read
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.grammar import CANONICAL_REQUEST, CANONICAL_RESPONSE
from vcproxy.http.message.messages import UNTIL_CLOSE, Request, Response
from vcproxy.http.message.parsing import parse_request, parse_response
from vcproxy.http.message.trailers import FORBIDDEN

Fields = list[tuple[bytes, bytes]]

BAD_WHITE_SPACE = re.compile(rb"[\t ];")
"""White space before a chunk extension (RFC 9112 7.1.1), which h11 accepts only after the last."""


def meaning(message: Request | Response) -> Fields:
    """Return fields in the form of h11: lower-case codings, and lengths without leading zeros.

    Host is omitted if the target of the request contains the host: then the target's host counts.
    """
    named = isinstance(message, Request) and message.form in ("absolute", "authority")
    return [
        (key, value.lower() if key == b"transfer-encoding" else value.lstrip(b"0") or value[:1])
        if key in (b"transfer-encoding", b"content-length")
        else (key, value)
        for name, text in message.fields.items()
        for key, value in [(name.lower().encode(), text.encode("latin-1"))]
        if not (named and key == b"host")
    ]


def theirs(event: h11.Request | h11.Response | h11.InformationalResponse) -> Fields:
    return [
        (name, value.lstrip(b"0") or value[:1] if name == b"content-length" else value)
        for name, value in event.headers
    ]


def client(method: str = "GET") -> h11.Connection:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    return connection


@settings(max_examples=400)
@given(grammars.mutated(grammars.request_heads))
def test_requests_are_read_the_same(head: bytes) -> None:
    assume(head.endswith(b"\r\n\r\n"))
    try:
        ours = parse_request(head, LIMITS)
    except BadMessage:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head.removeprefix(b"\r\n"))
    event = connection.next_event()  # raises if h11 refuses the head
    assert isinstance(event, h11.Request)
    assert (event.method.decode(), event.target.decode()) == (ours.method, ours.target)
    assert (event.http_version == b"1.0") == (ours.version == 10)
    named = ours.form in ("absolute", "authority")
    assert [field for field in theirs(event) if not (named and field[0] == b"host")] == meaning(
        ours
    )


@settings(max_examples=300)
@given(grammars.mutated(grammars.response_heads), st.sampled_from(["GET", "HEAD"]))
def test_responses_are_read_the_same(head: bytes, method: str) -> None:
    assume(head.endswith(b"\r\n\r\n"))
    try:
        ours = parse_response(head, LIMITS, method)
    except BadMessage:
        return
    connection = client(method)
    connection.receive_data(head)
    event = connection.next_event()
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    assert (event.status_code, event.reason.decode("latin-1")) == (ours.status, ours.reason)
    assert theirs(event) == meaning(ours)


def test_the_usual_shape_is_usual() -> None:
    usual = b"GET / HTTP/1.1\r\nHost: a\r\nAccept: \xff\tb\r\nEmpty:\r\n\r\n"
    assert CANONICAL_REQUEST(usual)
    assert not CANONICAL_REQUEST(usual.replace(b": a", b":a"))
    assert CANONICAL_RESPONSE(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n")
    assert not CANONICAL_RESPONSE(b"HTTP/1.1 200 OK\r\nA: b \r\n\r\n")


Body = tuple[bytes, bool, Fields]


def their_body(connection: h11.Connection, pieces: list[bytes], ended: bool) -> Body | None:
    """The body that h11 reads, whether it is complete, and its trailers; None if h11 refuses it."""
    body = b""
    try:
        for piece in [*(piece for piece in pieces if piece), *([b""] if ended else [])]:
            connection.receive_data(piece)
            while True:
                event = connection.next_event()
                if isinstance(event, h11.EndOfMessage):
                    kept = [pair for pair in event.headers if pair[0] not in FORBIDDEN]
                    return body, True, kept
                if isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif not isinstance(event, h11.Request | h11.Response):
                    break
    except h11.RemoteProtocolError:
        return None
    return body, False, []


def same_body(ours: Read, theirs: Body | None) -> None:
    if ours.head is not None and not ours.refused:
        trailers = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in ours.trailers.items()
        ]
        assert theirs == (ours.body, ours.over, trailers)


@settings(max_examples=400)
@given(grammars.pieces(grammars.mutated(grammars.requests)))
def test_bodies_of_requests_are_the_same(pieces: list[bytes]) -> None:
    assume(not BAD_WHITE_SPACE.search(b"".join(pieces)))
    # All data after CONNECT belongs to the tunnel; h11 accepts no empty line before a request.
    assume(not b"".join(pieces).startswith((b"CONNECT", b"\r\n")))
    same_body(read(pieces), their_body(h11.Connection(h11.SERVER), pieces, ended=False))


@settings(max_examples=400)
@given(
    grammars.pieces(grammars.mutated(grammars.responses)),
    st.sampled_from(["GET", "GET", "HEAD"]),
)
def test_bodies_of_responses_are_the_same(pieces: list[bytes], method: str) -> None:
    assume(not BAD_WHITE_SPACE.search(b"".join(pieces)))
    ours = read(pieces, method)
    ended = ours.head is not None and ours.head.body == UNTIL_CLOSE
    same_body(ours, their_body(client(method), pieces, ended))
