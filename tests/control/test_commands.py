"""The table of commands: what each does, and what it replies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.control.proxy_double import ProxyDouble
from vcproxy.bus.message import definitions
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.control.changes.change import Changed
from vcproxy.control.commands import COMMANDS, LISTED, shortened
from vcproxy.control.questions.answer import Answer

DEFINED = definitions.load()


class Asked:
    """A proxy, and the replies to a command. Each reply must be as it is defined."""

    def __init__(self, command: str, *, workers: bool = False) -> None:
        self.proxy = ProxyDouble(workers=workers)
        self.replies: list[str] = []
        COMMANDS[command].run(self.proxy, {}, self.reply)

    def reply(self, command: str, /, **parameters: str | int) -> None:
        message = BusMessage("X").reply(command, **parameters)
        if command != "PROXY_STATUS":
            assert DEFINED.problems(message) == []
        self.replies.append(message.to_text())


def test_each_command_and_its_reply_is_defined() -> None:
    assert {each for each in COMMANDS if DEFINED.get(each) is None} == set()


def test_those_that_change_nothing() -> None:
    assert Asked("STATUS").replies == ["PROXY_STATUS pid=7;state=serving"]
    lines = r"net-0: Ticks every for 2.0s\nnet-0: connection 127.0.0.1:1 quiet for 0.5s"
    assert Asked("SOURCES").replies == [f"WAITED_FOR count=2;list={lines}"]
    assert [name for name, command in COMMANDS.items() if not command.changes] == [
        "STATUS",
        "SOURCES",
        "SHOW",
    ]
    assert [name for name, command in COMMANDS.items() if command.public] == ["STATUS"]


def test_rows_are_shown_as_lines_of_json() -> None:
    proxy = ProxyDouble()
    proxy.answers["listeners"] = Answer([{"worker": 0, "listener": "ä"}], ["net-1: no answer"])
    row = r'{"worker": 0, "listener": "ä"}'
    assert asked(proxy, "SHOW", question="listeners") == [
        f"ROWS count=1;list={row};missing=net-1: no answer"
    ]
    refused = asked(proxy, "SHOW", question="x")
    assert refused == ["INVALID command=SHOW;message=there is no question `x`"]


def asked(proxy: ProxyDouble, command: str, /, **given: str) -> list[str]:
    """Return the replies to a command with parameters, each as it is defined."""
    replies: list[str] = []

    def reply(command: str, /, **parameters: str | int) -> None:
        message = BusMessage("X").reply(command, **parameters)
        assert DEFINED.problems(message) == []
        replies.append(message.to_text())

    COMMANDS[command].run(proxy, given, reply)
    return replies


def test_those_that_act_at_once() -> None:
    for command, told, reply in (
        ("STOP", "stop", "STOPPING"),
        ("QUITTING", "stop at once", "STOPPING"),
        ("LOG_ROTATE", "reopen log", "LOG_ROTATED"),
    ):
        asked = Asked(command)
        assert (asked.proxy.told, asked.replies) == ([told], [reply])


def test_changes_are_answered_with_what_was_changed() -> None:
    proxy = ProxyDouble()
    proxy.changed = Changed(["a", "b"], missing=["net-1: no answer"])
    given = {"name": "back/a", "state": "drain"}
    assert asked(proxy, "SERVER", **given) == [r"CHANGED list=a\nb;missing=net-1: no answer"]
    assert proxy.told == [f"SERVER {given}"]
    proxy.changed = Changed(refused=["there is no such connection"])
    assert asked(proxy, "KILL", conn="0-1") == ["NOT_CHANGED reason=there is no such connection"]
    proxy.changed = Changed(["front: accepts no more connections, until a reload"])
    assert asked(proxy, "DRAIN") == [
        "CHANGED list=front: accepts no more connections, until a reload"
    ]


def test_the_log_has_the_levels_that_there_are() -> None:
    proxy = ProxyDouble()
    text = "the log has lines of the level debug and above"
    assert asked(proxy, "LOG_LEVEL", level="debug") == [f"CHANGED list={text}"]
    assert proxy.told == ["log level debug"]
    [refused] = asked(proxy, "LOG_LEVEL", level="loud")
    assert "there is no level `loud`; there are: debug, info, warning, error" in refused


def test_a_reload_is_answered_with_its_result() -> None:
    asked = Asked("RELOAD")
    assert asked.replies == []
    names = {"listener": "changed", "upstream": "unchanged", "configuration": "used"}
    rows = [{"kind": kind, "name": "a", "result": result} for kind, result in names.items()]
    asked.proxy.answers["reloads"] = Answer(rows)
    asked.proxy.results[0]("")
    assert asked.replies == [r"RELOADED list=listener a: changed\nupstream a: unchanged"]
    asked.proxy.results[0]("proxy.toml:1:1: why\nproxy.toml:2:1: and why")
    assert asked.replies[1:] == [
        r"NOT_RELOADED reason=proxy.toml:1:1: why\nproxy.toml:2:1: and why"
    ]


def test_a_restart_needs_workers() -> None:
    message = "this proxy has no workers to restart"
    assert Asked("RESTART").replies == [f"INVALID command=RESTART;message={message}"]
    asked = Asked("RESTART", workers=True)
    asked.proxy.results[0]("")
    asked.proxy.results[0]("worker 1: no memory")
    assert asked.replies == ["RESTARTED", "NOT_RESTARTED reason=worker 1: no memory"]


@given(st.lists(st.text(max_size=5000), max_size=50))
def test_a_list_is_shortened_to_what_a_message_can_have(items: list[str]) -> None:
    text = shortened(items, "\n")
    assert len(text.encode()) <= LISTED
    assert text == "\n".join(items) or text.endswith("...")
    BusMessage("X").reply("WAITED_FOR", count=len(items), list=text.replace("\0", "")).to_text()
