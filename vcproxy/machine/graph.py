"""The rules for state graphs, which are checked when a machine's class is made.

Every violation is a TypeError that names the place, the class, the state and the key.

- One initial state; a state has one name; a parent and a target are states of the same class.
- A state receives a key once. A receiver is not hidden by a later method of the same name.
- A final state has no parent and no children (so that every state has been left when a machine has
  ended), no timeout and no transition.
- A timeout is received, and TIMEOUT is received only where a timeout can run.
- Every state can be reached, or one of its children can.
- No state is a dead end: a final state can be reached from it, or, where none is declared, another
  state can. A machine with a single state may stay in it forever.
"""

from collections.abc import Mapping

from vcproxy.engine.event import Event
from vcproxy.machine.state import Receiver, State, flatten, label


def check(machine: str, namespace: Mapping[str, object]) -> None:
    """Raise TypeError unless the states in this class namespace follow the rules."""
    named = {name: value for name, value in namespace.items() if isinstance(value, State)}
    states = tuple(named.values())
    for name, state in named.items():
        if state.name != name:
            raise _fault(state, f"{name} is a second name for it: a state has one name")
    _check_initial(machine, states)
    for state in states:
        if state.parent is not None and state.parent not in states:
            raise _fault(state, f"its parent {state.parent!r} is not a state of {machine}")
        _check_receivers(state, states, namespace)
        _check_timeout(state, states)
        if state.final:
            _check_final(state, states)
    _check_paths(states)


def _check_initial(machine: str, states: tuple[State, ...]) -> None:
    initial = [state for state in states if state.initial]
    if not initial:
        raise _fault(states[0], f"{machine} has no initial state: declare one State(initial=True)")
    if len(initial) > 1:
        names = ", ".join(state.name for state in initial)
        raise _fault(initial[-1], f"{machine} has several initial states: {names}")


def _check_receivers(
    state: State, states: tuple[State, ...], namespace: Mapping[str, object]
) -> None:
    seen: dict[object, Receiver] = {}
    for receiver in state.receivers:
        first = seen.setdefault(receiver.key, receiver)
        if first is not receiver:
            raise _fault(state, f"already receives it at {first.place}", receiver)
        for target in receiver.targets:
            if target not in states:
                raise _fault(state, f"goes to {target!r}, which is not a state here", receiver)
        name = getattr(receiver.function, "__name__", "")
        if namespace.get(name, receiver.function) is not receiver.function:
            problem = f"its method {name} is hidden by another of that name: rename one"
            raise _fault(state, problem, receiver)


def _check_timeout(state: State, states: tuple[State, ...]) -> None:
    if state.seconds is not None and state not in flatten(state):
        raise _fault(state, "has a timeout, and nothing receives TIMEOUT")
    for receiver in state.receivers:
        if receiver.key is Event.TIMEOUT and not any(
            s.seconds is not None for s in states if state in s.path
        ):
            raise _fault(
                state, "neither it nor a child has a timeout: State(timeout=...)", receiver
            )


def _check_final(state: State, states: tuple[State, ...]) -> None:
    if state.parent is not None or any(s.parent is state for s in states):
        raise _fault(state, "is final, and a final state has no parent and no children")
    if state.seconds is not None:
        raise _fault(state, "is final, and a final state has no timeout")
    for receiver in state.receivers:
        if receiver.targets:
            raise _fault(state, "a final state has no transitions", receiver)


def _check_paths(states: tuple[State, ...]) -> None:
    next_states = {s: {t for r in flatten(s).values() for t in r.targets} for s in states}
    final = {s for s in states if s.final}
    current = _reachable({s for s in states if s.initial}, next_states)
    entered = {ancestor for s in current for ancestor in s.path}
    for state in states:
        if state not in entered:
            raise _fault(state, "is unreachable: no transition leads to it")
        goals = final or current - {state}
        if state in current and goals and goals.isdisjoint(_reachable({state}, next_states)):
            raise _fault(
                state,
                "is a dead end: no final state can be reached from it"
                if final
                else "is a dead end: it has no transition, and it is not State(final=True)",
            )


def _reachable(start: set[State], next_states: Mapping[State, set[State]]) -> set[State]:
    reached: set[State] = set()
    ahead = set(start)
    while ahead:
        reached |= ahead
        ahead = {target for state in ahead for target in next_states[state]} - reached
    return reached


def _fault(state: State, problem: str, receiver: Receiver | None = None) -> TypeError:
    if receiver is None:
        return TypeError(f"{state.place}: {state!r}: {problem}")
    return TypeError(f"{receiver.place}: {state!r} on {label(receiver.key)}: {problem}")
