"""The declaration on_message: which classes it refuses, and which methods are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine.world import engine
from vcproxy.bus.dispatch.on_message import message_methods, on_message
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.definitions import ParameterDefinition as P
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State


class Doors(Continuation):
    @on_message("OPEN", "OPENED")
    def open(self, received: ReceivedMessage) -> None:
        """Open a door."""

    @on_message("DOOR<number>", priority=3)
    def door(self, received: ReceivedMessage) -> None:
        """One door."""


def patterns(cls: type) -> dict[str, tuple[str, ...]]:
    return {name: method.patterns for name, method in message_methods(cls).items()}


def test_a_class_has_its_methods_in_order() -> None:
    assert patterns(Doors) == {"open": ("OPEN", "OPENED"), "door": ("DOOR<number>",)}
    assert [method.priority for method in message_methods(Doors).values()] == [7, 3]


def test_a_declared_method_can_be_called_as_any_other() -> None:
    seen: list[str] = []

    class Calls(Continuation):
        @on_message("OPEN")
        def open(self, received: ReceivedMessage) -> None:
            seen.append(received.command)

    calls = Calls(engine(), Mutex())
    calls.open(ReceivedMessage(BusMessage("OPEN"), lambda reply: None))
    assert seen == ["OPEN"]


def test_a_subclass_overrides_a_method_and_adds_others() -> None:
    class More(Doors):
        def open(self, received: ReceivedMessage) -> None:
            """Open it in another way."""

        @on_message("CLOSE")
        def close(self, received: ReceivedMessage) -> None:
            """Close it."""

    assert patterns(More) == {**patterns(Doors), "close": ("CLOSE",)}
    assert More.open is not Doors.open


def test_a_subclass_may_declare_other_messages_for_a_method() -> None:
    class Other(Doors):
        @on_message("UNLOCK")
        def open(self, received: ReceivedMessage) -> None:
            """Open it."""

    assert patterns(Other)["open"] == ("UNLOCK",)


def test_a_machine_declares_messages_too() -> None:
    class Lift(Machine):
        IDLE = State(initial=True)
        IDLE.goes("up", IDLE)

        @on_message("FLOOR<number>")
        def floor(self, received: ReceivedMessage) -> None:
            """Go to a floor."""

    assert patterns(Lift) == {"floor": ("FLOOR<number>",)}


def refused(declare: Callable[[], object]) -> str:
    with pytest.raises(TypeError) as caught:
        declare()
    place, _, text = str(caught.value).partition(": ")
    assert place.startswith(__file__), place
    return text


class TestRefused:
    def test_what_is_no_pattern(self) -> None:
        def declare() -> None:
            class Wrong(Continuation):
                @on_message("open")
                def open(self, received: ReceivedMessage) -> None: ...

        assert refused(declare).startswith('on_message: "open" is not a pattern of commands')

    def test_a_pattern_that_is_declared_twice(self) -> None:
        def declare() -> None:
            class Wrong(Doors):
                @on_message("OPENED")
                def opened(self, received: ReceivedMessage) -> None: ...

        assert refused(declare).endswith(
            '.Wrong.opened on OPENED: "OPENED" is declared twice, by open and opened: '
            "one method receives it"
        )

    def test_twice_for_one_method(self) -> None:
        def declare() -> None:
            class Wrong(Continuation):
                @on_message("OPEN", "OPEN")
                def open(self, received: ReceivedMessage) -> None: ...

        assert '"OPEN" is declared twice, by open and open' in refused(declare)

    def test_a_method_with_other_arguments(self) -> None:
        def declare() -> None:
            class Wrong(Continuation):
                @on_message("OPEN")  # type: ignore[type-var]
                def open(self) -> None: ...

        assert refused(declare).endswith(
            "on OPEN: it is called as open(self, received): it takes (self) -> 'None'"
        )

    def test_a_generator(self) -> None:
        def declare() -> None:
            class Wrong(Continuation):
                @on_message("OPEN")  # type: ignore[type-var]
                def open(self, received: ReceivedMessage) -> Iterator[int]:
                    yield 1

        assert refused(declare).endswith("it is a generator or async: a call would not run it")

    def test_a_coroutine(self) -> None:
        def declare() -> None:
            class Wrong(Continuation):
                @on_message("OPEN")  # type: ignore[type-var]
                async def open(self, received: ReceivedMessage) -> None: ...

        assert refused(declare).endswith("it is a generator or async: a call would not run it")

    def test_what_is_no_method(self) -> None:
        def declare() -> None:
            class Wrong(Continuation):
                @on_message("OPEN")
                @staticmethod
                def open(self: Any, received: ReceivedMessage) -> None: ...

        assert refused(declare).endswith("it is not a method: decorate `def open(self, ...)`")

    def test_a_method_that_hides_one_of_a_base_class(self) -> None:
        def declare() -> None:
            class Wrong(Machine):
                IDLE = State(initial=True)
                IDLE.goes("up", IDLE)

                @on_message("START")
                def start(self, received: ReceivedMessage) -> None: ...  # type: ignore[override]

        assert refused(declare).endswith("on START: it hides Machine.start: rename it")

    @pytest.mark.parametrize(
        ("parameters", "why"),
        [
            ([P("a b")], '"a b" is not the name of a parameter'),
            ([P("to"), P("to")], 'the parameter "to" is there twice'),
            ([P("to", "number")], '"number" is not a type: string, integer, address, timespec are'),
            (
                [P("to", forbidden=True)],
                'the parameter "to" is required and forbidden: no message would reach the method',
            ),
        ],
    )
    def test_parameters_that_are_wrong(self, parameters: list[P], why: str) -> None:
        def declare() -> None:
            class Wrong(Continuation):
                @on_message("OPEN", parameters=parameters)
                def open(self, received: ReceivedMessage) -> None: ...

        assert refused(declare).endswith(f"Wrong.open on OPEN: {why}")

    def test_a_priority_that_is_none(self) -> None:
        def declare() -> None:
            class Wrong(Continuation):
                @on_message("OPEN", priority=16)
                def open(self, received: ReceivedMessage) -> None: ...

        assert refused(declare).endswith("the priority is 16: it must be 0 to 15")

    def test_a_class_that_receives_no_events(self) -> None:
        def declare() -> None:
            class Wrong:
                @on_message("START")
                def start(self, received: ReceivedMessage) -> None: ...

        with pytest.raises(Exception, match="Wrong") as caught:
            declare()
        error = caught.value if isinstance(caught.value, TypeError) else caught.value.__cause__
        assert "Wrong.start on START: Wrong is not a Session, Program" in str(error)
