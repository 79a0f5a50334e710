"""The question `settings`: the configuration in use, key by key.

Tested in tests/e2e/test_check_before_reload.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Of, Question

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row]:
    if not asked.running.worker:  # workers have shares; their master has the whole
        yield from asked.running.setting_rows()


SETTINGS: Final = Question(
    "settings",
    "The configuration in use: each key with its value, without secrets.",
    (
        Column("table", 'The table: "proxy", "listener", "upstream" and so on.'),
        Column("name", "The name of the listener or upstream; empty in other tables."),
        Column("key", "The key, with those of tables inside the table before it."),
        Column("value", "Its value as JSON. That of a plugin has a digest of the plugin's code."),
    ),
    _rows,
    of=Of.PROCESS,
)
"""The question."""
