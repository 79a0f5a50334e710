"""Bodies: where they end, received in any pieces; and malformed chunks."""

from __future__ import annotations

import pytest

from tests.http.message.reading import LIMITS, Read, halves, one_by_one, read
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.body import body_reader, body_writer
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import UNTIL_CLOSE

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(data: bytes) -> Read:
    """Read chunks in one piece, and check that other pieces give the same result."""
    whole = read([HEAD + data])
    assert read([HEAD, *one_by_one(data)]).verdict == whole.verdict
    for pieces in halves(data):
        assert read([HEAD, *pieces]).verdict == whole.verdict, pieces
    return whole


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
        (b"2\r\n\r\n\r\n4\r\n0\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
        (b'3;a;b=c;d="e;\\"";f\r\nxyz\r\n0\r\n\r\n', b"xyz"),
        (b"3 ; a = b ;c\r\nxyz\r\n0;last\r\n\r\n", b"xyz"),
    ],
)
def test_chunks(data: bytes, body: bytes) -> None:
    seen = chunked(data + b"GET /next")
    assert (seen.body, seen.over, seen.rest) == (body, True, b"GET /next"), seen.refused


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"x\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",  # CVE-2025-43859
        b"5\r\nhello\rX0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\r\n\rX",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n0\r\n\r\n",
        b"5 a\r\nhello\r\n0\r\n\r\n",
        b"5;a=\r\nhello\r\n0\r\n\r\n",
        b"5;a=b c\r\nhello\r\n0\r\n\r\n",
        b'5;a="b\r\nhello\r\n0\r\n\r\n',
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",  # CVE-2024-52304
        b"5;a\0\r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"8000000000000000\r\nhello",
        b"ffffffffffffffffffff\r\nhello",
        b"\xd9\xa5\r\nhello\r\n0\r\n\r\n",
        b"5;a=" + b"b" * 256 + b"\r\nhello\r\n0\r\n\r\n",
        b"5" * 300,
        b"",
        b"5\r\nhel",
        b"5\r\nhello",
        b"5\r\nhello\r\n0\r\n",
        b"5\r\nhello\r\n0\r\nA: b\r\n",
    ],
)
def test_malformed_or_incomplete_chunks_are_400(data: bytes) -> None:
    seen = chunked(data)
    assert seen.refused
    assert seen.refused.status == 400


def test_the_line_before_a_chunk_is_limited() -> None:
    line = b"5;a=" + b"b" * 252
    assert len(line) == LIMITS.chunk_line
    assert chunked(line + b"\r\nhello\r\n0\r\n\r\n").body == b"hello"
    assert chunked(line + b"b\r\nhello\r\n0\r\n\r\n").refused


def test_trailers() -> None:
    seen = chunked(b"0\r\nDigest: a=b\r\nX:y \r\n\r\nrest")
    assert seen.trailers.raw == b"Digest: a=b\r\nX: y\r\n"
    assert seen.rest == b"rest"


def test_trailers_that_would_change_the_head_are_dropped() -> None:
    seen = chunked(b"0\r\nContent-Length: 5\r\nA: b\r\nHost: x\r\nAuthorization: c\r\nTE:\r\n\r\n")
    assert seen.trailers.raw == b"A: b\r\n"


@pytest.mark.parametrize(
    "trailers",
    [
        b"A : b\r\n",
        b" A: b\r\n",
        b"A: b\r\n c\r\n",
        b"A\r\n",
        b"A: b\n",
        b"A: b\0\r\n",
        b"A: b\rc\r\n",
        b"A: b\r\n" * 33,
        b"A: " + b"b" * 8190 + b"\r\n",
    ],
)
def test_malformed_trailers_are_400(trailers: bytes) -> None:
    data = HEAD + b"0\r\n" + trailers + b"\r\n"
    seen = read([data])
    assert seen.refused
    assert seen.refused.status == 400
    assert read(one_by_one(data)).verdict == 400


def test_trailers_that_never_end_are_refused_at_the_limit() -> None:
    line = b"A: 456789\r\n"
    for limit in (len(line), len(line) + 1):
        reader = body_reader(None, MessageLimits(trailers=limit), 400)
        reader.feed(b"0\r\n" + line + b"B"[: limit - len(line)])
        reader.feed(b"\r")  # the empty line after trailers of the maximum size
        with pytest.raises(BadMessage, match=f"longer than {limit} bytes"):
            reader.feed(b"C")


def test_trailers_are_limited() -> None:
    limits = MessageLimits(trailers=12, trailer_fields=2)
    for trailers, taken in (
        (b"A: b\r\nC: d\r\n", 1),
        (b"A: b\r\nC: de\r\n", 0),
        (b"A:\r\n" * 3, 0),
    ):
        data = HEAD + b"0\r\n" + trailers + b"\r\n"
        for pieces in ([data], one_by_one(data)):
            assert read(pieces, limits=limits).over == taken


def test_a_length() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
    for pieces in halves(head + b"helloGET"):
        seen = read(pieces)
        assert (seen.body, seen.over, seen.rest) == (b"hello", True, b"GET")
    refused = read([head + b"hel"]).refused
    assert str(refused) == "connection closed inside the body: 2 bytes are missing (RFC 9112 8)"


def test_no_body_is_over_at_once() -> None:
    reader = body_reader(0, LIMITS)
    assert reader.over
    reader.finish()


def test_until_close() -> None:
    seen = read([b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"], "GET")
    assert (seen.body, seen.over, seen.rest) == (b"hello", True, b"")
    assert not read([b"HTTP/1.1 200 OK\r\n\r\nhel"], "GET", ended=False).over


def test_a_server_is_to_blame_for_its_body() -> None:
    reader = body_reader(None, LIMITS, 502)
    with pytest.raises(BadMessage) as caught:
        reader.feed(b"x\r\n")
    assert caught.value.status == 502


# -- writing -----------------------------------------------------------------------------------


def test_chunks_are_written() -> None:
    writer = body_writer(None)
    sent = writer.frame(b"hello") + writer.frame(b"") + writer.frame(b"x" * 26)
    assert sent == b"5\r\nhello\r\n1a\r\n" + b"x" * 26 + b"\r\n"
    assert writer.finish() == b"0\r\n\r\n"
    assert writer.finish(Fields(b"A: b\r\n")) == b"0\r\nA: b\r\n\r\n"


def test_no_more_and_no_less_than_announced_is_written() -> None:
    writer = body_writer(5)
    assert writer.frame(b"hel") == b"hel"
    with pytest.raises(ValueError, match="2 bytes shorter"):
        writer.finish()
    with pytest.raises(ValueError, match="1 bytes longer"):
        writer.frame(b"lo!")
    exact = body_writer(2)
    assert exact.frame(b"ok") + exact.finish(Fields(b"A: b\r\n")) == b"ok"


def test_a_body_that_ends_with_the_connection_has_no_framing() -> None:
    writer = body_writer(UNTIL_CLOSE)
    assert writer.frame(b"hello") + writer.finish() == b"hello"
