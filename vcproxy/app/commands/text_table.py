"""TextTable: rows of a question as a table for people, and one row as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from vcproxy.engine.units import rounded_size
from vcproxy.printable_text import printable

Row = Mapping[str, Any]

NOTHING: Final = "-"
"""What stands for no value, so that each line has the same number of words."""

GAP: Final = 2
"""Spaces between two columns."""

LONGEST: Final = 60
"""Characters of a value, beyond which it is cut in a table that has a width."""


class TextTable:
    """A table of some columns; numbers are on the right."""

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Row], units: Mapping[str, str]
    ) -> None:
        """`units`: of columns, as in Column."""
        self._columns = list(columns)
        self._cells = [
            [shown_value(row.get(each), units.get(each, "")) for each in columns] for row in rows
        ]
        self._right = {each for each in columns if _all_numbers(row.get(each) for row in rows)}

    def lines(self, width: int | None = None) -> tuple[list[str], list[str]]:
        """Return the lines, and the columns that did not fit into `width` characters.

        None: as wide as it gets.
        """
        cells = self._cells if width is None else [[*map(_cut, row)] for row in self._cells]
        sizes = [
            max(len(name), *(len(row[at]) for row in cells)) if cells else len(name)
            for at, name in enumerate(self._columns)
        ]
        fitting = len(sizes)
        if width is not None:
            while fitting > 1 and sum(sizes[:fitting]) + GAP * (fitting - 1) > width:
                fitting -= 1
        lines = [self._line(row[:fitting], sizes).rstrip() for row in ([*self._columns], *cells)]
        return lines, self._columns[fitting:]

    def _line(self, cells: Sequence[str], sizes: Sequence[int]) -> str:
        return (" " * GAP).join(
            cell.rjust(size) if name in self._right else cell.ljust(size)
            for name, cell, size in zip(self._columns, cells, sizes, strict=False)
        )


def details(columns: Sequence[str], row: Row, units: Mapping[str, str]) -> list[str]:
    """Return one row as lines, a value on each."""
    width = max(map(len, columns), default=0)
    lines = []
    for each in columns:
        first, *others = shown_value(row.get(each), units.get(each, ""), lines=True).split("\n")
        lines.append(f"{each:<{width}}  {first}".rstrip())
        lines += [f"{'':<{width}}  {other}" for other in others]
    return lines


def useful_columns(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Return the columns that tell something: those that have a value in any row; "worker" and
    "thread" only where rows differ in them."""
    found = []
    for each in columns:
        values = [row.get(each) for row in rows]
        if each in ("worker", "thread"):
            wanted = any(value != values[0] for value in values)
        else:
            wanted = any(value is not False and value not in (None, "", []) for value in values)
        if wanted:
            found.append(each)
    return found


def sorted_rows(rows: Sequence[Row], column: str, *, reverse: bool = False) -> list[Row]:
    """Return rows sorted by a column, large numbers first, then texts in their order; with
    `reverse` each the other way round. Rows without a value come last."""
    numbers = [row for row in rows if _is_number(row.get(column))]
    others = [row for row in rows if not _is_number(row.get(column))]
    texts = [row for row in others if row.get(column) not in (None, "", [])]
    numbers.sort(key=lambda row: row[column], reverse=not reverse)
    texts.sort(key=lambda row: str(row[column]), reverse=reverse)
    return numbers + texts + [row for row in others if row.get(column) in (None, "", [])]


def shown_value(value: object, unit: str = "", *, lines: bool = False) -> str:
    """Return a value as text without control characters; `lines`: it may have several."""
    if value is None or value == "" or value == []:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ("\n" if lines else ", ").join(shown_value(each, unit) for each in value)
    if isinstance(value, int | float):
        return _number(value, unit)
    text = printable(str(value))
    return text if lines else text.replace("\n", " ")


def _number(value: float, unit: str) -> str:
    if unit == "s":
        return shown_seconds(value)
    if unit == "bytes":
        return rounded_size(int(value))
    if unit == "bytes/s":
        return f"{rounded_size(int(value))}/s"
    if unit == "unix":
        return f"{datetime.fromtimestamp(value):%Y-%m-%d %H:%M:%S}" if value else NOTHING
    text = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f"{text} {unit}" if unit else text


def shown_seconds(seconds: float) -> str:
    """Return a duration, rounded: "4.1ms", "12.3s", "3m05s", "2h05m", "3d04h"."""
    if seconds < 1.0:
        return f"{seconds * 1000:.1f}ms".replace(".0ms", "ms")
    if seconds < 60.0:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 24 else f"{hours // 24}d{hours % 24:02d}h"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _all_numbers(values: Any) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(map(_is_number, found))
