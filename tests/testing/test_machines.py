"""check_machine: what it finds in sound machines, and that it notices unsound ones."""

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


def test_the_holes_of_a_machine_are_named() -> None:
    assert check_machine(Order) == {
        "OPEN pay", "OPEN ship", "OPEN lose", "NEW ship", "NEW lose", "PAID pay",
    }  # fmt: skip


def test_a_walk_notices_a_state_from_elsewhere() -> None:
    class Tampered(Machine):
        HERE = State(initial=True)
        HERE.goes("on", HERE)

    Tampered.states[0].machine = ""  # as if the declaration were still open
    Tampered.HERE.goes("away", Order.LOST)
    with pytest.raises(AssertionError, match=r"Order\.LOST is not a state of .*Tampered"):
        check_machine(Tampered)


def test_a_machine_without_states_has_nothing_to_check() -> None:
    with pytest.raises(AssertionError, match="Machine declares no states"):
        check_machine(Machine)
