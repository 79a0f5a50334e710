"""FrameScanner: the frames, joined, are equal to the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.framing import framing as framings
from vcproxy.framing.between import between
from vcproxy.framing.decoding import Decoder, DelimiterDecoder, FramingError
from vcproxy.framing.frame_scanner import FrameScanner
from vcproxy.framing.framing import Framing
from vcproxy.framing.nmea import nmea
from vcproxy.framing.rfc6587 import rfc6587
from vcproxy.framing.stomp import stomp

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
def test_no_byte_is_lost_or_changed(framing: Framing, parts: list[bytes]) -> None:
    scanner, decoder = FrameScanner(framing), framing.decoder()
    frames: list[bytes] = []
    fed = b""
    for part in parts:
        if not scanner.stopped:
            fed += part
            frames += scanner.feed(part)
    messages = [each for each in decoder.feed(fed) if isinstance(each, bytes)]
    assert b"".join(frames) + scanner.take_rest() == fed
    assert len(frames) == len(messages)
    assert all(
        frame.endswith(framing.encode(each)) for frame, each in zip(frames, messages, strict=True)
    )
    assert scanner.stopped == (decoder.fault.value if decoder.fault else "")


def test_a_blank_line_is_part_of_the_next_frame() -> None:
    scanner = FrameScanner(framings.json_lines())
    assert scanner.feed(b"1\n\n  \n2\n\n") == [b"1\n", b"\n  \n2\n"]
    assert scanner.take_rest() == b"\n"


class Loose:
    """Decodes lower and upper case, and encodes upper case."""

    def decoder(self) -> Decoder:
        return DelimiterDecoder(b"\n", 100, skips_blank=False)

    def encode(self, message: bytes) -> bytes:
        return message.upper() + b"\n"


def test_a_framing_that_encodes_differently_than_it_decodes_is_a_fault() -> None:
    scanner = FrameScanner(Loose())
    assert scanner.feed(b"ONE\ntwo\n") == [b"ONE\n"]
    assert scanner.stopped == FramingError.INVALID.value
    assert scanner.take_rest() == b"two\n"


@pytest.mark.parametrize(
    "framing",
    [framings.json_lines(), nmea(), stomp(), rfc6587(), between(b"<", b">", "blank")],
    ids=str,
)
def test_blank_lines_are_not_held_without_a_limit(framing: Framing) -> None:
    scanner = FrameScanner(framing)
    for _ in range(100):
        if not scanner.stopped:
            assert scanner.feed(b"\n" * 1000) == []
    assert scanner.stopped == FramingError.OVERSIZED.value
    assert len(scanner.take_rest()) < 70_000


def test_what_is_skipped_belongs_to_the_next_frame_however_it_is_cut() -> None:
    scanner = FrameScanner(between(b"<", b">", "blank"))
    pieces = [b" ", b"\n", b" <a", b"> ", b" <b>", b"<c>\n"]
    frames = [frame for piece in pieces for frame in scanner.feed(piece)]
    assert frames == [b" \n <a>", b"  <b>", b"<c>"]
    assert scanner.take_rest() == b"\n"
