"""Recordings of watched files: random runs in simulation with faults, replayed, shown, changed."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from tests.replay.log.conftest import Vcproxy, vcproxy
from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, Simulation, seeds
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy

__all__ = ["vcproxy"]  # a fixture

PLUGIN = '''
from vcproxy.api import ContentWatch, FileChanges, FileEvent, Program


class Keeper(Program):
    """Prints what happens to files; watches others in each second second."""

    def start(self):
        self.files = FileChanges(self, "files")
        self.files.watch("/srv", FileEvent.ALL | FileEvent.EXISTS, recursive=True)
        self.content = ContentWatch(self, "content", ["/srv/a", "/srv/b"])
        self.engine.schedule_in(1, self, "again", True)

    def handle_event(self, key, data):
        self.write(f"{key} {data}")
        if key == "again":
            if data:
                self.files.unwatch("/srv")
                self.files.disable()
                self.content.watch(["/srv/c"])
            else:
                self.files.enable()
                self.files.watch("/srv", FileEvent.UPDATED, pattern="*")
                self.content.watch(["/srv/a", "/srv/b"])
            self.engine.schedule_in(1, self, "again", not data)
'''

CONF = """
[[listener]]
name = "keeper"
plugin = "keeper.py"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "keeper.py").write_text(PLUGIN)
    (tmp_path / "keeper.toml").write_text(CONF)
    return tmp_path


def change(sim: Simulation, random: Random) -> None:
    """Change a file."""
    name = "/srv/" + random.choice(["a", "b", "c", "sub/a", "sub/b"])
    if random.random() < 0.2:
        sim.files.delete("/srv")
    elif random.random() < 0.1:
        sim.files.overflow()
    elif random.random() < 0.3:
        sim.files.write("/tmp/new", f"{random.random()}")
        sim.files.mkdir("/srv/sub")
        sim.files.rename("/tmp/new", name)
    sim.files.write(name, random.choice("12"))


def run(desk: Path, seed: int, faults: NetworkFaults) -> Path:
    """Record ten seconds; return the log."""
    log, random = desk / "log", Random(seed)
    configuration = load(desk / "keeper.toml")
    with ConfiguredProxy(configuration, seed=seed, faults=faults, record=log) as proxy:
        proxy.sim.files.write("/srv/a", "1")
        for _ in range(40):
            proxy.sim.elapse(random.choice([0, 0.1, 0.4]))
            change(proxy.sim, random)
        proxy.sim.elapse(2)
        proxy.driver.close()
    return log


@pytest.mark.parametrize("seed", list(seeds(10)))
def test_a_faulty_run_is_replayed(desk: Path, seed: int) -> None:
    log = run(desk, seed, NetworkFaults.all())
    copy = desk / "copy"
    assert replay(log, copy=copy).endswith("all as recorded")
    assert copy.read_bytes() == log.read_bytes()


def test_what_happened_is_shown(desk: Path, vcproxy: Vcproxy) -> None:
    log = run(desk, 1, NetworkFaults())
    status, shown, problems = vcproxy("log", "show", log, "--sources")
    assert (status, problems) == (0, "")
    lines = [re.sub(r"^ *[\d.]*m?s +step \d+ +", "", line) for line in shown.splitlines()]
    assert lines[:4] == [
        "1    OpenSource FileChanges files",
        "1    WatchPath '/srv' 0xbf recursive follow",
        "2    OpenSource ContentWatch content ('/srv/a', '/srv/b')",
        "1    happened FileChanged 'files' '/srv' 'a' EXISTS 256 ''",
    ]
    assert any("happened ContentRead 'content' {'/srv/a': '" in line for line in lines)
    assert "1    UnwatchPath /srv" in lines
    assert "2    WatchContent ('/srv/c',)" in lines
    assert any("happened ContentChanged 'content' ('/srv/b',)" in line for line in lines)


def test_a_changed_plugin_gets_the_recorded_events(desk: Path, vcproxy: Vcproxy) -> None:
    log = run(desk, 1, NetworkFaults())
    today = desk / "today.py"
    today.write_text(PLUGIN.replace('self.write(f"{key} {data}")', 'print("today:", data)'))
    status, output, problems = vcproxy("replay", log, "--plugin", today)
    assert status == 0, output + problems
    assert "today: FileChanged(name='files', path='/srv', file='a', kinds=<FileEvent.EX" in output
    assert "today: ContentChanged(name='content', paths=('/srv/b',))" in output
