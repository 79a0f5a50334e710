"""States as data: flattening and routes, compared with a naive look-up."""

from hypothesis import given
from hypothesis import strategies as st

from vcproxy.engine.event import Event
from vcproxy.machine.state import ANY, State, flatten, label, route
from vcproxy.testing.machines import receiver_of

KEYS = ["a", "b", int, Event.EOS, Event.TIMEOUT, ANY]


@st.composite
def trees(draw: st.DrawFn) -> list[State]:
    states: list[State] = []
    for number in range(draw(st.integers(1, 8))):
        parent = draw(st.sampled_from([None, *states]))
        state = State(parent=parent, timeout=draw(st.sampled_from([None, "1s"])))
        state.name = f"S{number}"
        for key in draw(st.lists(st.sampled_from(KEYS), unique=True)):
            state.on(key)(lambda machine, *data: None)
        states.append(state)
    return states


@given(trees())
def test_flattening_is_a_walk_up_the_parents(states: list[State]) -> None:
    for state in states:
        received = flatten(state)
        for key in [*KEYS, "unknown"]:
            assert received.get(key, received.get(ANY)) is receiver_of(state, key)


@given(trees())
def test_a_timeout_belongs_to_the_state_that_declares_it(states: list[State]) -> None:
    for state in states:
        received = flatten(state)
        for clock in states:
            running = clock in state.path and clock.seconds is not None
            assert received.get(clock) is (receiver_of(clock, Event.TIMEOUT) if running else None)


@given(trees(), st.data())
def test_a_route_leaves_and_enters_what_differs(states: list[State], data: st.DataObject) -> None:
    source, target = data.draw(st.sampled_from(states)), data.draw(st.sampled_from(states))
    left, entered = route(source, target)
    if source is target:
        assert left == entered == (source,)
    else:
        assert set(left) == set(source.path) - set(target.path)
        assert set(entered) == set(target.path) - set(source.path)
        assert source.path[len(source.path) - len(left) :] == left[::-1]
        assert target.path[len(target.path) - len(entered) :] == entered


def test_keys_are_labelled_as_in_traces() -> None:
    assert [label(key) for key in (Event.EOS, State, "M0", ANY, 7)] == [
        "EOS",
        "State",
        "M0",
        "ANY",
        "7",
    ]
