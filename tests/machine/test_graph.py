"""The rules for state graphs: the error for each broken rule."""

import re
from collections.abc import Iterator

import pytest

from vcproxy.engine.event import Event
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, State


def refused(*words: str) -> "pytest.RaisesExc[TypeError]":
    """Expect a TypeError whose text has the line of the declaration, then these words in order."""
    pattern = r"test_graph\.py:\d+: .*" + ".*".join(map(re.escape, words))
    return pytest.raises(TypeError, match=pattern)


def test_the_place_is_the_line_of_the_declaration() -> None:
    with pytest.raises(TypeError) as caught:

        class Wrong(Machine):
            HERE = State(initial=True)
            HERE.goes("key", HERE)
            HERE.goes("key", HERE)

    line = test_the_place_is_the_line_of_the_declaration.__code__.co_firstlineno
    place, problem = str(caught.value).split(": ", 1)
    assert place == f"{__file__}:{line + 6}"
    assert problem.endswith(f"Wrong.HERE on key: already receives it at {__file__}:{line + 5}")


def test_a_machine_has_an_initial_state() -> None:
    with refused("NoStart has no initial state"):

        class NoStart(Machine):
            HERE = State()


def test_a_machine_has_one_initial_state() -> None:
    with refused("TwoStarts.RIGHT", "several initial states: LEFT, RIGHT"):

        class TwoStarts(Machine):
            LEFT, RIGHT = State(initial=True), State(initial=True)
            LEFT.goes("go", RIGHT)
            RIGHT.goes("go", LEFT)


def test_a_target_is_a_state_of_the_machine() -> None:
    elsewhere = State()
    with refused("Stray.HERE on go", "not a state here"):

        class Stray(Machine):
            HERE = State(initial=True)
            HERE.goes("go", elsewhere)


def test_a_target_is_not_a_name() -> None:
    with refused("Stringly.HERE on go: goes to 'THERE', which is not a state here"):

        class Stringly(Machine):
            HERE = State(initial=True)

            @HERE.on("go", to="THERE")  # type: ignore[arg-type]
            def go(self, data: object) -> None: ...


def test_a_parent_is_a_state_of_the_machine() -> None:
    with refused("Orphan.HERE: its parent", "is not a state of", "Orphan"):

        class Orphan(Machine):
            HERE = State(initial=True, parent=State())


def test_a_state_has_one_name() -> None:
    with refused("Alias.ALSO: HERE is a second name"):

        class Alias(Machine):
            HERE = ALSO = State(initial=True)


def test_a_key_is_received_once() -> None:
    with refused("Twice.HERE on EOS: already receives it at", "test_graph.py"):

        class Twice(Machine):
            HERE = State(initial=True)

            @HERE.on("other", Event.EOS)
            def one(self, data: object) -> None: ...

            @HERE.on(Event.EOS)
            def two(self, data: object) -> None: ...


def test_a_state_has_one_enter() -> None:
    with refused("Doubly.HERE on ENTER: already receives it"):

        class Doubly(Machine):
            HERE = State(initial=True)

            @HERE.enter
            def one(self) -> None: ...

            @HERE.enter
            def two(self) -> None: ...


def test_a_receiver_is_not_hidden() -> None:
    with refused("Hidden.HERE on a: its method same is hidden"):

        class Hidden(Machine):
            HERE = State(initial=True)

            @HERE.on("a")
            def same(self, data: object) -> None: ...

            @HERE.on("b")  # type: ignore[no-redef]
            def same(self, data: object) -> None: ...  # noqa: F811


def test_a_state_can_be_reached() -> None:
    with refused("Island.AWAY: is unreachable"):

        class Island(Machine):
            HERE, AWAY = State(initial=True), State()
            AWAY.goes("back", HERE)


def test_a_transition_hidden_by_a_catch_all_does_not_count() -> None:
    with refused("Covered.AWAY: is unreachable"):

        class Covered(Machine):
            ALL = State()
            HERE, AWAY = State(initial=True, parent=ALL), State()
            ALL.goes("go", AWAY)
            AWAY.goes("back", HERE)

            @HERE.on(ANY)
            def any(self, key: object, data: object) -> None: ...


def test_a_parent_is_reached_with_its_children() -> None:
    class Grouped(Machine):
        GROUP = State()
        HERE, DONE = State(initial=True, parent=GROUP), State(final=True)
        GROUP.goes("end", DONE)

    assert list(Grouped.transitions()) == [(Grouped.GROUP, "end", Grouped.DONE)]


def test_a_final_state_can_be_reached_from_everywhere() -> None:
    with refused("Trap.SPIN: is a dead end: no final state"):

        class Trap(Machine):
            HERE, SPIN, SPUN, DONE = State(initial=True), State(), State(), State(final=True)
            HERE.goes("end", DONE)
            HERE.goes("spin", SPIN)
            SPIN.goes("on", SPUN)
            SPUN.goes("on", SPIN)


def test_a_dead_end_is_refused_without_final_states_too() -> None:
    with refused("End.THERE: is a dead end: it has no transition"):

        class End(Machine):
            HERE, THERE = State(initial=True), State()
            HERE.goes("go", THERE)
            THERE.goes("again", THERE)


def test_a_single_state_may_last_forever() -> None:
    class Forever(Machine):
        HERE = State(initial=True)

        @HERE.on(Event.ACCEPT)
        def accepted(self, vc: object) -> None: ...

    assert Forever.states == (Forever.HERE,)


def test_a_timeout_is_received() -> None:
    with refused("Deaf.HERE: has a timeout, and nothing receives TIMEOUT"):

        class Deaf(Machine):
            HERE = State(initial=True, timeout="1s")


def test_a_timeout_is_received_by_a_parent_too() -> None:
    class Heard(Machine):
        ALL, DONE = State(), State(final=True)
        HERE = State(initial=True, parent=ALL, timeout="1s")
        ALL.goes(Event.TIMEOUT, DONE)

    assert Heard.HERE.seconds == 1.0


def test_a_receiver_of_timeout_needs_a_timeout() -> None:
    with refused("Clockless.HERE on TIMEOUT: neither it nor a child has a timeout"):

        class Clockless(Machine):
            HERE, DONE = State(initial=True), State(final=True)
            HERE.goes(Event.TIMEOUT, DONE)


def test_a_timeout_is_a_duration() -> None:
    with pytest.raises(ValueError, match='"5" is not a duration'):
        State(timeout="5")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("parent", "no parent and no children"),
        ("timeout", "no timeout"),
        ("exit", "a final state has no transitions"),
    ],
)
def test_a_final_state_stands_alone(wrong: str, words: str) -> None:
    with refused("Ended.DONE", words):

        class Ended(Machine):
            HERE = State(initial=True)
            DONE = State(
                final=True,
                parent=HERE if wrong == "parent" else None,
                timeout="1s" if wrong == "timeout" else None,
            )
            HERE.goes("end", DONE)
            DONE.goes(Event.TIMEOUT if wrong == "timeout" else "back", HERE)


class Whole(Machine):
    HERE, DONE = State(initial=True), State(final=True)
    HERE.goes("end", DONE)


def test_a_receiver_is_called_and_not_awaited_or_iterated() -> None:
    with refused("the receiver of later would not run: it is called, not awaited or iterated"):

        class Awaited(Machine):
            HERE = State(initial=True)

            @HERE.on("later")  # type: ignore[type-var]
            async def later(self, _: object) -> None: ...

    with refused("the receiver of ENTER would not run"):

        class Iterated(Machine):
            HERE = State(initial=True)

            @HERE.enter  # type: ignore[type-var]
            def entered(self) -> Iterator[None]:
                yield


def test_a_subclass_adds_no_states() -> None:
    with refused("More.THERE: a subclass of Whole cannot add states"):

        class More(Whole):
            THERE = State()


def test_a_subclass_declares_nothing_on_inherited_states() -> None:
    with refused("Whole.HERE: its class is complete, so no receiver of late can be added"):

        class Defer(Whole):
            @Whole.HERE.on("late")
            def late(self, data: object) -> None: ...
