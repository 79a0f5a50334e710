"""MessageReceiver: messages of the bus reach the methods of an object, and replies the sender."""

from __future__ import annotations

import pytest

from vcproxy.bus.dispatch.message_receiver import MessageReceiver
from vcproxy.bus.dispatch.on_message import on_message
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.mutex import LockNotHeld, Mutex
from vcproxy.machine.machine import Machine
from vcproxy.machine.staged import MessageQueue, Stage, StagedMessage, StageMachine
from vcproxy.machine.state import State


class Lift(Machine):
    IDLE = State(initial=True)
    MOVING = State()
    IDLE.goes("up", MOVING)
    SCRAPPED = State(final=True)
    MOVING.goes("arrived", IDLE)
    IDLE.goes("scrap", SCRAPPED)

    @on_message("FLOOR<number>")
    def floor(self, received: ReceivedMessage) -> None:
        self.handle_event("up", None)
        received.reply("MOVING", floor=received.captured["number"])
        self.engine.schedule(self, "arrived", None)

    @on_message("BREAK")
    def breaks(self, received: ReceivedMessage) -> None:
        raise ValueError("a rope")


class House:
    """A simulation with a lift, which is reached by its bus."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.sim = Simulation(0)
        driver = self.sim.driver(log=lambda level, text, error=None: self.log.append(text))
        self.lift = Lift(driver.engine, Mutex(), name="lift")
        with self.lift.mutex.hold(driver.engine):
            self.lift.start()
            self.receiver = MessageReceiver(self.lift, "lift")
        self.replies: list[tuple[int, str]] = []
        self.bus = self.sim.network.bus
        self.bus.on_reply = lambda route, text: self.replies.append((route, text))
        self.sim.run()

    def send(self, text: str, route: int = 1) -> int:
        """Send a message; return the number of sources that take it."""
        count = self.bus.deliver(BusMessage.parse(text).command, text, route=route)
        self.sim.run()
        return count


def test_a_method_is_called_and_its_reply_goes_back() -> None:
    house = House()
    assert house.send("FLOOR3", route=7) == 1
    assert house.replies == [(7, "MOVING floor=3")]
    assert house.lift.state is Lift.IDLE


def test_a_message_is_in_the_history() -> None:
    house = House()
    house.send("FLOOR3")
    house.send("<far:away FLOOR4")
    assert [str(entry) for entry in house.lift.history()] == [
        "lift @ IDLE got 'FLOOR3' from BUS",
        "lift @ IDLE got 'up' from OS",
        "lift @ MOVING got 'arrived' from OS",
        "lift @ IDLE got 'FLOOR4' from far:away",
        "lift @ IDLE got 'up' from OS",
        "lift @ MOVING got 'arrived' from OS",
    ]


def test_what_it_does_not_declare_is_not_passed_in() -> None:
    house = House()
    assert house.send("DOOR3") == 0
    assert house.bus.commands() == ["BREAK", "FLOOR<number>"]


def test_an_exception_ends_the_conversation_and_closes_the_source() -> None:
    house = House()
    house.send("FLOOR3")
    house.send("BREAK")
    assert house.log[0].startswith("MessageReceiver <lift @ IDLE> failed")
    assert "lift @ IDLE got 'FLOOR3' from BUS" in house.log[0]
    assert house.send("FLOOR3") == 0
    assert house.bus.commands() == []


def test_a_closed_one_gets_nothing() -> None:
    house = House()
    with house.lift.mutex.hold(house.lift.engine):
        house.receiver.close()
        house.receiver.close()
    house.sim.run()
    assert house.send("FLOOR3") == 0


def test_what_is_no_message_after_redaction_is_dropped() -> None:
    house = House()
    assert house.bus.deliver("FLOOR3", "************") == 1
    house.sim.run()
    [line] = house.log
    assert line.startswith("lift: a message of the bus is dropped: a command consists of letters")
    assert house.send("FLOOR3") == 1


def test_a_machine_that_has_ended_receives_none() -> None:
    house = House()
    house.lift.engine.schedule(house.lift, "scrap", None)
    house.sim.run()
    house.send("BREAK")
    assert house.log == []
    assert house.bus.commands() == []


class Counter(StageMachine):
    COUNTING = Stage(initial=True)

    @COUNTING.on("M0")
    def count(self, message: StagedMessage) -> None:
        """The trace has it."""

    @on_message("COUNT")
    def count_once(self, received: ReceivedMessage) -> None:
        self.send(self, "M0")


def test_what_a_staged_machine_sends_is_delivered_at_once() -> None:
    sim = Simulation(0)
    lines: list[str] = []
    engine = sim.driver().engine
    mutex = Mutex()
    with mutex.hold(engine):
        counter = Counter(MessageQueue(engine, mutex, write=lines.append))
        counter.start()
        MessageReceiver(counter, "counter")
    sim.run()
    sim.network.bus.deliver("COUNT", "COUNT")
    sim.run()
    assert lines == ["COUNTER-1 @ COUNTING got 'M0' from SELF"]


def test_it_needs_the_mutex() -> None:
    house = House()
    with pytest.raises(LockNotHeld):
        MessageReceiver(house.lift, "second")
