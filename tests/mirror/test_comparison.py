"""Comparisons: where two servers' answers differ, however they come."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.mirror.comparison import (
    OVERHEAD,
    MessageComparison,
    ReplyComparison,
    ReplySide,
    StreamComparison,
)

PRIMARY, MIRROR = ReplySide.PRIMARY, ReplySide.MIRROR

letters = st.text("ab", max_size=20).map(str.encode)


def pieces(data: bytes, random: Random) -> Iterator[bytes]:
    """Cut it somehow."""
    while data:
        count = random.randint(1, len(data))
        yield data[:count]
        data = data[count:]


def interleaved(
    random: Random, *sides: tuple[ReplySide, list[bytes]]
) -> Iterator[tuple[ReplySide, bytes]]:
    """What both say, each in its order."""
    left = [[side] * len(said) for side, said in sides]
    order = [side for each in left for side in each]
    random.shuffle(order)
    said = {side: iter(each) for side, each in sides}
    for side in order:
        yield side, next(said[side])


@given(letters, letters, st.randoms(use_true_random=False))
def test_the_first_byte_that_differs(one: bytes, other: bytes, random: Random) -> None:
    comparison = StreamComparison(1000)
    ways = (PRIMARY, list(pieces(one, random))), (MIRROR, list(pieces(other, random)))
    for side, data in interleaved(random, *ways):
        comparison.feed(side, data)
    both = zip(one, other, strict=False)
    differing = next((at for at, (a, b) in enumerate(both) if a != b), None)
    assert comparison.differences == (differing is not None)
    assert comparison.first_difference == ("" if differing is None else f"byte {differing}")
    assert comparison.waiting == (abs(len(one) - len(other)) if differing is None else 0)


@given(st.lists(letters), st.lists(letters), st.randoms(use_true_random=False))
def test_each_answer_that_differs(one: list[bytes], other: list[bytes], random: Random) -> None:
    comparison = MessageComparison(10_000)
    for side, data in interleaved(random, (PRIMARY, one), (MIRROR, other)):
        comparison.feed(side, data)
    pairs = list(zip(one, other, strict=False))
    differing = [number for number, (a, b) in enumerate(pairs, 1) if a != b]
    assert comparison.differences == len(differing)
    assert comparison.first_difference == (f"message {differing[0]}" if differing else "")
    assert comparison.compared == len(pairs)
    assert comparison.incomplete == (len(one) != len(other))


@given(st.lists(letters), st.lists(letters), st.sampled_from(ReplySide), st.booleans())
def test_an_end_that_comes_too_early_is_one_difference(
    one: list[bytes], other: list[bytes], ends: ReplySide, early: bool
) -> None:
    comparison = MessageComparison(10_000)
    said = {PRIMARY: one, MIRROR: other}
    rest = MIRROR if ends is PRIMARY else PRIMARY
    for data in said[ends]:
        comparison.feed(ends, data)
    if early:
        comparison.end(ends)
    for data in said[rest]:
        comparison.feed(rest, data)
    comparison.end(ends)
    more = len(said[rest]) > len(said[ends])
    unequal = sum(a != b for a, b in zip(one, other, strict=False))
    assert comparison.differences == unequal + more


@pytest.mark.parametrize("kind", [StreamComparison, MessageComparison])
def test_one_that_is_too_far_ahead_is_given_up(kind: type[ReplyComparison]) -> None:
    comparison = kind(2 * OVERHEAD)
    for _ in range(2):
        comparison.feed(PRIMARY, bytes(OVERHEAD))
        comparison.feed(MIRROR, bytes(OVERHEAD))
    assert not comparison.over
    comparison.feed(MIRROR, bytes(2 * OVERHEAD + 1))
    assert comparison.over
    assert comparison.incomplete
    assert comparison.waiting == 0
    comparison.feed(PRIMARY, b"whatever")
    comparison.end(PRIMARY)
    assert comparison.differences == 0


def test_empty_answers_are_not_kept_without_bound() -> None:
    comparison = MessageComparison(1000)
    for _ in range(1000 // OVERHEAD + 1):
        comparison.feed(PRIMARY, b"")
    assert comparison.given_up
