"""Gathering: waits for the answers of several parts of a proxy, but not longer than a limit.

A net thread or a worker that is busy or hangs must not delay the answers about the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Generic, TypeVar

T = TypeVar("T")

ANSWER_S: Final = 1.0
"""How long a part of the proxy may take to answer: a thread that turns takes milliseconds, and an
operator asks again after some seconds."""


class Gathering(Generic[T]):
    """One answer from each part, by its name. All but `answer` belongs to one thread."""

    def __init__(
        self,
        names: Iterable[str],
        then: Callable[[dict[str, T | None]], None],
        *,
        feed: Callable[[Callable[[], None]], None],
        after: Callable[[float, Callable[[], None]], None],
        limit_s: float = ANSWER_S,
    ) -> None:
        """Wait for the answers.

        Args:
            names: the parts.
            then: called once, with the answers; None: none has come within `limit_s`.
            feed: makes a call in the thread of this object, and may be called in any thread.
            after: makes a call there after a time.
        """
        self._answers: dict[str, T | None] = dict.fromkeys(names)
        self._missing = set(self._answers)
        self._then = then
        self._feed = feed
        self._done = False
        if self._missing:
            after(limit_s, self._finish)
        else:
            self._finish()

    def answer(self, name: str, value: T) -> None:
        """Give the answer of a part. Any thread may call it."""
        self._feed(partial(self._answered, name, value))

    def _answered(self, name: str, value: T) -> None:
        if name in self._missing and not self._done:
            self._missing.remove(name)
            self._answers[name] = value
            if not self._missing:
                self._finish()

    def _finish(self) -> None:
        if not self._done:
            self._done = True
            self._then(self._answers)
