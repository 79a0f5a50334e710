"""Trace: lines for the events that machines receive, and a sequence chart of such lines.

It costs nothing while no trace is on: `Machine.handle_event` is replaced by one that writes, and
restored when the last trace ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from types import TracebackType

from vcproxy.machine.machine import HistoryEntry, Machine

_LINE = re.compile(r"(?P<to>.+) @ (?P<state>\w+) got '(?P<key>.+)' from (?P<source>.+)")


class Trace:
    """Writes each event before it is received: of one machine, of a class, or of all.

        with Trace(print, Forward):
            ...

    `of` may also be the name of a machine or a class, which stays the same after a reload. The
    lines read `WORKER-4 @ RECV got 'M1' from RX-4`. Any number of traces may be on.
    """

    running: list[Trace] = []

    def __init__(
        self, write: Callable[[HistoryEntry], object], of: Machine | type[Machine] | str = Machine
    ) -> None:
        self.written = False
        """Whether an event was written."""
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
        """Begin to write."""
        Trace.running = [*Trace.running, self]
        Machine.handle_event = _traced  # type: ignore[method-assign]

    def stop(self) -> None:
        """Stop. May be repeated."""
        Trace.running = [trace for trace in Trace.running if trace is not self]
        if not Trace.running:
            Machine.handle_event = _untraced  # type: ignore[method-assign]

    def covers(self, machine: Machine) -> bool:
        """Return whether the events of a machine are written. Subclasses may choose others."""
        of = self._of
        if isinstance(of, str):
            return of == machine.name or of in [kind.__name__ for kind in type(machine).__mro__]
        return isinstance(machine, of) if isinstance(of, type) else machine is of


_untraced = Machine.handle_event


def _traced(self: Machine, key: Hashable, data: object) -> None:
    covering = [trace for trace in Trace.running if trace.covers(self)]
    received = self.receiving(key, data) if covering else None
    if received is not None:
        for trace in covering:
            trace.written = True
            trace._write(received)
    _untraced(self, key, data)


def unknown_machine(name: str) -> str:
    """Return an error text for a name that no machine class has; "" if one has it."""
    known = sorted({kind.__name__ for kind in _subclasses(Machine)} | {Machine.__name__})
    if name in known:
        return ""
    from difflib import get_close_matches  # imported only if there is an error

    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    return f"no machine class is named {name}; {hint}"


def _subclasses(kind: type[Machine]) -> Iterator[type[Machine]]:
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)


def chart(trace: Iterable[object]) -> str:
    """Return a trace (HistoryEntry objects or lines of text) as a Mermaid sequence diagram.

    A note marks each change of a machine's state; lines that are not trace lines are ignored.
    """
    from vcproxy.machine.diagram import escaped  # not needed where traces are only written

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
