"""Framings: the messages do not depend on where the stream is cut; invalid streams set a fault."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.framing.decoding import Damaged
from vcproxy.framing.framing import (
    Framing,
    FramingError,
    delimiter,
    fixed,
    json_lines,
    length_prefix,
    lines,
    netstring,
)

FRAMINGS = [
    lines(limit=5),
    delimiter(b"ab", limit=5),
    delimiter(b"aab", limit=5),
    json_lines(limit=5),
    length_prefix(1, limit=5),
    length_prefix(2, "little", limit=5),
    length_prefix(2, inclusive=True, limit=5),
    length_prefix(4, limit=5),
    length_prefix(8, "little", inclusive=True, limit=5),
    netstring(limit=12),
    fixed(3),
]

wire = st.lists(
    st.sampled_from([b"a", b"b", b"\n", b"\0", b"\1", b"\3", b"1", b"0", b":", b",", b" "]),
    max_size=24,
).map(b"".join)
"""Streams with many delimiters, length prefixes and errors."""

Decoding = tuple[list[bytes | Damaged], FramingError | None]


def decode(framing: Framing, *pieces: bytes) -> Decoding:
    decoder = framing.decoder()
    messages = [message for piece in pieces for message in decoder.feed(piece)]
    decoder.finish()
    return messages, decoder.fault


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("framing", FRAMINGS, ids=str)
@given(data=wire)
def test_the_messages_are_the_same_however_the_stream_is_cut(framing: Framing, data: bytes) -> None:
    whole = decode(framing, data)
    assert decode(framing, *one_by_one(data)) == whole
    for at in range(len(data)):
        assert decode(framing, data[:at], data[at:]) == whole


@pytest.mark.parametrize("framing", FRAMINGS, ids=str)
@given(messages=st.lists(st.binary(max_size=7), max_size=5))
def test_encode_is_the_inverse_of_decode(framing: Framing, messages: list[bytes]) -> None:
    frames = b""
    encoded = []
    for message in messages:
        try:
            frames += framing.encode(message)
        except ValueError:
            continue
        encoded.append(message)
    if framing == json_lines(limit=5):
        encoded = [message for message in encoded if message.strip()]
    assert decode(framing, frames) == (encoded, None)


@pytest.mark.parametrize(
    ("framing", "data", "messages", "fault"),
    [
        (lines(), b"a\nb\r\n\nc\n", [b"a", b"b\r", b"", b"c"], None),
        (lines(), b"a\nhal", [b"a"], FramingError.TRUNCATED),
        (lines(limit=3), b"abc\nabcd\nab\n", [b"abc"], FramingError.OVERSIZED),
        (lines(limit=3), b"abcd", [], FramingError.OVERSIZED),
        (delimiter(b"\r\n"), b"a\rb\n\r\n\r\n", [b"a\rb\n", b""], None),
        (json_lines(), b"{}\n\n \r\n[1]\n  ", [b"{}", b"[1]"], None),
        (length_prefix(2), b"\0\2hi\0\0\0\1!", [b"hi", b"", b"!"], None),
        (length_prefix(2, "little", inclusive=True), b"\4\0hi", [b"hi"], None),
        (length_prefix(2, inclusive=True), b"\0\1", [], FramingError.INVALID),
        (length_prefix(8, limit=10), b"\xff" * 8, [], FramingError.OVERSIZED),
        (length_prefix(4), b"\0\0\0\2h", [], FramingError.TRUNCATED),
        (length_prefix(4), b"\0\0", [], FramingError.TRUNCATED),
        (netstring(), b"5:hello,0:,", [b"hello", b""], None),
        (netstring(), b"5:hello;", [], FramingError.INVALID),
        (netstring(), b"05:hello,", [], FramingError.INVALID),
        (netstring(), b"-1:,", [], FramingError.INVALID),
        (netstring(), b":,", [], FramingError.INVALID),
        (netstring(limit=10), b"11:", [], FramingError.OVERSIZED),
        (netstring(limit=10), b"9999", [], FramingError.OVERSIZED),
        (fixed(2), b"abcde", [b"ab", b"cd"], FramingError.TRUNCATED),
    ],
)
def test_the_messages_and_the_fault_of_a_stream(
    framing: Framing, data: bytes, messages: list[bytes], fault: FramingError | None
) -> None:
    assert decode(framing, data) == (messages, fault)


def test_no_message_after_a_fault() -> None:
    for framing in (lines(limit=3), length_prefix(1, limit=3)):
        decoder = framing.decoder()
        decoder.feed(b"\7xxxxxx")
        assert decoder.fault is FramingError.OVERSIZED
        assert decoder.feed(b"\n\1a\n") == []
        decoder.finish()
        assert decoder.fault is FramingError.OVERSIZED


def test_a_message_with_a_delimiter_inside_is_refused() -> None:
    with pytest.raises(ValueError, match="delimiter"):
        lines().encode(b"GET a\nDELETE b")
    with pytest.raises(ValueError, match="delimiter"):
        delimiter(b"aa").encode(b"ba")
    with pytest.raises(ValueError, match="over the limit 4B"):
        netstring(limit=4).encode(b"hello")


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: delimiter(b""),
        lambda: length_prefix(3),
        lambda: fixed(0),
        lambda: lines(limit="64 kilo"),
    ],
)
def test_invalid_framings_are_refused(mistake: object) -> None:
    assert callable(mistake)
    with pytest.raises(ValueError, match=r"."):
        mistake()


@pytest.mark.parametrize(
    "framing", [lines("1MiB"), length_prefix(limit="1MiB"), netstring("1MiB")], ids=str
)
def test_the_time_for_a_long_message_in_small_pieces_is_linear(framing: Framing) -> None:
    """Ten times the bytes take about ten times as long, not a hundred times."""

    def cost(length: int) -> float:
        data = framing.encode(bytes(length))
        pieces = [data[at : at + 16] for at in range(0, len(data), 16)]
        times = []
        for _ in range(3):
            decoder = framing.decoder()
            begun = process_time()
            got = [message for piece in pieces for message in decoder.feed(piece)]
            times.append(process_time() - begun)
            assert [len(message) for message in got] == [length]
        return min(times)

    assert cost(400_000) < 40 * cost(40_000)


@pytest.mark.parametrize(
    ("framing", "half", "rest"),
    [
        (lines(), b"half", b" and more\nnext\n"),
        (json_lines(), b"half", b" and more\nnext\n"),
        (length_prefix(1), b"\4ha", b"lf\1n"),
        (netstring(), b"4:ha", b"lf,1:n,"),
        (fixed(4), b"ha", b"lfnext"),
    ],
    ids=str,
)
def test_no_message_after_the_end(framing: Framing, half: bytes, rest: bytes) -> None:
    """An incomplete message is dropped with the fault: later bytes do not complete it."""
    decoder = framing.decoder()
    assert decoder.feed(half) == []
    decoder.finish()
    assert decoder.fault is FramingError.TRUNCATED
    assert decoder.feed(rest) == []
    decoder.finish()
    assert decoder.fault is FramingError.TRUNCATED
