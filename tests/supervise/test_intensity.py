"""Restarts are counted in a sliding period, as Erlang/OTP counts them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.supervise.intensity import Intensity, RestartHistory


def test_one_more_than_allowed_within_the_period_is_too_many() -> None:
    history = RestartHistory(Intensity(restarts=2, period_s=10))
    assert [history.add(now) for now in (0, 1, 10)] == [True, True, False]


def test_restarts_longer_ago_than_the_period_do_not_count() -> None:
    history = RestartHistory(Intensity(restarts=2, period_s=10))
    assert [history.add(now) for now in (0, 1, 10.5, 11.5, 12)] == [True, True, True, True, False]


def test_with_an_intensity_of_0_the_first_is_too_many() -> None:
    assert not RestartHistory(Intensity(restarts=0)).add(5)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=40), st.integers(0, 5), st.integers(1, 10))
def test_it_counts_all_within_one_period_before(
    gaps: list[float], restarts: int, period_s: int
) -> None:
    history = RestartHistory(Intensity(restarts, period_s))
    times: list[float] = []
    for gap in gaps:
        now = (times[-1] if times else 0.0) + gap
        times.append(now)
        lately = [time for time in times if now - time <= period_s]
        assert history.add(now) == (len(lately) <= restarts)


@pytest.mark.parametrize(("restarts", "period_s"), [(-1, 10), (1, 0), (1, -5)])
def test_what_cannot_be_counted_is_refused(restarts: int, period_s: float) -> None:
    with pytest.raises(ValueError, match=re.escape("restarts must be 0 or more")):
        Intensity(restarts, period_s)


def test_it_is_shown_in_words() -> None:
    assert str(Intensity()) == "5 restarts in 10s"
    assert str(Intensity(1, 0.5)) == "1 restart in 500ms"
