"""Answer: the rows that a question has, from all net threads and workers.

Tested in tests/control/questions/test_asking.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from vcproxy.control.questions.question import LIMIT, Merged

if TYPE_CHECKING:
    from vcproxy.control.questions.question import Question

Row: TypeAlias = dict[str, Any]
"""One row: the name of each column, and its value: a text, a number, true, false or None, or a list
of these. Beside the columns of its question it has "worker", the number of the worker, 0 without
workers; and "thread", the name of its net thread, where it is about one only."""


@dataclass(slots=True)
class Answer:
    """What was asked, as far as it could be answered in time."""

    rows: list[Row] = field(default_factory=list)
    """The rows, by worker and thread. To encode many, encode a few at a time: the encoder holds the
    interpreter, and the net threads would wait for all of them."""
    missing: list[str] = field(default_factory=list)
    """What has not answered, or not completely, and why: one plain text for each."""
    error: str = ""
    """Why the question was refused: its name or an argument is wrong. "": it was not."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are wanted."""

    values: Mapping[str, str]
    """The value of each column that is filtered by."""
    limit: int
    """The most rows."""

    @classmethod
    def of(cls, question: Question, arguments: Mapping[str, str]) -> Filter:
        """Return the filter that the arguments of a question ask for. Raises ValueError."""
        values = dict(arguments)
        limit = values.pop(LIMIT, "0")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 10):
            raise ValueError(f"{question.name}: limit: `{limit[:20]}` is not a number of rows")
        own = {each.name for each in question.arguments}
        names = (*question.column_names, *sorted(own))
        for name in values:
            if name not in names:
                there_are = ", ".join((LIMIT, *names))
                text = f"{question.name}: there is no column or argument `{name[:40]}`"
                raise ValueError(f"{text}; there are {there_are}")
        return cls({name: text for name, text in values.items() if name not in own}, int(limit))

    def fits(self, row: Row) -> bool:
        """Whether a row has all values."""
        return all(_fits(row.get(name), wanted) for name, wanted in self.values.items())

    def cut(self, rows: list[Row]) -> list[Row]:
        """Return the first rows, as many as are wanted."""
        return rows[: self.limit] if self.limit else rows


def _fits(value: Any, wanted: str) -> bool:
    if isinstance(value, list):
        return any(_fits(each, wanted) for each in value)
    if isinstance(value, bool):
        return wanted.lower() == ("true" if value else "false")
    text = "" if value is None else str(value)
    if wanted.endswith("*"):
        return text.startswith(wanted[:-1])
    return text == wanted or text.startswith(wanted + ":")  # an address, with any port


def finished(
    question: Question, wanted: Filter, rows: Iterable[Row], missing: Sequence[str]
) -> Answer:
    """Return the answer that has the rows of all parts; rows of one thing become one row."""
    if question.key:
        rows = filter(wanted.fits, merged(question, rows))
    return Answer(wanted.cut(list(rows)), list(missing))


def merged(question: Question, rows: Iterable[Row]) -> Iterator[Row]:
    """Make one row of those with equal keys in one worker: see Column.merged."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = (row["worker"], *(row[name] for name in question.key))
        first = found.get(key)
        if first is None:
            found[key] = dict(row)
            continue
        for column in question.columns:
            first[column.name] = _MERGE[column.merged](first[column.name], row[column.name])
    yield from found.values()


def _sum(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other


def _most(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)


def _least(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else min(one, other)


def _first(one: Any, other: Any) -> Any:
    return other if one in (None, "", []) else one


_MERGE: Mapping[Merged, Callable[[Any, Any], Any]] = {
    Merged.SUM: _sum,
    Merged.MOST: _most,
    Merged.LEAST: _least,
    Merged.FIRST: _first,
}
