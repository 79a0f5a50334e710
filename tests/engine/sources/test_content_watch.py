"""ContentWatch on a bare engine: its request and its commands."""

import pytest

from tests.engine.world import EventRecorder, World
from vcproxy.engine.commands import OpenSource, WatchContent
from vcproxy.engine.sources.content_watch import ContentChanged, ContentWatch, content_digest


@pytest.fixture
def world() -> World:
    return World()


def test_the_files_are_part_of_the_request(world: World) -> None:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        source = ContentWatch(recorder, "certificates", ["/a.pem", "/b.pem", "/a.pem"])
        source.watch(["/c.pem"])
    world.settle()
    assert world.commands == [OpenSource(source), WatchContent(source, ("/c.pem",))]
    assert source.request == "ContentWatch certificates ('/c.pem',)"


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800"])
def test_what_is_no_path_is_refused(world: World, path: str) -> None:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        with pytest.raises(ValueError, match="is not a path: name a file or a directory"):
            ContentWatch(recorder, "certificates", ["/a.pem", path])
        source = ContentWatch(recorder, "certificates", ["/a.pem"])
        with pytest.raises(ValueError, match="is not a path"):
            source.watch([path])
    assert source.paths == ("/a.pem",)


def test_its_events_come_with_their_class_as_the_key(world: World) -> None:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        source = ContentWatch(recorder, "certificates", ["/a.pem"])
    world.engine.happened(source, ContentChanged("certificates", ("/a.pem",)))
    world.settle()
    assert recorder.events == [ContentChanged]


def test_a_digest_has_32_digits() -> None:
    assert len(content_digest(b"")) == 32
    assert content_digest(b"a") != content_digest(b"b")
