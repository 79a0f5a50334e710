"""FreshIds: no id is used twice at one time, and none too early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.messages.fresh_ids import FreshIds


def test_an_id_is_used_again_as_late_as_possible() -> None:
    ids = FreshIds()
    assert [ids.next(3) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_an_id_in_use_is_passed_over() -> None:
    ids = FreshIds()
    ids.use(1)
    assert [ids.next(3) for _ in range(3)] == [0, 2, 0]
    ids.free(1)
    assert ids.next(3) == 1


def test_when_all_are_used_it_is_full() -> None:
    ids = FreshIds()
    assert not ids.full, "no size is known yet"
    for _ in range(2):
        ids.use(ids.next(2))
    assert ids.full
    with pytest.raises(ValueError, match="no id below 2 is free"):
        ids.next(2)
    ids.keep([1, None])
    assert not ids.full
    assert ids.next(2) == 0


@given(st.lists(st.integers(min_value=-20, max_value=0), max_size=100), st.integers(1, 8))
def test_ids_in_use_are_distinct(steps: list[int], size: int) -> None:
    ids, used = FreshIds(), list[int]()
    for step in steps:
        if step < -10 and used:
            ids.free(used.pop(step % len(used)))
        elif not ids.full:
            number = ids.next(size)
            assert 0 <= number < size
            assert number not in used
            ids.use(number)
            used.append(number)
        assert ids.full == (len(used) == size and bool(used))
