"""What every driver does for ContentWatch: the same tests on real files and in a simulation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.world import engine
from vcproxy.drivers.sim import NetworkFaults, Simulation
from vcproxy.drivers.watching.digests import digests
from vcproxy.engine.sources.content_watch import (
    ContentChanged,
    ContentRead,
    ContentWatch,
    content_digest,
    names_digest,
)

from .file_world import FileWorld, file_world_of
from .source_world import SimWorld, opened


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileWorld]:
    with file_world_of(request.param, tmp_path) as made:
        yield made


class Content:
    """A ContentWatch source and what it reported."""

    def __init__(self, world: FileWorld, *names: str, quiet_s: float = 0.02) -> None:
        self.world = world
        self.recorder, self.source = opened(
            world.world,
            lambda recorder: ContentWatch(
                recorder, "content", [world.path(name) for name in names], quiet_s=quiet_s
            ),
        )
        self.paths = list(self.source.paths)
        self.run(1)

    @property
    def events(self) -> list[object]:
        return self.recorder.data

    def run(self, events: int) -> None:
        """Run until there were so many events."""
        self.world.world.run(lambda: len(self.events) >= events)

    def digests(self) -> dict[str, str]:
        """The digests of the only event."""
        (event,) = self.events
        assert isinstance(event, ContentRead)
        return event.digests

    def changed(self) -> list[str]:
        """The names in the next event, which must be the last."""
        before = len(self.events)
        self.run(before + 1)
        event = self.events[-1]
        assert isinstance(event, ContentChanged)
        assert len(self.events) == before + 1
        return [os.path.relpath(path, self.world.top) for path in event.paths]


def test_the_files_are_read_at_first(world: FileWorld) -> None:
    world.files.write(world.path("a"), "1")
    world.files.mkdir(world.path("sub"))
    content = Content(world, "a", "missing", "sub")
    assert content.digests() == {
        world.path("a"): content_digest(b"1"),
        world.path("missing"): "",
        world.path("sub"): names_digest([]),
    }


def test_the_names_in_a_directory_are_watched(world: FileWorld) -> None:
    world.files.mkdir(world.path("sub"))
    world.files.write(world.path("sub/a"), "1")
    content = Content(world, "sub")
    assert content.digests() == {world.path("sub"): names_digest(["a"])}
    world.files.write(world.path("sub/b"), "1")
    assert content.changed() == ["sub"]
    world.files.rename(world.path("sub/b"), world.path("sub/c"))
    assert content.changed() == ["sub"]
    world.files.delete(world.path("sub/c"))
    assert content.changed() == ["sub"]


def test_each_way_to_change_a_file(world: FileWorld) -> None:
    path = world.path("a")
    world.files.write(path, "1")
    content = Content(world, "a")
    world.files.write(path, "in place")
    assert content.changed() == ["a"]
    world.files.append(path, ", and more")
    assert content.changed() == ["a"]
    world.files.write(world.path("a.new"), "renamed")
    world.files.rename(world.path("a.new"), path)
    assert content.changed() == ["a"]
    world.files.delete(path)
    assert content.changed() == ["a"]
    world.files.write(path, "back")
    assert content.changed() == ["a"]


def test_the_same_content_is_no_change(world: FileWorld) -> None:
    path = world.path("a")
    world.files.write(path, "1")
    world.files.write(world.path("b"), "1")
    content = Content(world, "a", "b")
    world.elapse(0.11)  # until they have been read, by those who read them after the event
    world.files.touch(path)
    world.files.write(path, "1")
    world.files.delete(path)
    world.files.write(world.path("a.new"), "1")
    world.files.rename(world.path("a.new"), path)
    world.files.write(world.path("b"), "2")
    assert content.changed() == ["b"]


def test_several_files_that_change_together_are_one_event(world: FileWorld) -> None:
    for name in ("tls.crt", "tls.key", "other"):
        world.files.write(world.path(name), "1")
    content = Content(world, "tls.crt", "tls.key", "other")
    world.files.write(world.path("tls.key"), "2")
    world.files.write(world.path("tls.crt"), "2")
    assert content.changed() == ["tls.crt", "tls.key"]


def test_a_swapped_symlink_as_in_kubernetes(world: FileWorld) -> None:
    world.files.write(world.path("..1/tls.crt"), "1")
    world.files.symlink(world.path("..data"), "..1")
    world.files.symlink(world.path("tls.crt"), "..data/tls.crt")
    content = Content(world, "tls.crt")
    for number in (2, 3):
        world.files.write(world.path(f"..{number}/tls.crt"), str(number))
        world.files.symlink(world.path("..data_tmp"), f"..{number}")
        world.files.rename(world.path("..data_tmp"), world.path("..data"))
        world.files.delete(world.path(f"..{number - 1}"))
        assert content.changed() == ["tls.crt"]


def test_other_files(world: FileWorld) -> None:
    for name in ("a", "b", "c"):
        world.files.write(world.path(name), "1")
    content = Content(world, "a", "b")
    with content.recorder.mutex.hold(world.world.engine):
        content.source.watch([world.path("b"), world.path("c")])
    content.run(2)
    event = content.events[1]
    assert isinstance(event, ContentRead)
    assert list(event.digests) == [world.path("b"), world.path("c")]
    world.files.write(world.path("a"), "2")
    world.files.write(world.path("c"), "2")
    assert content.changed() == ["c"]


def test_disabled_until_enabled(world: FileWorld) -> None:
    world.files.write(world.path("a"), "1")
    content, other = Content(world, "a"), Content(world, "a")
    with content.recorder.mutex.hold(world.world.engine):
        content.source.disable()
    world.settle()
    world.files.write(world.path("a"), "2")
    assert other.changed() == ["a"]
    assert len(content.events) == 1
    with content.recorder.mutex.hold(world.world.engine):
        content.source.enable()
    assert content.changed() == ["a"]


def test_close(world: FileWorld) -> None:
    world.files.write(world.path("a"), "1")
    content, other = Content(world, "a"), Content(world, "a")
    with content.recorder.mutex.hold(world.world.engine):
        content.source.close()
    world.files.write(world.path("a"), "2")
    assert other.changed() == ["a"]
    assert len(content.events) == 1


class TestInVirtualTime:
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[FileWorld]:
        with file_world_of("sim", tmp_path) as made:
            yield made

    def test_one_that_changes_back_while_it_is_read_is_reported_again(
        self, world: FileWorld
    ) -> None:
        world.files.write(world.path("a"), "1")
        content = Content(world, "a", quiet_s=0.2)
        world.files.write(world.path("a"), "2")  # this may be read now
        world.files.write(world.path("a"), "1")
        assert content.changed() == ["a"]
        world.elapse(1)
        world.files.write(world.path("a"), "2")
        world.files.write(world.path("a"), "1")
        world.elapse(1)
        assert len(content.events) == 2

    def test_one_that_was_there_for_a_moment_while_it_was_read(self, world: FileWorld) -> None:
        content = Content(world, "a")
        world.files.write(world.path("a"), "1")  # this may be read now
        world.files.delete(world.path("a"))
        assert content.changed() == ["a"]

    def test_it_waits_until_nothing_more_happens(self, world: FileWorld) -> None:
        world.files.write(world.path("a"), "1")
        content = Content(world, "a", quiet_s=0.2)
        for number in range(5):
            world.files.write(world.path("a"), str(number))
            world.elapse(0.1)
        assert len(content.events) == 1
        world.elapse(0.11)
        assert len(content.events) == 2

    def test_one_that_is_written_to_all_the_time_is_read_all_the_same(
        self, world: FileWorld
    ) -> None:
        world.files.write(world.path("a"), "1")
        content = Content(world, "a", quiet_s=0.2)
        for number in range(21):
            world.files.write(world.path("a"), str(number))
            world.elapse(0.1)
        assert len(content.events) == 2

    def test_after_an_overflow_it_is_read(self, world: FileWorld) -> None:
        world.files.write(world.path("a"), "1")
        content = Content(world, "a")
        world.sim_files.overflow()
        world.files.write(world.path("a"), "2")
        world.elapse(1)
        assert content.events[1:] == [ContentChanged("content", (world.path("a"),))]

    def test_what_cannot_be_watched_is_read_every_10_s(self, world: FileWorld) -> None:
        world.files.write(world.path("a"), "1")
        world.sim_files.max_watches = 0
        content = Content(world, "a")
        assert len(world.world.log) == 1
        assert world.world.log[0].startswith("warning: content: /srv/top/a is not watched: this")
        world.elapse(0.1)
        world.files.write(world.path("a"), "2")
        world.elapse(9.8)
        assert len(content.events) == 1
        world.elapse(0.3)
        assert len(content.events) == 2
        world.sim_files.max_watches = 100  # then it is watched again
        world.elapse(10)
        world.files.write(world.path("a"), "3")
        world.elapse(0.1)
        assert len(content.events) == 3
        assert len(world.world.log) == 1

    def test_one_that_becomes_readable(self, world: FileWorld) -> None:
        world.files.write(world.path("a"), "1")
        world.sim_files.allow(world.path("a"), False)
        content = Content(world, "a")
        assert content.digests() == {world.path("a"): ""}
        assert "permission denied: the user of this process must be able" in world.world.log[0]
        world.sim_files.allow(world.path("a"), True)
        world.elapse(20)
        assert content.events[1:] == [ContentChanged("content", (world.path("a"),))]

    def test_one_in_a_directory_that_may_be_entered_later(self, world: FileWorld) -> None:
        world.files.write(world.path("private/a"), "1")
        world.sim_files.allow(world.path("private"), False)
        content = Content(world, "private/a")
        assert content.digests() == {world.path("private/a"): ""}
        world.sim_files.allow(world.path("private"), True)
        world.elapse(20)
        assert len(content.events) == 2
        world.files.write(world.path("private/a"), "2")
        world.elapse(1)
        assert len(content.events) == 3


class TestWhileFilesAreRead:
    """Reading takes a second."""

    @pytest.fixture
    def world(self) -> FileWorld:
        world = SimWorld()
        world.sim = Simulation(0, NetworkFaults(call_s=(1.0, 1.0)))
        world.driver = world.sim.attach(engine(world.log))
        world.engine = world.driver.engine
        world.sim.files.write("/srv/top/a", "1")
        return FileWorld(world, world.sim.files, "/srv/top")

    def test_other_files_are_watched(self, world: FileWorld) -> None:
        content = Content(world, "a")
        world.files.write(world.path("a"), "2")
        world.elapse(0.5)
        with content.recorder.mutex.hold(world.world.engine):
            content.source.watch([world.path("b")])
        world.elapse(5)
        assert content.events[1:] == [ContentRead("content", {world.path("b"): ""})]

    def test_it_is_closed(self, world: FileWorld) -> None:
        content = Content(world, "a")
        world.files.write(world.path("a"), "2")
        world.elapse(0.5)
        with content.recorder.mutex.hold(world.world.engine):
            content.source.close()
        world.elapse(5)
        assert len(content.events) == 1


class TestDigestsOfRealFiles:
    def test_a_large_file_is_read_in_pieces(self, tmp_path: Path) -> None:
        data = os.urandom(700_000)
        (tmp_path / "a").write_bytes(data)
        assert digests((str(tmp_path / "a"),)) == {str(tmp_path / "a"): content_digest(data)}

    def test_one_that_cannot_be_read_in_the_end(self) -> None:
        assert digests(("/proc/self/mem",)) == {"/proc/self/mem": ""}  # its first page is not there

    def test_a_fifo_does_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a")
        assert digests((str(tmp_path / "a"),)) == {str(tmp_path / "a"): ""}
