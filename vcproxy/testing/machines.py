"""check_machine: checks the declaration of a machine class, each state with each event key.

The class is not instantiated, and the code of its receivers does not run.
Tested in tests/testing/test_machines.py.
"""

from collections.abc import Hashable
from random import Random

from vcproxy.engine.event import Event
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, ENTER, LEAVE, Receiver, State, flatten, label, route

_STEPS = 50
"""Steps of one random walk: many more than the largest machine has states."""


def check_machine(machine: type[Machine], *, walks: int = 20, seed: int = 0) -> set[str]:
    """Check the class; return the keys that states refuse, as "STATE KEY".

    A state refuses a key if it has no receiver for it; such an event ends the machine. Compare the
    result with the expected keys, so that a new refused key makes the test fail:
    `assert check_machine(Greeter) == {"RELAYING Message"}`. Raises AssertionError if the receiver
    of a key differs from the one found by walking up the parent states, or if a random walk from
    the initial state leaves the class, or enters and leaves states in unequal numbers.
    """
    assert machine.states, f"{machine.__qualname__} declares no states"
    random = Random(seed)
    for _ in range(walks):
        _walk(machine, random)
    return {
        f"{state.name} {label(key)}"
        for state in machine.states
        for key in known_keys(machine)
        if not _received(state, key)
        and not state.final
        # Only a state with a timeout needs a receiver for TIMEOUT; the Machine class checks that.
        and key is not Event.TIMEOUT
    }


def known_keys(machine: type[Machine]) -> set[Hashable]:
    """Return every key for which at least one state of the class declares a receiver."""
    declared = {receiver.key for state in machine.states for receiver in state.receivers}
    return declared - {ANY, ENTER, LEAVE}


def receiver_of(state: State, key: Hashable) -> Receiver | None:
    """Return the receiver of a key: the state's own, its ANY receiver, or that of a parent."""
    for holder in reversed(state.path):
        own = {receiver.key: receiver for receiver in holder.receivers}
        if key in own or ANY in own:
            return own.get(key) or own[ANY]
    return None


def _received(state: State, key: Hashable) -> bool:
    received = flatten(state)
    found, expected = received.get(key, received.get(ANY)), receiver_of(state, key)
    assert found is expected, f"{state!r} takes {label(key)} with {found}, not with {expected}"
    return found is not None


def _walk(machine: type[Machine], random: Random) -> None:
    entered: list[State] = []
    (state,) = (state for state in machine.states if state.initial)
    left: tuple[State, ...] = ()
    path = state.path
    for _ in range(_STEPS):
        assert state in machine.states, f"{state!r} is not a state of {machine.__qualname__}"
        for leaving in left:
            assert entered.pop() is leaving, f"{leaving!r} is left before a state inside it"
        entered.extend(path)
        assert tuple(entered) == state.path, f"in {state!r} what was entered is {entered}"
        targets = [target for r in flatten(state).values() for target in r.targets]
        if not targets:
            return
        target = random.choice(targets)
        left, path = route(state, target)
        state = target
