"""The question `sources`: what each net thread waits for besides connections.

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
    for source in list(engine.sources.values()):
        yield {
            "number": source.number,
            "kind": type(source).__name__,
            "name": source.name,
            "detail": source.detail,
            "age": round(engine.now - source.opened_at, 3),
            "enabled": source.enabled,
            "priority": source.priority,
            "delays_stop": source.delays_stop,
        }
    for name, since in engine.pending_calls.waiting():
        yield {
            "number": 0,
            "kind": "call",
            "name": name,
            "detail": "",
            "age": round(engine.now - since, 3),
            "enabled": True,
            "priority": 100,
            "delays_stop": False,
        }


SOURCES: Final = Question(
    "sources",
    "What each net thread waits for besides connections: files, children, timers, calls.",
    (
        Column("number", "Its number in the net thread; 0: it is a call."),
        Column("kind", 'Its class, such as "ChildProcess"; "call": code in another thread.'),
        Column("name", "Its name."),
        Column("detail", "What else identifies it: a path, an address, a process id."),
        Column("age", "How long it is open.", "s"),
        Column("enabled", "Whether its events are delivered."),
        Column("priority", "The lower, the earlier its events are delivered."),
        Column("delays_stop", "Whether a proxy that drains waits for its end."),
    ),
    _rows,
)
"""The question."""
