"""The question `errors`: the last messages that were refused, with the bad byte.

As `show errors` of HAProxy. Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Question

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row]:
    now = asked.engine.now
    for each in asked.engine.refused:
        yield {
            "number": each.number,
            "at": each.wall,
            "age": round(now - each.now, 3),
            "kind": each.kind,
            "listener": each.listener,
            "client": each.client,
            "server": each.server,
            "reason": each.reason,
            "size": each.size,
            "position": each.position,
            "begin": each.begin,
            "text": each.text,
            "mark": each.mark,
        }


ERRORS: Final = Question(
    "errors",
    "The last messages that each net thread has refused, the oldest first.",
    (
        Column("number", "Its number among those that the net thread has refused."),
        Column("at", "When.", "unix"),
        Column("age", "How long ago.", "s"),
        Column("kind", 'What was refused, as "http request".'),
        Column("listener", "The listener; empty: none."),
        Column("client", "The connection of the client."),
        Column("server", "The connection of the server that has sent it; empty: the client has."),
        Column("reason", "Why it was refused."),
        Column("size", "Its size, as far as it was received.", "bytes"),
        Column("position", "The index of the first bad byte; null: no single byte is bad."),
        Column("begin", "The index in the message at which `text` begins."),
        Column("text", "A piece of it, with escapes for all that is not printable ASCII."),
        Column("mark", "The index in `text` of the bad byte; null: it is not there."),
    ),
    _rows,
)
"""The question."""
