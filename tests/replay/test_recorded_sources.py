"""Recordings of sources: runs in simulation with faults, replayed, shown, redacted and changed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from signal import SIGHUP, SIGKILL

import pytest

from tests.engine.world import EventRecorder
from tests.replay.log.conftest import Vcproxy, vcproxy
from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, ProcessFaults, SimProcess, seeds
from vcproxy.engine.sources.datagrams import Arrived, Datagrams
from vcproxy.replay.format.entries import HappenedEntry
from vcproxy.replay.format.reader import RecordingLog
from vcproxy.replay.format.values import DataclassValue
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy

__all__ = ["vcproxy"]  # a fixture

PLUGIN = '''
from vcproxy.api import (
    Arrived,
    ChildExited,
    ChildKilled,
    ChildProcess,
    Datagrams,
    Launch,
    LaunchFailed,
    Program,
    Signal,
    Signals,
)


class Keeper(Program):
    """Keeps three echo servers running; sends each a datagram at a date, then each second."""

    def start(self):
        self.box = Datagrams(self, "box", ("10.0.0.1", 9))
        Signals(self, (1,))
        self.children = {}
        for number in range(3):
            self.launch(f"{number}")
        self.engine.schedule_at_date(self.engine.wall + 2, self, "date", None)

    def launch(self, name):
        self.children[name] = ChildProcess(self, name, Launch("/bin/echo", (name,)))

    def handle_event(self, key, data):
        self.write(f"{key} {data}")
        match data:
            case ChildExited() | ChildKilled() | LaunchFailed():
                self.engine.schedule_in(0.5, self, "again", data.name)
            case Signal():
                for child in self.children.values():
                    child.signal(9)
        if key == "again":
            self.launch(data)
        elif key == "date":
            for name in self.children:
                self.box.send(f"pass=word {name}".encode(), ("10.0.0.2", 100 + int(name)))
            self.engine.schedule_in(1, self, "date", None)
'''

CONF = """
[[listener]]
name = "keeper"
plugin = "keeper.py"
"""


class Echo(EventRecorder):
    """Sends each datagram back, and exits after five."""

    def __init__(self, process: SimProcess) -> None:
        super().__init__(process.driver().engine)
        self.process = process
        with self.mutex.hold(self.engine):
            self.box = Datagrams(self, "echo", ("10.0.0.2", 100 + int(process.argv[0])))

    def handle_event(self, key: object, data: object) -> None:
        """Answer."""
        if isinstance(data, Arrived):
            self.box.send(data.data, data.source)
            self.events.append(key)
            if len(self.events) == 5:
                self.process.exit(3)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "keeper.py").write_text(PLUGIN)
    (tmp_path / "keeper.toml").write_text(CONF)
    return tmp_path


def run(desk: Path, seed: int, *, faulty: bool) -> Path:
    """Record half a minute; return the log."""
    log = desk / "log"
    configuration = load(desk / "keeper.toml")
    faults = NetworkFaults.all() if faulty else NetworkFaults()
    process_faults = ProcessFaults.all() if faulty else ProcessFaults()
    with ConfiguredProxy(
        configuration, seed=seed, faults=faults, process_faults=process_faults, record=log
    ) as proxy:
        sim = proxy.sim
        sim.programs["/bin/echo"] = Echo
        sim.elapse(20)
        proxy.driver.sources.signalled(SIGHUP, 77)
        sim.elapse(10)
        for process in list(sim.processes.running.values()):
            process.signal(SIGKILL)
        sim.elapse(3)
        proxy.driver.close()
    return log


def events(log: Path) -> Counter[str]:
    """Return how often each event of a source is in a log."""
    return Counter(
        entry.event.name
        for _, entry in RecordingLog(log).steps()
        if isinstance(entry, HappenedEntry) and isinstance(entry.event, DataclassValue)
    )


@pytest.mark.parametrize("seed", list(seeds(10)))
def test_a_faulty_run_is_replayed(desk: Path, seed: int) -> None:
    log = run(desk, seed, faulty=True)
    found = events(log)
    assert found["Bound"] == found["Signal"] == 1
    assert found["Launched"] > 6
    assert found["Arrived"] > 10
    assert found["ChildKilled"] > 2
    copy = desk / "copy"
    assert replay(log, copy=copy).endswith("all as recorded")
    assert copy.read_bytes() == log.read_bytes()


def test_what_happened_is_shown(desk: Path, vcproxy: Vcproxy) -> None:
    log = run(desk, 1, faulty=False)
    status, shown, problems = vcproxy("log", "show", log, "--sources")
    assert (status, problems) == (0, "")
    lines = [re.sub(r"^ *[\d.]*m?s +step \d+ +", "", line) for line in shown.splitlines()]
    assert lines[:9] == [
        "1    OpenSource Datagrams box ('10.0.0.1', 9) ()",
        "2    OpenSource Signals signals (1,)",
        "3    OpenSource ChildProcess 0 ('/bin/echo', ('0',), '', {})",
        "4    OpenSource ChildProcess 1 ('/bin/echo', ('1',), '', {})",
        "5    OpenSource ChildProcess 2 ('/bin/echo', ('2',), '', {})",
        "1    happened Bound 'box' ('10.0.0.1', 9)",
        *lines[6:9],
    ]
    assert "3    happened Launched '0' 1000" in lines
    assert "1    SendDatagram 10.0.0.2:100 b'pass=word 0'" in lines
    assert "1    happened Arrived 'box' b'pass=word 0' ('10.0.0.2', 100) ''" in lines
    assert "2    happened Signal 1 77" in lines
    assert any(re.fullmatch(r"\d+ +SignalChild 9", line) for line in lines)
    assert any(re.fullmatch(r"\d+ +happened ChildKilled '0' 9", line) for line in lines)
    later = vcproxy("log", "show", log, "--sources", "--from", "25")[1]
    assert 0 < len(later.splitlines()) < len(lines)
    assert vcproxy("log", "show", log, "--sources", "--conversation", "1")[0] == 1


def test_a_redacted_log_can_be_replayed(desk: Path, vcproxy: Vcproxy) -> None:
    log = run(desk, 1, faulty=False)
    safe = desk / "safe"
    status, _, problems = vcproxy("log", "redact", log, "--pattern", "pass=\\w+", "-o", safe)
    assert (status, problems) == (0, "")
    assert b"pass=word" in log.read_bytes()
    assert b"pass=word" not in safe.read_bytes()
    status, output, _ = vcproxy("replay", safe)
    assert status == 0
    assert "all as recorded; redacted" in output


def test_a_changed_plugin_gets_the_recorded_events(desk: Path, vcproxy: Vcproxy) -> None:
    log = run(desk, 1, faulty=False)
    today = desk / "today.py"
    today.write_text(PLUGIN.replace('self.write(f"{key} {data}")', 'print("today:", data)'))
    status, output, problems = vcproxy("replay", log, "--plugin", today)
    assert status == 0, output + problems
    assert "today: Signal(number=1, pid=77)" in output
    assert "today: ChildExited(name='0', status=3)" in output
