"""Pauses: used in turn, the last one repeats, and they start again after a lasting connection."""

from __future__ import annotations

from random import Random

import pytest

from vcproxy.upstream.pauses import Pauses


class Maximum(Random):
    """Returns the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_they_are_used_in_turn_and_the_last_one_repeats() -> None:
    pauses = Pauses.parse(Maximum(), "0.5,1,2,5")
    assert pauses.first_s == 0
    assert [pauses.next_s() for _ in range(6)] == [0.5, 1, 2, 5, 5, 5]


def test_they_start_again_after_a_connection_longer_than_the_next_pause() -> None:
    pauses = Pauses(Maximum(), (1, 2, 5))
    assert [pauses.next_s(), pauses.next_s()] == [1, 2]
    assert not pauses.lasted(5)
    assert pauses.next_s() == 5
    assert pauses.lasted(5.1)
    assert pauses.next_s() == 1


def test_a_negative_first_entry_delays_the_first_attempt() -> None:
    pauses = Pauses.parse(Maximum(), "-3,0.5,1")
    assert pauses.first_s == 3
    assert [pauses.next_s() for _ in range(3)] == [0.5, 1, 1]


def test_at_most_half_of_a_pause_is_random() -> None:
    random = Random(1)
    pauses = Pauses(random, (4,))
    waits = [pauses.next_s() for _ in range(1000)]
    assert min(waits) < 2.1
    assert max(waits) > 3.9
    assert all(2 <= wait <= 4 for wait in waits)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-3", "0 pauses: there must be 1 to 255"),
        (",".join(["1"] * 256), "256 pauses: there must be 1 to 255"),
        ("0", "a pause of 0 s: the shortest is 10 ms"),
        ("1,-2", "a pause of -2 s: the shortest is 10 ms, and only the first entry may be neg"),
        ("1,nan", "a pause of nan s"),
        ("1,", "could not convert string to float"),
    ],
)
def test_other_lists_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Pauses.parse(Random(1), text)
