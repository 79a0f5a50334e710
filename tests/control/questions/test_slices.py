"""Rows are made a few in each turn of a net thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.engine.world import engine
from vcproxy.control.questions.slices import SLICE, Slices


class Made:
    """The rows of each turn, and how it has ended."""

    def __init__(self, rows: Iterator[dict[str, Any] | None], wanted: int = 1_000_000) -> None:
        self.engine = engine()
        self.turns: list[list[int]] = []
        self.ends: list[str] = []
        self.wanted = wanted
        Slices(self.engine, rows, self.take, self.done).start()

    def take(self, rows: list[dict[str, Any]]) -> bool:
        self.turns.append([each["n"] for each in rows])
        return sum(map(len, self.turns)) < self.wanted

    def done(self, error: Exception | None) -> None:
        self.ends.append("" if error is None else str(error))

    def run(self) -> int:
        """Make turns until there is nothing to do; return how many."""
        turns = 0
        while self.engine.inbox.fed:
            self.engine.inbox.drain()
            turns += 1
        return turns


def numbers(count: int) -> Iterator[dict[str, Any] | None]:
    for n in range(count):
        yield {"n": n}


def test_a_turn_makes_a_few_rows_only() -> None:
    made = Made(numbers(2 * SLICE + 1))
    assert made.turns == []
    assert made.run() == 3
    assert [len(each) for each in made.turns] == [SLICE, SLICE, 1]
    assert made.ends == [""]


def test_what_was_looked_at_in_vain_is_work_too() -> None:
    def seldom() -> Iterator[dict[str, Any] | None]:
        for n in range(3 * SLICE):
            yield {"n": n} if n % SLICE == 0 else None

    made = Made(seldom())
    made.run()
    assert made.turns[:3] == [[0], [SLICE], [2 * SLICE]]


def test_no_rows_are_made_once_no_more_are_wanted() -> None:
    made = Made(numbers(10 * SLICE), wanted=SLICE)
    assert made.run() == 1
    assert made.ends == [""]


def test_a_question_that_fails_does_not_end_the_net_thread() -> None:
    def failing() -> Iterator[dict[str, Any] | None]:
        yield {"n": 1}
        raise KeyError("vc")

    made = Made(failing())
    made.run()
    assert made.ends == ["'vc'"]
