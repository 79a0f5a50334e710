"""The diagram of a configuration: listeners, routes, what they pass in which order, upstreams.

Tested in tests/app/commands/test_configuration_diagram.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from vcproxy.config.loader import Configuration
from vcproxy.config.ways import ways_of

STEPS, ROUTE, OTHER = "steps", "route", "other"


class Node(NamedTuple):
    """A box of the diagram."""

    name: str
    lines: tuple[str, ...]
    kind: str


class Chart(NamedTuple):
    """A diagram: boxes, and arrows between them, by their names."""

    nodes: tuple[Node, ...]
    arrows: tuple[tuple[str, str], ...]

    def mermaid(self) -> str:
        """Return it as a Mermaid flowchart."""
        lines = ["flowchart LR"]
        for node in self.nodes:
            text = "<br/>".join(map(_escaped, node.lines))
            left, right = {STEPS: ("[[", "]]"), ROUTE: ("([", "])"), OTHER: ("[", "]")}[node.kind]
            lines.append(f'    {node.name}{left}"{text}"{right}')
        lines += [f"    {start} --> {end}" for start, end in self.arrows]
        return "\n".join(lines) + "\n"

    def dot(self) -> str:
        """Return it as a Graphviz digraph."""
        shapes = {STEPS: "shape=box, peripheries=2", ROUTE: "shape=box, style=rounded"}
        lines = ["digraph {", "    rankdir=LR"]
        for node in self.nodes:
            text = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in node.lines)
            lines.append(f'    {node.name} [label="{text}", {shapes.get(node.kind, "shape=box")}]')
        lines += [f"    {start} -> {end}" for start, end in self.arrows]
        return "\n".join([*lines, "}"]) + "\n"


def chart(configuration: Configuration) -> Chart:
    """Return the diagram of a configuration."""
    settings = configuration.settings
    upstreams = {name: f"U{index}" for index, name in enumerate(settings.upstream)}
    nodes: list[Node] = []
    arrows: dict[tuple[str, str], None] = {}

    def chain(start: str, *further: Node) -> str:
        for node in further:
            nodes.append(node)
            arrows[start, node.name] = None
            start = node.name
        return start

    for index, listener in enumerate(settings.listener):
        first = f"L{index}"
        plugin = configuration.plugins[listener.name]
        bound = tuple(str(address) for address in listener.bind)
        nodes.append(Node(first, (listener.name, *bound, listener.plugin), OTHER))
        ways = ways_of(plugin, listener.upstream)
        start = chain(first, *_steps(f"{first}S", ways.before))
        for number, way in enumerate(ways.ways):
            name = f"{first}R{number}"
            route = [Node(name, (way.match,), ROUTE)] if way.match else []
            at = chain(start, *route, *_steps(f"{name}S", way.steps))
            upstream = way.upstream or listener.upstream
            if way.own:
                chain(at, Node(f"{name}A", (way.own,), OTHER))
            elif upstream is not None:
                arrows[at, upstreams[upstream]] = None
    for upstream, name in upstreams.items():
        servers = tuple(str(address) for address in settings.upstream[upstream].addresses)
        nodes.append(Node(name, (f"upstream {upstream}", *servers), OTHER))
    return Chart(tuple(nodes), tuple(arrows))


def _escaped(text: str) -> str:
    """Return text with what ends a quoted text of Mermaid, and its markup, as entities."""
    return re.sub(r'[#"<>]', lambda match: f"#{ord(match[0])};", text)


def _steps(name: str, steps: tuple[str, ...]) -> Iterator[Node]:
    if steps:
        lines = tuple(f"{number}. {step}" for number, step in enumerate(steps, 1))
        yield Node(name, lines, STEPS)
