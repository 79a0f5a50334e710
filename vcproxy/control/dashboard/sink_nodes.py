"""sink_nodes: the sinks of relays, and mirrors.

Tested in tests/control/dashboard/test_picture.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.control.dashboard.nodes import Group, Level, Meter, Node, bounded, brief, worst

if TYPE_CHECKING:
    from vcproxy.control.dashboard.samples import Rates, Row, Sample


def sink_nodes(now: Sample, rates: Rates, most: int) -> list[Node]:
    """Return a node for each sink of a relay, and for each mirror, those of a listener in a group.

    `most`: see `bounded`. Tunnels with several sinks that are no relays are left out: each session
    may have one.
    """
    listeners = {row["listener"] for row in now.of("listeners")}
    sent = rates.of("sinks", ("tunnel", "sink"), "sent")
    drops = rates.of("sinks", ("tunnel", "sink"), "dropped_messages")
    timed = rates.seconds > 0.0
    nodes: list[Node] = []
    for relay, sinks in _grouped(now, "sinks", "tunnel", "sink").items():
        if relay in listeners or not listeners:
            made = [
                _sink(relay, name, rows, sent[(relay, name)], drops[(relay, name)], timed)
                for name, rows in sinks.items()
            ]
            nodes += _group("sinks", relay, made, most)
    lost = rates.of("mirrors", ("listener", "mirror"), "lost", "dropped")
    for listener, mirrors in _grouped(now, "mirrors", "listener", "mirror").items():
        made = [
            _mirror(listener, name, rows, lost[(listener, name)]) for name, rows in mirrors.items()
        ]
        nodes += _group("mirrors", listener, made, most)
    return nodes


def _grouped(now: Sample, question: str, of: str, name: str) -> dict[str, dict[str, list[Row]]]:
    found: dict[str, dict[str, list[Row]]] = {}
    for row in now.of(question):
        found.setdefault(row[of], {}).setdefault(row[name], []).append(row)
    return found


def _group(kind: str, listener: str, nodes: Sequence[Node], most: int) -> list[Node]:
    behind = sum(node.level in ("warn", "bad") for node in nodes)
    note = f"{len(nodes)} · " + (f"{behind} late or gone" if behind else "all in time")
    group = Group(f"{kind} {listener}", f"{kind} of {listener}", note)
    for node in nodes:
        node.group = group
    return bounded(nodes, partial(_rest, kind, group), most)


def _sink(
    relay: str, name: str, rows: Sequence[Row], sent: float, dropping: float, timed: bool
) -> Node:
    """`timed`: whether the rates are known."""
    lag, limit = sum(row["lag"] for row in rows), sum(row["max_lag"] or 0 for row in rows)
    dropped, first = sum(row["dropped_messages"] for row in rows), rows[0]
    stuck = timed and lag > 0 and not sent
    level, state, problem = _judged(relay, name, rows, dropping, stuck)
    return Node(
        id=f"sink {relay} {name}",
        kind="sink",
        column=2,
        name=_short(relay, name),
        level="idle" if level == "good" and not sent else level,
        state=state,
        note=first["on_lag"],
        rate=sent,
        figures=[("dropped", dropped, "")] if dropped else [],
        meter=Meter("lag", lag, limit, "B"),
        facts=[
            ("address", name, ""),
            ("relay", relay, ""),
            ("when it lags", first["on_lag"], ""),
            ("lag", lag, "B"),
            ("lag allowed", limit or None, "B"),
            ("messages dropped", dropped, ""),
            ("messages dropped now", dropping, "/s"),
            ("bytes dropped", sum(row["dropped_bytes"] for row in rows), "B"),
            ("sent in all", sum(row["sent"] for row in rows), "B"),
            ("connected again", sum(row["reconnects"] for row in rows), ""),
            ("the others wait for it", "yes" if first["required"] else "no", ""),
        ],
        problem=problem,
    )


def _short(relay: str, name: str) -> str:
    """Return a name without what all sinks of the relay have in it."""
    for option in ("subscribers", "http_subscribers"):
        name = name.removeprefix(f"{relay}.{option} ")
    return brief(name)


def _judged(
    relay: str, name: str, rows: Sequence[Row], dropping: float, stuck: bool
) -> tuple[Level, str, str]:
    """Return the level, the state and the problem of a sink."""
    states, which = {row["state"] for row in rows}, f"the sink {_short(relay, name)} of {relay}"
    if "down" in states:
        return "bad", "down", f"{which} is not connected"
    if dropping:
        return "warn", "drops", f"messages for {which} are dropped: {dropping:.1f} a second"
    if "lags" in states:
        return "warn", "lags", f"{which} lags"
    if stuck:
        return "warn", "stuck", f"{which} takes nothing of what waits for it"
    return "good", "", ""


def _mirror(listener: str, name: str, rows: Sequence[Row], losing: float) -> Node:
    def whole(column: str) -> int:
        return sum(row[column] for row in rows)

    lag, level, problem = whole("lag"), "good" if whole("open") else "idle", ""
    if losing:
        level = "warn"
        problem = f"the mirror {brief(name)} of {listener} loses {losing:.1f} copies a second"
    return Node(
        id=f"mirror {listener} {name}",
        kind="mirror",
        column=2,
        name=brief(name),
        level=level,  # type: ignore[arg-type]
        state="drops" if losing else "",
        figures=[("open", whole("open"), ""), ("differences", whole("differences"), "")],
        meter=Meter("lag", lag, 0, "B"),
        facts=[
            ("address", name, ""),
            ("listener", listener, ""),
            ("conversations now", whole("open"), ""),
            ("followed to their end", whole("followed"), ""),
            ("left early", whole("lost"), ""),
            ("messages dropped", whole("dropped"), ""),
            ("replies that differed", whole("differences"), ""),
            ("replies not compared", whole("not_compared"), ""),
            ("lag", lag, "B"),
        ],
        problem=problem,
    )


def _rest(kind: str, group: Group, nodes: Sequence[Node]) -> Node:
    """Return one node for those that have no place of their own."""
    return Node(
        id=f"{group.id} others",
        kind=kind,
        column=2,
        name=f"{len(nodes)} more",
        level=worst(node.level for node in nodes),
        note="all others together",
        rate=sum(node.rate or 0.0 for node in nodes),
        meter=Meter("lag", sum(node.meter.value for node in nodes if node.meter), 0, "B"),
        facts=[("with problems", sum(bool(node.problem) for node in nodes), "")],
        group=group,
    )
