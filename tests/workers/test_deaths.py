"""Deaths: the limit is five within ten seconds."""

from __future__ import annotations

from vcproxy.workers.deaths import Deaths


def test_the_fifth_death_within_the_period_counts() -> None:
    deaths = Deaths()
    assert [deaths.add(now) for now in (0, 1, 2, 3, 10)] == [False, False, False, False, True]


def test_old_deaths_are_forgotten() -> None:
    deaths = Deaths()
    assert not any(deaths.add(now) for now in (0, 1, 2, 3, 10.1, 11.1, 12.1, 13.1))
    assert deaths.add(13.2)  # the fifth, with the deaths from 10.1 on


def test_many_workers_that_die_together_reach_the_limit() -> None:
    deaths = Deaths(limit=3)
    assert [deaths.add(7.0) for _ in range(4)] == [False, False, True, True]
