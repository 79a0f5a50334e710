"""Outcomes: who is to be given the result of a reload or a restart of the master.

Tested in tests/workers/test_questions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Outcome: TypeAlias = Callable[[str], None]
"""Called with why something was not done; "": it was."""


class Outcomes:
    """Those who wait for the next run of something, and for the one that goes on."""

    def __init__(self) -> None:
        self._next: list[Outcome] = []
        self._current: list[Outcome] = []
        self.failure = ""
        """Why the last run has failed; "": it has not."""

    def add(self, then: Outcome) -> None:
        """Give the result of the next run that begins to a function."""
        self._next.append(then)

    def begin(self) -> None:
        """A run begins: it is the one that all so far have waited for."""
        self._current += self._next
        self._next = []

    def finish(self, failure: str) -> None:
        """The run has ended: why it has failed, or ""."""
        self.failure = failure
        waiting, self._current = self._current, []
        for then in waiting:
            then(failure)

    def close(self, reason: str) -> None:
        """No further run begins or ends, because of `reason`."""
        self.begin()
        waiting, self._current = self._current, []
        for then in waiting:
            then(reason)
