"""Tables: what a running machine looks up, made of its declarations when the class is made.

A Table is for one state of one class; a Transition is a move with all its steps. All instances
share them, and they never change. They are plain dicts and tuples, which Python reads fastest.

Machine and its tables are a pair: tables are made for a class of machines, for type checking too.

Tested in tests/machine/test_machine.py.
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
"""The history's record of an event: state, key, source."""
Steps: TypeAlias = tuple[tuple[State, Function | None], ...]
Transition: TypeAlias = tuple[Steps, Steps, State, "Table"]
"""The states left and entered that have a timeout or a hook; the next state, and its table."""
Entry: TypeAlias = tuple[Function, Record | None, Transition | None, dict[State, Transition]]
"""The receiver; the history's record of an engine event, None for messages, whose senders differ;
the move when the receiver returns None; the moves by the targets that it may return."""
Table: TypeAlias = dict[Hashable, Entry]
"""The entries of a state, by key. A key without an entry uses the entry of ANY, whose function also
takes the key. All engine events have an entry, except TIMEOUT: the key of each running timeout is
its State."""


class Unhandled(LookupError):
    """Raised when neither the current state nor a parent of it receives the key."""


def build(machine: type[Machine]) -> dict[State, Table]:
    """Return the tables of the class, with its own methods in place of those it overrides."""
    tables: dict[State, Table] = {state: {} for state in machine.states}
    for state, table in tables.items():
        stray = _ignored if state.final else unhandled
        received = {ANY: Receiver(ANY, stray, (), False, state.place), **flatten(state)}
        for event in Event:
            received.setdefault(event, received[ANY])
        for key, receiver in received.items():
            delivered = Event.TIMEOUT if isinstance(key, State) else key
            moves = {to: transition(machine, state, to, tables[to]) for to in receiver.targets}
            entry = (
                _method(machine, receiver),
                (state, delivered, "OS") if isinstance(delivered, Event) else None,
                moves[receiver.targets[0]] if receiver.always else None,
                moves,
            )
            caught = receiver.key is ANY and key is not ANY
            table[key] = catch(entry, delivered) if caught else entry
        del table[Event.TIMEOUT]
    return tables


def catch(entry: Entry, key: Hashable) -> Entry:
    """Return the catch-all's entry as an entry of one key."""
    catch_all, record, always, choices = entry
    return lambda machine, data: catch_all(machine, key, data), record, always, choices


def transition(machine: type[Machine], source: State, target: State, table: Table) -> Transition:
    """Return the move from source to target, whose table is given."""
    left, entered = route(source, target)
    return steps(machine, left, LEAVE), steps(machine, entered, ENTER), target, table


def steps(machine: type[Machine], states: Iterable[State], key: Hashable) -> Steps:
    """Return the hooks that are called when these states are left (LEAVE) or entered (ENTER)."""
    hooks = {s: _method(machine, r) for s in states for r in s.receivers if r.key is key}
    return tuple((s, hooks.get(s)) for s in states if s in hooks or s.seconds is not None)


def _method(machine: type[Machine], receiver: Receiver) -> Function:
    declared = receiver.function
    if declared is None:
        return _nothing
    method: Function = getattr(machine, declared.__name__, declared)
    return method


def _nothing(machine: Machine, *event: object) -> None:
    """Do nothing: the receiver of a transition without a method."""


def _ignored(machine: Machine, key: Hashable, data: object) -> None:
    """Ignore an event. The receiver of all events after a machine has ended."""


def unhandled(machine: Machine, key: Hashable, data: object) -> None:
    """Raise Unhandled: the catch-all of states that declare none."""
    state = machine.state
    known = ", ".join(label(k) for k in flatten(state) if not isinstance(k, State)) or "nothing"
    raise Unhandled(
        f"{machine.name} @ {state.name}: no receiver for {label(key)} ({type(data).__name__}); "
        f"it receives {known}: declare one for it, or a catch-all (ANY)"
    )


ABANDONED: Table = {ANY: (_ignored, None, None, {})}
"""The table of a machine that was abandoned."""
