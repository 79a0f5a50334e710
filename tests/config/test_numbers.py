"""Numbers, as the options of a plugin list them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.config.numbers import Numbers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("7", "7"),
        ("1-3", "1-3"),
        (" 20 ,1 - 9", "1-9, 20"),
        ("5,3,4", "3-5"),
        ("1-9,2-3", "1-9"),
        ("0x10, 0X1f - 0x2F", "16, 31-47"),
    ],
)
def test_ranges_are_read_and_joined(text: str, shown: str) -> None:
    assert str(Numbers.parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", '"" is no number'),
        ("1,", '"" is no number'),
        ("1-", '"1-" is no number, and no range of numbers such as "1-9"'),
        ("-1", '"-1" is no number'),
        ("0x", '"0x" is no number'),
        ("10h", '"10h" is no number'),
        ("9-1", '"9-1" ends before it begins: write "1-9"'),
    ],
)
def test_other_texts_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Numbers.parse(text)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=5),
    st.integers(0, 90),
    st.integers(0, 9),
)
def test_a_range_is_included_if_each_of_its_numbers_is(
    parts: list[tuple[int, int]], start: int, size: int
) -> None:
    numbers = Numbers.parse(",".join(f"{first}-{first + more}" for first, more in parts))
    every = {number for first, more in parts for number in range(first, first + more + 1)}
    assert set(numbers) == every
    asked = range(start, start + size)
    assert numbers.include(asked) == all(number in numbers for number in asked)
    assert Numbers.parse(str(numbers)) == numbers
