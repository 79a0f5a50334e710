"""The question `upstreams`: each upstream with what it has and what waits for it.

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
    for upstream in asked.running.listeners.upstreams.of(asked.engine):
        servers, settings = list(upstream.servers), upstream.settings
        up = [each for each in servers if each.up and each.serves]
        yield {
            "upstream": upstream.name,
            "balance": settings.balance,
            "servers": len(servers),
            "up": len(up),
            "connections": sum(each.connections for each in servers),
            "idle": sum(len(each.idle) for each in servers),
            "waiting": len(upstream.queue.waiting),
            "max_connections": settings.max_connections,
        }


UPSTREAMS: Final = Question(
    "upstreams",
    "Each upstream: its servers, its connections, and what waits for one.",
    (
        Column("upstream", "Its name."),
        Column("balance", "How its servers are chosen."),
        Column("servers", "Its servers, with all addresses of names.", merged=Merged.MOST),
        Column("up", "Of these: servers that get new connections.", merged=Merged.LEAST),
        Column("connections", "Connections that are being made, used or idle.", merged=Merged.SUM),
        Column("idle", "Of these: idle ones.", merged=Merged.SUM),
        Column("waiting", "Connections that wait in its queue.", merged=Merged.SUM),
        Column("max_connections", "The most for each server and net thread; 0: no limit."),
    ),
    _rows,
    key=("upstream",),
)
"""The question."""
