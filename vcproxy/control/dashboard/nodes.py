"""Node and Link: what the picture is made of. Everything is plain data, ready to be JSON.

Tested in tests/control/dashboard/test_picture.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Final, Literal, TypeAlias

Level: TypeAlias = Literal["good", "idle", "off", "warn", "bad"]
"""How something is: in order, without traffic, taken out by an operator, late or limited, down."""

SEVERITY: Final[Sequence[Level]] = ("idle", "good", "off", "warn", "bad")
"""The levels, the worst last."""

Unit: TypeAlias = Literal["", "B", "B/s", "/s", "s"]
"""The unit of a number; "": it is a count, or a text."""

Figure: TypeAlias = tuple[str, "int | float | str | None", Unit]
"""A label, a number or text, and its unit."""

MOST: Final = 24
"""Nodes of one group, for example the sinks of a relay. More are one node together: a picture of a
thousand shows nothing, and would be sent every second."""

MOST_TARGETS: Final = 240
"""Nodes of all groups together: with them a picture has less than 150 KB, and what may wait for a
page is 256 KiB."""

LEAST: Final = 3
"""Nodes of one group, however many groups there are: the two worst or busiest, and the rest."""


@dataclass(frozen=True, slots=True)
class Group:
    """What encloses some nodes: an upstream, or a relay's sinks."""

    id: str
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Meter:
    """How much of something is used."""

    label: str
    value: float
    limit: float
    """0: no limit."""
    unit: Unit


@dataclass(frozen=True, slots=True)
class Action:
    """A change that can be made with a node."""

    label: str
    about: str
    """What it does, in one sentence."""
    command: str
    """The name of the command: see vcproxy.control.commands."""
    body: dict[str, str]
    """Its parameters."""
    sure: bool = False
    """Whether it ends or refuses connections, so that it takes two clicks."""


@dataclass(slots=True)
class Node:
    """One thing in the picture."""

    id: str
    kind: str
    """What it is: "listener", "plugin", "server", "sink" ..."""
    column: int
    """0: listeners, 1: plugins, 2: servers and sinks; -1: the proxy itself, in no column."""
    name: str
    level: Level
    state: str = ""
    """Its state in a word, if it is not in order."""
    note: str = ""
    """Two or three words that characterise it, as its address."""
    rate: float | None = None
    """Bytes a second in both directions; None: it has none."""
    figures: list[Figure] = field(default_factory=list)
    """Two or three figures that are always shown."""
    meter: Meter | None = None
    parts: list[tuple[str, int]] = field(default_factory=list)
    """How many are in which state: at most 4."""
    facts: list[Figure] = field(default_factory=list)
    """All else, shown when it is selected."""
    row: str = ""
    """The listener beside which it stands: the first that is linked to it; "": none is."""
    group: Group | None = None
    problem: str = ""
    """What is wrong with it, as a sentence; "": nothing."""
    actions: list[Action] = field(default_factory=list)
    connections: dict[str, str] | None = None
    """The filter for the question `conns` that lists its connections; None: it has none."""


@dataclass(slots=True)
class Link:
    """What flows between two nodes."""

    source: str
    to: str
    rate: float
    """Bytes a second, in both directions."""
    level: Level


def brief(address: str) -> str:
    """Return an address without what most have: `tcp://`."""
    return address.removeprefix("tcp://")


DETAILS: Final = frozenset({"facts", "actions", "connections"})
"""What a page needs of the one node only whose details it shows."""


def plain(value: Any, without: frozenset[str] = frozenset()) -> Any:
    """Return a part of the picture as values of JSON. `without`: fields that are left out."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list | tuple):
        return [plain(each, without) for each in value]
    if is_dataclass(value):
        return {
            name: plain(getattr(value, name), without)
            for name in value.__dataclass_fields__
            if name not in without
        }
    return value


def most_of_group(groups: int, targets: int) -> int:
    """Return how many nodes one of so many groups may have, with so many nodes in all."""
    return MOST if targets <= MOST_TARGETS else max(LEAST, min(MOST, MOST_TARGETS // groups))


def bounded(
    nodes: Sequence[Node], rest: Callable[[Sequence[Node]], Node], most: int = MOST
) -> list[Node]:
    """Return at most so many nodes: the worst and the busiest, in their order, and one for others.

    `rest` makes that last one.
    """
    if len(nodes) <= most:
        return list(nodes)
    ranked = sorted(
        range(len(nodes)),
        key=lambda index: (SEVERITY.index(nodes[index].level), nodes[index].rate or 0.0),
        reverse=True,
    )
    kept = set(ranked[: most - 1])
    others = [node for index, node in enumerate(nodes) if index not in kept]
    return [nodes[index] for index in sorted(kept)] + [rest(others)]


def worst(levels: Iterable[Level]) -> Level:
    """Return the worst level; "idle" of none."""
    return max(levels, key=SEVERITY.index, default="idle")
