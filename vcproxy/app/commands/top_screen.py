"""screen: one screen of `vcproxy top`, for rich.

Tested in tests/app/commands/test_top_command.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from vcproxy.app.commands.top_view import KEYS, spark
from vcproxy.control.dashboard.amounts import amount
from vcproxy.printable_text import printable

if TYPE_CHECKING:
    from rich.console import OverflowMethod, RenderableType

    from vcproxy.app.commands.top_view import TopView
    from vcproxy.control.dashboard.nodes import Level, Node
    from vcproxy.control.dashboard.picture import Picture

MARKS: Final = {"good": "●", "idle": "○", "off": "‖", "warn": "▲", "bad": "✕"}
"""A shape for each level, so that the colour is not needed."""

PLAIN_MARKS: Final = {"good": "*", "idle": "-", "off": "=", "warn": "!", "bad": "X"}
"""The same for terminals that show ASCII only."""

STYLES: Final = {"good": "green", "idle": "dim", "off": "magenta", "warn": "yellow", "bad": "red"}

SHORT: Final = {"Connections": "Open", "From clients": "In", "To clients": "Out"}
"""Labels of totals for narrow terminals."""

MOST_PROBLEMS: Final = 3
"""Lines for problems: the rows are needed too."""

NARROW: Final = 100
"""Columns of a terminal from which there is room for more."""


def screen(picture: Picture, view: TopView, width: int, height: int, *, plain: bool) -> Group:
    """Return a screen.

    Args:
        picture: what is shown.
        view: how.
        width, height: of the terminal; height 0: as many lines as there are.
        plain: whether to write ASCII only.
    """
    head = _head(picture, width, plain)
    rows = view.rows(picture)
    if height:
        rows = rows[: max(1, height - len(head) - 3)]
    bars = 0 if plain or not height else 8 if width < NARROW else 20
    parts: list[RenderableType] = [*head, _table(rows, view, bars, plain)]
    if height:
        parts.append(_foot(view, plain))
    return Group(*parts)


def _head(picture: Picture, width: int, plain: bool) -> list[RenderableType]:
    process = picture.process
    figures = [f"{label} {amount(value, unit)}" for label, value, unit in process.figures]
    names = SHORT if width < NARROW else {}
    totals = Text(no_wrap=True, overflow=_overflow(plain))
    for total in picture.totals:
        totals.append(f"{names.get(total.label, total.label)} ", "dim")
        style = STYLES[total.level] if total.level in ("warn", "bad") else "bold"
        totals.append(f"{amount(total.value, total.unit)}  ", style)
    lines: list[RenderableType] = [
        Text(
            "  ".join(filter(None, ["vcproxy", process.note, process.state, *figures])),
            no_wrap=True,
            overflow=_overflow(plain),
        ),
        totals,
    ]
    for problem in picture.problems[:MOST_PROBLEMS]:
        line = Text(no_wrap=True, overflow=_overflow(plain))
        line.append(f"{_mark(problem.level, plain)} ", STYLES[problem.level])
        line.append(_safe(problem.text, plain))
        lines.append(line)
    if len(picture.problems) > MOST_PROBLEMS:
        lines.append(Text(f"  and {len(picture.problems) - MOST_PROBLEMS} more", "dim"))
    return lines


def _table(rows: list[Node], view: TopView, bars: int, plain: bool) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("", width=1)
    overflow = _overflow(plain)
    table.add_column("name", ratio=3, no_wrap=True, overflow=overflow)
    table.add_column("of", ratio=2, no_wrap=True, overflow=overflow)
    table.add_column("state", width=9, no_wrap=True, overflow=overflow)
    table.add_column("rate", width=10, justify="right", no_wrap=True)
    if bars:
        table.add_column("", width=bars, justify="right", no_wrap=True)
    table.add_column("", ratio=4, no_wrap=True, overflow=overflow)
    for node in rows:
        cells: list[Text | str] = [
            Text(_mark(node.level, plain), STYLES[node.level]),
            Text(_safe(node.name, plain)),
            Text(_safe(_of(node), plain), "dim"),
            Text(
                _safe(node.state or node.kind, plain), STYLES[node.level] if node.state else "dim"
            ),
            Text("" if node.rate is None else amount(node.rate, "B/s")),
        ]
        if bars:
            cells.append(Text(spark(view.rates.get(node.id, ()), bars), STYLES[node.level]))
        cells.append(Text(_safe(_figures(node), plain)))
        table.add_row(*cells)
    return table


def _of(node: Node) -> str:
    """Return what a node belongs to: the upstream of a server, the plugin of a listener."""
    if node.group is not None:
        return node.group.id.partition(" ")[2]
    return next((str(value) for label, value, _ in node.facts if label == "plugin"), "")


def _figures(node: Node) -> str:
    texts = [f"{amount(value, unit)} {label}".strip() for label, value, unit in node.figures]
    if node.meter is not None and node.meter.label not in ("connections",):
        limit = f" of {amount(node.meter.limit, node.meter.unit)}" if node.meter.limit else ""
        texts.insert(0, f"{node.meter.label} {amount(node.meter.value, node.meter.unit)}{limit}")
    return ", ".join([*texts, *([node.note] if node.note else [])])


def _foot(view: TopView, plain: bool) -> Text:
    chosen = f"{view.section}, by {view.sort}"
    if view.typing:
        return Text(f"filter: {view.text}_   (Enter: done, Esc: none)", "reverse", no_wrap=True)
    if view.text:
        chosen += f', with "{view.text}"'
    if view.paused:
        chosen += ", paused"
    return Text(
        _safe(f"{KEYS}   {chosen}", plain), "reverse", no_wrap=True, overflow=_overflow(plain)
    )


def _overflow(plain: bool) -> OverflowMethod:
    """Return how what is too long is cut: the ellipsis is not in ASCII."""
    return "crop" if plain else "ellipsis"


def _mark(level: Level, plain: bool) -> str:
    return (PLAIN_MARKS if plain else MARKS)[level]


def _safe(text: str, plain: bool) -> str:
    """Return text that cannot control the terminal; names come from clients too."""
    text = printable(text)
    return text.encode("ascii", "replace").decode() if plain else text
