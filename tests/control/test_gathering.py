"""Gathering: one answer from each part, or none in time."""

from __future__ import annotations

from collections.abc import Callable

from vcproxy.control.gathering import ANSWER_S, Gathering


class Parts:
    """Two parts, and a clock that a test turns."""

    def __init__(self, *names: str) -> None:
        self.calls: list[Callable[[], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.results: list[dict[str, int | None]] = []
        self.gathering = Gathering(
            names,
            self.results.append,
            feed=self.calls.append,
            after=lambda seconds, call: self.timers.append((seconds, call)),
        )

    def turn(self) -> None:
        """Make the calls that were fed."""
        while self.calls:
            self.calls.pop(0)()


def test_it_ends_with_the_last_answer() -> None:
    parts = Parts("net-0", "net-1")
    parts.gathering.answer("net-1", 1)
    parts.turn()
    assert parts.results == []
    parts.gathering.answer("net-0", 0)
    assert parts.results == []  # the answer comes in the thread of the gathering
    parts.turn()
    assert parts.results == [{"net-0": 0, "net-1": 1}]


def test_a_part_without_an_answer_is_reported_as_such() -> None:
    parts = Parts("net-0", "net-1")
    parts.gathering.answer("net-0", 0)
    parts.turn()
    ((seconds, late),) = parts.timers
    assert seconds == ANSWER_S
    late()
    assert parts.results == [{"net-0": 0, "net-1": None}]
    parts.gathering.answer("net-1", 1)
    parts.turn()
    late()
    assert len(parts.results) == 1


def test_an_answer_counts_once_and_those_of_others_do_not() -> None:
    parts = Parts("net-0", "net-1")
    for name, value in (("net-0", 0), ("net-0", 5), ("net-9", 9), ("net-1", 1)):
        parts.gathering.answer(name, value)
    parts.turn()
    assert parts.results == [{"net-0": 0, "net-1": 1}]


def test_without_parts_it_ends_at_once() -> None:
    assert Parts().results == [{}]
