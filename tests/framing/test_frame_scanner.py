"""Cutting: messages as they stand on the wire, from which the stream can be put together again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.framing import framing as framings
from vcproxy.framing.decoding import Decoder, FramingError, Splitting
from vcproxy.framing.frame_scanner import FrameScanner
from vcproxy.framing.framing import Framing

FRAMINGS = {
    "lines": framings.lines(20),
    "json-lines": framings.json_lines(20),
    "delimiter": framings.delimiter(b"aba", 20),
    "length": framings.length_prefix(1, limit=20),
    "inclusive": framings.length_prefix(2, "little", inclusive=True, limit=20),
    "netstring": framings.netstring(20),
    "fixed": framings.fixed(3),
}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
@given(
    parts=st.lists(
        st.one_of(
            st.text("ab \n\0", max_size=12).map(str.encode),
            st.text("ab", max_size=5).map(lambda text: b"%d:%b," % (len(text), text.encode())),
        )
    )
)
def test_nothing_is_lost_or_changed(framing: Framing, parts: list[bytes]) -> None:
    cutter, decoder = FrameScanner(framing), framing.decoder()
    given: list[bytes] = []
    fed = b""
    for part in parts:
        if cutter.fault is None:
            fed += part
            given += cutter.feed(part)
    messages = decoder.feed(fed)
    assert b"".join(given) + cutter.take_rest() == fed
    assert len(given) == len(messages)
    assert all(
        wire.endswith(framing.encode(each)) for wire, each in zip(given, messages, strict=True)
    )
    assert cutter.fault is decoder.fault


def test_blank_lines_come_with_what_follows() -> None:
    cutter = FrameScanner(framings.json_lines())
    assert cutter.feed(b"1\n\n  \n2\n\n") == [b"1\n", b"\n  \n2\n"]
    assert cutter.take_rest() == b"\n"


class Loose:
    """Takes lower and upper case, and writes capitals."""

    def decoder(self) -> Decoder:
        return Splitting(b"\n", 100, skips_blank=False)

    def encode(self, message: bytes) -> bytes:
        return message.upper() + b"\n"


def test_a_framing_that_writes_otherwise_than_it_reads_is_not_cut() -> None:
    cutter = FrameScanner(Loose())
    assert cutter.feed(b"ONE\ntwo\n") == [b"ONE\n"]
    assert cutter.fault is FramingError.INVALID
    assert cutter.take_rest() == b"two\n"
