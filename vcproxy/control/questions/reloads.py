"""The question `reloads`: what the last reload has done with each listener and upstream.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Of, Question

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row]:
    yield from asked.running.reload_rows()


RELOADS: Final = Question(
    "reloads",
    "What the last reload has done with each listener, each upstream and other keys.",
    (
        Column("kind", '"configuration", the whole file; "listener", "upstream" or another "key".'),
        Column("name", "Its name."),
        Column(
            "result",
            '"new", "changed", "unchanged", "removed"; "kept": the file was refused. Of the file: '
            '"used" or "refused". Of a key: "changed" or "restart needed".',
        ),
        Column("keys", "Of one that has changed, the keys with other values."),
        Column("at", "When; 0: there was no reload.", "unix"),
        Column("generation", "How often a configuration was put in use: 1 after the start."),
        Column("error", "Why it was refused; empty: it was not."),
    ),
    _rows,
    of=Of.PROCESS,
)
"""The question."""
