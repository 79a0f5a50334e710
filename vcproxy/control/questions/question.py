"""Question: what a running proxy can be asked, with the columns of its rows.

Tested in tests/control/questions/test_table.py.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from vcproxy.control.questions.running import Running
    from vcproxy.engine.engine import Engine

LIMIT: Final = "limit"
"""The argument that every question has: the most rows, 0 for all."""


class Merged(enum.Enum):
    """What a column has where rows of several net threads are about one thing."""

    FIRST = "first"
    """The first value that is not empty: it is the same in all."""
    SUM = "sum"
    """Their sum."""
    MOST = "most"
    """The largest."""
    LEAST = "least"
    """The smallest."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the rows of a question."""

    name: str
    doc: str
    """One line about it."""
    unit: str = ""
    """ "s", "bytes", "bytes/s", "unix" (seconds since 1970), "days"; "": a text or a plain
    number."""
    merged: Merged = Merged.FIRST


@dataclass(frozen=True, slots=True)
class Argument:
    """What a question can be given beside LIMIT and the columns, by which any is filtered."""

    name: str
    doc: str


class Of(enum.Enum):
    """What is asked."""

    THREAD = "thread"
    """Every net thread, about what belongs to it."""
    PROCESS = "process"
    """The first net thread of the process."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as one net thread gets it."""

    engine: Engine
    running: Running
    arguments: Mapping[str, str]

    @property
    def first(self) -> bool:
        """Whether this is the first net thread of its process."""
        return self.engine is self.running.engines[0]


Rows: TypeAlias = Callable[[Asked], Iterator[dict[str, Any] | None]]
"""Yields the rows, and None for each thing that was looked at and is no row, so that it counts as
work. It runs on the net thread, a few steps in each turn. What may change meanwhile, it copies
first: `list(engine.vcs)`; and what was copied may have ended when its turn comes."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question."""

    name: str
    doc: str
    """One line about it, for help."""
    columns: tuple[Column, ...]
    """The columns that every row has, beside "worker" and "thread"."""
    rows: Rows
    of: Of = Of.THREAD
    key: tuple[str, ...] = ()
    """The columns that identify one thing of which every net thread may have a row: these become
    one row, without "thread". Empty: no rows are merged."""
    arguments: tuple[Argument, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of all columns of its rows."""
        thread = () if self.key or self.of is Of.PROCESS else ("thread",)
        return ("worker", *thread, *(each.name for each in self.columns))
