"""Trace: which machines it covers, and that it costs nothing when it is off."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.engine import Engine
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.machine.machine import HistoryEntry, Machine
from vcproxy.machine.state import State
from vcproxy.machine.trace import Trace, chart


class Door(Machine):
    OPEN = State(initial=True)
    SHUT = State(timeout="5s")
    OPEN.goes("push", SHUT)
    SHUT.goes("pull", OPEN)
    SHUT.goes(Event.TIMEOUT, OPEN)

    @OPEN.on("opened")
    def opened(self, data: object) -> None:
        raise RuntimeError("it is open")


class Gate(Door):
    pass


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def engine() -> Engine:
    return Simulation(seed=1).driver().engine


def door(engine: Engine, name: str, kind: type[Door] = Door) -> Door:
    made = kind(engine, Mutex(), name=name)
    made.start()
    return made


def test_one_machine_a_class_or_all(engine: Engine) -> None:
    front, back, gate = door(engine, "front"), door(engine, "back"), door(engine, "gate", Gate)
    written: dict[str, list[str]] = {
        "one": [], "its name": [], "class": [], "its name too": [], "all": [],
    }  # fmt: skip
    with (
        Trace(lambda received: written["its name"].append(received.machine), "front"),
        Trace(lambda received: written["its name too"].append(received.machine), "Gate"),
        Trace(lambda received: written["one"].append(received.machine), front),
        Trace(lambda received: written["class"].append(received.machine), Gate),
        Trace(lambda received: written["all"].append(received.machine)),
    ):
        for each in (front, back, gate):
            each.handle_event("push", None)
    assert written == {
        "one": ["front"],
        "its name": ["front"],
        "class": ["gate"],
        "its name too": ["gate"],
        "all": ["front", "back", "gate"],
    }


def test_it_writes_history_entries_before_they_are_received(engine: Engine) -> None:
    front = door(engine, "front")
    lines: list[str] = []
    with Trace(lambda received: lines.append(str(received))):
        front.handle_event("push", Named("visitor"))
        front.handle_event(Event.TIMEOUT, Door.SHUT)
        # a timeout that is delivered late, when the door is open
        front.handle_event(Event.TIMEOUT, Door.SHUT)
        with pytest.raises(RuntimeError):
            front.handle_event("opened", front)
    assert lines == [
        "front @ OPEN got 'push' from visitor",
        "front @ SHUT got 'TIMEOUT' from OS",
        "front @ OPEN got 'opened' from SELF",
    ]
    assert lines == [str(received) for received in front.history()]


def test_without_a_trace_the_method_is_the_plain_one(engine: Engine) -> None:
    plain = Machine.handle_event
    first, second = Trace(print), Trace(print)
    first.start()
    second.start()
    first.stop()
    assert Machine.handle_event is not plain
    second.stop()
    second.stop()
    assert Machine.handle_event is plain


def test_a_trace_becomes_a_sequence_chart(engine: Engine) -> None:
    front = door(engine, "front #1")
    written: list[HistoryEntry] = []
    with Trace(written.append):
        front.handle_event("push", Named("visitor"))
        front.handle_event("pull", front)
        front.handle_event("push", Named("visitor"))
    drawn = """\
sequenceDiagram
    participant p0 as visitor
    participant p1 as front #35;1
    Note over p1: OPEN
    p0->>p1: push
    Note over p1: SHUT
    p1->>p1: pull
    Note over p1: OPEN
    p0->>p1: push
"""
    assert chart(written) == drawn
    assert chart(["ready", *map(str, written), "", "<<< 4 bytes"]) == drawn
