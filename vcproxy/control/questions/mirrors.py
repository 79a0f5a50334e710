"""The question `mirrors`: the servers that get copies of requests.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from vcproxy.control.questions.question import Column, Merged, Question
from vcproxy.control.questions.walk import machines
from vcproxy.mirror.target import MirrorTarget

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked

COUNTED: Final = ("followed", "lost", "dropped", "differences", "not_compared")
"""What a service counts for each of its mirrors."""


def _rows(asked: Asked) -> Iterator[Row | None]:
    engine = asked.engine
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, service in asked.running.listeners.services_of(engine):
        for counted, count in list(service.counts.items()):
            what, _, mirror = counted.partition(" ")
            if mirror and what in COUNTED:
                _of(found, name, mirror)[what] = count
    for machine in machines(asked):
        yield None
        if isinstance(machine, MirrorTarget) and not machine.state.final:
            row = _of(found, machine.listener, str(machine.address))
            row["open"] += 1
            row["lag"] = max(row["lag"], machine.lag)
    yield from found.values()


def _of(found: dict[tuple[str, str], dict[str, Any]], listener: str, mirror: str) -> dict[str, Any]:
    zeros = dict.fromkeys(("open", "lag", *COUNTED), 0)
    return found.setdefault((listener, mirror), {"listener": listener, "mirror": mirror, **zeros})


MIRRORS: Final = Question(
    "mirrors",
    "Each server that gets copies of requests: how far it is behind, and how it differs.",
    (
        Column("listener", "The listener whose requests are copied."),
        Column("mirror", "The address of the mirror."),
        Column("open", "Conversations that it gets a copy of now.", merged=Merged.SUM),
        Column("lag", "The most that waits for it in one of them.", "bytes", Merged.MOST),
        Column("followed", "Conversations that it has got to their end.", merged=Merged.SUM),
        Column("lost", "Conversations that it has left early.", merged=Merged.SUM),
        Column("dropped", "Messages that were dropped for it.", merged=Merged.SUM),
        Column("differences", "Replies that differed from the primary's.", merged=Merged.SUM),
        Column("not_compared", "Replies that could not be compared.", merged=Merged.SUM),
    ),
    _rows,
    key=("listener", "mirror"),
)
"""The question."""
