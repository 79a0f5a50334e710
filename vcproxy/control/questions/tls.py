"""The question `tls`: the TLS contexts in use, their files, and until when they are valid.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Of, Question

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked

DAY_S: Final = 86400.0


def _rows(asked: Asked) -> Iterator[Row]:
    plan = asked.running.listeners.planned
    wall = asked.engine.wall
    for context in () if plan is None else plan.contexts:
        for path in context.digests:
            facts = context.certificates.get(path)
            until = None if facts is None else facts.not_after
            yield {
                "context": context.name,
                "listeners": list(context.listeners),
                "file": str(path),
                "subject": "" if facts is None else facts.subject,
                "names": [] if facts is None else list(facts.names),
                "not_after": until,
                "days_left": None if until is None else round((until - wall) / DAY_S, 2),
                "refused": context.refused,
            }


TLS: Final = Question(
    "tls",
    "Each file of each TLS context in use, and until when its certificate is valid.",
    (
        Column("context", 'What uses it: a listener, or "upstream.NAME".'),
        Column("listeners", "The listeners that use it; empty: connections to servers do."),
        Column("file", "The file, as it was when the context was made."),
        Column("subject", "The subject of its first certificate; empty: it has none."),
        Column("names", "The names that this certificate is valid for."),
        Column("not_after", "When it ends.", "unix"),
        Column("days_left", "How long that is from now.", "days"),
        Column("refused", "Why the files, which have changed, are not used; empty: they are."),
    ),
    _rows,
    of=Of.PROCESS,
)
"""The question."""
