"""Ranges of bytes: RFC 9110, 14.1.2 and 14.2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.files.ranges import MOST_RANGES, ByteRange, read_ranges


@pytest.mark.parametrize(
    ("value", "ranges"),
    [
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-", [(500, 1000)]),
        ("bytes=-200", [(800, 1000)]),
        ("bytes=-5000", [(0, 1000)]),
        ("bytes=990-2000", [(990, 1000)]),
        ("bytes=0-0,-1", [(0, 1), (999, 1000)]),
        ("bytes= 1-2 ,\t5-6,,", [(1, 3), (5, 7)]),
        ("BYTES=1-1", [(1, 2)]),
        ("bytes=0-999999999999999999999999999", [(0, 1000)]),
        ("bytes=0000000000000000000000000000001-1", [(1, 2)]),
        # unsatisfiable
        ("bytes=1000-", []),
        ("bytes=1000-1001,5000-", []),
        ("bytes=-0", []),
        ("bytes=99999999999999999999999999-", []),
        ("bytes=1-2,5000-", [(1, 3)]),
        # the whole file
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=a-b", None),
        ("bytes=1-2-3", None),
        ("bytes=+1-2", None),
        ("bytes=\N{ARABIC-INDIC DIGIT ONE}-", None),
        ("lines=1-2", None),
        ("1-2", None),
        ("bytes=0-,0-", None),  # longer than the file
        ("bytes=" + "1-1," * (MOST_RANGES + 1), None),
    ],
)
def test_ranges(value: str, ranges: list[tuple[int, int]] | None) -> None:
    assert read_ranges(value, 1000) == ranges


def test_an_empty_file_has_no_range() -> None:
    assert read_ranges("bytes=0-", 0) == []
    assert read_ranges("bytes=-1", 0) == []


def test_content_range() -> None:
    assert ByteRange(1, 3).content_range(10) == "bytes 1-2/10"
    assert ByteRange(1, 3).size == 2


@given(st.text("0123456789-, =bytes", max_size=30), st.integers(0, 50))
def test_all_ranges_are_inside_the_file(text: str, size: int) -> None:
    for each in read_ranges(f"bytes={text}", size) or ():
        assert 0 <= each.start < each.stop <= size
