"""sink_nodes: sinks of relays, and mirrors. Tested in tests/control/dashboard/test_picture.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vcproxy.control.dashboard.nodes import Group, Level, Meter, Node, bounded, brief, worst

if TYPE_CHECKING:
    from vcproxy.control.dashboard.samples import Rates, Row, Sample

KEY = ("listener", "sink")


def sink_nodes(now: Sample, rates: Rates) -> list[Node]:
    """Return a node for each sink of a relay and each mirror, by listener."""
    return [
        *_nodes("sinks", "sink", now, rates),
        *_nodes("mirrors", "mirror", now, rates),
    ]


def _nodes(question: str, kind: str, now: Sample, rates: Rates) -> list[Node]:
    key = ("listener", kind)
    found: dict[str, dict[str, list[Row]]] = {}
    for row in now.of(question):
        found.setdefault(row["listener"], {}).setdefault(row[kind], []).append(row)
    sent = rates.of(question, key, "sent")
    drops = rates.of(question, key, "dropped_messages")
    nodes: list[Node] = []
    for listener, named in found.items():
        made = [
            _node(kind, listener, name, rows, sent[(listener, name)], drops[(listener, name)])
            for name, rows in named.items()
        ]
        behind = sum(node.level in ("warn", "bad") for node in made)
        note = f"{len(made)} {kind}{'' if len(made) == 1 else 's'}"
        note += f" · {behind} late or gone" if behind else " · all in time"
        group = Group(f"{question} {listener}", f"{question} of {listener}", note)
        for node in made:
            node.group = group
        nodes += bounded(made, lambda rest, group=group: _rest(kind, rest, group))  # type: ignore[misc]
    return nodes


def _node(
    kind: str, listener: str, name: str, rows: Sequence[Row], sent: float, dropping: float
) -> Node:
    row = rows[0]
    lag = sum(each["lag"] for each in rows)
    limit = sum(each["lag_limit"] or 0 for each in rows)
    dropped = sum(each["dropped_messages"] for each in rows)
    level, state, problem = _judged(kind, listener, name, rows, lag, dropping)
    if level == "good" and not sent:
        level = "idle"
    return Node(
        id=f"{kind} {listener} {name}",
        kind=kind,
        column=2,
        name=brief(name),
        level=level,
        state=state,
        note=row["policy"],
        rate=sent,
        figures=[("dropped", dropped, "")] if dropped else [],
        meter=Meter("lag", lag, limit, "B"),
        facts=[
            ("address", name, ""),
            ("listener", listener, ""),
            ("policy when late", row["policy"], ""),
            ("lag", lag, "B"),
            ("lag allowed", limit or None, "B"),
            ("messages dropped", dropped, ""),
            ("dropped", dropping, "/s"),
            ("sent in all", sum(each["sent"] for each in rows), "B"),
        ],
        problem=problem,
    )


def _judged(
    kind: str, listener: str, name: str, rows: Sequence[Row], lag: int, dropping: float
) -> tuple[Level, str, str]:
    states = {row["state"] for row in rows}
    if "down" in states:
        return "bad", "down", f"the {kind} {brief(name)} of {listener} is not connected"
    if dropping:
        lost = f"are dropped: {dropping:.1f} a second"
        text = f"messages for the {kind} {brief(name)} of {listener} {lost}"
        return "warn", "drops", text
    if "late" in states:
        return "warn", "late", f"the {kind} {brief(name)} of {listener} is late"
    return "good", "", ""


def _rest(kind: str, nodes: Sequence[Node], group: Group) -> Node:
    """Return one node for those that have no place of their own."""
    return Node(
        id=f"{group.id} others",
        kind=f"{kind}s",
        column=2,
        name=f"{len(nodes)} more",
        level=worst(node.level for node in nodes),
        note="all others together",
        rate=sum(node.rate or 0.0 for node in nodes),
        meter=Meter("lag", sum(node.meter.value for node in nodes if node.meter), 0, "B"),
        facts=[("with problems", sum(bool(node.problem) for node in nodes), "")],
        group=group,
    )
