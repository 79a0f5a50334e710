"""The question `process`: each process of the proxy, its threads, and the last reload.

Tested in tests/e2e/test_questions.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Of, Question

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row]:
    yield dict(asked.running.process())


PROCESS: Final = Question(
    "process",
    "Each process of the proxy: its age, its load, and its last reload.",
    (
        Column("role", 'What it does: "proxy", "master" or "worker".'),
        Column("pid", "Its process id."),
        Column("version", "The version of vcproxy."),
        Column("state", 'What it does now: "serving", "draining", "reloading" and so on.'),
        Column("uptime", "How long it runs.", "s"),
        Column("configuration", "The configuration file."),
        Column("generation", "How often a configuration was put in use: 1 after the start."),
        Column("reloaded_at", "When a configuration was last put in use or refused.", "unix"),
        Column("reload_error", 'Why the last reload was refused; "": it was not.'),
        Column("connections", "Open connections, to clients and to servers."),
        Column("children", "Child processes that run."),
        Column("lag", "The longest time that an event has waited, in the last second.", "s"),
        Column("threads", 'The lag of each net thread, such as "net-0 0.0012".'),
        Column("dropped_log_lines", "Lines of the log and of access logs that were dropped."),
    ),
    _rows,
    of=Of.PROCESS,
)
"""The question."""
