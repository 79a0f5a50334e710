"""Numbers: whole numbers as a configuration lists them, in ranges.

A value. Tested in tests/config/test_numbers.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NUMBER = r"\s*(0x[0-9a-f]{1,7}|\d{1,9})\s*"
_RANGE = re.compile(rf"{_NUMBER}(?:-{_NUMBER})?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A set of whole numbers, kept as ranges."""

    ranges: tuple[range, ...]
    """In ascending order, with a gap between each two."""

    @classmethod
    def parse(cls, text: str) -> Numbers:
        """Read numbers and ranges with their last number, as "1-9, 0x14". Raises ValueError."""
        found = sorted((_range(each) for each in text.split(",")), key=lambda each: each.start)
        joined = [found[0]]
        for each in found[1:]:
            last = joined[-1]
            if each.start <= last.stop:
                joined[-1] = range(last.start, max(last.stop, each.stop))
            else:
                joined.append(each)
        return cls(tuple(joined))

    def __contains__(self, number: int) -> bool:
        return any(number in each for each in self.ranges)

    def __iter__(self) -> Iterator[int]:
        return (number for each in self.ranges for number in each)

    def include(self, numbers: range) -> bool:
        """Return whether all of a range, of step 1, are among them; also if it is empty."""
        if not numbers:
            return True
        return any(
            each.start <= numbers.start and numbers.stop <= each.stop for each in self.ranges
        )

    def include_all(self, numbers: Numbers) -> bool:
        """Return whether all of them are among these."""
        return all(self.include(each) for each in numbers.ranges)

    def __str__(self) -> str:
        return ", ".join(
            str(each.start) if len(each) == 1 else f"{each.start}-{each[-1]}"
            for each in self.ranges
        )


def _range(text: str) -> range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text.strip()}" is no number, and no range of numbers such as "1-9"')
    first, last = _number(match[1]), _number(match[2] or match[1])
    if first > last:
        raise ValueError(f'"{text.strip()}" ends before it begins: write "{last}-{first}"')
    return range(first, last + 1)


def _number(text: str) -> int:
    return int(text, 16 if text[:2].lower() == "0x" else 10)
