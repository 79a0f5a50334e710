"""What every driver does for StoredFile: what is opened, and how it is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.world import EventRecorder
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.drivers.tls_sessions import ClientTls
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.file_range import FileRange
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.sources.stored_file import FileFailed, FileOpened, FileRefused, StoredFile

from .conftest import Contexts
from .file_world import FileWorld, file_world_of
from .meeting import meet
from .source_world import opened


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileWorld]:
    with file_world_of(request.param, tmp_path) as made:
        made.files.mkdir(made.path("www"))
        yield made


def answer(world: FileWorld, *paths: str, folder: str = "www") -> FileOpened | FileRefused:
    """Open one of these paths, close it again; return the event."""
    recorder, source = opened(
        world.world, lambda recorder: StoredFile(recorder, "file", world.path(folder), paths)
    )
    world.world.run(lambda: recorder.data)
    (event,) = recorder.data
    close(world, recorder, source)
    assert isinstance(event, FileOpened | FileRefused)
    return event


def close(world: FileWorld, recorder: EventRecorder, source: StoredFile) -> None:
    with recorder.mutex.hold(world.world.engine):
        source.close()
    world.world.run(lambda: not world.world.engine.commands)


def refusal(world: FileWorld, *paths: str) -> str:
    event = answer(world, *paths)
    assert isinstance(event, FileRefused)
    return event.why


# -- what is opened ------------------------------------------------------------------------------


def test_a_file_is_opened(world: FileWorld) -> None:
    world.files.write(world.path("www/a/b.txt"), "hello")
    event = answer(world, "a/b.txt")
    assert isinstance(event, FileOpened)
    assert (event.found, event.size) == (0, 5)
    assert event.modified_ns > 0


def test_the_first_of_several_paths_is_opened(world: FileWorld) -> None:
    world.files.write(world.path("www/b"), "22")
    world.files.write(world.path("www/c"), "333")
    event = answer(world, "a", "b", "c")
    assert isinstance(event, FileOpened)
    assert (event.found, event.size) == (1, 2)


def test_what_is_not_there_or_is_a_directory(world: FileWorld) -> None:
    world.files.write(world.path("www/sub/file"), "")
    assert refusal(world, "missing") == "missing"
    assert refusal(world, "sub/file/more") == "missing"
    assert refusal(world, "sub") == "directory"
    assert refusal(world, "sub", "missing") == "directory"
    assert refusal(world, "x" * 300) == "missing"


def test_the_folder_is_missing(world: FileWorld) -> None:
    event = answer(world, "a", folder="nowhere")
    assert event == FileRefused("file", "missing", "no such file or directory")


def test_symlinks_are_followed_below_the_folder(world: FileWorld) -> None:
    world.files.write(world.path("www/release-2/index.html"), "two")
    world.files.symlink(world.path("www/current"), "release-2")
    world.files.symlink(world.path("www/release-2/home"), "../current/index.html")
    for path in ("current/index.html", "release-2/home", "current/home"):
        assert isinstance(answer(world, path), FileOpened), path


def test_the_folder_itself_may_be_a_symlink(world: FileWorld) -> None:
    world.files.write(world.path("other/a"), "1")
    world.files.symlink(world.path("link"), "other")
    assert isinstance(answer(world, "a", folder="link"), FileOpened)


def test_symlinks_that_lead_out_are_refused(world: FileWorld) -> None:
    world.files.write(world.path("secret"), "key")
    world.files.mkdir(world.path("www/sub"))
    for name, target in {
        "up": "../secret",
        "sub/further": "../../secret",
        "absolute": world.path("secret"),
        "back": world.path("www/sub"),  # below the folder, but absolute
        "out-and-in": "../www/sub",
        "sideways": "..",
    }.items():
        world.files.symlink(world.path(f"www/{name}"), target)
        assert refusal(world, name) == "outside", name
    assert refusal(world, "sideways/secret") == "outside"


def test_circles_of_symlinks_end(world: FileWorld) -> None:
    world.files.symlink(world.path("www/a"), "b")
    world.files.symlink(world.path("www/b"), "a")
    assert refusal(world, "a") == "failed"


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    with file_world_of("sim", tmp_path) as world:  # root may read all real files
        world.files.write(world.path("www/a"), "1")
        world.sim_files.allow(world.path("www/a"), False)
        assert refusal(world, "a") == "denied"


@pytest.mark.parametrize("path", ["..", "../a", "a/../b", "/a", "a//b", "", ".", "a/.", "a\0b"])
def test_paths_that_are_not_below_a_folder_are_no_paths(world: FileWorld, path: str) -> None:
    recorder = EventRecorder(world.world.engine)
    with recorder.mutex.hold(world.world.engine), pytest.raises(ValueError, match="not a path"):
        StoredFile(recorder, "file", "/srv", (path,))


def test_special_files_are_never_opened(tmp_path: Path) -> None:
    with file_world_of("epoll", tmp_path) as world:
        world.files.mkdir(world.path("www"))
        os.mkfifo(world.path("www/fifo"))  # an open would wait for a writer
        assert refusal(world, "fifo") == "special"
        world.files.symlink(world.path("device"), "/dev")
        event = answer(world, "null", folder="device")
        assert event == FileRefused("file", "special", "a device, a FIFO or a socket")


def test_one_that_is_closed_before_it_is_open_leaves_nothing(world: FileWorld) -> None:
    world.files.write(world.path("www/a"), "1")
    recorder, source = opened(
        world.world, lambda recorder: StoredFile(recorder, "file", world.path("www"), ("a",))
    )
    world.world.run(lambda: not world.world.engine.commands)
    close(world, recorder, source)
    world.elapse(0.1)  # the world checks that no descriptor is left
    assert recorder.data == []


# -- how it is sent ------------------------------------------------------------------------------


class Sending:
    """A connection whose server side sends from a file, and what its client side reads."""

    def __init__(self, world: FileWorld, content: bytes, tls: Contexts | None = None) -> None:
        self.world = world
        self.engine = world.world.engine
        world.files.write(world.path("www/a"), content)
        scheme = "tcp" if tls is None else "tls"
        driver = world.world.driver  # type: ignore[attr-defined]
        client: object = None if tls is None else tls.client
        host = "listener"
        if isinstance(driver, EpollDriver):
            host = "127.0.0.1"
            client = None if tls is None else ClientTls(tls.client)
        pair = meet(
            lambda listener: driver.listen(Address.parse(f"{scheme}://{host}:0"), listener),
            self.engine,
            self.engine,
            lambda until: world.world.run(until),
            None if tls is None else tls.server,
            client,
        )
        self.sender = EventRecorder(self.engine, pair.b.mutex)
        self.reader = EventRecorder(self.engine, pair.a.mutex)
        assert isinstance(pair.a, NetVConnection)
        assert isinstance(pair.b, NetVConnection)
        self.vc = pair.b
        self.peer = pair.a
        with self.sender.mutex.hold(self.engine):
            self.file = StoredFile(self.sender, "file", world.path("www"), ("a",))
            self.vc.do_io_write(self.sender, None, self.sender.outgoing)
        with self.reader.mutex.hold(self.engine):
            self.peer.do_io_read(self.reader, None, self.reader.buffer)
        world.world.run(lambda: any(isinstance(each, FileOpened) for each in self.sender.data))

    def send(self, *pieces: bytes | tuple[int, int]) -> None:
        with self.sender.mutex.hold(self.engine):
            for piece in pieces:
                if isinstance(piece, bytes):
                    self.sender.outward.write(piece)
                    assert self.vc.write_vio is not None
                    self.vc.write_vio.reenable()
                else:
                    self.vc.send_file(FileRange(self.file, *piece))

    def received(self, size: int) -> bytes:
        """Run until so many bytes have come; return them."""
        data = bytearray()

        def enough() -> bool:
            with self.reader.mutex.hold(self.engine):
                data.extend(self.reader.incoming.read())
                if self.peer.read_vio is not None:
                    self.peer.read_vio.reenable()
            return len(data) >= size

        self.world.world.run(enough)
        return bytes(data)

    def end(self) -> None:
        with self.sender.mutex.hold(self.engine):
            self.vc.do_io_close()
            self.file.close()
        with self.reader.mutex.hold(self.engine):
            self.peer.do_io_close()
        self.world.world.run(lambda: not self.engine.vcs)


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, contexts: Contexts) -> Contexts | None:
    return contexts if request.param == "tls" else None


CONTENT = bytes(range(256)) * 8192  # 2 MiB: more than a socket takes at once


def test_bytes_and_ranges_arrive_in_order(world: FileWorld, tls: Contexts | None) -> None:
    sending = Sending(world, CONTENT, tls)
    sending.send(b"head", (0, len(CONTENT)), b"between", (1000, 5000), (7, 1), b"tail")
    wanted = b"head" + CONTENT + b"between" + CONTENT[1000:6000] + CONTENT[7:8] + b"tail"
    assert sending.received(len(wanted)) == wanted
    sending.send(b"more", (3, 4), b"", (0, 3))
    assert sending.received(11) == b"more" + CONTENT[3:7] + CONTENT[:3]
    assert sending.vc.write_vio is not None
    assert sending.vc.write_vio.ndone == len(wanted) + 11
    assert sending.engine.memory.used < 1 << 20  # ranges occupy nothing
    sending.end()


def test_a_file_that_got_shorter_is_reported_once(world: FileWorld, tls: Contexts | None) -> None:
    sending = Sending(world, b"x" * 1000, tls)
    world.files.write(world.path("www/a"), "y" * 10)
    sending.send(b"head", (0, 1000))
    world.world.run(lambda: any(isinstance(each, FileFailed) for each in sending.sender.data))
    assert sending.received(14) == b"head" + b"y" * 10
    world.elapse(0.05)
    failed = [each for each in sending.sender.data if isinstance(each, FileFailed)]
    assert failed == [FileFailed("file", "shorter than when it was opened")]
    sending.end()


def test_the_file_that_was_opened_is_sent_also_if_it_was_replaced(world: FileWorld) -> None:
    sending = Sending(world, b"old")
    world.files.write(world.path("www/a.new"), "new!")
    world.files.rename(world.path("www/a.new"), world.path("www/a"))
    sending.send((0, 3))
    assert sending.received(3) == b"old"
    sending.end()


def test_a_client_that_leaves_breaks_the_connection(world: FileWorld, tls: Contexts | None) -> None:
    sending = Sending(world, CONTENT, tls)
    sending.send((0, len(CONTENT)))
    with sending.reader.mutex.hold(sending.engine):
        sending.peer.do_io_close(ConnectionAbortedError("gone"))
    world.world.run(lambda: Event.ERROR in sending.sender.events)
    sending.end()
