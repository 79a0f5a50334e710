"""Ranges: the parts of a file that a request asks for (RFC 9110, 14).

Tested in tests/http/files/test_ranges.py.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MOST_RANGES = 16
"""Ranges of one request: players and download managers ask for one, PDF viewers for a few. Of more,
the whole file is sent, as RFC 9110, 14.2 allows."""

_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
_DIGITS = 18
"""Digits of the largest number that is read: no file is as large."""


class ByteRange(NamedTuple):
    """A part of a file."""

    start: int
    stop: int
    """The position behind its last byte."""

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """Return its Content-Range, in a file of this size."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def read_ranges(value: str, size: int) -> list[ByteRange] | None:
    """Return the ranges that a Range field asks for, of a file of `size` bytes, in its order.

    None: send the whole file: the unit is another one, the syntax is wrong, or there are too many
    ranges, or they are longer than the file in all, as where they overlap (nginx does the same).
    An empty list: none of them is inside the file (416).
    """
    unit, equals, wanted = value.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    specs = [each.strip(" \t") for each in wanted.split(",")]
    specs = [each for each in specs if each]  # RFC 9110, 5.6.1.2: empty elements are ignored
    if not specs or len(specs) > MOST_RANGES:
        return None
    found: list[ByteRange] = []
    for spec in specs:
        match = _RANGE.fullmatch(spec)
        if match is None or spec == "-":
            return None
        first, last = match.groups()
        if not first:
            start, stop = max(size - _number(last), 0), size
        else:
            start = _number(first)
            stop = size if not last else min(_number(last) + 1, size)
            if last and _number(last) < start:
                return None
        if start < stop:
            found.append(ByteRange(start, stop))
    if sum(each.size for each in found) > size:
        return None
    return found


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS
