"""TopView: what `vcproxy top` shows of a picture, and how its keys change that. A value.

Tested in tests/app/commands/test_top_command.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vcproxy.control.dashboard.nodes import SEVERITY

if TYPE_CHECKING:
    from vcproxy.control.dashboard.nodes import Node
    from vcproxy.control.dashboard.picture import Picture

KEPT: Final = 60
"""Rates of each node that are kept: what fits into a line of a wide terminal."""

SECTIONS: Final = ("all", "listeners", "servers", "sinks")
"""What can be shown; the arrows to the left and right change it."""

SORTS: Final = ("rate", "state", "name")
"""What can be sorted by; the key `s` changes it. "name": as in the configuration."""

KEYS: Final = "q quit  s sort  \N{LEFTWARDS ARROW}\N{RIGHTWARDS ARROW} section  \
\N{UPWARDS ARROW}\N{DOWNWARDS ARROW} scroll  / filter  p pause"

_KINDS: Final = {
    "listener": "listeners",
    "server": "servers",
    "servers": "servers",
    "sink": "sinks",
    "sinks": "sinks",
    "mirror": "sinks",
    "mirrors": "sinks",
}


@dataclass(slots=True)
class TopView:
    """What is chosen."""

    section: str = "all"
    sort: str = "rate"
    text: str = ""
    """What the names of the rows contain; "": anything."""
    typing: bool = False
    """Whether keys are added to the text."""
    paused: bool = False
    first: int = 0
    """Rows that were scrolled away."""
    ended: bool = False
    """Whether the user wants to end."""
    rates: dict[str, deque[float]] = field(default_factory=dict)
    """The last rates of each node."""

    def seen(self, picture: Picture) -> None:
        """Keep the rates of a picture."""
        if not picture.seconds:
            return
        rates = {node.id: node.rate for node in picture.nodes if node.rate is not None}
        for name in [name for name in self.rates if name not in rates]:
            del self.rates[name]
        for name, rate in rates.items():
            self.rates.setdefault(name, deque(maxlen=KEPT)).append(rate)

    def rows(self, picture: Picture) -> list[Node]:
        """Return the nodes that are shown, in their order, without those scrolled away."""
        rows = [node for node in picture.nodes if self._shows(node)]
        if self.sort == "rate":
            rows.sort(key=lambda node: -(node.rate or 0.0))
        elif self.sort == "state":
            rows.sort(key=lambda node: -SEVERITY.index(node.level))
        self.first = max(0, min(self.first, len(rows) - 1))
        return rows[self.first :]

    def _shows(self, node: Node) -> bool:
        section = _KINDS.get(node.kind)
        if section is None or self.section not in ("all", section):
            return False
        names = (node.name, node.row, "" if node.group is None else node.group.name)
        return any(self.text in name for name in names)

    def pressed(self, key: str) -> None:
        """Handle a key: a character, or "up", "down", "left", "right", "enter", "erase", "esc"."""
        if key == "interrupt":
            self.ended = True
        elif self.typing:
            self._typed(key)
        elif key in ("q", "Q"):
            self.ended = True
        elif key == "s":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        elif key in ("left", "right"):
            step = 1 if key == "right" else -1
            self.section = SECTIONS[(SECTIONS.index(self.section) + step) % len(SECTIONS)]
            self.first = 0
        elif key in ("up", "down"):
            self.first = max(0, self.first + (1 if key == "down" else -1))
        elif key == "/":
            self.typing = True
        elif key == "p":
            self.paused = not self.paused
        elif key == "esc":
            self.text = ""

    def _typed(self, key: str) -> None:
        if key in ("enter", "esc"):
            self.typing = False
            self.text = "" if key == "esc" else self.text
        elif key == "erase":
            self.text = self.text[:-1]
        elif len(key) == 1 and key.isprintable():
            self.text += key


BARS: Final = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float], width: int) -> str:
    """Return the last values as bars."""
    last = list(values)[-width:]
    highest = max(last, default=0.0)
    if highest <= 0.0:
        return BARS[0] * len(last)
    return "".join(BARS[min(7, int(8 * value / highest))] for value in last)
