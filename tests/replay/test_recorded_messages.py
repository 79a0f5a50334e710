"""Recordings of messages of the bus: to a program and to sessions, replayed, shown and redacted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.replay.log.conftest import Vcproxy, vcproxy
from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy
from vcproxy.testing.simulated_bus import SimulatedBus

__all__ = ["vcproxy"]  # a fixture

PLUGINS = '''
from vcproxy.api import Message, Program, Session, State, on_message


class Doors(Program):
    @on_message("DOOR<number>")
    def door(self, received):
        """Move a door."""
        received.reply("MOVING", door=received.captured["number"])
        self.engine.schedule_in(1.0, self, "moved", received)

    def handle_event(self, key, data):
        data.reply("MOVED")


class Chat(Session):
    TALKING = State(initial=True)
    DONE = State(final=True)

    @TALKING.on(Message, to=DONE)
    def leaves(self, message): ...

    @on_message("SAY")
    def say(self, received):
        self.answer(received.message.parameters["text"].encode() + b"\\n")
'''

LEAVE = """
    @on_message("LEAVE")
    def leave(self, received):
        self.close()
"""

CONF = """
[[listener]]
name = "doors"
plugin = "house.py:Doors"

[[listener]]
name = "chat"
bind = "tcp://proxy:1"
plugin = "house.py:Chat"
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "house.py").write_text(PLUGINS)
    (tmp_path / "house.toml").write_text(CONF)
    return tmp_path


def run(house: Path, seed: int = 0, *, faulty: bool = False) -> Path:
    """Record some messages and a reload; return the log."""
    log = house / "log"
    configuration = load(house / "house.toml")
    faults = NetworkFaults.all() if faulty else NetworkFaults()
    with ConfiguredProxy(configuration, seed=seed, faults=faults, record=log) as proxy:
        bus = SimulatedBus(proxy.sim)
        client = proxy.client("chat")
        proxy.sim.elapse(1)
        replies = bus.send("<far:away DOOR7 pass=word")
        bus.send("SAY text=hello")
        proxy.sim.elapse(2)
        assert [each.command for each in replies] == ["MOVING", "MOVED"]
        proxy.reload(load(house / "house.toml"))
        proxy.sim.elapse(1)
        plugins = (house / "house.py").read_text()
        (house / "house.py").write_text(plugins + LEAVE)
        proxy.reload(load(house / "house.toml"))
        proxy.sim.elapse(1)
        bus.send("SAY text=again")
        bus.send("DOOR8")
        client.send(b"bye\n")
        proxy.sim.elapse(2)
        if not faulty:
            assert client.received == b"hello\nagain\n"
        proxy.driver.close()
    return log


@pytest.mark.parametrize("seed", list(seeds(5)))
def test_a_run_is_replayed(house: Path, seed: int) -> None:
    log = run(house, seed, faulty=True)
    copy = house / "copy"
    assert replay(log, copy=copy).endswith("all as recorded")
    assert copy.read_bytes() == log.read_bytes()


def test_messages_and_replies_are_shown(house: Path, vcproxy: Vcproxy) -> None:
    status, shown, problems = vcproxy("log", "show", run(house), "--sources")
    assert (status, problems) == (0, "")
    lines = [re.sub(r"^ *[\d.]*m?s +step \d+ +", "", line) for line in shown.splitlines()]
    assert lines == [
        "1    OpenSource BusMessages doors DOOR<number>",
        "2    OpenSource BusMessages chat SAY",
        "1    happened BusReceived 'doors' '<far:away DOOR7 pass=word' 1",
        "1    SendBusReply 1 far:away/MOVING door=7",
        "2    happened BusReceived 'chat' 'SAY text=hello' 2",
        "1    SendBusReply 1 far:away/MOVED",
        "2    CloseSource",
        "3    OpenSource BusMessages chat LEAVE SAY",
        "3    happened BusReceived 'chat' 'SAY text=again' 3",
        "1    happened BusReceived 'doors' 'DOOR8' 4",
        "1    SendBusReply 4 MOVING door=8",
        "1    SendBusReply 4 MOVED",
    ]


def test_a_redacted_log_can_be_replayed(house: Path, vcproxy: Vcproxy) -> None:
    log, safe = run(house), house / "safe"
    assert vcproxy("log", "redact", log, "--pattern", "(?<=pass=)\\w+", "-o", safe)[0] == 0
    assert b"pass=word" in log.read_bytes()
    assert b"pass=word" not in safe.read_bytes()
    status, output, _ = vcproxy("replay", safe)
    assert status == 0
    assert "all as recorded; redacted" in output


def test_a_changed_plugin_gets_the_recorded_messages(house: Path, vcproxy: Vcproxy) -> None:
    log = run(house)
    today = house / "today.py"
    today.write_text(PLUGINS.replace('"""Move a door."""', 'print("today:", received)'))
    plugin = ("--plugin", f"{today}:Doors", "--listener", "doors")
    _, output, problems = vcproxy("replay", log, *plugin)
    assert "today: <ReceivedMessage DOOR7 from far:away>" in output, output + problems
