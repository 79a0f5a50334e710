"""Trace: what machines receive, as it happens, and as a sequence chart.

Nothing of it is in the way while no trace is on: `Machine.handle_event` is exchanged for one that
tells, and put back when the last trace ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from difflib import get_close_matches
from types import TracebackType

from vcproxy.machine.diagram import escaped
from vcproxy.machine.machine import HistoryEntry, Machine

_LINE = re.compile(r"(?P<to>.+) @ (?P<state>\w+) got '(?P<key>.+)' from (?P<source>.+)")


class Trace:
    """Tells of each event before it is received, while it is on: of one machine, a class, or all.

        with Trace(print, Forward):
            ...

    `of` may also be the name of a machine or of a class: classes that are loaded anew keep it. The
    lines read `WORKER-4 @ RECV got 'M1' from RX-4`. Any number of traces may be on.
    """

    _on: list[Trace] = []

    def __init__(
        self, write: Callable[[HistoryEntry], object], of: Machine | type[Machine] | str = Machine
    ) -> None:
        self.told = False
        """Whether there was anything to tell."""
        self._write = write
        self._of = of

    def __enter__(self) -> Trace:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to tell."""
        Trace._on = [*Trace._on, self]
        Machine.handle_event = _told  # type: ignore[method-assign]

    def stop(self) -> None:
        """Tell no more. Twice is harmless."""
        Trace._on = [trace for trace in Trace._on if trace is not self]
        if not Trace._on:
            Machine.handle_event = _untold  # type: ignore[method-assign]

    def _covers(self, machine: Machine) -> bool:
        of = self._of
        if isinstance(of, str):
            return of == machine.name or of in [kind.__name__ for kind in type(machine).__mro__]
        return isinstance(machine, of) if isinstance(of, type) else machine is of


_untold = Machine.handle_event


def _told(self: Machine, key: Hashable, data: object) -> None:
    received = self.receiving(key, data)
    if received is not None:
        for trace in Trace._on:
            if trace._covers(self):
                trace.told = True
                trace._write(received)
    _untold(self, key, data)


def unknown_machine(name: str) -> str:
    """Return what to say of a name that no class of machines has; nothing if one has it."""
    known = sorted({kind.__name__ for kind in _subclasses(Machine)} | {Machine.__name__})
    if name in known:
        return ""
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    return f"no class of machines is named {name}; {hint}"


def _subclasses(kind: type[Machine]) -> Iterator[type[Machine]]:
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)


def chart(trace: Iterable[object]) -> str:
    """Return a trace, as Received or as lines of text, as a Mermaid sequence diagram.

    A note says where a machine is when it was not there before; other lines are left out.
    """
    lines = ["sequenceDiagram"]
    aliases: dict[str, str] = {}
    states: dict[str, str] = {}

    def alias(name: str) -> str:
        if name not in aliases:
            aliases[name] = f"p{len(aliases)}"
            lines.append(f"    participant {aliases[name]} as {escaped(name)}")
        return aliases[name]

    for entry in trace:
        match = _LINE.fullmatch(str(entry))
        if match is None:
            continue
        to, state, key, source = match["to"], match["state"], match["key"], match["source"]
        sender, receiver = alias(to if source == "SELF" else source), alias(to)
        if states.get(to) != state:
            states[to] = state
            lines.append(f"    Note over {receiver}: {state}")
        lines.append(f"    {sender}->>{receiver}: {escaped(key)}")
    return "\n".join(lines) + "\n"
