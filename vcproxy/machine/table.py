"""What a running machine looks up: its declarations, flattened and resolved when the class is made.

A Table serves one state of one class; a Way is a move, worked out beforehand. All instances share
them, and they never change. They are plain dicts and tuples, which the interpreter reads fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from vcproxy.engine.event import Event
from vcproxy.machine.state import ANY, ENTER, LEAVE, Receiver, State, flatten, label, route

if TYPE_CHECKING:
    from vcproxy.machine.machine import Machine

Function: TypeAlias = Callable[..., Any]
Record: TypeAlias = tuple[State, Hashable, str]
"""What a machine's ring keeps of an event: state, key, source."""
Steps: TypeAlias = tuple[tuple[State, Function | None], ...]
Way: TypeAlias = tuple[Steps, Steps, State, "Table"]
"""The states left and entered that have a clock or a hook, in order; the next state, its table."""
Entry: TypeAlias = tuple[Function, Record | None, Way | None, dict[State, Way]]
"""The receiver; the record of an engine event, None for messages, whose senders differ; the move
when the receiver returns None; the moves that it may return the targets of."""
Table: TypeAlias = dict[Hashable, Entry]
"""By key. A key without an entry takes the one of ANY, whose function wants the key; engine events
all have theirs, but for TIMEOUT: the expiry of each running timeout stands under its State."""


class Unhandled(LookupError):
    """Neither the current state nor a state above it receives the key."""


def build(machine: type[Machine]) -> dict[State, Table]:
    """Return the tables of the class, its own methods in place of those they override."""
    tables: dict[State, Table] = {state: {} for state in machine.states}
    for state, table in tables.items():
        stray = _ignored if state.final else unhandled
        received = {ANY: Receiver(ANY, stray, (), False, state.place), **flatten(state)}
        for event in Event:
            received.setdefault(event, received[ANY])
        for key, receiver in received.items():
            delivered = Event.TIMEOUT if isinstance(key, State) else key
            ways = {to: way(machine, state, to, tables[to]) for to in receiver.targets}
            entry = (
                _method(machine, receiver),
                (state, delivered, "OS") if isinstance(delivered, Event) else None,
                ways[receiver.targets[0]] if receiver.always else None,
                ways,
            )
            caught = receiver.key is ANY and key is not ANY
            table[key] = catch(entry, delivered) if caught else entry
        del table[Event.TIMEOUT]
    return tables


def catch(entry: Entry, key: Hashable) -> Entry:
    """Return a catch-all's entry as the entry of one key."""
    catch_all, record, always, choices = entry
    return lambda machine, data: catch_all(machine, key, data), record, always, choices


def way(machine: type[Machine], source: State, target: State, table: Table) -> Way:
    """Work out the move from source to target, whose table is given."""
    left, entered = route(source, target)
    return _steps(machine, left, LEAVE), _steps(machine, entered, ENTER), target, table


def _steps(machine: type[Machine], states: Iterable[State], key: Hashable) -> Steps:
    hooks = {s: _method(machine, r) for s in states for r in s.receivers if r.key is key}
    return tuple((s, hooks.get(s)) for s in states if s in hooks or s.seconds is not None)


def _method(machine: type[Machine], receiver: Receiver) -> Function:
    declared = receiver.function
    if declared is None:
        return _nothing
    method: Function = getattr(machine, declared.__name__, declared)
    return method


def _nothing(machine: Machine, *event: object) -> None:
    """Receive for a bare transition, of a catch-all too."""


def _ignored(machine: Machine, key: Hashable, data: object) -> None:
    """Receive whatever reaches a machine that is over."""


def unhandled(machine: Machine, key: Hashable, data: object) -> None:
    """Receive, as the catch-all of last resort, what nothing was declared for: raise Unhandled."""
    state = machine.state
    known = ", ".join(label(k) for k in flatten(state) if not isinstance(k, State)) or "nothing"
    raise Unhandled(
        f"{machine.name} @ {state.name}: no receiver for {label(key)} ({type(data).__name__}); "
        f"it receives {known}: declare one for it, or a catch-all (ANY)"
    )


GONE: Table = {ANY: (_ignored, None, None, {})}
"""Of a machine that was abandoned."""
