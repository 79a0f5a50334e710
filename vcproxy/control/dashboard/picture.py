"""picture: what two samples show together: nodes in three columns, links, totals and problems.

Levels, and what is wrong, are decided here, in one place for the page and for `vcproxy top`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from vcproxy.control.dashboard.flow import links_of, place, plugin_nodes
from vcproxy.control.dashboard.listener_nodes import listener_nodes
from vcproxy.control.dashboard.nodes import (
    MOST,
    SEVERITY,
    Level,
    Link,
    Node,
    Unit,
    most_of_group,
    plain,
)
from vcproxy.control.dashboard.process_node import process_node, process_problems
from vcproxy.control.dashboard.samples import Rates, Row, Sample
from vcproxy.control.dashboard.server_nodes import server_nodes
from vcproxy.control.dashboard.sink_nodes import sink_nodes

MOST_PROBLEMS: Final = 8
"""Problems that are shown: who has more looks at the worst first."""

MOST_REFUSALS: Final = 10
"""Refused messages that are shown."""


@dataclass(frozen=True, slots=True)
class Total:
    """One number about the whole proxy."""

    label: str
    about: str
    value: float
    unit: Unit
    level: Level = "good"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs attention."""

    about: str
    """The id of its node; "process": the proxy itself."""
    level: Level
    text: str


@dataclass(slots=True)
class Picture:
    """What is shown of a proxy."""

    seconds: float
    """The time over which rates were measured; 0: they are not known yet."""
    process: Node
    totals: list[Total]
    problems: list[Problem]
    """The worst first."""
    nodes: list[Node]
    """By column, each in the order of the configuration."""
    links: list[Link]
    refusals: list[dict[str, Any]]
    """The last refused messages, the newest first."""

    def to_json(self, without: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Return it as values of JSON. `without`: fields of nodes that are left out."""
        return {
            "seconds": round(self.seconds, 3),
            "process": plain(self.process, without),
            "totals": plain(self.totals),
            "problems": plain(self.problems),
            "nodes": plain(self.nodes, without),
            "links": plain(self.links),
            "refusals": self.refusals,
        }


def picture(before: Sample | None, now: Sample) -> Picture:
    """Return what a sample shows; rates are since the one before it."""
    rates = Rates(before, now)
    listeners = listener_nodes(now, rates)
    plugins = plugin_nodes(now, listeners)
    most = _most(now)
    targets = [*server_nodes(now, rates, most), *sink_nodes(now, rates, most)]
    nodes = [*listeners, *plugins, *targets]
    links = links_of(now, nodes)
    place(nodes, links)
    return Picture(
        seconds=rates.seconds,
        process=process_node(now),
        totals=_totals(now, rates),
        problems=_problems(now, rates, nodes),
        nodes=nodes,
        links=links,
        refusals=[_refusal(row) for row in _newest(now.of("errors"))],
    )


def _most(now: Sample) -> int:
    """Return how many nodes a group may have."""
    groups: Counter[tuple[str, str]] = Counter()
    for question, of, name in (
        ("servers", "upstream", "server"),
        ("sinks", "tunnel", "sink"),
        ("mirrors", "listener", "mirror"),
    ):
        things = {(row[of], row[name]) for row in now.of(question)}
        groups.update((question, group) for group, _ in things)
    targets = sum(min(count, MOST) for count in groups.values())
    return most_of_group(len(groups), targets)


def _totals(now: Sample, rates: Rates) -> list[Total]:
    def grown(*columns: str) -> float:
        return sum(rates.of("listeners", ("listener",), *columns).values())

    opened = sum(row["open"] for row in now.of("listeners"))
    refused = grown("refused")
    return [
        Total("Connections", "Open connections of clients", opened, ""),
        Total("New", "Connections accepted each second", grown("accepted"), "/s"),
        Total("From clients", "Bytes read from clients", grown("bytes_in"), "B/s"),
        Total("To clients", "Bytes written to clients", grown("bytes_out"), "B/s"),
        Total(
            "Refused", "Connections refused each second", refused, "/s",
            "warn" if refused else "idle",
        ),
        _memory(now),
    ]  # fmt: skip


def _memory(now: Sample) -> Total:
    used = sum(row["used"] for row in now.of("memory"))
    budget = sum(row["budget"] for row in now.of("memory"))
    level: Level = "warn" if budget and used > 0.9 * budget else "good"
    return Total("Buffers", "Memory that all buffers hold; its limit is `memory`", used, "B", level)


def _problems(now: Sample, rates: Rates, nodes: Sequence[Node]) -> list[Problem]:
    found = [Problem(node.id, node.level, node.problem) for node in nodes if node.problem]
    found += [Problem("process", level, text) for level, text in process_problems(now, rates)]
    found.sort(key=lambda each: -SEVERITY.index(each.level))
    if len(found) <= MOST_PROBLEMS:
        return found
    rest = found[MOST_PROBLEMS - 1 :]
    more = Problem(rest[0].about, rest[0].level, f"{len(rest)} more")
    return [*found[: MOST_PROBLEMS - 1], more]


def _newest(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -row["at"])[:MOST_REFUSALS]


def _refusal(row: Row) -> dict[str, Any]:
    return {
        "at": row["at"],
        "listener": row["listener"],
        "client": row["client"],
        "reason": row["reason"],
        "text": row["text"],
        "mark": row["mark"],
    }
