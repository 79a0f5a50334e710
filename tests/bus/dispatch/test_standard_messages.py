"""The standard messages: the replies of a service to each, and what an author may change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.dispatch.standard_messages import StandardMessages
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.definitions import load
from vcproxy.engine.log_function import Level


class Stoppable(StandardMessages):
    """Notes what it is asked to do."""

    def __init__(self, dispatcher: Dispatcher, time_of_day: Callable[[], int]) -> None:
        super().__init__(dispatcher, time_of_day)
        self.done: list[str] = []

    def stop(self, received: ReceivedMessage) -> None:
        self.done.append(f"stop by {received.command}")

    def ready(self, received: ReceivedMessage) -> None:
        self.done.append("ready")


class Service:
    """A service `desk` with the standard messages and their definitions."""

    def __init__(self, kind: type[StandardMessages] = Stoppable) -> None:
        self.log: list[str] = []
        self.dispatcher = Dispatcher("desk", definitions=load(), log=self.write)
        self.messages = kind(self.dispatcher, lambda: 1_800_000_000)

    def write(self, level: Level, text: str, error: Exception | None = None) -> None:
        self.log.append(f"{level}: {text}")

    def receive(self, text: str) -> list[str]:
        """Dispatch a message; return the replies."""
        replies: list[str] = []
        message = BusMessage.parse(text)
        received = ReceivedMessage(message, lambda reply: replies.append(reply.to_text()))
        self.dispatcher.dispatch(received)
        return replies


@pytest.mark.parametrize(
    ("message", "replies"),
    [
        ("ALIVE", ["ABSOLUTELY reply_timestamp=1800000000"]),
        (
            "<far:away ALIVE serial=7;timestamp=1799999999.5;other=x",
            ["far:away/ABSOLUTELY reply_timestamp=1800000000;serial=7;timestamp=1799999999.5"],
        ),
        ("ABSOLUTELY reply_timestamp=1800000000", []),
        ("COMMANDS list=A,B", []),
        ("SERVICE_UNAVAILABLE destination_service=x;unsent_command=Y", []),
        ("INVALID command=X;message=no", []),
        ("UNKNOWN command=X", []),
        ("READY", []),
        ("STOP", []),
        ("QUITTING", []),
        ("JUMP", ["UNKNOWN command=JUMP"]),
        ("stop", ["UNKNOWN command=stop"]),
    ],
)
def test_the_reply(message: str, replies: list[str]) -> None:
    assert Service().receive(message) == replies


def test_a_service_says_what_it_does_not_do() -> None:
    service = Service(StandardMessages)
    for command in ("STOP", "QUITTING", "RESTART", "LOG_ROTATE", "LEAK"):
        [reply] = map(BusMessage.parse, service.receive(command))
        assert reply.command == "INVALID"
        assert reply.parameters["command"] == command
        assert reply.parameters["message"].startswith("this service ")


def test_methods_are_called() -> None:
    service = Service()
    for command in ("READY my_address=10.0.0.7:4040", "STOP", "QUITTING"):
        service.receive(command)
    assert isinstance(service.messages, Stoppable)
    assert service.messages.done == ["ready", "stop by STOP", "stop by QUITTING"]


def test_an_entry_of_the_author_replaces_a_standard_one() -> None:
    service = Service()
    service.dispatcher.add("STOP", lambda received: received.reply("NO"))
    assert service.receive("STOP") == ["NO"]


class TestHelp:
    STANDARD = (
        "ABSOLUTELY,ALIVE,COMMANDS,HELP,INVALID,LEAK,LOG_ROTATE,QUITTING,READY,RESTART,"
        "SERVICE_UNAVAILABLE,STOP,UNKNOWN"
    )

    def test_it_lists_all_commands(self) -> None:
        assert Service().receive("HELP") == [f"COMMANDS list={self.STANDARD}"]

    def test_those_of_the_author_too(self) -> None:
        service = Service()
        service.dispatcher.add("EVENT<number>", print)
        [reply] = map(BusMessage.parse, service.receive("HELP"))
        listed = reply.parameters["list"].split(",")
        assert listed == sorted([*self.STANDARD.split(","), "EVENT<number>"])

    def test_those_behind_a_catch_all(self) -> None:
        class More(StandardMessages):
            def more_commands(self) -> tuple[str, ...]:
                return ("ZERO", "ALIVE")

        [reply] = map(BusMessage.parse, Service(More).receive("HELP"))
        assert reply.parameters["list"] == f"{self.STANDARD},ZERO"

    def test_it_describes_one_command(self) -> None:
        [reply] = map(BusMessage.parse, Service().receive("HELP command=ALIVE"))
        assert reply.command == "COMMANDS"
        assert reply.parameters == {
            "list": "ALIVE",
            "usage": "ALIVE [serial=STRING] [timestamp=STRING]: "
            "Ask whether the receiver answers; the answer is ABSOLUTELY.",
        }

    def test_it_describes_a_pattern(self) -> None:
        service = Service()
        service.dispatcher.add("EVENT<number>", print)
        for command in ("EVENT5", "EVENT<number>"):
            [reply] = map(BusMessage.parse, service.receive(f"HELP command={command}"))
            assert reply.parameters == {"list": "EVENT<number>", "usage": "EVENT<number>"}

    def test_an_unknown_command(self) -> None:
        assert Service().receive("HELP command=JUMP") == ["UNKNOWN command=JUMP"]


class TestRefusals:
    def test_they_are_logged(self) -> None:
        service = Service()
        service.receive("<far:away UNKNOWN command=JUMP")
        service.messages.time_of_day = lambda: 1_800_000_001
        service.receive("INVALID command=JUMP;message=too high")
        assert service.log == [
            "warning: far:away does not support JUMP",
            "warning: the receiver has refused JUMP: too high",
        ]

    def test_at_most_once_a_second(self) -> None:
        service = Service()
        for _ in range(1000):
            service.receive("INVALID command=JUMP")
        service.messages.time_of_day = lambda: 1_800_000_001
        service.receive("INVALID command=JUMP")
        assert service.log == [
            "warning: the receiver has refused JUMP",
            "warning: the receiver has refused JUMP (999 more were not logged)",
        ]

    def test_they_are_one_short_line(self) -> None:
        service = Service()
        service.receive(f"INVALID command={'J' * 5000};message=\\n\x1b[2J{'x' * 5000}")
        assert len(service.log[0]) < 700
        assert service.log[0].isprintable()
