"""flow: the middle column, and the links: which plugin connects which listener to what.

Tested in tests/control/dashboard/test_picture.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from vcproxy.control.dashboard.nodes import Link, Node

if TYPE_CHECKING:
    from vcproxy.control.dashboard.samples import Row, Sample

SPLITS: Final = {
    "open": "open requests",
    "waiting_sources": "sources that wait",
    "orphans": "requests without a client",
}
"""Columns of the question `splits`, and what they are in the picture."""

MOST_STATES: Final = 4
"""States of a plugin's machines that are shown; the last one is "other" if there are more."""


def plugin_nodes(now: Sample, listeners: Sequence[Node]) -> list[Node]:
    """Return a node for the plugin of each listener."""
    flows: dict[str, list[Row]] = {}
    for row in now.of("flows"):
        flows.setdefault(row["listener"], []).append(row)
    plugins = {row["listener"]: row["plugin"] for row in now.of("listeners")}
    splits = {
        label: now.sums("splits", ("listener",), (column,)) for column, label in SPLITS.items()
    }
    nodes = []
    for listener in listeners:
        name = listener.name
        if listener.kind != "listener":
            continue
        owner = name.rpartition(".")[0]
        if owner in plugins:  # where the subscribers of a relay connect: they are its sinks
            listener.row = owner
            continue
        listener.row = name
        node = _plugin_node(listener, plugins[name], flows.get(name, ()))
        node.facts += [
            (label, counts[(name,)], "") for label, counts in splits.items() if (name,) in counts
        ]
        nodes.append(node)
    return nodes


def _plugin_node(listener: Node, plugin: str, flows: Sequence[Row]) -> Node:
    bridged = sum(row["bridged"] for row in flows)
    tunnels = ", ".join(sorted({row["tunnel"] for row in flows if row["tunnel"]}))
    return Node(
        id=f"plugin {listener.name}",
        kind="plugin",
        column=1,
        name=plugin,
        level="good" if listener.level in ("good", "warn") else listener.level,
        note=tunnels,
        figures=[("bridged", bridged, "")] if bridged else [],
        parts=_states(flows),
        facts=[
            ("listener", listener.name, ""),
            ("conversations", sum(row["connections"] for row in flows), ""),
            ("moved by the kernel", bridged, ""),
            ("tunnels", tunnels, ""),
        ],
        row=listener.name,
    )


def _states(flows: Sequence[Row]) -> list[tuple[str, int]]:
    """Return how many machines are in which state, the most frequent first."""
    counts: Counter[str] = Counter()
    for row in flows:
        if row["state"]:
            counts[row["state"]] += row["connections"]
    ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    if len(ranked) > MOST_STATES:
        other = sum(count for _, count in ranked[MOST_STATES - 1 :])
        ranked = [*ranked[: MOST_STATES - 1], ("other", other)]
    return [each for each in ranked if each[1]]


def links_of(now: Sample, nodes: Sequence[Node]) -> list[Link]:
    """Return the links: listener to plugin, plugin to servers, sinks and mirrors."""
    known = {node.id: node for node in nodes}
    links = [
        Link(node.id, f"plugin {node.name}", node.rate or 0.0, node.level)
        for node in nodes
        if node.kind == "listener"
    ]
    links += _to_servers(now, known)
    for node in nodes:
        if node.kind in ("sink", "mirror", "sinks", "mirrors") and node.group is not None:
            listener = node.group.id.partition(" ")[2]
            moves = float(node.level != "idle")  # of a mirror: its rate is not counted
            rate = moves if node.rate is None else node.rate
            links.append(Link(f"plugin {listener}", node.id, rate, node.level))
    links = [link for link in links if link.source in known and link.to in known]
    order = {node.id: index for index, node in enumerate(nodes)}
    return sorted(links, key=lambda link: (order[link.source], order[link.to]))


def place(nodes: Sequence[Node], links: Sequence[Link]) -> None:
    """Let each server and sink stand beside the first listener that is linked to its group."""
    known = {node.id: node for node in nodes}
    rows: dict[str, str] = {}
    for link in links:
        group = known[link.to].group
        if group is not None:
            rows.setdefault(group.id, known[link.source].row)
    for node in nodes:
        if node.group is not None:
            node.row = rows.get(node.group.id, "")


def _to_servers(now: Sample, known: dict[str, Node]) -> Iterator[Link]:
    """Yield the links to servers.

    What a server moves is divided among the listeners that use it: by what they move, and by the
    servers that their connections have at present.
    """
    shown: dict[str, dict[str, None]] = {}  # the nodes of each upstream
    for row in now.of("servers"):
        upstream, name = row["upstream"], f"server {row['upstream']} {row['server']}"
        if name not in known:
            name = f"upstream {upstream} others"
        shown.setdefault(upstream, {})[name] = None
    used = _connections(now)
    for upstream, names in shown.items():
        users = {listener: each for (listener, name), each in used.items() if name == upstream}
        for name in names:
            weights = {
                listener: _rate(known, f"listener {listener}") * _part(counts, name)
                for listener, counts in users.items()
            }
            whole = sum(weights.values())
            for listener, weight in weights.items():
                share = weight / whole if whole else 1 / len(users)
                rate = _rate(known, name) * share
                yield Link(f"plugin {listener}", name, rate, known[name].level)


def _connections(now: Sample) -> dict[tuple[str, str], dict[str, int]]:
    """Return, for each listener and upstream that it uses, its connections by server."""
    used: dict[tuple[str, str], dict[str, int]] = {}
    for row in now.of("flows"):
        counts = used.setdefault((row["listener"], row["upstream"]), {})
        if row["server"]:
            name = f"server {row['upstream']} {row['server']}"
            counts[name] = counts.get(name, 0) + row["connections"]
    return used


def _part(counts: dict[str, int], name: str) -> float:
    """Return the part of the connections that one server has; 1: none has any."""
    whole = sum(counts.values())
    return counts.get(name, 0) / whole if whole else 1.0


def _rate(known: dict[str, Node], name: str) -> float:
    return (known[name].rate or 0.0) if name in known else 0.0
