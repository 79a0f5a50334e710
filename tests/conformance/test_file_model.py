"""What FileChanges reports of a directory tree that changes at random is what is there: nothing is
missing, nothing is reported twice, and who reads each file when it is reported knows its content at
the end. In simulations with faults, and with the kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.engine.world import engine
from vcproxy.drivers.sim import NetworkFaults, Simulation, seeds
from vcproxy.drivers.watching import file_watcher
from vcproxy.engine.sources.file_changes import FileChanged, FileEvent

from .file_world import FileWorld, RealFiles, Watched
from .source_world import EpollWorld, SimWorld

KINDS = FileEvent.EXISTS | FileEvent.CREATED | FileEvent.DELETED | FileEvent.UPDATED
NAMES = "abcd"


class Tree:
    """A tree that is changed at random, and what was reported of it."""

    def __init__(self, world: FileWorld, random: Random) -> None:
        self.world = world
        self.random = random
        self.there: set[str] = set()
        """The directories ("a/") and files ("a") that exist."""
        self.reported: dict[str, bytes] = {}
        """What was reported, with its content when it was."""
        self.replaced: set[str] = set()
        """Where files were replaced by others."""
        self.fresh = 0

    def step(self) -> None:
        """Change something."""
        files, random, path = self.world.files, self.random, self.world.path
        directories = ["", *sorted(each for each in self.there if each.endswith("/"))]
        plain = sorted(self.there - set(directories))
        self.fresh += 1
        new = f"{random.choice(directories)}{random.choice(NAMES)}{self.fresh}"
        match random.choice(STEPS):
            case "write":
                files.write(path(new), new)
                self.there.add(new)
            case "change" if plain:
                files.write(path(random.choice(plain)), new)
            case "replace" if len(plain) > 1:
                old, target = random.sample(plain, 2)
                files.rename(path(old), path(target))
                self.there.remove(old)
                self.replaced.add(target)
            case "mkdir":
                files.mkdir(path(new))
                self.there.add(new + "/")
            case "tree":
                files.write(path(f"{new}/x/y"), new)
                self.there |= {f"{new}/", f"{new}/x/", f"{new}/x/y"}
            case "delete" if self.there:
                gone = random.choice(sorted(self.there))
                files.delete(path(gone.rstrip("/")))
                self.forget(gone)
            case "rename" if plain:
                old = random.choice(plain)
                files.rename(path(old), path(new))
                self.there.remove(old)
                self.there.add(new)
            case "move" if len(directories) > 1:
                old = random.choice(directories[1:])
                if not new.startswith(old):
                    files.rename(path(old.rstrip("/")), path(new))
                    moved = {each for each in self.there if each.startswith(old)}
                    self.there -= moved
                    self.there |= {f"{new}/{each.removeprefix(old)}" for each in moved}

    def forget(self, gone: str) -> None:
        """Forget what was deleted, with what was in it."""
        below = gone.endswith("/")
        self.there = {
            each for each in self.there if each != gone and not (below and each.startswith(gone))
        }

    def take(self, changed: FileChanged) -> None:
        """Note what is reported; read the file."""
        place = changed.file + "/" * bool(changed.kinds & FileEvent.DIRECTORY)
        if changed.kinds & FileEvent.DELETED:
            assert place in self.reported, f"{changed} was never there"
            below = place.endswith("/")
            for each in list(self.reported):
                if each == place or (below and each.startswith(place)):
                    del self.reported[each]
            return
        if changed.kinds & (FileEvent.CREATED | FileEvent.EXISTS):
            twice = place in self.reported and place not in self.replaced
            assert not twice, f"{changed} is reported twice"
        try:
            self.reported[place] = self.world.files.read(changed.place)
        except OSError:  # a directory, or it is gone again
            self.reported[place] = b""


STEPS = ["write", "write", "mkdir", "delete", "rename", "move", "tree", "change", "replace"]


def run(world: FileWorld, seed: int, turn: Callable[[], object]) -> None:
    """Change the tree; let the engine have a turn now and then."""
    random = Random(seed)
    tree = Tree(world, random)
    for _ in range(random.randint(0, 20)):
        tree.step()
    files = Watched(world)
    files.recorder.on[FileChanged] = lambda: tree.take(files.last())
    with files.recorder.mutex.hold(world.world.engine):
        files.source.watch(world.top, KINDS, recursive=True)
    for _ in range(random.randint(0, 3)):
        turn()
    if random.random() < 0.8:  # else it changes while it is scanned for the first time
        world.settle()
    for _ in range(60):
        for _ in range(random.choice([0, 1, 1, 2, 5])):
            tree.step()
        for _ in range(random.choice([0, 1, 1, 2, 5])):
            turn()
    world.settle()
    assert set(tree.reported) == tree.there
    for place, content in tree.reported.items():
        if not place.endswith("/"):
            assert content == world.files.read(world.path(place)), place
    assert world.world.log == []
    files.do(lambda source: source.close())
    assert world.watcher.inodes.by_wd == {}
    assert len(world.watcher.lookups) == 0


@pytest.mark.parametrize("seed", list(seeds(100)))
def test_in_a_simulation(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watcher, "SCANNED", (1, 3, 2048)[seed % 3])  # entries in one turn
    faults = NetworkFaults(short=0.5, one_byte=0.2)
    world = SimWorld()
    with Simulation(seed, faults) as sim:
        world.sim = sim
        world.driver = sim.attach(engine(world.log))
        world.engine = world.driver.engine
        sim.files.mkdir("/srv/top")
        run(FileWorld(world, sim.files, "/srv/top"), seed, sim.step)


@pytest.mark.parametrize("seed", list(seeds(30)))
def test_with_the_kernel(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watcher, "SCANNED", (1, 3, 2048)[seed % 3])
    (tmp_path / "top").mkdir()
    world = EpollWorld()
    try:
        turn = lambda: world.driver.turn(0.0)  # noqa: E731
        run(FileWorld(world, RealFiles(), str(tmp_path / "top")), seed, turn)
    finally:
        world.close()


def test_a_file_that_is_replaced_after_it_was_scanned_is_reported_again() -> None:
    """The kernel's queue still has records, so that others of the new directory are repetitions."""
    world = SimWorld()
    with Simulation(0, NetworkFaults(one_byte=1.0)) as sim:  # one record is read at a time
        world.sim = sim
        world.driver = sim.attach(engine(world.log))
        world.engine = world.driver.engine
        sim.files.mkdir("/srv/top")
        files = Watched(FileWorld(world, sim.files, "/srv/top"))
        files.watch("/srv/top", FileEvent.CREATED, recursive=True)
        sim.files.write("/srv/top/new/a", "1")
        for number in range(50):
            sim.files.write(f"/srv/top/{number}", "")
        sim.run(until=lambda: len(files.recorder.data) > 1)
        assert len(files.recorder.data) < 20  # the rest is still queued
        sim.files.write("/srv/other", "2")
        sim.files.rename("/srv/other", "/srv/top/new/a")
        assert files.seen().count("new/a CREATED") == 2
