"""Chunks that are forwarded as received: ChunkScanner accepts the same ones as ChunkedReader, and
h11 reads the same body in the output.
"""

from __future__ import annotations

from itertools import pairwise
from time import process_time

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.http.message.reading import LIMITS, one_by_one
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.body import BodyReader, ChunkedReader
from vcproxy.http.message.chunks import ChunkPasser, ChunkScanner
from vcproxy.http.message.fields import Fields

sizes = st.one_of(st.integers(1, 20), st.sampled_from([16, 255, 256, 257, 4095, 4096, 70_000]))
lines = st.builds(
    lambda zeros, size, upper, extension: (size, zeros + _hex(size, upper) + extension),
    st.sampled_from([*[b""] * 8, b"0", b"0000000"]),
    sizes,
    st.booleans(),
    st.sampled_from([*[b""] * 8, b";a", b';a="\\""', b" ; b = c", b" ", b";"]),
)
runs = st.builds(
    lambda line, fill, count: (line[1] + b"\r\n" + fill * line[0] + b"\r\n") * count,
    lines,
    st.sampled_from([b"x", b"\n", b"\r", b"0", b"\xff"]),
    st.integers(1, 5),
)
bodies = st.builds(
    lambda chunks, last: b"".join(chunks) + last,
    st.lists(runs, max_size=6),
    st.sampled_from([b"0\r\n\r\n", b"00;a\r\nA: b\r\n\r\nnext", b"0\r\n\r\n1\r\nx\r\n", b""]),
)


def _hex(size: int, upper: bool) -> bytes:
    digits = b"%x" % size
    return digits.upper() if upper else digits


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A body, often with one byte removed, changed or inserted."""
    data = bytearray(draw(bodies))
    if data and draw(st.booleans()):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 1))] = draw(
            st.sampled_from([b"", b"\r", b"\n", b"0", b"a", b"g", b";", b"\0"])
        )
    return bytes(data)


@st.composite
def cut(draw: st.DrawFn) -> list[bytes]:
    """The same, in pieces."""
    data = draw(mutated())
    places = draw(st.lists(st.integers(0, len(data)), max_size=6))
    return [data[a:b] for a, b in pairwise(sorted([0, *places, len(data)]))]


Verdict = tuple[bool, bytes, Fields, str]


def judged(reader: BodyReader, pieces: list[bytes]) -> tuple[bytes, Verdict]:
    """Return the output, and the result for each piece up to the first that is refused."""
    given = b""
    for piece in pieces:
        try:
            if reader.over:
                reader.rest += piece
            else:
                given += reader.feed(piece)
        except BadMessage as refused:
            return given, (False, b"", Fields(), str(refused))
    return given, (reader.over, reader.rest, reader.trailers, "")


def taken_out(wire: bytes) -> bytes:
    """The data of chunks, of which the last may be incomplete."""
    return ChunkedReader(LIMITS, 400).feed(wire)


@settings(max_examples=1500, deadline=None)
@given(cut())
@example([b"1\r\nx\r\n" * 100 + b"2\r\nxx\r", b"\n0\r\n\r\n"])
@example([b"ff\r\n" + b"x" * 255 + b"\r\n100\r\n" + b"x" * 256 + b"\r\n", b"0\r\n\r\n"])
@example([b"1\r\nx\r\n1\r\nxy\r\n"])
def test_the_scanner_judges_chunks_as_the_reader_does(pieces: list[bytes]) -> None:
    body, verdict = judged(ChunkedReader(LIMITS, 400), pieces)
    passed, the_same = judged(ChunkScanner(LIMITS, 400), pieces)
    assert the_same == verdict
    assert taken_out(passed) == body
    if verdict[0]:
        sent = passed + ChunkPasser().finish(verdict[2])
        again, (over, rest, trailers, _) = judged(ChunkedReader(LIMITS, 400), [sent])
        assert (again, over, rest, trailers) == (body, True, b"", verdict[2])
        assert theirs(sent) == body


def theirs(sent: bytes) -> bytes:
    """Return the body that h11 reads."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + sent)
    body = b""
    while not isinstance(event := server.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Data):
            body += bytes(event.data)
        assert event is not h11.NEED_DATA
    return body


def test_plain_chunks_are_forwarded_unchanged() -> None:
    plain = b"".join(b"%x\r\n%b\r\n" % (size, b"x" * size) for size in range(1, 600))
    assert ChunkScanner(LIMITS, 400).feed(plain) == plain
    upper = plain.replace(b"a\r\n", b"A\r\n")
    assert ChunkScanner(LIMITS, 400).feed(upper) == upper
    halves = [[plain[:at], plain[at:]] for at in range(0, len(plain), 997)]
    for pieces in (one_by_one(plain), *halves):
        scanner = ChunkScanner(LIMITS, 400)
        assert taken_out(b"".join(map(scanner.feed, pieces))) == taken_out(plain)


@pytest.mark.parametrize("line", [b"5;a=b", b"0005", b"000000005", b"5 ;a"])
def test_any_other_line_is_written_anew(line: bytes) -> None:
    scanner = ChunkScanner(LIMITS, 400)
    text = b"1\r\nx\r\n" + line + b"\r\nhello\r\n1\r\nx\r\n0;z\r\n\r\n"
    assert scanner.feed(text) == b"1\r\nx\r\n5\r\nhello\r\n1\r\nx\r\n"
    assert scanner.over


def test_small_chunks_are_scanned_together() -> None:
    """The scan is at least five times as fast as chunk by chunk; twenty times was measured."""

    def cost(kind: type[ChunkedReader]) -> float:
        reader, data = kind(LIMITS, 400), b"1\r\nx\r\n" * 2700
        began = process_time()
        for _ in range(10):
            reader.feed(data)
        return process_time() - began

    assert min(cost(ChunkScanner) for _ in range(5)) * 5 < min(
        cost(ChunkedReader) for _ in range(5)
    )
