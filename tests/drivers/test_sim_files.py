"""The simulated file system reports what Linux reports: the same random script changes real and
simulated files, and the records of inotify are compared."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.conformance.file_world import Files, RealFiles
from vcproxy.drivers.epoll.sources.inotify import Inotify
from vcproxy.drivers.sim import Simulation, seeds
from vcproxy.drivers.sim.files.watching import SimFileSystem
from vcproxy.drivers.watching.file_system import DONT_FOLLOW, EXCL_UNLINK, FileSystem, Kind

ALL = 0xFFF
NAMES = "abc"


def nothing() -> None:
    """Take no notice."""


class Tree:
    """Files, watched by one instance of inotify."""

    def __init__(self, files: Files, system: FileSystem, top: str) -> None:
        self.files = files
        self.system = system
        self.top = top
        files.mkdir(top)
        self.watched: dict[int, str] = {}

    def watch(self, path: str) -> object:
        """Watch a path; return its number among those watched, or the error."""
        try:
            wd = self.system.add_watch(self.top + path, ALL | DONT_FOLLOW | EXCL_UNLINK)
        except OSError as error:
            return error.errno
        self.watched.setdefault(wd, f"watch {len(self.watched)}")
        return self.watched[wd]

    def records(self) -> list[tuple[str, str, str]]:
        """All records, by the names of the watches."""
        found = []
        drained = False
        while not drained:
            records, drained = self.system.read()
            found += [(self.watched[wd], hex(mask), name) for wd, mask, name in records]
        return found

    def do(self, verb: str, *words: str) -> object:
        """Change something; return what was read, or that it failed."""
        files = self.files
        paths = [self.top + word for word in words]
        try:
            if verb == "symlink":
                files.symlink(paths[0], words[1].rpartition("/")[2])
            elif verb in ("write", "append"):
                getattr(files, verb)(paths[0], words[1])
            else:
                return getattr(files, verb)(*paths)
        except OSError:
            return "failed"
        return None


def random_path(random: Random) -> str:
    return "".join(f"/{random.choice(NAMES)}" for _ in range(random.randint(1, 3)))


VERBS = (
    "write", "write", "append", "read", "list", "mkdir", "mkdir", "symlink", "link", "rename",
    "rename", "remove", "touch",
)  # fmt: skip


def random_step(random: Random) -> tuple[str, ...]:
    verb = random.choice(VERBS)
    first, second = random_path(random), random_path(random)
    if verb in ("write", "append"):
        return verb, first, random.choice(["", "1", "22"])
    return (verb, first, second) if verb in ("rename", "link", "symlink") else (verb, first)


@pytest.mark.parametrize("seed", list(seeds(150)))
def test_it_reports_what_linux_reports(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    with Simulation(seed) as sim:
        real = Tree(RealFiles(), Inotify(lambda fd: None), str(tmp_path / "top"))
        simulated = Tree(sim.files, SimFileSystem(sim.network, nothing), "/top")
        trees = real, simulated
        for _ in range(40):
            if random.random() < 0.3:
                path = random.choice(["", random_path(random)])
                assert real.watch(path) == simulated.watch(path), path
                continue
            step = random_step(random)
            results = [tree.do(*step) for tree in trees]
            assert results[0] == results[1], step
            one, two = [tree.records() for tree in trees]
            assert one == two, step
        for tree in trees:
            tree.system.close()  # type: ignore[attr-defined]


def test_the_kinds_of_paths(tmp_path: Path) -> None:
    sim = Simulation(0)
    for files, system, top in (
        (RealFiles(), Inotify(lambda fd: None), str(tmp_path)),
        (sim.files, SimFileSystem(sim.network, nothing), "/top"),
    ):
        files.write(f"{top}/file", "")
        files.symlink(f"{top}/link", "file")
        assert [system.kind(top + path) for path in ("", "/file", "/link", "/no", "/file/no")] == [
            Kind.DIRECTORY, Kind.FILE, Kind.LINK, Kind.NOTHING, Kind.NOTHING,
        ]  # fmt: skip
        assert system.target(f"{top}/link") == "file"
        entries = sorted(system.entries(top))
        assert [entry[:2] for entry in entries] == [("file", False), ("link", False)]
        assert [system.number(f"{top}/{name}") for name, _, _ in entries] == [
            number for _, _, number in entries
        ]
        assert system.number(f"{top}/no") == 0
        assert system.absolute("/a/./b/../c") == "/a/c"
        assert system.absolute("//a") == "/a"


def test_a_relative_path_is_that_of_the_working_directory() -> None:
    assert Inotify(lambda fd: None).absolute("a") == os.path.abspath("a")
    assert SimFileSystem(Simulation(0).network, nothing).absolute("a") == "/a"
