"""Frames of a replay are compared with those of the log, in pieces, without joining them."""

from __future__ import annotations

import pytest

from vcproxy.replay.playback.engine import FrameComparison


@pytest.mark.parametrize(
    ("out", "tail", "expected", "same"),
    [
        (b"entries", b"", b"entries", True),
        (b"entries", b"data", b"entriesdata", True),
        (b"entries", b"data", b"entriesDATA", False),
        (b"entries", b"data", b"ENTRIESdata", False),
        (b"entries", b"data", b"entries-data", False),
        (b"abc", b"bcd", b"abcd", False),  # begins and ends as expected, but overlaps
    ],
)
def test_a_frame_is_the_same_if_all_its_bytes_are(
    out: bytes, tail: bytes, expected: bytes, same: bool
) -> None:
    comparison = FrameComparison()
    comparison.expected = expected
    comparison.out += out
    comparison.cut(memoryview(tail))
    assert comparison.same is same
    assert comparison.cuts == 1
    assert not comparison.out
