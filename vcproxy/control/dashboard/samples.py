"""Sample: what a proxy has answered at one moment; Rates: what has changed between two of them.

Tested in tests/control/dashboard/test_picture.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""A row of a question: see vcproxy.control.questions."""

QUESTIONS: Final = (
    "process",
    "listeners",
    "flows",
    "servers",
    "queues",
    "sinks",
    "mirrors",
    "splits",
    "memory",
    "tls",
    "errors",
)
"""What a sample asks."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The answers of one moment."""

    at: float
    """When the last answer came, in seconds of a clock that only goes forward."""
    rows: Mapping[str, Sequence[Row]]
    """The rows of each question."""
    missing: Sequence[str] = field(default=())
    """What has not answered, in plain text."""

    def of(self, question: str) -> Sequence[Row]:
        """Return the rows of a question; none if it was not answered."""
        return self.rows.get(question, ())

    def sums(
        self, question: str, key: Sequence[str], columns: Sequence[str]
    ) -> dict[tuple[Any, ...], int]:
        """Return the sum of some columns for each thing, over all threads and workers."""
        found: dict[tuple[Any, ...], int] = {}
        for row in self.of(question):
            name = tuple(row[each] for each in key)
            found[name] = found.get(name, 0) + sum(row[each] or 0 for each in columns)
        return found


class Rates:
    """How fast counts have grown between two samples; without the earlier one, not at all."""

    def __init__(self, before: Sample | None, now: Sample) -> None:
        self._before = before
        self._now = now
        self.seconds = 0.0 if before is None else now.at - before.at
        """The time between the samples."""

    def of(self, question: str, key: Sequence[str], *columns: str) -> dict[tuple[Any, ...], float]:
        """Return how much some columns together have grown, for each thing and second.

        A count that has become less has begun anew, as in a worker that was replaced: it has not
        grown.
        """
        now = self._now.sums(question, key, columns)
        if self._before is None or self.seconds <= 0.0:
            return dict.fromkeys(now, 0.0)
        before = self._before.sums(question, key, columns)
        return {
            name: max(0, count - before.get(name, count)) / self.seconds
            for name, count in now.items()
        }
