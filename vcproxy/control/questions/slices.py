"""Slices: makes the rows of one net thread, a few in each of its turns.

A net thread with ten thousand connections must not stop to list them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine

SLICE: Final = 25
"""Rows, or things that were looked at, in one turn: at most 2 ms (measured: `show-conns` of
tests/bench)."""


class Slices:
    """The rows of one net thread. They are made from the first turn after `start` on."""

    def __init__(
        self,
        engine: Engine,
        rows: Iterator[dict[str, Any] | None],
        take: Callable[[list[dict[str, Any]]], bool],
        done: Callable[[Exception | None], None],
    ) -> None:
        """Make rows later.

        Args:
            engine: the engine of the net thread.
            rows: yields them. See Rows.
            take: gets those of each turn, on that thread; returns whether more are wanted.
            done: called there once, after the last, or with the exception that `rows` has raised.
        """
        self._engine = engine
        self._rows = rows
        self._take = take
        self._done = done

    def start(self) -> None:
        """Begin. Any thread may call it."""
        self._engine.inbox.feed(self._turn)

    def _turn(self) -> None:
        error: Exception | None = None
        steps: list[dict[str, Any] | None] = []
        try:
            steps.extend(islice(self._rows, SLICE))
            more = self._take([each for each in steps if each is not None])
        except Exception as mistake:  # it must not end the net thread
            error, more = mistake, False
        if more and len(steps) == SLICE:
            self._engine.inbox.feed(self._turn)
        else:
            self._done(error)
