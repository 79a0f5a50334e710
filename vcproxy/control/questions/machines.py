"""The question `machines`: how many machines of each class are in which state.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Merged, Question
from vcproxy.control.questions.walk import machines

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row | None]:
    counts: Counter[tuple[str, str]] = Counter()
    for machine in machines(asked):
        if machine is not None:
            counts[type(machine).__qualname__, machine.state.name] += 1
        yield None
    for (kind, state), count in sorted(counts.items()):
        yield {"machine": kind, "state": state, "count": count}


MACHINES: Final = Question(
    "machines",
    "Each state in which machines are, of sessions, tunnels, programs and exchanges.",
    (
        Column("machine", "The class."),
        Column("state", "The state."),
        Column("count", "How many are in it.", merged=Merged.SUM),
    ),
    _rows,
    key=("machine", "state"),
)
"""The question."""
