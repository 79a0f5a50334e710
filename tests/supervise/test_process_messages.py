"""Messages of the bus to machines that run as processes."""

from __future__ import annotations

import pytest

from vcproxy.api import Address, Process, ReceivedMessage, State, on_message
from vcproxy.bus.dispatch import routes
from vcproxy.engine.sources.bus_messages import KEPT, BusMessages
from vcproxy.supervise.machine_door import MachineDoor
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


class Guard(Lamp):
    """Decides itself whether it stops."""

    @on_message("STOP")
    def refuse(self, received: ReceivedMessage) -> None:
        received.reply("NO")

    @on_message("KEEP")
    def keep(self, received: ReceivedMessage) -> None:
        self.kept = received

    @on_message("NOW")
    def reply_now(self, received: ReceivedMessage) -> None:
        self.kept.reply("KEPT")
        received.reply("DONE")


class Caller:
    """A client of the door of a simulated machine."""

    def __init__(self, machines: SimulatedMachines, name: str) -> None:
        machines.start(name)
        process = machines.processes[name]
        door = MachineDoor(machines.machines[name], machines.simulation.network.bus)
        place = process.drivers[0].listen(Address.parse("tcp://machine:0"), door)
        self._machines = machines
        self._client = machines.simulation.client(place)

    def ask(self, text: str) -> list[str]:
        """Send a message; return the lines that come within a second."""
        before = len(self._client.received)
        self._client.send(f"{text}\n".encode())
        self._machines.elapse(1)
        return self._client.received[before:].decode().splitlines()


def test_the_door_passes_messages_on_and_replies_back() -> None:
    with SimulatedMachines({"house/Lamp": Lamp}) as machines:
        caller = Caller(machines, "house/Lamp")
        assert caller.ask("<far:away SWITCH") == ["far:away/SWITCHED state=ON"]
        assert caller.ask("Lamp/SWITCH") == ["SWITCHED state=ON"]
        assert caller.ask("ALIVE serial=3")[0].startswith("ABSOLUTELY reply_timestamp=")
        assert "LEAVE,LOG_ROTATE" in caller.ask("HELP")[0]
        assert caller.ask("HELP command=SWITCH") == ["COMMANDS list=SWITCH;usage=SWITCH"]
        assert caller.ask("JUMP") == ["UNKNOWN command=JUMP"]
        assert caller.ask("RESTART")[0].startswith("INVALID command=RESTART;message=")


def test_stop_ends_the_machine_in_order() -> None:
    with SimulatedMachines({"house/Lamp": Lamp}) as machines:
        assert Caller(machines, "house/Lamp").ask("STOP") == []
        machines.run(until=lambda: bool(machines.statuses))
        assert machines.statuses == [("house/Lamp", 0)]


def test_a_machine_may_receive_a_standard_message_itself() -> None:
    with SimulatedMachines({"house/Guard": Guard}) as machines:
        assert Caller(machines, "house/Guard").ask("STOP") == ["NO"]
        assert machines.statuses == []


@pytest.mark.parametrize(("between", "kept"), [(routes.KEPT - 2, True), (routes.KEPT - 1, False)])
def test_a_reply_is_dropped_after_many_messages(between: int, kept: bool) -> None:
    with SimulatedMachines({"house/Guard": Guard}) as machines:
        caller = Caller(machines, "house/Guard")
        assert caller.ask("KEEP") == []
        for _ in range(between):
            caller.ask("SWITCH")
        assert caller.ask("NOW") == (["KEPT", "DONE"] if kept else ["DONE"])


def test_more_than_can_wait_is_refused() -> None:
    with SimulatedMachines({"house/Lamp": Lamp}) as machines:
        caller = Caller(machines, "house/Lamp")
        lamp = machines.machines["house/Lamp"]
        [source] = [each for each in lamp.engine.sources.values() if isinstance(each, BusMessages)]
        with lamp.mutex.hold(lamp.engine):
            source.disable()
        for _ in range(KEPT):
            assert caller.ask("SWITCH") == []
        reason = "too many messages wait for this machine"
        assert caller.ask("SWITCH") == [f"INVALID command=SWITCH;message={reason}"]
