"""Diagrams of machines, from their declarations: Mermaid and DOT.

An arrow is labelled with its keys; `?` means that the receiver decides whether to move. Below the
name of a state are the keys that it receives without moving. Graphviz makes SVG of DOT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vcproxy.engine.event import Event
from vcproxy.engine.units import show_duration
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ENTER, LEAVE, Receiver, State, label


def mermaid(*machines: type[Machine]) -> str:
    """Return a Mermaid state diagram of machines, each in a box if there are several."""
    lines = ["stateDiagram-v2"]
    for machine in machines:
        if len(machines) == 1:
            lines += _mermaid(machine, 1)
        else:
            lines.append(f"    state {machine.__name__} {{")
            lines += [*_mermaid(machine, 2), "    }"]
    return "\n".join(lines) + "\n"


def dot(*machines: type[Machine]) -> str:
    """Return a Graphviz digraph of machines, each in a box if there are several."""
    lines = ["digraph {", "    node [shape=box, style=rounded]"]
    for machine in machines:
        if len(machines) == 1:
            lines += _dot(machine, 1)
        else:
            name = machine.__name__
            lines += [f"    subgraph cluster_{name} {{", f'        label="{name}"']
            lines += [*_dot(machine, 2), "    }"]
    return "\n".join([*lines, "}"]) + "\n"


def escaped(text: str) -> str:
    """Return text with the characters of Mermaid's syntax written as entities."""
    return re.sub(r'[#;:<>%"]', lambda match: f"#{ord(match[0])};", text)


def _mermaid(machine: type[Machine], depth: int) -> Iterator[str]:
    def within(parent: State | None, indent: str) -> Iterator[str]:
        for state in machine.states:
            if state.parent is parent:
                name = _name(machine, state)
                box = " {" if _holds(machine, state) else ""
                yield f'{indent}state "{state.name}" as {name}{box}'
                if box:
                    yield from within(state, indent + "    ")
                    yield f"{indent}}}"
                elif stays := _stays(state):
                    yield f"{indent}{name} : {escaped(stays)}"
                if state.initial:
                    yield f"{indent}[*] --> {name}"
                if state.final:
                    yield f"{indent}{name} --> [*]"

    yield from within(None, "    " * depth)
    for source, target, keys in _arrows(machine):
        ends = f"{_name(machine, source)} --> {_name(machine, target)}"
        yield f"{'    ' * depth}{ends} : {escaped(keys)}"


def _dot(machine: type[Machine], depth: int) -> Iterator[str]:
    def within(parent: State | None, indent: str) -> Iterator[str]:
        for state in machine.states:
            if state.parent is parent:
                name, inner = _name(machine, state), indent
                if _holds(machine, state):
                    inner += "    "
                    yield f"{indent}subgraph cluster_{name} {{"
                text = "\\n".join(filter(None, [state.name, _quoted(_stays(state))]))
                final = ", peripheries=2" if state.final else ""
                yield f'{inner}{name} [label="{text}"{final}]'
                if inner != indent:
                    yield from within(state, inner)
                    yield f"{indent}}}"
                if state.initial:
                    yield f"{indent}{machine.__name__} [shape=point]"
                    yield f"{indent}{machine.__name__} -> {name}"

    yield from within(None, "    " * depth)
    for source, target, keys in _arrows(machine):
        ends = f"{_name(machine, source)} -> {_name(machine, target)}"
        yield f'{"    " * depth}{ends} [label="{_quoted(keys)}"]'


def _arrows(machine: type[Machine]) -> Iterator[tuple[State, State, str]]:
    """Yield source, target and keys of each arrow, in the order of declaration."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for state in machine.states:
        for receiver in state.receivers:
            for target in receiver.targets:
                text = _key(state, receiver) + ("" if receiver.always else "?")
                arrows.setdefault((state, target), []).append(text)
    for (source, target), keys in arrows.items():
        yield source, target, ", ".join(keys)


def _stays(state: State) -> str:
    """Return the keys that a state receives without moving."""
    receivers: Sequence[Receiver] = [
        r for r in state.receivers if r.key not in (ENTER, LEAVE) and not r.targets
    ]
    return ", ".join(_key(state, receiver) for receiver in receivers)


def _key(state: State, receiver: Receiver) -> str:
    if receiver.key is Event.TIMEOUT and state.seconds is not None:
        return f"{label(receiver.key)} {show_duration(state.seconds)}"
    return label(receiver.key)


def _holds(machine: type[Machine], state: State) -> bool:
    return any(other.parent is state for other in machine.states)


def _name(machine: type[Machine], state: State) -> str:
    """Return a name for a state that is unique in the picture and no keyword."""
    return f"{machine.__name__}_{state.name}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
