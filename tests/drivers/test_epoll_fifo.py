"""FIFOs of the epoll driver: writing, reading, and listening."""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.outgoing import Outgoing

from .stream_world import StreamWorld


@pytest.fixture
def world() -> Iterator[StreamWorld]:
    before = os.listdir("/proc/self/fd")
    with closing(StreamWorld()) as made:
        yield made
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fifo"


def reading(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def attempts() -> int:
    """Return how many attempts to connect are in memory."""
    return sum(isinstance(each, Outgoing) for each in gc.get_objects())


class TestWriting:
    def test_what_is_written_arrives(self, world: StreamWorld, path: Path) -> None:
        os.mkfifo(path)
        fd = reading(path)
        talker = world.opened(f"fifo:{path}")
        talker.write(b"hello")
        world.run(lambda: Event.WRITE_READY in talker.events)
        assert os.read(fd, 100) == b"hello"
        talker.close()
        world.run(lambda: not world.engine.vcs)
        assert os.read(fd, 100) == b""
        os.close(fd)

    def test_without_a_reader_it_is_refused(self, world: StreamWorld, path: Path) -> None:
        os.mkfifo(path)
        talker = world.opened(f"fifo:{path}")
        assert talker.events == [Event.ERROR]
        assert talker.error == "no process has the FIFO open for reading"
        assert isinstance(talker.vc.error, ConnectionRefusedError)

    def test_one_that_is_refused_leaves_nothing_to_the_garbage_collector(
        self, world: StreamWorld, path: Path
    ) -> None:
        os.mkfifo(path)
        gc.collect()
        gc.disable()
        try:
            before = attempts()  # of other tests
            world.opened(f"fifo:{path}").close()
            world.run(lambda: not world.engine.vcs)
            assert attempts() <= before
        finally:
            gc.enable()

    def test_a_reader_that_goes_away(self, world: StreamWorld, path: Path) -> None:
        os.mkfifo(path)
        fd = reading(path)
        talker = world.opened(f"fifo:{path}")
        os.close(fd)
        world.run(lambda: talker.error)
        assert talker.error == "its reader has closed it"

    def test_a_path_that_does_not_exist(self, world: StreamWorld, path: Path) -> None:
        assert world.opened(f"fifo:{path}").error == "no such file or directory"

    def test_a_file_that_is_no_fifo(self, world: StreamWorld, path: Path) -> None:
        path.write_text("a letter")
        assert world.opened(f"fifo:{path}").error.startswith("it is not a FIFO")
        assert path.read_text() == "a letter"


class TestReading:
    def test_it_goes_on_after_a_writer(self, world: StreamWorld, path: Path) -> None:
        os.mkfifo(path)
        talker = world.opened(f"fifo:{path}", subscribe=True)
        for word in (b"one ", b"two"):
            with path.open("wb") as writer:
                writer.write(word)
        world.run(lambda: talker.received == b"one two")
        assert Event.EOS not in talker.events

    def test_writing_to_it_is_an_error(self, world: StreamWorld, path: Path) -> None:
        os.mkfifo(path)
        talker = world.opened(f"fifo:{path}", subscribe=True)
        talker.write(b"answer")
        world.run(lambda: talker.error)
        assert talker.error == "it can only be read, and something was written"

    def test_an_address_that_is_connected_to(self, world: StreamWorld) -> None:
        with pytest.raises(ValueError, match="is connected to, not subscribed to"):
            world.opened("tcp://127.0.0.1:1", subscribe=True)


class TestListening:
    def test_each_group_of_writers_is_a_connection(self, world: StreamWorld, path: Path) -> None:
        world.listener(f"fifo:{path}")
        with path.open("wb", 0) as one, path.open("wb", 0) as two:
            one.write(b"one ")
            two.write(b"two")
        world.run(lambda: world.talkers and Event.EOS in world.talkers[0].events)
        with path.open("wb", 0) as three:  # before the first connection is closed
            three.write(b"three")
            world.talkers[0].close()
        world.run(lambda: len(world.talkers) == 2 and Event.EOS in world.talkers[1].events)
        assert [each.received for each in world.talkers] == [b"one two", b"three"]

    def test_a_writer_that_writes_nothing(self, world: StreamWorld, path: Path) -> None:
        world.listener(f"fifo:{path}")
        path.open("wb").close()
        world.driver.turn(0)
        with path.open("wb", 0) as writer:
            writer.write(b"hello")
        world.run(lambda: world.talkers and world.talkers[0].received == b"hello")

    def test_it_is_made_with_its_mode_and_removed(self, world: StreamWorld, path: Path) -> None:
        listener = world.listener(f"fifo:{path}?mode=0622")
        found = path.stat()
        assert (stat.S_ISFIFO(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, 0o622)
        world.driver.unlisten(listener)
        assert not path.exists()

    def test_one_that_exists_stays(self, world: StreamWorld, path: Path) -> None:
        os.mkfifo(path)
        world.driver.unlisten(world.listener(f"fifo:{path}"))
        assert path.exists()

    def test_a_connection_stays_when_it_stops(self, world: StreamWorld, path: Path) -> None:
        listener = world.listener(f"fifo:{path}")
        with path.open("wb", 0) as writer:
            writer.write(b"one ")
            world.run(lambda: world.talkers)
            world.driver.unlisten(listener)
            writer.write(b"two")
        world.run(lambda: Event.EOS in world.talkers[0].events)
        assert world.talkers[0].received == b"one two"
        world.talkers[0].close()
        world.run(lambda: not world.engine.vcs)

    def test_a_removed_one_is_made_again_by_a_reload(self, world: StreamWorld, path: Path) -> None:
        address = Address.parse(f"fifo:{path}")
        listener = world.listener(str(address))
        with path.open("wb", 0) as writer:
            writer.write(b"one")
            path.unlink()
        world.run(lambda: world.talkers and Event.EOS in world.talkers[0].events)
        world.talkers[0].close()
        world.run(lambda: world.log)
        assert world.log == [
            f"error: main: fifo:{path} was removed: reload to make and read it again"
        ]
        world.driver.renew(address, listener)
        with path.open("wb", 0) as writer:
            writer.write(b"two")
        world.run(lambda: len(world.talkers) == 2 and world.talkers[1].received == b"two")

    def test_a_wrong_owner(self, world: StreamWorld, path: Path) -> None:
        with pytest.raises(OSError, match='there is no user "nemo-x"'):
            world.listener(f"fifo:{path}?owner=nemo-x")
        assert not path.exists()

    def test_another_file(self, world: StreamWorld, path: Path) -> None:
        path.write_text("a letter")
        with pytest.raises(OSError, match="it is not a FIFO"):
            world.listener(f"fifo:{path}")
        assert path.read_text() == "a letter"

    def test_a_full_listener_waits(self, world: StreamWorld, path: Path) -> None:
        listener = world.listener(f"fifo:{path}")
        listener.max_connections = 0
        with path.open("wb", 0) as writer:
            writer.write(b"hello")
            world.run(lambda: world.log)
            assert "connections are open: more wait" in world.log[0]
            listener.max_connections = 1
            listener.resume()
            world.run(lambda: world.talkers and world.talkers[0].received == b"hello")
