"""The sample samples/staged/dirmon.py: its trace is that of the original's demo, in a simulation
and with the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.file_world import FileWorld, file_world_of
from vcproxy.config.options import read_options
from vcproxy.config.plugin_loader import PluginLoader
from vcproxy.engine.sources.file_changes import FileChanged, FileEvent
from vcproxy.machine.staged import bit_of
from vcproxy.sessions.program import Signal
from vcproxy.sessions.programs import Programs
from vcproxy.sessions.service import Service

SAMPLE = Path(__file__).parents[2] / "samples" / "staged" / "dirmon.py"

SCANNED = """\
file system events = 0x40000020
DirMon-1 @ WORK got 'F5' from OS
'{top}': opened
file system events = 0x40000001
DirMon-1 @ WORK got 'F0' from OS
'{top}': accessed
{again}file system events = 0x40000010
DirMon-1 @ WORK got 'F4' from OS
'{top}': closed (read)
"""
"""The first example of the original: "Scanning directory"."""

ACCESSED_AGAIN = """\
file system events = 0x40000001
DirMon-1 @ WORK got 'F0' from OS
'{top}': accessed
"""
"""The second read of a directory finds that there is no more. inotify merges two equal records that
are queued at the same time."""

TOUCHED = """\
file system events = 0x00000020
DirMon-1 @ WORK got 'F5' from OS
'a': opened
file system events = 0x00000004
DirMon-1 @ WORK got 'F2' from OS
'a': metadata changed
file system events = 0x00000008
DirMon-1 @ WORK got 'F3' from OS
'a': closed (write)
"""
"""The second: "Touching a file"."""


class DirMon:
    """The running sample."""

    def __init__(self, world: FileWorld) -> None:
        self.world = world
        self.lines: list[str] = []
        plugin = PluginLoader().find(str(SAMPLE))
        options, _ = read_options(plugin, {"directory": world.top + "/"}, SAMPLE.parent)
        self.programs = Programs(world.world.engine, self.lines.append)
        self.programs.acceptor(plugin, Service("dirmon", options=options))
        world.settle()
        assert self.lines.pop(0) == "DirMon-1 @ INIT got 'M0' from SELF"

    def trace(self) -> str:
        """Settle; return what was printed since the last call."""
        self.world.settle()
        taken = "".join(f"{line}\n" for line in self.lines)
        self.lines.clear()
        return taken


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileWorld]:
    with file_world_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def dirmon(world: FileWorld) -> DirMon:
    world.files.write(world.path("a"), "1")
    return DirMon(world)


def test_scanning_the_directory(world: FileWorld, dirmon: DirMon) -> None:
    world.files.list(world.top)
    top = world.top + "/"
    assert dirmon.trace() == SCANNED.format(top=top, again="")


def test_scanning_it_step_by_step(tmp_path: Path) -> None:
    """As in the original, whose machine reads each record at once."""
    with file_world_of("epoll", tmp_path) as world:
        dirmon = DirMon(world)
        world.files.write(world.path("a"), "1")
        dirmon.trace()
        top = world.top + "/"
        with os.scandir(top) as entries:
            trace = dirmon.trace()
            for _ in entries:
                trace += dirmon.trace()
        trace += dirmon.trace()
        assert trace == SCANNED.format(top=top, again=ACCESSED_AGAIN.format(top=top))


def test_touching_a_file(world: FileWorld, dirmon: DirMon) -> None:
    world.files.touch(world.path("a"))
    assert dirmon.trace() == TOUCHED


def test_all_that_can_happen_to_an_entry(world: FileWorld, dirmon: DirMon) -> None:
    world.files.write(world.path("b"), "1")
    world.files.read(world.path("b"))
    world.files.rename(world.path("b"), world.path("c"))
    world.files.delete(world.path("c"))
    assert [line for line in dirmon.trace().splitlines() if line.startswith("'")] == [
        "'b': created",
        "'b': opened",
        "'b': modified",
        "'b': closed (write)",
        "'b': opened",
        "'b': accessed",
        "'b': closed (read)",
        f"'b': moved from '{world.top}/'",
        f"'c': moved to '{world.top}/'",
        "'c': deleted",
    ]


def test_it_ends_with_its_directory(world: FileWorld, dirmon: DirMon) -> None:
    world.files.delete(world.path("a"))
    dirmon.trace()
    world.files.remove(world.top)
    assert (
        dirmon.trace().splitlines()[-6:]
        == [
            "file system events = 0x00000400",
            "DirMon-1 @ WORK got 'F10' from OS",
            f"'{world.top}/': deleted",
            "file system events = 0x00008000",
            "DirMon-1 @ WORK got 'F15' from OS",
            f"'{world.top}/': ignored",
            "Bye!",
        ][-6:]
    )


def test_it_ends_when_its_directory_is_moved(world: FileWorld, dirmon: DirMon) -> None:
    world.files.rename(world.top, world.top + ".old")
    assert [line for line in dirmon.trace().splitlines() if "'" not in line or ":" in line] == [
        "file system events = 0x00000800",
        f"'{world.top}/': moved somewhere",
        "file system events = 0x00008000",
        f"'{world.top}/': ignored",
        "Bye!",
    ]


def test_a_signal_ends_it(world: FileWorld, dirmon: DirMon) -> None:
    dirmon.programs.deliver(Signal(15, 1234))
    assert dirmon.trace() == (
        "DirMon-1 @ WORK got 'S1' from OS\ngot signal #15 from PID 1234\nBye!\n"
    )


def test_lost_events(tmp_path: Path) -> None:
    with file_world_of("sim", tmp_path) as world:
        dirmon = DirMon(world)
        world.sim_files.overflow()
        assert dirmon.trace() == (
            "file system events = 0x00004000\nDirMon-1 @ WORK got 'F14' from OS\n"
            "event queue overflow occurred\n"
        )


def test_one_that_cannot_be_watched(tmp_path: Path) -> None:
    with file_world_of("sim", tmp_path) as world:
        world.sim_files.max_watches = 0
        dirmon = DirMon(world)
        assert "got 'F12' from OS\n'/srv/top/': this user has reached" in dirmon.trace()


@pytest.mark.parametrize(
    ("mask", "number"),
    [(1 << bit, bit) for bit in range(16)] + [(0x4000_0001, 0), (0x4000_0400, 10), (0, 12)],
)
def test_the_number_of_f_is_that_of_the_lowest_bit(mask: int, number: int) -> None:
    assert bit_of(FileChanged("", "/", "", FileEvent(0), mask)) == number
