"""What every driver does for sources: the same tests with epoll and in a simulation."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.engine.world import EventRecorder
from vcproxy.engine.datagrams import Arrived, BindFailed, Bound, Datagrams, HostPort

from .source_world import SourceWorld, opened, world_of

LOCAL = "127.0.0.1"
GROUP = "239.255.77.9"


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[SourceWorld]:
    with world_of(request.param) as made:
        yield made


class Box:
    """A Datagrams source and what it received."""

    def __init__(
        self,
        world: SourceWorld,
        address: HostPort = (LOCAL, 0),
        groups: tuple[HostPort, ...] = (),
        name: str = "box",
    ) -> None:
        self.world = world
        self.recorder, self.source = opened(
            world, lambda recorder: Datagrams(recorder, name, address, groups)
        )
        world.run(lambda: self.recorder.events)
        self.first = self.recorder.data[0]

    @property
    def address(self) -> HostPort:
        assert isinstance(self.first, Bound), self.first
        return self.first.address

    @property
    def arrived(self) -> list[Arrived]:
        return [event for event in self.recorder.data if isinstance(event, Arrived)]

    def send(self, data: bytes, to: HostPort) -> None:
        with self.recorder.mutex.hold(self.world.engine):
            self.source.send(data, to)

    def close(self) -> None:
        with self.recorder.mutex.hold(self.world.engine):
            self.source.close()


class TestDatagrams:
    def test_it_is_bound_to_a_free_port(self, world: SourceWorld) -> None:
        box = Box(world)
        assert box.first == Bound("box", box.address)
        assert box.address[0] == LOCAL
        assert box.address[1] > 0

    def test_a_datagram_arrives_with_its_source(self, world: SourceWorld) -> None:
        one, two = Box(world, name="one"), Box(world, name="two")
        one.send(b"hello", two.address)
        one.send(b"", two.address)
        world.run(lambda: len(two.arrived) == 2)
        assert two.arrived == [
            Arrived("two", b"hello", one.address),
            Arrived("two", b"", one.address),
        ]
        two.send(b"back", two.arrived[0].source)
        world.run(lambda: one.arrived)
        assert one.arrived == [Arrived("one", b"back", two.address)]

    def test_a_datagram_sent_before_it_is_bound_goes_out(self, world: SourceWorld) -> None:
        target = Box(world, name="target")

        def first_letter(recorder: EventRecorder) -> Datagrams:
            source = Datagrams(recorder, "early", (LOCAL, 0))
            source.send(b"early", target.address)
            return source

        opened(world, first_letter)
        world.run(lambda: target.arrived)
        assert target.arrived[0].data == b"early"

    def test_many_arrive_in_order(self, world: SourceWorld) -> None:
        one, two = Box(world), Box(world)
        for number in range(200):
            one.send(b"%d" % number, two.address)
        world.run(lambda: len(two.arrived) == 200)
        assert [each.data for each in two.arrived] == [b"%d" % number for number in range(200)]

    def test_the_largest_arrives_whole_and_one_byte_more_is_dropped(
        self, world: SourceWorld
    ) -> None:
        one, two = Box(world), Box(world)
        one.send(bytes(65_508), two.address)
        one.send(bytes(65_507), two.address)
        world.run(lambda: two.arrived)
        assert [len(each.data) for each in two.arrived] == [65_507]
        assert world.log == [
            f"warning: box: a datagram was dropped: to {two.address[0]}:{two.address[1]}: "
            "it is too large for the path"
        ]

    def test_a_name_is_not_looked_up(self, world: SourceWorld) -> None:
        box = Box(world)
        box.send(b"hello", ("localhost", 9))
        box.send(b"hello", (LOCAL, 65_536))
        box.send(b"to itself", box.address)
        world.run(lambda: box.arrived)
        assert world.log == [
            "warning: box: a datagram was dropped: to localhost:9: "
            '"localhost" is not a numeric address',
            f"warning: box: a datagram was dropped: to {LOCAL}:65536: ports are 0 to 65535",
        ]

    @pytest.mark.parametrize(
        ("address", "groups", "reason"),
        [
            ((LOCAL, 65_536), (), "127.0.0.1:65536: ports are 0 to 65535"),
            (("localhost", 0), (), "localhost:0: it must be a numeric address of this host"),
            ((GROUP, 0), (), f"{GROUP}:0: it must be a numeric address of this host"),
            ((LOCAL, 0), ((LOCAL, 9),), "127.0.0.1:9: it is not a multicast group"),
        ],
    )
    def test_what_cannot_be_bound(
        self,
        world: SourceWorld,
        address: HostPort,
        groups: tuple[HostPort, ...],
        reason: str,
    ) -> None:
        box = Box(world, address, groups)
        assert box.recorder.data == [BindFailed("box", reason)]
        assert world.engine.sources == {}

    def test_a_port_in_use(self, world: SourceWorld) -> None:
        first = Box(world)
        second = Box(world, first.address)
        place = f"{first.address[0]}:{first.address[1]}"
        assert second.recorder.data == [
            BindFailed("box", f"{place}: the port is in use: choose another, or 0 for a free one")
        ]

    def test_a_closed_port_is_free(self, world: SourceWorld) -> None:
        first = Box(world)
        first.close()
        assert Box(world, first.address).address == first.address

    def test_nothing_arrives_after_close(self, world: SourceWorld) -> None:
        one, two = Box(world), Box(world)
        one.send(b"unseen", two.address)
        two.close()
        three = Box(world, two.address)
        one.send(b"seen", three.address)
        world.run(lambda: any(each.data == b"seen" for each in three.arrived))
        assert two.arrived == []

    def test_a_group_has_several_members(self, world: SourceWorld) -> None:
        port = free_port()
        members = [Box(world, groups=((GROUP, port),)) for _ in range(2)]
        sender = Box(world)
        sender.send(b"to all", (GROUP, port))
        sender.send(b"to one", members[0].address)
        world.run(lambda: len(members[0].arrived) == 2 and members[1].arrived)
        assert sorted(members[0].arrived, key=lambda each: each.data) == [
            Arrived("box", b"to all", sender.address, GROUP),
            Arrived("box", b"to one", sender.address),
        ]
        assert members[1].arrived == [Arrived("box", b"to all", sender.address, GROUP)]


def free_port() -> int:
    """A port that is probably free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOCAL, 0))
        port: int = sock.getsockname()[1]
        return port
