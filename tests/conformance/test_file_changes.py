"""What every driver does for FileChanges: the same tests on the kernel's inotify and in a
simulation."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from vcproxy.engine.sources.file_changes import FileChanged, FileEvent

from .file_world import FileWorld, Watched, file_world_of

CREATED, DELETED, EXISTS = FileEvent.CREATED, FileEvent.DELETED, FileEvent.EXISTS
NAMES = CREATED | DELETED


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileWorld]:
    with file_world_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def files(world: FileWorld) -> Watched:
    return Watched(world)


class TestDirectories:
    def test_the_golden_sequence_of_the_original(self, world: FileWorld, files: Watched) -> None:
        """eventdispatcher.md 5: create, write, close; open, read, close; delete."""
        files.watch(world.top, FileEvent.ALL)
        path = world.path("test.txt")
        world.files.write(path, "this is a test file\n")
        world.files.read(path)
        world.files.delete(path)
        assert [(each.path, each.file, each.kinds) for each in files.take()] == [
            (world.top, "test.txt", FileEvent.CREATED),
            (world.top, "test.txt", FileEvent.ACCESS),
            (world.top, "test.txt", FileEvent.WRITE),
            (world.top, "test.txt", FileEvent.ACCESS | FileEvent.UPDATED),
            (world.top, "test.txt", FileEvent.ACCESS),
            (world.top, "test.txt", FileEvent.READ),
            (world.top, "test.txt", FileEvent.ACCESS),
            (world.top, "test.txt", FileEvent.DELETED),
        ]

    def test_attributes_of_the_directory_itself(self, world: FileWorld, files: Watched) -> None:
        files.watch(world.top, FileEvent.ATTRIBUTES)
        world.files.touch(world.top)
        assert files.take() == [
            FileChanged(
                "files", world.top, "", FileEvent.ATTRIBUTES | FileEvent.DIRECTORY, 0x4000_0004
            )
        ]

    def test_a_rename_within_it(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("a"), "")
        files.watch(world.top, NAMES)
        world.files.rename(world.path("a"), world.path("b"))
        assert files.seen() == ["a DELETED", "b CREATED"]

    def test_only_what_was_asked_for(self, world: FileWorld, files: Watched) -> None:
        files.watch(world.top, FileEvent.UPDATED)
        world.files.write(world.path("a"), "1")
        world.files.read(world.path("a"))
        world.files.delete(world.path("a"))
        assert files.seen() == ["a ACCESS|UPDATED"]

    def test_directories_in_it_are_named_as_such(self, world: FileWorld, files: Watched) -> None:
        files.watch(world.top, NAMES)
        world.files.mkdir(world.path("sub"))
        world.files.write(world.path("sub/unseen"), "1")
        world.files.delete(world.path("sub"))
        assert files.seen() == ["sub CREATED|DIRECTORY", "sub DELETED|DIRECTORY"]

    def test_what_exists_is_reported_once(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("a"), "1")
        world.files.mkdir(world.path("sub"))
        files.watch(world.top, EXISTS | NAMES)
        assert sorted(files.seen()) == ["a EXISTS", "sub EXISTS|DIRECTORY"]
        world.files.write(world.path("b"), "1")
        world.files.rename(world.path("b"), world.path("a"))
        assert files.seen() == ["b CREATED", "b DELETED", "a CREATED"]

    def test_a_listing_of_our_own_is_not_reported(self, world: FileWorld, files: Watched) -> None:
        files.watch(world.top, EXISTS | FileEvent.ALL, recursive=True)
        assert files.seen() == []
        world.files.list(world.top)
        assert set(files.seen()) == {". ACCESS|DIRECTORY", ". READ|DIRECTORY"}

    def test_names_that_are_no_utf_8(self, world: FileWorld, files: Watched) -> None:
        files.watch(world.top, CREATED)
        world.files.write(world.path("caf\udce9"), "1")
        assert [each.file for each in files.take()] == ["caf\udce9"]


class TestPatterns:
    def test_only_entries_that_match(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("old.pem"), "")
        world.files.write(world.path("old.txt"), "")
        files.watch(world.top, EXISTS | NAMES, pattern="*.pem")
        world.files.write(world.path("new.pem"), "")
        world.files.write(world.path("new.txt"), "")
        assert files.seen() == ["old.pem EXISTS", "new.pem CREATED"]

    def test_several_patterns_merge_with_their_kinds(
        self, world: FileWorld, files: Watched
    ) -> None:
        files.watch(world.top, CREATED, pattern="*.pem")
        files.watch(world.top, DELETED, pattern="*.key")
        for name in ("a.pem", "a.key", "a.txt"):
            world.files.write(world.path(name), "")
            world.files.delete(world.path(name))
        assert files.seen() == ["a.pem CREATED", "a.key DELETED"]

    def test_a_second_watch_adds_kinds(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("a"), "")
        files.watch(world.top, CREATED)
        files.watch(world.top, DELETED | EXISTS)
        world.files.delete(world.path("a"))
        assert files.seen() == ["a EXISTS", "a DELETED"]

    def test_a_second_watch_without_a_pattern_takes_all(
        self, world: FileWorld, files: Watched
    ) -> None:
        files.watch(world.top, NAMES, pattern="*.pem")
        files.watch(world.top, CREATED)
        world.files.write(world.path("a.txt"), "")
        world.files.delete(world.path("a.txt"))
        assert files.seen() == ["a.txt CREATED"]


class TestFiles:
    def test_a_file_is_watched_by_itself(self, world: FileWorld, files: Watched) -> None:
        path = world.path("a")
        world.files.write(path, "1")
        world.files.write(world.path("b"), "1")
        files.watch(path, FileEvent.IO | FileEvent.UPDATED)
        world.files.append(path, "2")
        world.files.append(world.path("b"), "2")
        world.files.read(path)
        assert files.seen() == ["a WRITE", "a ACCESS|UPDATED", "a READ"]

    def test_deleted_and_created_again(self, world: FileWorld, files: Watched) -> None:
        path = world.path("a")
        world.files.write(path, "1")
        files.watch(path, NAMES | FileEvent.WRITE)
        world.files.delete(path)
        assert files.seen() == ["a DELETED", "a GONE"]
        world.files.write(path, "1")
        assert files.seen()[:1] == ["a CREATED"]
        world.files.append(path, "2")
        assert files.seen() == ["a WRITE"]

    def test_replaced_by_a_rename(self, world: FileWorld, files: Watched) -> None:
        path = world.path("a")
        world.files.write(path, "1")
        files.watch(path, NAMES | FileEvent.WRITE)
        world.files.write(world.path("a.new"), "2")
        world.files.rename(world.path("a.new"), path)
        assert files.seen() == ["a GONE", "a CREATED"]
        world.files.append(path, "3")
        assert files.seen() == ["a WRITE"]

    def test_replaced_while_it_is_open(self, world: FileWorld, files: Watched) -> None:
        """The kernel reports only attributes of the old one: eventdispatcher.md 7."""
        path = world.path("a")
        world.files.write(path, "1")
        world.files.link(path, world.path("still used"))
        files.watch(path, NAMES)
        world.files.write(world.path("a.new"), "2")
        world.files.rename(world.path("a.new"), path)
        assert files.seen() == ["a GONE", "a CREATED"]

    def test_deleted_and_created_before_it_was_read(self, world: FileWorld, files: Watched) -> None:
        path = world.path("a")
        world.files.write(path, "1")
        files.watch(path, NAMES)
        for _ in range(3):
            world.files.delete(path)
            world.files.write(path, "2")
        assert files.seen() == ["a GONE", "a CREATED"]
        world.files.delete(path)
        assert files.seen() == ["a DELETED", "a GONE"]

    def test_moved_away_and_back(self, world: FileWorld, files: Watched) -> None:
        path = world.path("a")
        world.files.write(path, "1")
        files.watch(path, NAMES)
        world.files.rename(path, world.path("b"))
        moved = files.take()
        assert [each.kinds for each in moved] == [FileEvent.DELETED, FileEvent.GONE]
        assert [each.mask for each in moved] == [0x800, 0x8000]  # IN_MOVE_SELF, IN_IGNORED
        world.files.rename(world.path("b"), path)
        assert files.seen() == ["a CREATED"]

    def test_one_that_does_not_exist_yet(self, world: FileWorld, files: Watched) -> None:
        path = world.path("not/yet/there")
        files.watch(path, NAMES | FileEvent.UPDATED)
        world.files.mkdir(world.path("not"))
        assert files.seen() == []
        world.files.write(path, "1")
        assert "not/yet/there CREATED" in files.seen()
        world.files.delete(world.path("not"))
        assert files.seen() == ["not/yet/there DELETED", "not/yet/there GONE"]
        world.files.write(path, "2")
        assert "not/yet/there CREATED" in files.seen()

    def test_a_relative_path(
        self, world: FileWorld, files: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if world.world.kind == "epoll":
            monkeypatch.chdir(world.top)
        else:
            world.top = ""
        files.watch("sub/../a", NAMES)
        world.files.write(world.path("a"), "1")
        assert [(each.path, each.file) for each in files.take()] == [("sub/../a", "")]

    def test_unwatch(self, world: FileWorld, files: Watched) -> None:
        files.watch(world.path("a"))
        files.watch(world.path("b"), CREATED)
        files.do(lambda source: source.unwatch(world.path("a")))
        files.do(lambda source: source.unwatch("never watched"))
        world.files.write(world.path("a"), "1")
        world.files.write(world.path("b"), "1")
        assert files.seen() == ["b CREATED"]

    def test_close(self, world: FileWorld, files: Watched) -> None:
        other = Watched(world)
        for each in (files, other):
            each.watch(world.top, CREATED)
        files.do(lambda source: source.close())
        world.files.write(world.path("a"), "1")
        assert files.seen() == []
        assert other.seen() == ["a CREATED"]

    def test_nothing_stays_watched(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("x/y/z"), "1")
        world.files.symlink(world.path("link"), "x/y")
        files.watch(world.path("link"), recursive=True)
        files.watch(world.path("not/yet/there"))
        files.watch(world.top, EXISTS | NAMES, recursive=True)
        world.files.delete(world.path("x"))
        world.files.write(world.path("x/y/z"), "1")
        world.settle()
        assert world.watcher.inodes.by_wd
        for path in list(files.source.paths):
            files.do(lambda source, path=path: source.unwatch(path))  # type: ignore[misc]
        assert world.watcher.inodes.by_wd == {}
        assert len(world.watcher.lookups) == 0

    def test_one_in_a_directory_that_may_not_be_entered(self, tmp_path: Path) -> None:
        """Simulated only: tests may run as root, who may enter all."""
        with file_world_of("sim", tmp_path) as world:
            world.files.write(world.path("private/a"), "1")
            world.sim_files.allow(world.path("private"), False)
            files = Watched(world)
            files.watch(world.path("private/a"))
            why = "permission denied: the user of this process must be able to read it"
            assert [(each.kinds, each.reason) for each in files.take()] == [(FileEvent.ERROR, why)]
            world.sim_files.allow(world.path("private"), True)
            files.watch(world.path("private/a"), CREATED)
            world.files.delete(world.path("private/a"))
            assert files.seen()[-2:] == ["private/a DELETED", "private/a GONE"]

    def test_the_working_directory_is_gone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with file_world_of("epoll", tmp_path) as world:
            world.files.mkdir(world.path("here"))
            monkeypatch.chdir(world.path("here"))
            world.files.delete(world.path("here"))
            files = Watched(world)
            files.watch("a")
            why = "the working directory does not exist any more: use an absolute path"
            assert [(each.kinds, each.reason) for each in files.take()] == [(FileEvent.ERROR, why)]

    def test_too_many_directories(self, world: FileWorld, files: Watched) -> None:
        files.watch("/" + "a/" * 101)
        why = "it has more than 100 directories: use a shorter path"
        assert [(each.kinds, each.reason) for each in files.take()] == [(FileEvent.ERROR, why)]


class TestReplacedDirectories:
    def test_deleted_and_made_again(self, world: FileWorld, files: Watched) -> None:
        path = world.path("conf")
        world.files.mkdir(path)
        files.watch(path, NAMES)
        world.files.delete(path)
        assert files.seen() == ["conf DELETED", "conf GONE"]
        world.files.mkdir(path)
        assert files.seen() == ["conf CREATED|DIRECTORY"]
        world.files.write(world.path("conf/a"), "1")
        assert files.seen() == ["conf/a CREATED"]

    def test_swapped_by_renames(self, world: FileWorld, files: Watched) -> None:
        path = world.path("conf")
        world.files.write(world.path("conf/a"), "1")
        world.files.write(world.path("next/b"), "1")
        files.watch(path, NAMES | EXISTS)
        assert files.seen() == ["conf/a EXISTS"]
        world.files.rename(path, world.path("last"))
        world.files.rename(world.path("next"), path)
        assert files.seen() == ["conf GONE", "conf CREATED|DIRECTORY", "conf/b EXISTS"]
        world.files.write(world.path("last/unseen"), "1")
        world.files.write(world.path("conf/c"), "1")
        assert files.seen() == ["conf/c CREATED"]

    def test_a_directory_above_is_renamed(self, world: FileWorld, files: Watched) -> None:
        path = world.path("x/y/conf")
        world.files.write(path + "/a", "1")
        files.watch(path, NAMES)
        world.files.rename(world.path("x"), world.path("z"))
        assert files.seen() == ["x/y/conf DELETED", "x/y/conf GONE"]
        world.files.write(world.path("z/y/conf/unseen"), "1")
        world.files.rename(world.path("z"), world.path("x"))
        assert files.seen() == ["x/y/conf CREATED|DIRECTORY"]

    def test_a_file_instead_of_a_directory(self, world: FileWorld, files: Watched) -> None:
        path = world.path("conf")
        world.files.mkdir(path)
        files.watch(path, NAMES, directory_only=True)
        world.files.delete(path)
        assert files.seen() == ["conf DELETED", "conf GONE"]
        world.files.write(path, "no directory")
        assert files.seen() == []
        world.files.delete(path)
        world.files.mkdir(path)
        assert files.seen() == ["conf CREATED|DIRECTORY"]


class TestSymlinks:
    def test_the_target_is_watched(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("data/a"), "1")
        world.files.symlink(world.path("a"), "data/a")
        files.watch(world.path("a"), NAMES | FileEvent.WRITE)
        world.files.append(world.path("data/a"), "2")
        assert files.seen() == ["a WRITE"]

    def test_a_swapped_symlink_as_in_kubernetes(self, world: FileWorld, files: Watched) -> None:
        """A volume of Kubernetes: file -> ..data/file, ..data -> ..1; ..data is replaced."""
        world.files.write(world.path("..1/tls.crt"), "1")
        world.files.symlink(world.path("..data"), "..1")
        world.files.symlink(world.path("tls.crt"), "..data/tls.crt")
        files.watch(world.path("tls.crt"), NAMES | FileEvent.WRITE)
        for number in (2, 3):
            world.files.write(world.path(f"..{number}/tls.crt"), str(number))
            world.files.symlink(world.path("..data_tmp"), f"..{number}")
            world.files.rename(world.path("..data_tmp"), world.path("..data"))
            world.files.delete(world.path(f"..{number - 1}"))
            assert files.seen() == ["tls.crt GONE", "tls.crt CREATED"]

    def test_not_followed(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("data"), "1")
        world.files.symlink(world.path("link"), "data")
        files.watch(world.path("link"), NAMES | FileEvent.WRITE, follow=False)
        world.files.append(world.path("data"), "2")
        assert files.seen() == []
        world.files.delete(world.path("link"))
        assert files.seen() == ["link DELETED", "link GONE"]

    def test_a_target_that_appears(self, world: FileWorld, files: Watched) -> None:
        world.files.symlink(world.path("link"), "data/a")
        files.watch(world.path("link"), NAMES)
        world.files.write(world.path("data/a"), "1")
        assert files.seen() == ["link CREATED"]

    def test_a_circle_is_nothing(self, world: FileWorld, files: Watched) -> None:
        world.files.symlink(world.path("a"), "b")
        world.files.symlink(world.path("b"), "a")
        world.files.symlink(world.path("self"), "self/x")
        files.watch(world.path("a"), NAMES)
        files.watch(world.path("self"), NAMES)
        world.files.delete(world.path("b"))
        world.files.write(world.path("b"), "1")
        assert files.seen() == ["a CREATED"]


class TestRecursive:
    def test_new_directories_are_watched_with_their_contents(
        self, world: FileWorld, files: Watched
    ) -> None:
        world.files.write(world.path("old/deep/a"), "1")
        files.watch(world.top, NAMES, recursive=True)
        assert files.seen() == []  # EXISTS was not asked for
        world.files.write(world.path("old/deep/b"), "1")
        world.files.write(world.path("new/deep/c"), "1")
        world.files.write(world.path("new/d"), "1")
        assert sorted(files.seen()) == [
            "new CREATED|DIRECTORY",
            "new/d CREATED",
            "new/deep CREATED|DIRECTORY",
            "new/deep/c CREATED",
            "old/deep/b CREATED",
        ]
        world.files.write(world.path("new/deep/e"), "1")
        assert files.seen() == ["new/deep/e CREATED"]

    def test_what_exists_at_all_levels(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("x/y/a.pem"), "1")
        world.files.write(world.path("x/b.txt"), "1")
        files.watch(world.top, EXISTS, pattern="*.pem", recursive=True)
        assert files.seen() == ["x/y/a.pem EXISTS"]

    def test_a_directory_that_is_moved_in_and_out(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("out/tree/a"), "1")
        world.files.mkdir(world.path("in"))
        files.watch(world.path("in"), NAMES, recursive=True)
        world.files.rename(world.path("out/tree"), world.path("in/tree"))
        assert files.seen() == ["in/tree CREATED|DIRECTORY", "in/tree/a CREATED"]
        world.files.rename(world.path("in/tree"), world.path("out/tree"))
        world.files.write(world.path("out/tree/unseen"), "1")
        assert files.seen() == ["in/tree DELETED|DIRECTORY"]

    def test_a_directory_that_is_renamed(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("a/deep/x"), "1")
        files.watch(world.top, NAMES, recursive=True)
        world.files.rename(world.path("a"), world.path("b"))
        assert files.seen() == [
            "a DELETED|DIRECTORY",
            "b CREATED|DIRECTORY",
            "b/deep CREATED|DIRECTORY",
            "b/deep/x CREATED",
        ]
        world.files.write(world.path("b/deep/y"), "1")
        assert files.seen() == ["b/deep/y CREATED"]

    def test_deleted_from_the_leaves_up(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("x/y/a"), "1")
        files.watch(world.top, NAMES, recursive=True)
        world.files.delete(world.path("x"))
        assert files.seen() == [
            "x/y/a DELETED", "x/y DELETED|DIRECTORY", "x DELETED|DIRECTORY",
        ]  # fmt: skip

    def test_symlinks_are_not_followed(self, world: FileWorld, files: Watched) -> None:
        world.files.symlink(world.path("circle"), ".")
        files.watch(world.top, NAMES, recursive=True)
        world.files.write(world.path("a"), "1")
        assert files.seen() == ["a CREATED"]

    def test_the_watched_directory_is_replaced(self, world: FileWorld, files: Watched) -> None:
        world.files.write(world.path("conf/x/a"), "1")
        world.files.write(world.path("next/x/b"), "1")
        files.watch(world.path("conf"), NAMES, recursive=True)
        world.files.rename(world.path("conf"), world.path("last"))
        world.files.rename(world.path("next"), world.path("conf"))
        assert files.seen() == [
            "conf GONE", "conf CREATED|DIRECTORY", "conf/x CREATED|DIRECTORY", "conf/x/b CREATED",
        ]  # fmt: skip
        world.files.write(world.path("last/x/unseen"), "1")
        world.files.write(world.path("conf/x/c"), "1")
        assert files.seen() == ["conf/x/c CREATED"]

    def test_the_bit_asks_for_the_same(self, world: FileWorld, files: Watched) -> None:
        world.files.mkdir(world.path("x"))
        files.watch(world.top, NAMES | FileEvent.RECURSIVE)
        world.files.write(world.path("x/a"), "1")
        assert files.seen() == ["x/a CREATED"]

    def test_ten_thousand_entries(self, world: FileWorld, files: Watched) -> None:
        """More than are scanned in one turn; none is lost, none is reported twice."""
        for directory in range(10):
            for number in range(300):
                world.files.write(world.path(f"{directory}/{number}"), "")
        files.watch(world.top, EXISTS | CREATED, recursive=True)
        for _ in range(10):
            world.settle()
        seen = files.seen()
        assert len(seen) == len(set(seen)) == 10 + 10 * 300


class TestDisabled:
    def test_one_event_says_that_some_are_missing(self, world: FileWorld, files: Watched) -> None:
        files.watch(world.top, CREATED)
        files.do(lambda source: source.disable())
        world.files.write(world.path("a"), "1")
        world.files.write(world.path("b"), "1")
        assert files.seen() == []
        files.do(lambda source: source.enable())
        assert files.take() == [FileChanged("files", "/", "", FileEvent.LOST_SYNC, 0x4000)]
        world.files.write(world.path("c"), "1")
        assert files.seen() == ["c CREATED"]

    def test_nothing_is_missing_if_nothing_happened(self, world: FileWorld, files: Watched) -> None:
        files.watch(world.top, CREATED)
        files.do(lambda source: source.disable())
        files.do(lambda source: source.enable())
        assert files.seen() == []


class TestSeveralSources:
    def test_each_gets_its_own(self, world: FileWorld, files: Watched) -> None:
        other = Watched(world, "others")
        files.watch(world.top, CREATED)
        other.watch(world.top, DELETED)
        files.watch(world.path("a"), FileEvent.WRITE)
        world.files.write(world.path("a"), "1")
        assert files.seen()[0] == "a CREATED"
        world.files.append(world.path("a"), "2")
        assert [(each.name, each.path, each.file) for each in files.take()] == [
            ("files", world.path("a"), "")
        ]
        world.files.delete(world.path("a"))
        assert other.seen() == ["a DELETED"]


class TestLostSync:
    def overflow(self, world: FileWorld) -> None:
        """Let more happen than the kernel keeps."""
        if world.world.kind == "sim":
            world.sim_files.overflow()
            return
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        one, two = world.path("one"), world.path("two")
        for _ in range(most // 2 + 1):  # equal records in a row are merged
            world.files.touch(one)
            world.files.touch(two)

    def test_a_full_queue_is_reported_once(self, world: FileWorld, files: Watched) -> None:
        for name in ("one", "two"):
            world.files.write(world.path(name), "")
        files.watch(world.top, FileEvent.ATTRIBUTES)
        self.overflow(world)
        for _ in range(10):
            world.settle()
        events = files.take()
        lost = [each for each in events if each.kinds & FileEvent.LOST_SYNC]
        assert lost == [FileChanged("files", "/", "", FileEvent.LOST_SYNC, 0x4000)]
        world.files.touch(world.path("one"))
        assert files.seen() == ["one ATTRIBUTES"]

    def test_what_was_made_meanwhile_is_watched(self, world: FileWorld, files: Watched) -> None:
        for name in ("one", "two"):
            world.files.write(world.path(name), "")
        files.watch(world.top, FileEvent.ATTRIBUTES | CREATED, recursive=True)
        files.watch(world.path("later"), CREATED)
        self.overflow(world)
        world.files.write(world.path("new/later/a"), "")
        world.files.write(world.path("later"), "")
        for _ in range(10):
            world.settle()
        assert "later CREATED" in files.seen()
        world.files.write(world.path("new/later/b"), "")
        assert files.seen() == ["new/later/b CREATED"]


def test_many_changes_are_read_at_intervals(tmp_path: Path) -> None:
    with file_world_of("epoll", tmp_path) as world:
        files, driver = Watched(world), world.driver
        world.files.write(world.path("a"), "")
        files.watch(world.path("a"), FileEvent.WRITE)

        def write() -> None:
            world.files.append(world.path("a"), "x")
            driver.turn(0.0)

        written = 0
        while driver.watching is None or not driver.watching.at_intervals:
            write()  # until 16 were quick enough, which a busy machine may delay
            written += 1
        assert len(files.recorder.data) == written
        write()
        assert len(files.take()) == written + 1
        assert not driver.watching.at_intervals
        write()
        assert len(files.take()) == 1


def test_no_instance_of_inotify_is_left(world: FileWorld, files: Watched) -> None:
    if world.world.kind == "sim":
        world.sim_files.max_instances = 0
        before = None
    else:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        files.watch(world.top)
    finally:
        if before is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    why = (
        "this user has reached the limit of inotify instances, or this process that of "
        "descriptors: raise fs.inotify.max_user_instances (sysctl), or ulimit -n"
    )
    assert files.take() == [FileChanged("files", world.top, "", FileEvent.ERROR, 0, why)]
    assert world.world.log == [f"warning: files: {world.top} is not watched: {why}"]
