"""The compressors: what they return can be decoded, after each flush too, and memory is bounded."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.duties.codings import CODINGS

brotli: Any = pytest.importorskip("brotli")
zstandard: Any = pytest.importorskip("zstandard")


def decoder(coding: str) -> Callable[[bytes], bytes]:
    """Return a function that decodes a body piece by piece."""
    made: Any
    if coding == "gzip":
        return zlib.decompressobj(31).decompress
    if coding == "br":
        made = brotli.Decompressor()
        return lambda data: made.process(data) if data else b""
    made = zstandard.ZstdDecompressor().decompressobj()
    return lambda data: made.decompress(data) if data else b""


every_level = pytest.mark.parametrize(
    ("coding", "level"),
    [(name, level) for name, each in CODINGS.items() for level in range(1, each.most + 1)],
)


@every_level
@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 40_000, 1_000_000])
def test_a_body(coding: str, level: int, size: int) -> None:
    body = (b"%d lines of a page\n" * 60_000)[:size]
    made = CODINGS[coding].make(level, size)
    sent = made.feed(body) + made.finish()
    assert decoder(coding)(sent) == body
    if size > 1000:
        assert len(sent) < size / 10


@every_level
@given(pieces=st.lists(st.binary(min_size=1, max_size=600), max_size=6))
def test_what_was_flushed_can_be_decoded(coding: str, level: int, pieces: list[bytes]) -> None:
    made = CODINGS[coding].make(level, 0)
    decode = decoder(coding)
    for piece in pieces:
        assert decode(made.feed(piece) + made.flush()) == piece
    assert decode(made.finish()) == b""


def test_codings_have_libraries() -> None:
    assert not any(each.missing() for each in CODINGS.values())


@pytest.mark.parametrize("coding", list(CODINGS))
def test_bodies_are_compressed_at_the_same_time(coding: str) -> None:
    each = CODINGS[coding]
    one, two = each.make(each.level, 0), each.make(each.level, 0)
    decode_one, decode_two = decoder(coding), decoder(coding)
    for number in range(5):
        assert decode_one(one.feed(b"one %d" % number) + one.flush()) == b"one %d" % number
        assert decode_two(two.feed(b"two %d" % number) + two.flush()) == b"two %d" % number
    decode_two(two.finish())
    decode_one(one.finish())
