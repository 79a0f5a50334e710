"""Backoff: delays double up to a maximum, and start again after a lasting connection."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from vcproxy.upstream.backoff import Backoff

SEEDS = st.integers(0, 2**32)
ATTEMPTS = st.integers(1, 40)


class Maximum(Random):
    """Returns the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_each_delay_is_twice_the_last_up_to_the_longest() -> None:
    backoff = Backoff(Maximum(), initial_s=1, max_s=10)
    assert [backoff.next_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_delays_start_again_after_a_connection_longer_than_the_next_delay() -> None:
    backoff = Backoff(Maximum(), initial_s=1, max_s=10)
    assert [backoff.next_s(), backoff.next_s()] == [1, 2]
    assert not backoff.lasted(4)
    assert backoff.next_s() == 4
    assert backoff.lasted(8.5)
    assert backoff.next_s() == 1


@given(SEEDS, ATTEMPTS)
def test_at_most_half_of_a_delay_is_random(seed: int, tries: int) -> None:
    backoff = Backoff(Random(seed), initial_s=0.1, max_s=30)
    for _ in range(tries):
        full = backoff.delay_s
        assert full / 2 <= backoff.next_s() <= full <= 30


@given(SEEDS, ATTEMPTS)
def test_delays_do_not_shrink_while_it_fails(seed: int, tries: int) -> None:
    backoff = Backoff(Random(seed), initial_s=0.1, max_s=30)
    fulls = []
    for _ in range(tries):
        fulls.append(backoff.delay_s)
        backoff.next_s()
    assert all(one <= next_one for one, next_one in pairwise(fulls))


@given(SEEDS, ATTEMPTS)
def test_the_same_seed_gives_the_same_delays(seed: int, tries: int) -> None:
    one, other = Backoff(Random(seed)), Backoff(Random(seed))
    assert [one.next_s() for _ in range(tries)] == [other.next_s() for _ in range(tries)]


@given(SEEDS, st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_a_flapping_target_is_tried_less_and_less_often(seed: int, lives: list[float]) -> None:
    """Each connection lasts for a part of the next delay."""
    backoff = Backoff(Random(seed), initial_s=0.1, max_s=30)
    waited = 0.0
    for part in lives:
        assert not backoff.lasted(part * backoff.delay_s)
        waited += backoff.next_s()
    doublings = min(len(lives), 8)  # 0.1 * 2 ** 9 is more than 30
    assert waited >= 0.05 * (2**doublings - 1)
