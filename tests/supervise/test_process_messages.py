"""Messages of the bus to machines that run as processes."""

from __future__ import annotations

import pytest

from vcproxy.api import Process, ReceivedMessage, State, on_message
from vcproxy.testing import SimulatedMachines


class Lamp(Process):
    OFF = State(initial=True)
    ON = State(parent=OFF)
    OFF.goes("on", ON)
    ON.goes("off", OFF)

    @on_message("SWITCH")
    def switch(self, received: ReceivedMessage) -> None:
        self.handle_event("on", None)
        received.reply("SWITCHED", state=self.state.name)

    @on_message("BREAK")
    def breaks(self, received: ReceivedMessage) -> None:
        raise ValueError("glass")

    @on_message("LEAVE")
    def leave_home(self, received: ReceivedMessage) -> None:
        self.exit()
        received.reply("LEAVING")


def texts(machines: SimulatedMachines, text: str, name: str = "") -> list[str]:
    return [reply.to_text() for reply in machines.bus.send(text, name=name)]


def test_a_machine_receives_and_replies() -> None:
    with SimulatedMachines({"house/Lamp": Lamp}) as machines:
        machines.start("house/Lamp")
        assert machines.bus.commands == ["BREAK", "LEAVE", "SWITCH"]
        assert texts(machines, "SWITCH") == ["SWITCHED state=ON"]
        history = [str(entry) for entry in machines.machines["house/Lamp"].history()]
        assert history == [
            "house/Lamp @ OFF got 'SWITCH' from BUS",
            "house/Lamp @ OFF got 'on' from OS",
        ]


def test_each_machine_can_be_named() -> None:
    with SimulatedMachines({"house/Lamp": Lamp, "house/Torch": Lamp}) as machines:
        machines.start("house/Lamp")
        machines.start("house/Torch")
        assert texts(machines, "SWITCH") == ["SWITCHED state=ON"] * 2
        assert texts(machines, "LEAVE", name="house/Torch") == ["LEAVING"]
        machines.elapse(1)
        assert machines.running == ["house/Lamp"]


def test_an_exception_ends_the_machine_with_an_error() -> None:
    with SimulatedMachines({"house/Lamp": Lamp}) as machines:
        machines.start("house/Lamp")
        with pytest.raises(ValueError, match="glass"):
            machines.bus.send("BREAK")
        machines.run(until=lambda: bool(machines.statuses))
        assert machines.statuses == [("house/Lamp", 1)]
        assert "errored house/Lamp glass" in machines.client.texts


def test_a_machine_that_has_ended_receives_nothing() -> None:
    with SimulatedMachines({"house/Lamp": Lamp}) as machines:
        machines.start("house/Lamp")
        assert texts(machines, "LEAVE") == ["LEAVING"]
        machines.run(until=lambda: bool(machines.statuses))
        assert machines.statuses == [("house/Lamp", 0)]
        assert texts(machines, "SWITCH") == ["UNKNOWN command=SWITCH"]
