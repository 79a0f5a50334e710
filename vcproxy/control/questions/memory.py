"""The question `memory`: what the memory budget of each net thread is used for.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Question

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row | None]:
    engine = asked.engine
    tls = held = 0
    seen: dict[int, object] = {}
    for vc in list(engine.vcs):
        yield None
        tls += vc.tls_size
        if id(vc.mutex) not in seen:
            seen[id(vc.mutex)] = vc.mutex
            held += vc.mutex.held_bytes
    memory = engine.memory
    yield {
        "budget": memory.budget,
        "used": memory.used,
        "buffers": max(memory.used - tls - held, 0),
        "held": held,
        "tls": tls,
        "paused": memory.spent,
        "resident": asked.running.resident() if asked.first else 0,
    }


MEMORY: Final = Question(
    "memory",
    "The memory budget of each net thread, and what it is used for.",
    (
        Column("budget", "What it may use for data of connections.", "bytes"),
        Column("used", "What it uses.", "bytes"),
        Column("buffers", "Of this: data in buffers.", "bytes"),
        Column("held", "Of this: what sessions hold, such as incomplete messages.", "bytes"),
        Column("tls", "Of this: the TLS of connections, at a fixed size for each.", "bytes"),
        Column("paused", "Whether reading pauses, because the budget is used up."),
        Column("resident", "The memory of the process, at its first net thread.", "bytes"),
    ),
    _rows,
)
"""The question."""
