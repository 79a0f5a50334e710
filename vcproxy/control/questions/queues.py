"""The question `queues`: connections that wait until a server has room.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Merged, Question

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row]:
    now = asked.engine.now
    for upstream in asked.running.listeners.upstreams.of(asked.engine):
        queue, settings = upstream.queue, upstream.settings.queue
        first = queue.first
        yield {
            "upstream": upstream.name,
            "waiting": len(queue.waiting),
            "longest": 0.0 if first is None else round(now - first.outgoing.created_at, 3),
            "size": settings.size,
            "timeout": settings.timeout,
            "added": queue.added,
            "refused": queue.refused,
            "timed_out": queue.timed_out,
        }


QUEUES: Final = Question(
    "queues",
    "The queue of each upstream, for connections that wait until a server has room.",
    (
        Column("upstream", "The name of the upstream."),
        Column("waiting", "How many wait.", merged=Merged.SUM),
        Column("longest", "How long the first of them waits.", "s", Merged.MOST),
        Column("size", "The most that may wait in each net thread."),
        Column("timeout", "How long one may wait; 0: no limit.", "s"),
        Column("added", "Connections that had to wait so far.", merged=Merged.SUM),
        Column("refused", "Connections that found the queue full.", merged=Merged.SUM),
        Column("timed_out", "Connections that waited for too long.", merged=Merged.SUM),
    ),
    _rows,
    key=("upstream",),
)
"""The question."""
