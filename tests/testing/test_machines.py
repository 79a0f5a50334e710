"""check_machine: the refused keys of valid machines, and errors for invalid ones."""

import pytest

from vcproxy.engine.event import Event
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, State
from vcproxy.testing.machines import check_machine


class Order(Machine):
    OPEN = State(timeout="1m")
    NEW, PAID = State(initial=True, parent=OPEN), State(parent=OPEN)
    LOST = State()
    DONE = State(final=True)
    OPEN.goes(Event.TIMEOUT, DONE)
    NEW.goes("pay", PAID)
    PAID.goes("ship", DONE)
    PAID.goes("lose", LOST)

    @LOST.on(ANY, to=(PAID, DONE))
    def found(self, key: object, data: object) -> State | None: ...


def test_refused_keys_are_returned() -> None:
    assert check_machine(Order) == {
        "OPEN pay", "OPEN ship", "OPEN lose", "NEW ship", "NEW lose", "PAID pay",
    }  # fmt: skip


def test_a_walk_finds_a_state_of_another_machine() -> None:
    class Tampered(Machine):
        HERE = State(initial=True)
        HERE.goes("on", HERE)

    Tampered.states[0].machine = ""  # the state belongs to no machine yet
    Tampered.HERE.goes("away", Order.LOST)
    with pytest.raises(AssertionError, match=r"Order\.LOST is not a state of .*Tampered"):
        check_machine(Tampered)


def test_a_machine_without_states_is_refused() -> None:
    with pytest.raises(AssertionError, match="Machine declares no states"):
        check_machine(Machine)
