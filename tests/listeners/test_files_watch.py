"""FilesWatch, in simulation: what calls for a comparison with the files in use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.content_watch import QUIET_S
from vcproxy.listeners.files_watch import FilesWatch

CONFIGURATION, PLUGIN = "/etc/proxy.toml", "/etc/plugin.py"
CERTIFICATE, KEY = "/etc/tls/cert.pem", "/etc/tls/key.pem"


class World:
    """Files in a simulation, and what is called when they change."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.files = sim.files
        for path in (CONFIGURATION, PLUGIN, CERTIFICATE, KEY):
            self.files.write(path, "old")
        self.calls: list[str] = []
        engine = sim.driver().engine
        self.watch = FilesWatch(
            engine,
            Mutex(),
            lambda: self.calls.append("changed"),
            lambda: self.calls.append("renewable"),
        )

    def use(self, reloading: list[str], renewing: list[str], *, again: bool = False) -> list[str]:
        """Watch files; return the calls."""
        with self.watch.mutex.hold(self.watch.engine):
            self.watch.use(reloading, renewing, again=again)
        return self.run()

    def run(self) -> list[str]:
        """Run until nothing is left to do; return the calls since the last time."""
        self.sim.run()
        calls, self.calls = self.calls, []
        return sorted(calls)


@pytest.fixture
def world() -> Iterator[World]:
    with Simulation(0) as sim:
        yield World(sim)


def test_files_are_compared_when_they_are_watched_first(world: World) -> None:
    assert world.use([], []) == []
    assert world.use([CONFIGURATION, PLUGIN], []) == ["changed"]
    assert world.use([CONFIGURATION, PLUGIN], [CERTIFICATE, KEY]) == ["renewable"]
    assert world.use([CONFIGURATION], [CERTIFICATE, KEY]) == ["changed"]
    assert world.use([CONFIGURATION], [CERTIFICATE, KEY]) == []
    assert world.use([CONFIGURATION], [CERTIFICATE, KEY], again=True) == ["changed", "renewable"]


def test_a_change_calls_what_it_concerns(world: World) -> None:
    world.use([CONFIGURATION, PLUGIN], [CERTIFICATE, KEY])
    world.files.write(PLUGIN, "new")
    assert world.run() == ["changed"]
    world.files.write("/etc/new", "new")
    world.files.rename("/etc/new", KEY)
    assert world.run() == ["renewable"]
    world.files.delete(CONFIGURATION)
    assert world.run() == ["changed"]


def test_a_pair_that_is_replaced_file_by_file_is_one_change(world: World) -> None:
    world.use([], [CERTIFICATE, KEY])
    world.files.write(CERTIFICATE, "new")
    later = world.sim.now + QUIET_S / 2
    world.watch.engine.schedule_in(QUIET_S / 2, world.watch, Event.TIMEOUT, None)  # it is ignored
    world.sim.run(lambda: world.sim.now >= later)
    assert world.calls == []
    world.files.write(KEY, "new")
    assert world.run() == ["renewable"]


def test_a_file_that_is_half_written_when_it_is_watched_is_not_compared_yet(world: World) -> None:
    world.files.write(CONFIGURATION, "")
    with world.watch.mutex.hold(world.watch.engine):
        world.watch.use([CONFIGURATION], [], again=False)
    later = world.sim.now + QUIET_S / 2
    world.watch.engine.schedule_in(QUIET_S / 2, world.watch, Event.TIMEOUT, None)  # it is ignored
    world.sim.run(lambda: world.sim.now >= later)
    assert world.calls == []
    world.files.append(CONFIGURATION, "all of it")
    assert world.run() == ["changed", "changed"]


def test_the_same_content_again_is_no_change(world: World) -> None:
    world.use([CONFIGURATION], [])
    world.sim.elapse(2)  # sooner, another content might have been read in between
    world.files.touch(CONFIGURATION)
    world.files.write(CONFIGURATION, "old")
    assert world.run() == []


def test_a_symlink_that_gets_another_target_as_in_kubernetes(world: World) -> None:
    for version in ("1", "2"):
        for name in ("cert.pem", "key.pem"):
            world.files.write(f"/secret/..{version}/{name}", f"content {version}")
    world.files.symlink("/secret/..data", "..1")
    for name in ("cert.pem", "key.pem"):
        world.files.symlink(f"/secret/{name}", f"..data/{name}")
    world.use([], ["/secret/cert.pem", "/secret/key.pem"])
    world.files.symlink("/secret/..new", "..2")
    world.files.rename("/secret/..new", "/secret/..data")
    world.files.delete("/secret/..1")
    assert world.run() == ["renewable"]


def test_an_overflow_of_the_queue_loses_no_change(world: World) -> None:
    world.use([CONFIGURATION], [])
    world.files.write(CONFIGURATION, "new")
    world.files.overflow()
    assert world.run() == ["changed"]


def test_what_is_not_watched_any_more_calls_nothing(world: World) -> None:
    world.use([CONFIGURATION], [CERTIFICATE])
    world.use([], [])
    for path in (CONFIGURATION, CERTIFICATE):
        world.files.write(path, "new")
    assert world.run() == []
    assert world.watch.engine.sources == {}
    assert world.use([CONFIGURATION], []) == ["changed"]
