"""The question `threads`: how much each net thread has to do.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Question

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row]:
    engine = asked.engine
    average, longest = asked.running.lag(engine.name)
    yield {
        "turns": engine.turns,
        "lag": round(longest, 6),
        "average_lag": round(average, 6),
        "connections": len(engine.vcs),
        "accepted_or_opened": engine.vc_count,
        "timers": len(engine.timers),
        "sources": len(engine.sources),
        "calls": len(engine.pending_calls),
        "refused_messages": engine.refused.count,
    }


THREADS: Final = Question(
    "threads",
    "Each net thread: its load, and how late it handles events.",
    (
        Column("turns", "Turns of its loop so far."),
        Column("lag", "The longest time that an event has waited, in the last second.", "s"),
        Column("average_lag", "The average of these times.", "s"),
        Column("connections", "Open connections, to clients and to servers."),
        Column("accepted_or_opened", "Connections that it has had so far."),
        Column("timers", "Timers that are set, or were cancelled lately."),
        Column("sources", "Open sources of events."),
        Column("calls", "Calls in other threads that have not returned."),
        Column("refused_messages", "Messages that it has refused so far."),
    ),
    _rows,
)
"""The question."""
