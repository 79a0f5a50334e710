"""What every driver does for sources: the same tests with epoll and in a simulation."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from signal import SIGCONT, SIGHUP, SIGKILL, SIGSTOP, SIGTERM, SIGUSR1

import pytest

from tests.engine.world import EventRecorder
from vcproxy.engine.sources.bus_messages import KEPT, NO_ROUTE, BusMessages, BusReceived
from vcproxy.engine.sources.child_process import (
    ChildContinued,
    ChildExited,
    ChildKilled,
    ChildProcess,
    ChildStopped,
    Launch,
    Launched,
    LaunchFailed,
)
from vcproxy.engine.sources.datagrams import Arrived, BindFailed, Bound, Datagrams, HostPort
from vcproxy.engine.sources.signals import Signal, Signals

from .source_world import EXIT_3, WAIT, SourceWorld, opened, script, world_of

LOCAL = "127.0.0.1"
GROUP = "239.255.77.9"


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[SourceWorld]:
    with world_of(request.param) as made:
        yield made


class Child:
    """A ChildProcess source and its events."""

    def __init__(self, world: SourceWorld, launch: Launch, name: str = "alice") -> None:
        self.world = world
        self.recorder, self.source = opened(
            world, lambda recorder: ChildProcess(recorder, name, launch)
        )

    @property
    def events(self) -> list[object]:
        return self.recorder.data

    @property
    def pid(self) -> int:
        launched = self.events[0]
        assert isinstance(launched, Launched), launched
        return launched.pid

    def signal(self, number: int) -> None:
        with self.recorder.mutex.hold(self.world.engine):
            self.source.signal(number)

    def close(self) -> None:
        with self.recorder.mutex.hold(self.world.engine):
            self.source.close()

    def run(self, events: int) -> None:
        """Run until it has had so many events."""
        self.world.run(lambda: len(self.events) >= events)


class TestChildProcesses:
    def test_it_exits_with_a_status(self, world: SourceWorld) -> None:
        child = Child(world, script(EXIT_3))
        child.run(2)
        assert child.events == [Launched("alice", child.pid), ChildExited("alice", 3)]
        assert not world.alive(child.pid)
        assert world.engine.sources == {}

    def test_a_signal_ends_it(self, world: SourceWorld) -> None:
        child = Child(world, script(WAIT))
        child.run(1)
        assert world.alive(child.pid)
        child.signal(SIGTERM)
        child.run(2)
        assert child.events == [Launched("alice", child.pid), ChildKilled("alice", SIGTERM)]
        assert not world.alive(child.pid)

    def test_a_signal_before_the_launch_is_sent_afterwards(self, world: SourceWorld) -> None:
        child = Child(world, script(WAIT))
        child.signal(SIGTERM)
        child.run(2)
        assert child.events[1] == ChildKilled("alice", SIGTERM)

    def test_it_is_stopped_and_continued(self, world: SourceWorld) -> None:
        child = Child(world, script(WAIT))
        child.run(1)
        child.signal(SIGSTOP)
        child.run(2)
        child.signal(SIGCONT)
        child.run(3)
        child.signal(SIGTERM)
        child.run(4)
        assert child.events[1:] == [
            ChildStopped("alice", SIGSTOP),
            ChildContinued("alice"),
            ChildKilled("alice", SIGTERM),
        ]

    def test_a_stopped_one_gets_signals_when_it_is_continued(self, world: SourceWorld) -> None:
        child = Child(world, script(WAIT))
        child.run(1)
        child.signal(SIGSTOP)
        child.run(2)
        child.signal(SIGTERM)
        child.signal(SIGCONT)
        world.run(lambda: child.events[-1:] == [ChildKilled("alice", SIGTERM)])

    def test_a_stopped_one_can_be_killed(self, world: SourceWorld) -> None:
        child = Child(world, script(WAIT))
        child.run(1)
        child.signal(SIGSTOP)
        child.run(2)
        child.signal(SIGKILL)
        child.run(3)
        assert child.events[1:] == [ChildStopped("alice", SIGSTOP), ChildKilled("alice", SIGKILL)]

    def test_close_kills_it(self, world: SourceWorld) -> None:
        child = Child(world, script(WAIT))
        child.run(1)
        child.close()
        world.run(lambda: not world.alive(child.pid))
        assert child.events == [Launched("alice", child.pid)]

    def test_close_during_the_launch_kills_it_too(self, world: SourceWorld) -> None:
        child = Child(world, script(WAIT))
        child.close()
        other = Child(world, script(EXIT_3))
        other.run(2)
        assert child.events == []

    def test_a_program_that_does_not_exist(self, world: SourceWorld) -> None:
        child = Child(world, Launch("/nowhere/program", ("program",)))
        child.run(1)
        assert child.events == [
            LaunchFailed("alice", "/nowhere/program: no such file or directory")
        ]
        child.signal(SIGTERM)
        child.close()
        assert world.engine.sources == {}

    def test_many_at_once(self, world: SourceWorld) -> None:
        children = [Child(world, script(EXIT_3), f"child-{number}") for number in range(20)]
        for number, child in enumerate(children):
            child.run(2)
            assert child.events[1] == ChildExited(f"child-{number}", 3)
        assert len({child.pid for child in children}) == 20
        assert world.log == []

    def test_the_end_of_the_driver_kills_them(self, world: SourceWorld) -> None:
        running, launching = Child(world, script(WAIT)), None
        running.run(1)
        launching = Child(world, script(WAIT))
        world.close()
        assert not world.alive(running.pid)
        assert launching.events == []  # `world_of` finds no child


class TestSignals:
    def test_each_source_gets_the_numbers_that_it_takes(self, world: SourceWorld) -> None:
        one, _ = opened(world, lambda recorder: Signals(recorder, (SIGTERM, SIGUSR1)))
        two, _ = opened(world, lambda recorder: Signals(recorder, (SIGUSR1, SIGHUP)))
        last = Box(world)  # they are open when it is bound
        for number in (SIGTERM, SIGUSR1, SIGHUP):
            world.signal(number)
            expected = len(one.data) + len(two.data) + (2 if number == SIGUSR1 else 1)
            world.run(lambda expected=expected: len(one.data) + len(two.data) == expected)  # type: ignore[misc]
        assert one.data == [Signal(SIGTERM), Signal(SIGUSR1)]
        assert two.data == [Signal(SIGUSR1), Signal(SIGHUP)]
        assert last.arrived == []

    def test_a_closed_source_gets_none(self, world: SourceWorld) -> None:
        one, source = opened(world, lambda recorder: Signals(recorder, (SIGUSR1,)))
        two, _ = opened(world, lambda recorder: Signals(recorder, (SIGUSR1,)))
        Box(world)
        with one.mutex.hold(world.engine):
            source.close()
        Box(world)
        world.signal(SIGUSR1)
        world.run(lambda: two.data)
        assert one.data == []


class TestDates:
    def test_it_comes_in_its_second(self, world: SourceWorld) -> None:
        recorder, _ = opened(world, lambda each: None)
        world.run(lambda: world.engine.wall or Box(world))  # until it has the time of day
        date = world.engine.wall + 1
        world.engine.schedule_at_date(date, recorder, "date", None)
        world.run(lambda: recorder.events)
        assert recorder.events == ["date"]
        assert date <= world.engine.wall <= date + 1


class TestBusMessages:
    def test_each_source_gets_the_commands_that_it_takes(self, world: SourceWorld) -> None:
        one, _ = opened(world, lambda recorder: BusMessages(recorder, "one", ("OPEN", "CLOSE")))
        two, _ = opened(world, lambda recorder: BusMessages(recorder, "two", ("OPEN",)))
        world.run(lambda: world.bus.names() == ["one", "two"])
        assert world.bus.deliver("OPEN", "OPEN door=3", route=7) == 2
        assert world.bus.deliver("CLOSE", "CLOSE") == 1
        assert world.bus.deliver("LOCK", "LOCK") == 0
        world.run(lambda: len(one.data) == 2 and two.data)
        assert one.data == [BusReceived("one", "OPEN door=3", 7), BusReceived("one", "CLOSE")]
        assert two.data == [BusReceived("two", "OPEN door=3", 7)]

    def test_one_by_name(self, world: SourceWorld) -> None:
        one, _ = opened(world, lambda recorder: BusMessages(recorder, "one", ("OPEN",)))
        two, _ = opened(world, lambda recorder: BusMessages(recorder, "two", ("OPEN",)))
        world.run(lambda: world.bus.names() == ["one", "two"])
        assert world.bus.deliver("OPEN", "OPEN", name="two") == 1
        world.run(lambda: two.data)
        assert one.data == []

    def test_replies_go_back_in_order(self, world: SourceWorld) -> None:
        replies: list[tuple[int, str]] = []
        world.bus.on_reply = lambda route, text: replies.append((route, text))
        recorder, source = opened(world, lambda recorder: BusMessages(recorder, "one", ("OPEN",)))

        def answer() -> None:
            source.reply(7, "OPENING")
            source.reply(NO_ROUTE, "UNSEEN")
            source.reply(7, "OPENED")

        recorder.on[BusReceived] = answer
        world.run(lambda: world.bus.names())
        world.bus.deliver("OPEN", "OPEN", route=7)
        world.run(lambda: len(replies) == 2)
        assert replies == [(7, "OPENING"), (7, "OPENED")]

    def test_a_closed_source_gets_none_and_replies_no_more(self, world: SourceWorld) -> None:
        replies: list[tuple[int, str]] = []
        world.bus.on_reply = lambda route, text: replies.append((route, text))
        one, source = opened(world, lambda recorder: BusMessages(recorder, "one", ("OPEN",)))
        two, other = opened(world, lambda recorder: BusMessages(recorder, "two", ("OPEN",)))
        world.run(lambda: world.bus.names() == ["one", "two"])
        world.bus.deliver("OPEN", "OPEN")
        with one.mutex.hold(world.engine):
            source.close()
        source.reply(7, "UNSEEN")
        other.reply(7, "SEEN")
        world.run(lambda: two.data and replies and world.bus.names() == ["two"])
        assert one.data == []
        assert replies == [(7, "SEEN")]

    def test_messages_wait_for_a_disabled_source(self, world: SourceWorld) -> None:
        one, source = opened(world, lambda recorder: BusMessages(recorder, "one", ("OPEN",)))
        two, _ = opened(world, lambda recorder: BusMessages(recorder, "two", ("OPEN",)))
        world.run(lambda: world.bus.names() == ["one", "two"])
        with one.mutex.hold(world.engine):
            source.disable()
        for number in range(KEPT):
            world.bus.deliver("OPEN", f"OPEN door={number}")
        world.run(lambda: len(two.data) == KEPT)
        while world.bus.deliver("OPEN", "OPEN", name="one"):  # the first may have been passed in
            pass
        assert one.data == []
        with one.mutex.hold(world.engine):
            source.enable()
        world.run(lambda: len(one.data) >= KEPT and world.bus.deliver("OPEN", "OPEN", name="one"))
        texts = [each.text for each in one.data if isinstance(each, BusReceived)]
        assert texts[:KEPT] == [f"OPEN door={number}" for number in range(KEPT)]

    def test_many_come_in_order(self, world: SourceWorld) -> None:
        one, _ = opened(world, lambda recorder: BusMessages(recorder, "one", ("OPEN",)))
        world.run(lambda: world.bus.names())
        for number in range(1000):
            world.bus.deliver("OPEN", f"OPEN door={number}")
        world.run(lambda: len(one.data) == 1000)
        texts = [each.text for each in one.data if isinstance(each, BusReceived)]
        assert texts == [f"OPEN door={number}" for number in range(1000)]

    def test_the_end_of_the_driver_takes_them_from_the_bus(self, world: SourceWorld) -> None:
        opened(world, lambda recorder: BusMessages(recorder, "one", ("OPEN",)))
        world.run(lambda: world.bus.names())
        world.close()
        assert world.bus.names() == []
        assert world.bus.deliver("OPEN", "OPEN") == 0


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
        assert world.log == ["warning: box: a datagram was dropped: it is too large for the path"]

    def test_a_name_is_not_looked_up(self, world: SourceWorld) -> None:
        box = Box(world)
        box.send(b"hello", ("localhost", 9))
        box.send(b"hello", (LOCAL, 65_536))
        box.send(b"to itself", box.address)
        world.run(lambda: box.arrived)
        assert world.log == [
            "warning: box: a datagram was dropped: it was for a host that is not a numeric address",
            "warning: box: a datagram was dropped: ports are 0 to 65535",
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
            BindFailed(
                "box", f"{place}: the port is in use: choose another, or 0 for a free one", True
            )
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
