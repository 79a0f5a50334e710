"""Who reads files when ContentWatch reports them knows their content at the end, in whatever way
they were changed: in simulations with faults, and with the kernel."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.engine.world import engine
from vcproxy.drivers.sim import NetworkFaults, Simulation, seeds
from vcproxy.engine.sources.content_watch import ContentChanged, ContentRead, ContentWatch

from .file_world import FileWorld, RealFiles
from .source_world import EpollWorld, SimWorld, opened

FILES = ("a", "dir/a", "dir/deep/b", "link", "dir/link", "linked/b")
QUIET_S = 0.01


class Reader:
    """Reads the files when they are reported."""

    def __init__(self, world: FileWorld) -> None:
        self.world = world
        self.known: dict[str, bytes] = {}
        paths = [world.path(name) for name in FILES]
        self.recorder, self.source = opened(
            world.world,
            lambda recorder: ContentWatch(recorder, "content", paths, quiet_s=QUIET_S),
        )
        self.recorder.on[ContentRead] = lambda: self.read(paths)
        self.recorder.on[ContentChanged] = self.changed

    def changed(self) -> None:
        """Read what changed."""
        event = self.recorder.data[-1]
        assert isinstance(event, ContentChanged)
        self.read(event.paths)

    def read(self, paths: list[str] | tuple[str, ...]) -> None:
        """Read files."""
        for path in paths:
            self.known[path] = self.content(path)

    def content(self, path: str) -> bytes:
        """The content of a file; b"": there is none."""
        with suppress(OSError):
            return self.world.files.read(path)
        return b""

    @property
    def right(self) -> bool:
        """Whether all that is known is true."""
        return bool(self.known) and all(
            self.content(path) == known for path, known in self.known.items()
        )


STEPS = "write", "write", "replace", "delete", "remove", "link", "swap", "move"


def change(world: FileWorld, random: Random, number: int) -> None:
    """Change one thing; some changes are impossible at this moment."""
    files, path = world.files, world.path
    content = f"{number}" if random.random() < 0.8 else "again"
    name = random.choice(["a", "dir/a", "dir/deep/b", "other/b", "other/a"])
    with suppress(OSError):
        match random.choice(STEPS):
            case "write":
                files.write(path(name), content)
            case "replace":
                files.write(path("new"), content)
                files.rename(path("new"), path(name))
            case "delete":
                files.delete(path(random.choice(["dir", "dir/deep", "other", "link", "linked"])))
            case "remove":
                files.delete(path(name))
            case "link":
                target = random.choice(["a", "dir/a", "other/a", "dir/link", "link"])
                where = random.choice(["link", "dir/link"])
                files.symlink(path("new link"), path(target))
                files.rename(path("new link"), path(where))
            case "swap":
                files.symlink(path("new link"), random.choice(["other", "dir/deep", "dir"]))
                files.rename(path("new link"), path("linked"))
            case "move":
                files.rename(path("dir"), path("moved"))
                files.rename(path("other"), path("dir"))
                files.rename(path("moved"), path("other"))


def run(world: FileWorld, seed: int, turn: Callable[[], object]) -> None:
    """Change files; let the engine have a turn now and then."""
    random = Random(seed)
    reader = Reader(world)
    for number in range(80):
        change(world, random, number)
        for _ in range(random.choice([0, 0, 1, 3])):
            turn()
    world.world.run(lambda: reader.right)
    world.settle()
    assert reader.right
    assert world.world.log == []


@pytest.mark.parametrize("seed", list(seeds(100)))
def test_in_a_simulation(seed: int) -> None:
    world = SimWorld()
    with Simulation(seed, NetworkFaults(short=0.5, one_byte=0.2, call_s=(0.0, 0.05))) as sim:
        world.sim = sim
        world.driver = sim.attach(engine(world.log))
        world.engine = world.driver.engine
        sim.files.mkdir("/srv/top")
        sim.files.max_queued_events = 16_384 if seed % 2 else 3  # more are lost
        run(FileWorld(world, sim.files, "/srv/top"), seed, sim.step)


@pytest.mark.parametrize("seed", list(seeds(20)))
def test_with_the_kernel(seed: int, tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    world = EpollWorld()
    try:
        run(
            FileWorld(world, RealFiles(), str(tmp_path / "top")),
            seed,
            lambda: world.driver.turn(0.001),
        )
    finally:
        world.close()
