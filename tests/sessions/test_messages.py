"""Messages of the bus to programs, staged programs and sessions, and those of a reload."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vcproxy.api import (
    Message,
    ParameterDefinition,
    Program,
    ReceivedMessage,
    Session,
    Stage,
    StagedMessage,
    StagedProgram,
    StageMachine,
    State,
    on_message,
)
from vcproxy.config.loader import load
from vcproxy.testing import SimulatedProxy
from vcproxy.testing.configured import ConfiguredProxy
from vcproxy.testing.simulated_bus import SimulatedBus


class Doors(Program):
    """Opens doors; a reply may come later."""

    def start(self) -> None:
        self.kept: list[ReceivedMessage] = []

    @on_message(
        "DOOR<number>",
        parameters=[
            ParameterDefinition("to", description="open or closed"),
            ParameterDefinition("after", "integer", required=False),
        ],
    )
    def door(self, received: ReceivedMessage) -> None:
        """Move a door."""
        state = received.message.parameters["to"]
        received.reply("MOVING", door=received.captured["number"], to=state)
        self.engine.schedule_in(2.0, self, "moved", received)

    @on_message("BREAK")
    def breaks(self, received: ReceivedMessage) -> None:
        raise ValueError("a hinge")

    def handle_event(self, key: Hashable, data: Any) -> None:
        data.reply("MOVED")


class Counter(StageMachine):
    COUNTING = Stage(initial=True)

    @COUNTING.on("M0")
    def count(self, message: StagedMessage) -> None:
        """The trace has it."""


class Counting(StagedProgram):
    def make(self) -> Iterator[StageMachine]:
        self.counter = Counter(self.queue)
        yield self.counter

    @on_message("COUNT")
    def count(self, received: ReceivedMessage) -> None:
        self.counter.send(self.counter, "M0")


class Chat(Session):
    """Each client is told what comes."""

    TALKING = State(initial=True)
    DONE = State(final=True)

    @TALKING.on(Message, to=DONE)
    def leaves(self, message: Message) -> None: ...

    @on_message("SAY")
    def say(self, received: ReceivedMessage) -> None:
        self.answer(received.message.parameters["text"].encode() + b"\n")
        received.reply("SAID", to=self.client.peer)

    @on_message("BREAK")
    def breaks(self, received: ReceivedMessage) -> None:
        if received.message.get("who") in (None, self.client.peer_address):
            raise ValueError("a mistake")


class TestPrograms:
    def test_it_receives_and_replies_once_or_more(self) -> None:
        with SimulatedProxy(Doors) as proxy:
            replies = proxy.bus.send("DOOR5 to=open")
            assert [each.to_text() for each in replies] == ["MOVING door=5;to=open"]
            proxy.elapse(3)
            assert [each.command for each in replies] == ["MOVING", "MOVED"]

    def test_a_message_that_is_not_as_declared_is_refused(self) -> None:
        with SimulatedProxy(Doors) as proxy:
            [reply] = proxy.bus.send("DOOR5 after=soon")
            assert reply.command == "INVALID"
            missing, *more = reply.parameters["message"].split("; ")
            assert missing == 'the parameter "to" is missing'
            assert len(more) == 1
            assert 'after="soon"' in more[0]

    def test_others_are_unknown(self) -> None:
        with SimulatedProxy(Doors) as proxy:
            assert [each.to_text() for each in proxy.bus.send("WINDOW5")] == [
                "UNKNOWN command=WINDOW5"
            ]

    def test_its_messages_are_described(self) -> None:
        with SimulatedProxy(Doors) as proxy:
            assert proxy.bus.commands == ["BREAK", "DOOR<number>"]
            expected = "DOOR<number> to=STRING [after=INTEGER]: Move a door."
            assert proxy.bus.describe("DOOR<number>") == proxy.bus.describe("DOOR7") == expected
            assert proxy.bus.describe("BREAK") == "BREAK"
            assert proxy.bus.describe("WINDOW") == ""

    def test_an_exception_ends_it(self) -> None:
        with SimulatedProxy(Doors) as proxy:
            with pytest.raises(ValueError, match="a hinge"):
                proxy.bus.send("BREAK")
            assert proxy.bus.commands == []

    def test_a_stopped_one_receives_nothing(self) -> None:
        with SimulatedProxy(Doors) as proxy:
            assert proxy.bus.commands
            proxy.programs.stop_others(())
            assert proxy.bus.commands == []


def test_a_staged_program_delivers_what_it_sends() -> None:
    with SimulatedProxy(Counting) as proxy:
        proxy.bus.send("COUNT")
        assert proxy.printed == ["COUNTER-1 @ COUNTING got 'M0' from SELF"]


class TestSessions:
    def test_each_receives(self) -> None:
        with SimulatedProxy(Chat) as proxy:
            one, two = proxy.client(), proxy.client()
            proxy.run()
            replies = proxy.bus.send("SAY text=hello")
            assert one.received == two.received == b"hello\n"
            assert [each.command for each in replies] == ["SAID", "SAID"]
            assert len({each.parameters["to"] for each in replies}) == 2

    def test_without_clients_the_command_is_known(self) -> None:
        with SimulatedProxy(Chat) as proxy:
            assert proxy.bus.commands == ["BREAK", "SAY"]
            assert proxy.bus.send("SAY text=hello") == []

    def test_one_that_has_ended_does_not(self) -> None:
        with SimulatedProxy(Chat) as proxy:
            one, two = proxy.client(), proxy.client()
            one.send(b"bye\n")
            proxy.run()
            proxy.bus.send("SAY text=hello")
            assert one.received == b""
            assert two.received == b"hello\n"

    def test_an_exception_ends_one_session_only(self) -> None:
        with SimulatedProxy(Chat) as proxy:
            one, two = proxy.client(client_ip="10.0.0.1"), proxy.client(client_ip="10.0.0.2")
            proxy.run()
            with pytest.raises(ValueError, match="a mistake"):
                proxy.bus.send("BREAK who=10.0.0.1")
            proxy.bus.send("SAY text=hello")
            assert isinstance(one.error, ConnectionResetError)
            assert two.received == b"hello\n"

    def test_a_message_is_in_its_history(self) -> None:
        with SimulatedProxy(Chat) as proxy:
            proxy.client()
            proxy.run()
            proxy.bus.send("<far:away SAY text=hello")
            [session] = proxy.sessions
            [entry] = session.history()
            assert str(entry).endswith("@ TALKING got 'SAY' from far:away")


RELOADED = """
from vcproxy.api import Message, Session, State, on_message

class Chat(Session):
    TALKING, DONE = State(initial=True), State(final=True)

    @TALKING.on(Message, to=DONE)
    def leaves(self, message): ...

    @on_message("{command}")
    def say(self, received):
        self.answer(b"{command}\\n")
"""


def test_a_reload_changes_the_messages_of_sessions(tmp_path: Path) -> None:
    """Sessions of the old configuration receive those that they have a method for."""
    plugin, conf = tmp_path / "chat.py", tmp_path / "proxy.toml"
    plugin.write_text(RELOADED.format(command="SAY"))
    conf.write_text('[[listener]]\nname = "chat"\nbind = "tcp://proxy:1"\nplugin = "chat.py"\n')
    with ConfiguredProxy(load(conf)) as proxy:
        bus = SimulatedBus(proxy.sim)
        old = proxy.client("chat")
        proxy.sim.elapse(1)
        assert bus.commands == ["SAY"]
        plugin.write_text(RELOADED.format(command="TELL"))
        proxy.reload(load(conf))
        proxy.sim.elapse(1)
        new = proxy.client("chat")
        proxy.sim.elapse(1)
        assert bus.commands == ["TELL"]
        bus.send("TELL")
        assert old.received == b"SAY\n"
        assert new.received == b"TELL\n"
