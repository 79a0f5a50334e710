"""server_nodes: the servers of each upstream. Tested in tests/control/dashboard/test_picture.py."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.control.dashboard.nodes import Action, Group, Level, Node, bounded, brief, worst

if TYPE_CHECKING:
    from vcproxy.control.dashboard.samples import Rates, Row, Sample

KEY = ("upstream", "server")


def server_nodes(now: Sample, rates: Rates, most: int) -> list[Node]:
    """Return a node for each server, those of an upstream in one group. `most`: see `bounded`."""
    found: dict[str, dict[str, list[Row]]] = {}
    for row in now.of("servers"):
        found.setdefault(row["upstream"], {}).setdefault(row["server"], []).append(row)
    moved = rates.of("servers", KEY, "bytes_in", "bytes_out")
    waiting = now.sums("queues", ("upstream",), ("waiting",))
    nodes: list[Node] = []
    for upstream, servers in found.items():
        made = [
            _node(upstream, server, rows, moved[(upstream, server)])
            for server, rows in servers.items()
        ]
        usable = sum(node.level in ("good", "idle") for node in made)
        note = f"{usable} of {len(made)} ready"
        if waiting.get((upstream,)):
            note += f" · {waiting[(upstream,)]} wait in the queue"
        group = Group(f"upstream {upstream}", upstream, note)
        for node in made:
            node.group = group
        nodes += bounded(made, partial(_rest, group), most)
    return nodes


def _node(upstream: str, server: str, rows: Sequence[Row], moved: float) -> Node:
    connections, idle = sum(row["connections"] for row in rows), sum(row["idle"] for row in rows)
    level, state, problem = _judged(upstream, server, rows)
    if level == "good" and not moved:
        level = "idle"
    row = rows[0]
    return Node(
        id=f"server {upstream} {server}",
        kind="server",
        column=2,
        name=brief(server),
        level=level,
        state=state,
        note="backup" if row["backup"] else "",
        rate=moved,
        figures=[("in use", connections - idle, ""), ("idle", idle, "")],
        facts=[
            ("address", server, ""),
            ("upstream", upstream, ""),
            ("weight", row["weight"], ""),
            ("connections", connections, ""),
            ("idle in the pool", idle, ""),
            ("health check", row["check"] or "none", ""),
            ("failures in a row", max(each["failures"] for each in rows), ""),
            ("ejected for another", max(each["ejected"] for each in rows) or None, "s"),
        ],
        problem=problem,
        actions=[
            _set(upstream, server, "ready", "Use this server again"),
            _set(upstream, server, "drain", "No new connections; those that are open go on"),
            _set(upstream, server, "maint", "No connections, and no health checks", sure=True),
        ],
        connections={"kind": "client", "server": server},
    )


def _judged(upstream: str, server: str, rows: Sequence[Row]) -> tuple[Level, str, str]:
    """Return the level, the state and the problem of a server, from the rows of all workers."""
    states = [row["state"] for row in rows]
    for state in ("maint", "drain"):
        if state in states:
            return "off", state, ""
    threads, up = sum(row["threads"] for row in rows), sum(row["up"] for row in rows)
    if up >= threads:
        return "good", "", ""
    why = next((f": {row['down']}" for row in rows if row["down"]), "")
    where = f" for {threads - up} of {threads} net threads" if up else ""
    text = f"{brief(server)} of {upstream} is down{where}{why}"
    return ("warn" if up else "bad"), "down", text


def _set(upstream: str, server: str, state: str, about: str, *, sure: bool = False) -> Action:
    name = f"{upstream}/{server}"
    return Action(state, about, "SERVER", {"name": name, "state": state}, sure)


def _rest(group: Group, nodes: Sequence[Node]) -> Node:
    """Return one node for those that have no place of their own."""
    return Node(
        id=f"{group.id} others",
        kind="servers",
        column=2,
        name=f"{len(nodes)} more",
        level=worst(node.level for node in nodes),
        note="all others together",
        rate=sum(node.rate or 0.0 for node in nodes),
        facts=[("with problems", sum(bool(node.problem) for node in nodes), "")],
        group=group,
    )
