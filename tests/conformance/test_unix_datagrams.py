"""What every driver does for UnixDatagrams: the same tests with epoll and in a simulation."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.world import EventRecorder
from vcproxy.engine.address import Address
from vcproxy.engine.sources.datagrams import BindFailed
from vcproxy.engine.sources.unix_datagrams import (
    LARGEST_UNIX,
    UnixArrived,
    UnixBound,
    UnixDatagrams,
)

from .source_world import EpollWorld, SimWorld, SourceWorld, opened, world_of


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[SourceWorld]:
    with world_of(request.param) as made:
        yield made


class UnixBox:
    """A UnixDatagrams source and what it received."""

    def __init__(self, world: SourceWorld, address: str | None, name: str = "box") -> None:
        self.world = world
        place = None if address is None else Address.parse(address)
        self.recorder, self.source = opened(
            world, lambda recorder: UnixDatagrams(recorder, name, place)
        )
        world.run(lambda: self.recorder.events)
        self.first = self.recorder.data[0]

    @property
    def path(self) -> str:
        assert isinstance(self.first, UnixBound), self.first
        return self.first.path

    @property
    def arrived(self) -> list[UnixArrived]:
        return [event for event in self.recorder.data if isinstance(event, UnixArrived)]

    def send(self, data: bytes, to: str) -> None:
        with self.recorder.mutex.hold(self.world.engine):
            self.source.send(data, to)

    def close(self) -> None:
        with self.recorder.mutex.hold(self.world.engine):
            self.source.close()


def test_a_datagram_arrives_with_the_path_of_its_source(world: SourceWorld, tmp_path: Path) -> None:
    one = UnixBox(world, f"unixgram:{tmp_path}/one", "one")
    two = UnixBox(world, f"unixgram:{tmp_path}/two", "two")
    assert (one.path, two.path) == (f"{tmp_path}/one", f"{tmp_path}/two")
    one.send(b"hello", two.path)
    one.send(b"", two.path)
    world.run(lambda: len(two.arrived) == 2)
    assert two.arrived == [
        UnixArrived("two", b"hello", one.path),
        UnixArrived("two", b"", one.path),
    ]
    two.send(b"back", two.arrived[0].source)
    world.run(lambda: one.arrived)
    assert one.arrived == [UnixArrived("one", b"back", two.path)]
    assert world.log == []


def test_a_socket_without_a_path_gets_answers(world: SourceWorld, tmp_path: Path) -> None:
    server = UnixBox(world, f"unixgram:{tmp_path}/server")
    client = UnixBox(world, None)
    assert client.path.startswith("@")
    client.send(b"question", server.path)
    world.run(lambda: server.arrived)
    server.send(b"answer", server.arrived[0].source)
    world.run(lambda: client.arrived)
    assert client.arrived[0].data == b"answer"


def test_the_largest_arrives_whole_and_one_byte_more_is_dropped(
    world: SourceWorld, tmp_path: Path
) -> None:
    one, two = UnixBox(world, None), UnixBox(world, f"unixgram:{tmp_path}/two")
    one.send(bytes(LARGEST_UNIX + 1), two.path)
    one.send(bytes(LARGEST_UNIX), two.path)
    world.run(lambda: two.arrived)
    assert [len(each.data) for each in two.arrived] == [LARGEST_UNIX]
    assert world.log == ["warning: box: a datagram was dropped: it is longer than 65536 bytes"]


def test_a_path_without_a_socket(world: SourceWorld, tmp_path: Path) -> None:
    box = UnixBox(world, None)
    box.send(b"hello", f"{tmp_path}/nothing")
    world.run(lambda: world.log)
    assert world.log == ["warning: box: a datagram was dropped: no socket has this path"]


def test_a_receiver_that_does_not_read(world: SourceWorld, tmp_path: Path) -> None:
    sender, receiver = UnixBox(world, None, "sender"), UnixBox(world, f"unixgram:{tmp_path}/slow")

    def flood() -> None:  # in one turn, so that the receiver cannot read meanwhile
        for number in range(1000):
            sender.source.send(b"%d" % number, receiver.path)

    with sender.recorder.mutex.hold(world.engine):
        flood()
    world.run(lambda: world.log)
    assert "dropped: the receiver does not read: its queue" in world.log[0]
    first = receiver.arrived[: len(receiver.arrived)]
    assert [each.data for each in first] == [b"%d" % number for number in range(len(first))]


def test_a_path_that_is_taken(world: SourceWorld, tmp_path: Path) -> None:
    first = UnixBox(world, f"unixgram:{tmp_path}/box")
    second = UnixBox(world, f"unixgram:{tmp_path}/box")
    assert second.first == BindFailed(
        "box", f"unixgram:{tmp_path}/box: another process uses this path", in_use=True
    )
    first.close()
    assert isinstance(UnixBox(world, f"unixgram:{tmp_path}/box").first, UnixBound)


def test_only_unixgram_addresses(world: SourceWorld) -> None:
    recorder = EventRecorder(world.engine)
    with (
        recorder.mutex.hold(world.engine),
        pytest.raises(ValueError, match="UnixDatagrams needs an address"),
    ):
        UnixDatagrams(recorder, "box", Address.parse("unix:/run/app.sock"))


class TestFiles:
    """The file of a real socket."""

    @pytest.fixture
    def real(self) -> Iterator[SourceWorld]:
        with world_of("epoll") as made:
            assert isinstance(made, EpollWorld)
            yield made

    def test_mode_and_removal(self, real: SourceWorld, tmp_path: Path) -> None:
        box = UnixBox(real, f"unixgram:{tmp_path}/box?mode=0642")
        assert stat.S_IMODE(Path(box.path).stat().st_mode) == 0o642
        box.close()
        real.run(lambda: not Path(box.path).exists())

    def test_a_stale_file_is_replaced(self, real: SourceWorld, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as old:
            old.bind(f"{tmp_path}/box")
        assert UnixBox(real, f"unixgram:{tmp_path}/box").path == f"{tmp_path}/box"

    def test_another_file_is_not_replaced(self, real: SourceWorld, tmp_path: Path) -> None:
        (tmp_path / "box").write_text("a letter")
        box = UnixBox(real, f"unixgram:{tmp_path}/box")
        assert isinstance(box.first, BindFailed)
        assert (tmp_path / "box").read_text() == "a letter"

    def test_a_wrong_owner_leaves_no_file(self, real: SourceWorld, tmp_path: Path) -> None:
        box = UnixBox(real, f"unixgram:{tmp_path}/box?owner=no-such-user")
        assert box.first == BindFailed(
            "box", f'unixgram:{tmp_path}/box?owner=no-such-user: there is no user "no-such-user"'
        )
        assert os.listdir(tmp_path) == []

    def test_a_path_that_is_too_long_for_the_system(self, real: SourceWorld) -> None:
        place = Address("unixgram", path="x" * 108)
        recorder, _ = opened(real, lambda each: UnixDatagrams(each, "box", place))
        real.run(lambda: recorder.events)
        assert "AF_UNIX path too long" in str(recorder.data[0])

    def test_a_file_whose_process_was_killed(self, tmp_path: Path) -> None:
        with world_of("sim") as world:
            assert isinstance(world, SimWorld)
            world.sim.network.unix.stale.add("/run/app.sock")
            box = UnixBox(world, None)
            box.send(b"hello", "/run/app.sock")
            world.run(lambda: world.log)
            assert "dropped: the process of the socket at this path has ended" in world.log[0]
