"""Comparisons: where two servers' replies differ, in any order of arrival."""

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
    """Cut data into random pieces."""
    while data:
        count = random.randint(1, len(data))
        yield data[:count]
        data = data[count:]


def interleaved(
    random: Random, *sides: tuple[ReplySide, list[bytes]]
) -> Iterator[tuple[ReplySide, bytes]]:
    """Yield both sides' replies, each side's in order, randomly interleaved."""
    left = [[side] * len(replies) for side, replies in sides]
    order = [side for each in left for side in each]
    random.shuffle(order)
    replies = {side: iter(each) for side, each in sides}
    for side in order:
        yield side, next(replies[side])


@given(letters, letters, st.randoms(use_true_random=False))
def test_the_first_different_byte_is_found(one: bytes, other: bytes, random: Random) -> None:
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
def test_each_different_message_is_counted(
    one: list[bytes], other: list[bytes], random: Random
) -> None:
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
def test_an_early_end_is_one_difference(
    one: list[bytes], other: list[bytes], ends: ReplySide, early: bool
) -> None:
    comparison = MessageComparison(10_000)
    replies = {PRIMARY: one, MIRROR: other}
    rest = MIRROR if ends is PRIMARY else PRIMARY
    for data in replies[ends]:
        comparison.feed(ends, data)
    if early:
        comparison.end(ends)
    for data in replies[rest]:
        comparison.feed(rest, data)
    comparison.end(ends)
    more = len(replies[rest]) > len(replies[ends])
    unequal = sum(a != b for a, b in zip(one, other, strict=False))
    assert comparison.differences == unequal + more


@pytest.mark.parametrize("kind", [StreamComparison, MessageComparison])
def test_a_comparison_is_given_up_beyond_its_limit(kind: type[ReplyComparison]) -> None:
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


def test_empty_messages_count_towards_the_limit() -> None:
    comparison = MessageComparison(1000)
    for _ in range(1000 // OVERHEAD + 1):
        comparison.feed(PRIMARY, b"")
    assert comparison.given_up
