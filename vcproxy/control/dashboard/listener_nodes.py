"""listener_nodes: the nodes of the first column.

Tested in tests/control/dashboard/test_picture.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vcproxy.control.dashboard.nodes import Action, Level, Meter, Node, bounded, brief, worst

if TYPE_CHECKING:
    from vcproxy.control.dashboard.samples import Rates, Row, Sample

MOST_LISTENERS: Final = 60
"""Listeners that have a node each."""

FULL: Final = 0.9
"""The part of `max_connections` from which a listener is shown as limited."""


def listener_nodes(now: Sample, rates: Rates) -> list[Node]:
    """Return a node for each listener."""
    key = ("listener",)
    moved = rates.of("listeners", key, "bytes_in", "bytes_out")
    incoming = rates.of("listeners", key, "bytes_in")
    outgoing = rates.of("listeners", key, "bytes_out")
    accepted = rates.of("listeners", key, "accepted")
    refused = rates.of("listeners", key, "refused")
    opened = now.sums("listeners", key, ("open",))
    accepted_ever = now.sums("listeners", key, ("accepted",))
    refused_ever = now.sums("listeners", key, ("refused",))
    first: dict[str, Row] = {}
    for row in now.of("listeners"):
        first.setdefault(row["listener"], row)
    limits = now.sums("listeners", key, ("max_connections",))
    nodes = []
    for name, row in first.items():
        this = (name,)
        count, limit = opened[this], limits[this]
        level, state, problem = _judged(row, count, limit, refused[this], moved[this])
        nodes.append(
            Node(
                id=f"listener {name}",
                kind="listener",
                column=0,
                name=name,
                level=level,
                state=state,
                note=_short(row["addresses"]),
                rate=moved[this],
                figures=[("open", count, ""), ("new", accepted[this], "/s")],
                meter=Meter("connections", count, limit, "") if limit else None,
                facts=[
                    ("addresses", ", ".join(row["addresses"]) or "none", ""),
                    ("plugin", row["plugin"], ""),
                    ("open", count, ""),
                    ("new", accepted[this], "/s"),
                    ("from clients", incoming[this], "B/s"),
                    ("to clients", outgoing[this], "B/s"),
                    ("refused", refused[this], "/s"),
                    ("accepted in all", accepted_ever[this], ""),
                    ("refused in all", refused_ever[this], ""),
                    ("TLS", "yes" if row["tls"] else "no", ""),
                ],
                problem=problem,
                actions=[_drain(name)],
                connections={"kind": "client", "listener": name},
            )
        )
    return bounded(nodes, _rest, MOST_LISTENERS)


def _rest(nodes: Sequence[Node]) -> Node:
    """Return one node for those that have no place of their own."""
    return Node(
        id="listeners others",
        kind="listeners",
        column=0,
        name=f"{len(nodes)} more",
        level=worst(node.level for node in nodes),
        note="all others together",
        rate=sum(node.rate or 0.0 for node in nodes),
        facts=[("with problems", sum(bool(node.problem) for node in nodes), "")],
    )


def _judged(
    row: Row, count: int, limit: int, refused: float, moved: float
) -> tuple[Level, str, str]:
    """Return the level, the state and the problem of a listener."""
    name, state = row["listener"], row["state"]
    if state != "open":
        return "off", state, ""
    if limit and count >= FULL * limit:
        return "warn", "nearly full", f"{name} has {count} of at most {limit} connections"
    if refused:
        return "warn", "refuses", f"{name} refuses {refused:.1f} connections a second"
    return ("good" if moved else "idle"), "", ""


def _short(addresses: list[str]) -> str:
    if not addresses:
        return ""
    more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    return brief(addresses[0]) + more


def _drain(name: str) -> Action:
    return Action(
        "drain",
        "Accept no more connections here; those that are open go on",
        "DRAIN",
        {"listener": name},
        sure=True,
    )
