"""The question `pools`: the idle connections that are kept for the next request.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Merged, Question
from vcproxy.upstream.pool import ConnectionPool

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked


def _rows(asked: Asked) -> Iterator[Row | None]:
    engine = asked.engine
    upstreams = {each.pool: each for each in asked.running.listeners.upstreams.of(engine)}
    idle: dict[tuple[str, str], list[float]] = {}
    most: dict[str, int] = {}
    for vc in list(engine.vcs):
        yield None
        pool = None if vc.read_vio is None else vc.read_vio.cont
        if isinstance(pool, ConnectionPool) and vc in pool.servers:
            upstream = upstreams.get(pool)
            name = "" if upstream is None else upstream.name
            most[name] = pool.settings.idle
            idle.setdefault((name, pool.servers[vc].name), []).append(vc.moved_at)
    for (name, server), moved_at in sorted(idle.items()):
        yield {
            "upstream": name,
            "server": server,
            "idle": len(moved_at),
            "longest": round(engine.now - min(moved_at), 3),
            "most": most[name],
        }


POOLS: Final = Question(
    "pools",
    "Idle connections to servers, kept for the next request.",
    (
        Column("upstream", "The upstream; empty: a server that a client has named."),
        Column("server", "The server."),
        Column("idle", "How many are idle.", merged=Merged.SUM),
        Column("longest", "How long the longest of them is idle.", "s", Merged.MOST),
        Column("most", "The most idle ones for each server and net thread."),
    ),
    _rows,
    key=("upstream", "server"),
)
"""The question."""
