"""FileChanges on a bare engine: what is asked for, and its events."""

import pytest

from tests.engine.world import EventRecorder, World
from vcproxy.engine.commands import OpenSource, UnwatchPath, WatchPath
from vcproxy.engine.sources.file_changes import FileChanged, FileChanges, FileEvent, Watch


@pytest.fixture
def world() -> World:
    return World()


def opened(world: World) -> tuple[EventRecorder, FileChanges]:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        return recorder, FileChanges(recorder, "files")


def test_the_bits_are_those_of_the_original() -> None:
    assert [f"{bit.name}={bit.value:#x}" for bit in FileEvent] == [
        "ATTRIBUTES=0x1", "READ=0x2", "WRITE=0x4", "CREATED=0x8", "DELETED=0x10", "ACCESS=0x20",
        "UPDATED=0x40", "EXISTS=0x80", "RECURSIVE=0x100", "LOST_SYNC=0x400", "ERROR=0x800",
        "DIRECTORY=0x1000", "GONE=0x2000", "UNMOUNTED=0x4000",
    ]  # fmt: skip
    assert FileEvent.IO.value == 0x6
    assert FileEvent.ALL.value == 0x3F


def test_watching_is_a_command(world: World) -> None:
    recorder, source = opened(world)
    with recorder.mutex.hold(world.engine):
        source.watch("/etc/app", FileEvent.CREATED, pattern="*.pem")
        source.watch("/srv", FileEvent.ALL | FileEvent.RECURSIVE, follow=False)
        source.unwatch("/srv")
    world.settle()
    everything = FileEvent.ALL | FileEvent.RECURSIVE
    assert world.commands == [
        OpenSource(source),
        WatchPath(source, Watch("/etc/app", FileEvent.CREATED, "*.pem")),
        WatchPath(source, Watch("/srv", everything, recursive=True, follow=False)),
        UnwatchPath(source, "/srv"),
    ]


def test_nothing_is_watched_after_close(world: World) -> None:
    recorder, source = opened(world)
    with recorder.mutex.hold(world.engine):
        source.close()
        source.watch("/etc/app")
        source.unwatch("/etc/app")
    world.settle()
    assert not any(isinstance(each, WatchPath | UnwatchPath) for each in world.commands)


@pytest.mark.parametrize(
    ("path", "kinds", "message"),
    [
        ("", FileEvent.ALL, "'' is not a path: name a file or a directory"),
        ("a\0b", FileEvent.ALL, "is not a path"),
        ("\ud800", FileEvent.ALL, "is not a path"),
        ("/etc", FileEvent.DIRECTORY, "/etc: .* contains no event: use FileEvent.ALL"),
        ("/etc", FileEvent(0), "contains no event"),
    ],
)
def test_what_cannot_be_asked_for(world: World, path: str, kinds: FileEvent, message: str) -> None:
    recorder, source = opened(world)
    with recorder.mutex.hold(world.engine), pytest.raises(ValueError, match=message):
        source.watch(path, kinds)


def test_an_event_is_delivered_with_its_class_as_the_key(world: World) -> None:
    recorder, source = opened(world)
    changed = FileChanged("files", "/etc/app", "a.pem", FileEvent.CREATED, 0x100)
    world.engine.happened(source, changed)
    world.settle()
    assert recorder.events == [FileChanged]
    assert recorder.data == [changed]


def test_the_place_is_the_path_of_the_entry() -> None:
    assert FileChanged("files", "/etc/app", "a.pem", FileEvent.READ).place == "/etc/app/a.pem"
    assert FileChanged("files", "/etc/app", "", FileEvent.READ).place == "/etc/app"
    assert FileChanged("files", "/", "etc", FileEvent.READ).place == "/etc"


def test_a_number_from_a_recording_becomes_kinds() -> None:
    changed = FileChanged("files", "/etc", "", 0x9)  # type: ignore[arg-type]
    assert changed.kinds is FileEvent.ATTRIBUTES | FileEvent.CREATED


def test_the_text_of_a_watch_has_all_of_it() -> None:
    assert Watch("/etc", FileEvent.ALL).text == "'/etc' 0x3f follow"
    whole = Watch("/etc/a b", FileEvent.READ, "*.pem", True, False, True)
    assert whole.text == "'/etc/a b' 0x2 '*.pem' recursive directory_only"
