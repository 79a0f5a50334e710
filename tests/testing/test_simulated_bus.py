"""SimulatedBus: messages to plugins in simulation, without the control of a proxy."""

from __future__ import annotations

import pytest

from vcproxy.api import InvalidMessage, Program, ReceivedMessage, on_message
from vcproxy.testing import SimulatedProxy


class Doors(Program):
    @on_message("DOOR<number>")
    def door(self, received: ReceivedMessage) -> None:
        """Move a door."""
        received.reply("MOVING", door=received.captured["number"])
        self.engine.schedule_in(2.0, self, "moved", received)

    def handle_event(self, key: object, data: object) -> None:
        assert isinstance(data, ReceivedMessage)
        data.reply("MOVED")


def test_replies_are_those_of_the_message() -> None:
    with SimulatedProxy(Doors) as proxy:
        one, two = proxy.bus.send("DOOR1"), proxy.bus.send("DOOR2")
        assert [reply.to_text() for reply in one] == ["MOVING door=1"]
        proxy.elapse(3)
        assert [reply.to_text() for reply in two] == ["MOVING door=2", "MOVED"]


def test_what_nothing_receives_is_unknown() -> None:
    with SimulatedProxy(Doors) as proxy:
        [reply] = proxy.bus.send("<far:away STOP")
        assert reply.to_text() == "far:away/UNKNOWN command=STOP"
        [reply] = proxy.bus.send("DOOR1", name="other")
        assert reply.command == "UNKNOWN"
        [reply] = proxy.bus.send("DOOR1", name="proxy")
        assert reply.command == "MOVING"


def test_a_text_must_be_a_message() -> None:
    with SimulatedProxy(Doors) as proxy, pytest.raises(InvalidMessage):
        proxy.bus.send("DOOR 1")


def test_commands_are_listed_and_described() -> None:
    with SimulatedProxy(Doors) as proxy:
        assert proxy.bus.commands == ["DOOR<number>"]
        assert proxy.bus.describe("DOOR1") == "DOOR<number>: Move a door."
        assert proxy.bus.describe("WINDOW") == ""
