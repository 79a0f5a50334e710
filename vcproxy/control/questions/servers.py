"""The question `servers`: each server of each upstream, and its state.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Merged, Question

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked
    from vcproxy.upstream.server import Server


def _rows(asked: Asked) -> Iterator[Row | None]:
    now = asked.engine.now
    for upstream in asked.running.listeners.upstreams.of(asked.engine):
        servers = list(upstream.servers)
        received = {server: server.bytes_read for server in servers}
        sent = {server: server.bytes_written for server in servers}
        for vc, server in upstream.connected:
            yield None
            if server in received:  # a reload may have removed it
                received[server] += vc.bytes_read
                sent[server] += vc.bytes_written
        for server in servers:
            yield {
                "upstream": upstream.name,
                "server": server.name,
                "state": server.state,
                "weight": server.weight,
                "backup": server.backup,
                "up": int(server.up),
                "threads": 1,
                "down": _why_down(server),
                "connections": server.connections,
                "idle": len(server.idle),
                "bytes_in": received[server],
                "bytes_out": sent[server],
                "failures": max(server.failures, server.refusals),
                "ejected": round(max(server.ejected_until - now, 0.0), 3) if server.ejected else 0,
                "check": server.last_check,
                "connects": server.connects,
                "connect_failures": server.connect_failures,
                "answered": server.answered,
                "request_failures": server.request_failures,
                "times_ejected": server.times_ejected,
            }


def _why_down(server: Server) -> str:
    if not server.healthy:
        return f"its health check: {server.last_check}"
    if server.ejected:
        return f"ejected after failed {server.suspect}"
    return "" if server.up else "on trial after its ejection"


SERVERS: Final = Question(
    "servers",
    "Each server of each upstream: what was decided about it, and how it is.",
    (
        Column("upstream", "The name of its upstream."),
        Column("server", "Its name, which `server` takes: its address."),
        Column("state", 'What an operator has decided: "ready", "drain" or "maint".'),
        Column("weight", "Its share of the connections."),
        Column("backup", "Whether it is used only while no other is up."),
        Column("up", "Net threads for which it is up, in any `state`.", merged=Merged.SUM),
        Column("threads", "Net threads that use it.", merged=Merged.SUM),
        Column("down", "Why it is down; empty: it is up for all."),
        Column("connections", "Connections being made, used or idle.", merged=Merged.SUM),
        Column("idle", "Of these: idle ones.", merged=Merged.SUM),
        Column("bytes_in", "Read from it since it is known.", "bytes", Merged.SUM),
        Column("bytes_out", "Written to it since it is known.", "bytes", Merged.SUM),
        Column("failures", "Connections or requests in a row that failed.", merged=Merged.MOST),
        Column("ejected", "How long it is still ejected; 0: it is not.", "s", Merged.MOST),
        Column("check", "The last result of its health check; empty: there was none."),
        Column("connects", "Connections that were begun so far.", merged=Merged.SUM),
        Column("connect_failures", "Of these: could not be made.", merged=Merged.SUM),
        Column("answered", "Requests that it has answered.", merged=Merged.SUM),
        Column("request_failures", "Requests that failed.", merged=Merged.SUM),
        Column("times_ejected", "How often it was ejected.", merged=Merged.SUM),
    ),
    _rows,
    key=("upstream", "server"),
)
"""The question."""
