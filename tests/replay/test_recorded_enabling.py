"""Recordings of sources that are enabled, disabled and ordered; of threads and listeners."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.replay.log.conftest import Vcproxy, vcproxy
from tests.replay.test_recorded_sources import events
from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.engine.address import Address
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy

__all__ = ["vcproxy"]  # a fixture

PLUGIN = '''
from vcproxy.api import (
    Address,
    Bound,
    Datagrams,
    ListenerWatch,
    OwnThread,
    Program,
    ThreadDone,
    ThreadMessages,
    Tick,
    Ticks,
)


def read(work, name):
    for number in range(5):
        work.wait(0.3)
        work.post([name, number])
    return name


class Juggler(Program):
    """Enables, disables and closes its sources, and changes their priorities, at random."""

    def start(self):
        self.clock = Ticks(self, "clock", 0.25)
        self.sources = {
            "box": Datagrams(self, "box", ("10.0.0.1", 9)),
            "watch": ListenerWatch(self, "watch", Address.parse("tcp://server:80"), 1.0),
            "other": Ticks(self, "other", 0.1),
            "news": ThreadMessages(self, "news"),
        }
        self.read("reader 0")

    def read(self, name):
        self.sources["reader"] = OwnThread(self, name, read, name)

    def handle_event(self, key, data):
        self.write(f"{self.engine.now:.6f} {key.__name__} {data}")
        if key is Tick and data.name == "clock":
            self.sources["box"].send(b"x", ("10.0.0.1", 9))
            self.sources["news"].post("a replay delivers it, and posts no other")
            source = self.engine.random.choice(list(self.sources.values()))
            match self.engine.random.randrange(4):
                case 0:
                    source.disable()
                case 1 | 2:
                    source.enable()
                case 3:
                    source.priority = self.engine.random.choice((0, 100, 255))
        elif key is ThreadDone:
            self.read("reader 1")
'''

CONF = """
[[listener]]
name = "juggler"
plugin = "juggler.py"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "juggler.py").write_text(PLUGIN)
    (tmp_path / "juggler.toml").write_text(CONF)
    return tmp_path


def run(desk: Path, seed: int, *, faulty: bool) -> Path:
    """Record a minute; return the log."""
    log = desk / "log"
    faults = NetworkFaults.all() if faulty else NetworkFaults()
    with ConfiguredProxy(
        load(desk / "juggler.toml"), seed=seed, faults=faults, record=log
    ) as proxy:
        for _ in range(10):
            listening = proxy.sim.network.listen(Address.parse("tcp://server:80"))
            proxy.sim.elapse(3)
            proxy.sim.network.unlisten(listening)
            proxy.sim.elapse(3)
        proxy.driver.close()
    return log


@pytest.mark.parametrize("seed", list(seeds(10)))
def test_a_faulty_run_is_replayed(desk: Path, seed: int) -> None:
    log = run(desk, seed, faulty=True)
    found = events(log)
    assert found["Arrived"] > 10
    assert found["ThreadMessage"] > 50
    assert found["ThreadDone"] > 1
    assert found["Listening"] > 1
    assert found["Tick"] == 0  # they come from the engine
    copy = desk / "copy"
    assert replay(log, copy=copy).endswith("all as recorded")
    assert copy.read_bytes() == log.read_bytes()


def test_what_was_asked_is_shown(desk: Path, vcproxy: Vcproxy) -> None:
    status, shown, problems = vcproxy("log", "show", run(desk, 1, faulty=False), "--sources")
    assert (status, problems) == (0, "")
    lines = [re.sub(r"^ *[\d.]*m?s +step \d+ +", "", line) for line in shown.splitlines()]
    for line in (
        "2    OpenSource Datagrams box ('10.0.0.1', 9) ()",
        "3    OpenSource ListenerWatch watch tcp://server:80 1.0",
        "6    OpenSource OwnThread reader 0 read",
        "3    happened Listening 'watch'",
        "6    happened ThreadMessage 'reader 0' ['reader 0', 0]",
        "2    DisableSource",
        "2    EnableSource",
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith(("1 ", "4 "))]  # ticks
