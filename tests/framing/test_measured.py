"""A framing of an author's own, which measures its messages."""

from __future__ import annotations

import pytest

from vcproxy.framing.decoding import FramingError, Measure
from vcproxy.framing.measured import Measured


class Record(Measured):
    """A type byte, then the length of the rest in one byte."""

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        if len(data) < at + 2:
            return 2
        end = at + 2 + data[at + 1]
        if data[at] not in b"ab":
            return FramingError.INVALID
        return (at, end, end) if end <= len(data) else end - at


def test_measure_is_all_that_a_framing_of_whole_frames_needs() -> None:
    decoder = Record().decoder()
    assert decoder.feed(b"a\x01xb") == [b"a\x01x"]
    assert decoder.feed(b"\x00c\x00") == [b"b\x00"]
    assert decoder.fault is FramingError.INVALID
    assert Record().encode(b"a\x02xy") == b"a\x02xy"
    with pytest.raises(ValueError, match="is not one whole message"):
        Record().encode(b"a\x02x")


def test_without_measure_it_cannot_be_made() -> None:
    class Unmeasured(Measured):
        pass

    with pytest.raises(TypeError, match=r"Unmeasured .*measure"):
        Unmeasured()  # type: ignore[abstract]
