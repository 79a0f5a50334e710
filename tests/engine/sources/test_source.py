"""Sources on a bare engine: opening, events, ends, and what closes them."""

from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.engine.world import EventRecorder, World
from tests.engine.world import engine as world_engine
from vcproxy.engine.commands import (
    CloseSource,
    DisableSource,
    EnableSource,
    OpenSource,
    SendDatagram,
    SignalChild,
)
from vcproxy.engine.mutex import LockNotHeld, Mutex
from vcproxy.engine.sources.child_process import (
    ChildContinued,
    ChildExited,
    ChildProcess,
    ChildStopped,
    Launch,
    Launched,
    LaunchFailed,
)
from vcproxy.engine.sources.datagrams import Arrived, BindFailed, Bound, Datagrams
from vcproxy.engine.sources.signals import Signal, Signals
from vcproxy.engine.sources.source import PRIORITY, Source

LAUNCH = Launch("/bin/true", ("true",))


@pytest.fixture
def world() -> World:
    return World()


def child_of(world: World) -> tuple[EventRecorder, ChildProcess]:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        child = ChildProcess(recorder, "alice", LAUNCH)
    world.settle()
    return recorder, child


class TestSource:
    def test_it_is_opened_by_a_command(self, world: World) -> None:
        _, child = child_of(world)
        assert world.commands == [OpenSource(child)]
        assert world.engine.sources == {1: child}

    def test_it_needs_the_mutex(self, world: World) -> None:
        with pytest.raises(LockNotHeld, match=r"ChildProcess\(\) needs the mutex"):
            ChildProcess(EventRecorder(world.engine), "alice", LAUNCH)
        assert world.engine.sources == {}

    def test_its_events_come_in_order_with_their_class_as_the_key(self, world: World) -> None:
        recorder, child = child_of(world)
        world.engine.happened(child, Launched("alice", 7))
        world.engine.happened(child, ChildExited("alice", 3))
        assert recorder.events == []  # always deferred
        world.settle()
        assert recorder.events == [Launched, ChildExited]
        assert recorder.data == [Launched("alice", 7), ChildExited("alice", 3)]

    def test_nothing_happens_after_its_last_event(self, world: World) -> None:
        recorder, child = child_of(world)
        world.engine.happened(child, LaunchFailed("alice", "no such file"))
        world.engine.happened(child, ChildExited("alice", 3))
        world.settle()
        assert recorder.events == [LaunchFailed]
        assert world.engine.sources == {}
        with recorder.mutex.hold(world.engine):
            child.close()  # it has ended: there is nothing to close
        world.settle()
        assert world.commands == [OpenSource(child)]

    def test_nothing_is_delivered_after_close(self, world: World) -> None:
        recorder, child = child_of(world)
        world.engine.happened(child, Launched("alice", 7))
        with recorder.mutex.hold(world.engine):
            child.close()
            child.close()
        world.engine.happened(child, ChildExited("alice", 3))
        world.settle()
        assert recorder.events == []
        assert world.commands == [OpenSource(child), CloseSource(child)]
        assert world.engine.sources == {}

    def test_it_is_closed_with_its_conversation(self, world: World) -> None:
        recorder, child = child_of(world)
        other, _ = child_of(world)
        recorder.on[Launched] = lambda: 1 // 0
        world.engine.happened(child, Launched("alice", 7))
        world.settle()
        assert world.commands[2:] == [CloseSource(child)]
        assert [source.cont for source in world.engine.sources.values()] == [other]


class Numbers(Source):
    """A source of plain numbers, fed by hand."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Number:
    name: str
    number: int


def numbers_of(world: World, name: str, priority: int = PRIORITY) -> tuple[EventRecorder, Numbers]:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        return recorder, Numbers(recorder, name, priority)


class Order:
    """Several sources, and the order in which their events are delivered."""

    def __init__(self, world: World, **priorities: int) -> None:
        self.world = world
        self.mutex = Mutex()
        self.recorder = EventRecorder(world.engine, self.mutex)
        with self.mutex.hold(world.engine):
            self.sources = {
                name: Numbers(self.recorder, name, priority)
                for name, priority in priorities.items()
            }
        world.settle()

    def happen(self, *names: str) -> None:
        for number, name in enumerate(names):
            self.world.engine.happened(self.sources[name], Number(name, number))

    @property
    def delivered(self) -> list[str]:
        return [event.name for event in self.recorder.data if isinstance(event, Number)]


class TestPriority:
    def test_the_default_is_100_and_events_stay_in_order(self, world: World) -> None:
        order = Order(world, a=100, b=100)
        assert numbers_of(world, "c")[1].priority == 100
        order.happen("b", "a", "b", "a")
        world.settle()
        assert order.delivered == ["b", "a", "b", "a"]

    def test_lower_ones_are_delivered_first_and_equal_ones_in_order(self, world: World) -> None:
        order = Order(world, low=200, default=100, high=1, also_high=1)
        order.happen("low", "default", "also_high", "high", "low", "high", "also_high")
        world.settle()
        assert order.delivered == [
            *("also_high", "high", "high", "also_high"),
            "default",
            *("low", "low"),
        ]

    def test_it_may_change_and_holds_for_what_is_queued(self, world: World) -> None:
        order = Order(world, a=100, b=100)
        order.happen("a", "b")
        order.sources["b"].priority = 0
        order.happen("a")
        world.settle()
        assert order.delivered == ["b", "a", "a"]

    def test_other_events_count_as_100(self, world: World) -> None:
        order = Order(world, high=99, low=101)
        order.happen("low")
        with order.mutex.hold(world.engine):
            world.engine.schedule(order.recorder, "scheduled", None)
        order.happen("high")
        world.settle()
        assert order.recorder.events == [Number, "scheduled", Number]
        assert order.delivered == ["high", "low"]

    def test_what_comes_during_a_turn_is_ordered_in_the_next(self, world: World) -> None:
        """So a source of low priority is delivered, however many others follow."""
        order = Order(world, high=1, low=200)

        def again() -> None:
            if len(order.delivered) < 5:
                order.happen("high")

        order.recorder.on[Number] = again
        order.happen("low", "high")
        world.engine.clock(world.now)
        world.engine.run()
        assert order.delivered == ["high", "low"]
        world.settle()
        assert order.delivered == ["high", "low", "high", "high", "high", "high"]

    @pytest.mark.parametrize("value", [-1, 256])
    def test_it_is_0_to_255(self, world: World, value: int) -> None:
        with pytest.raises(ValueError, match=f"a: {value} is no priority: they are 0 to 255"):
            numbers_of(world, "a", value)
        assert world.engine.sources == {}

    @given(st.lists(st.sampled_from("abcd")), st.lists(st.integers(0, 255), min_size=4))
    def test_it_is_a_stable_sort(self, names: list[str], priorities: list[int]) -> None:
        given = dict(zip("abcd", priorities, strict=False))
        world = World()
        order = Order(world, **given)
        order.happen(*names)
        world.settle()
        assert [(e.name, e.number) for e in order.recorder.data if isinstance(e, Number)] == sorted(
            ((name, number) for number, name in enumerate(names)), key=lambda each: given[each[0]]
        )


class TestDisable:
    def test_nothing_is_delivered_until_enable_and_nothing_is_lost(self, world: World) -> None:
        order = Order(world, a=100)
        source = order.sources["a"]
        order.happen("a")  # passed in, not delivered yet
        with order.mutex.hold(world.engine):
            source.disable()
            source.disable()
        assert not source.enabled
        order.happen("a", "a")  # the driver had seen them before it performed the command
        world.settle()
        assert order.delivered == []
        with order.mutex.hold(world.engine):
            source.enable()
            source.enable()
        order.happen("a")
        world.settle()
        assert source.enabled
        assert [e.number for e in order.recorder.data if isinstance(e, Number)] == [0, 0, 1, 0]
        assert world.commands == [OpenSource(source), DisableSource(source), EnableSource(source)]

    def test_what_was_kept_is_delivered_before_what_is_queued(self, world: World) -> None:
        """Also where it is disabled and enabled again between two events of one turn."""
        order = Order(world, a=100, b=100)
        a = order.sources["a"]
        seen: list[bool] = []

        def each() -> None:
            seen.append(a.enabled)
            if len(seen) == 1:
                a.disable()
            elif len(seen) == 2:
                a.enable()

        order.recorder.on[Number] = each
        for number, name in enumerate("babab"):
            world.engine.happened(order.sources[name], Number(name, number))
        world.settle()
        numbers = [e.number for e in order.recorder.data if isinstance(e, Number)]
        assert numbers == [0, 2, 1, 3, 4]
        assert order.delivered == ["b", "b", "a", "a", "b"]

    def test_its_last_event_is_kept_too(self, world: World) -> None:
        recorder, child = child_of(world)
        with recorder.mutex.hold(world.engine):
            child.disable()
        world.engine.happened(child, Launched("alice", 7))
        world.engine.happened(child, ChildExited("alice", 3))
        world.settle()
        assert recorder.events == []
        assert world.engine.sources == {}
        with recorder.mutex.hold(world.engine):
            child.enable()
        world.settle()
        assert recorder.data == [Launched("alice", 7), ChildExited("alice", 3)]
        assert world.commands == [OpenSource(child), DisableSource(child)]  # the driver forgot it

    def test_a_closed_one_can_be_neither(self, world: World) -> None:
        order = Order(world, a=100)
        source = order.sources["a"]
        with order.mutex.hold(world.engine):
            source.disable()
            order.happen("a")
            world.settle()
            source.close()
            source.enable()
            source.disable()
        world.settle()
        assert order.delivered == []
        assert world.commands[2:] == [CloseSource(source)]

    def test_both_need_the_mutex(self, world: World) -> None:
        _, source = numbers_of(world, "a")
        with pytest.raises(LockNotHeld, match=r"disable\(\) needs the mutex"):
            source.disable()
        with source.cont.mutex.hold(world.engine):  # type: ignore[union-attr]
            source.disable()
        with pytest.raises(LockNotHeld, match=r"enable\(\) needs the mutex"):
            source.enable()

    def test_of_signals_one_of_each_number_is_kept(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        with recorder.mutex.hold(world.engine):
            signals = Signals(recorder, (15, 2))
            signals.disable()
        for signal in (Signal(15, 1), Signal(2, 2), Signal(15, 3), Signal(2, 4)):
            world.engine.happened(signals, signal)
        world.settle()
        with recorder.mutex.hold(world.engine):
            signals.enable()
        world.settle()
        assert recorder.data == [Signal(15, 1), Signal(2, 2)]

    def test_of_stops_of_a_child_the_last_is_kept(self, world: World) -> None:
        recorder, child = child_of(world)
        with recorder.mutex.hold(world.engine):
            child.disable()
        world.engine.happened(child, Launched("alice", 7))
        for _ in range(100):
            world.engine.happened(child, ChildStopped("alice", 19))
            world.engine.happened(child, ChildContinued("alice"))
        world.engine.happened(child, ChildStopped("alice", 20))
        world.settle()
        with recorder.mutex.hold(world.engine):
            child.enable()
        world.settle()
        assert recorder.data == [Launched("alice", 7), ChildStopped("alice", 20)]

    def test_events_that_waited_for_the_mutex_come_after_the_kept_ones(self) -> None:
        world = World()
        other = world_engine(name="other")
        order = Order(world, a=100)
        a = order.sources["a"]
        with order.mutex.hold(world.engine):
            a.disable()
        world.engine.happened(a, Number("a", 1))
        world.settle()
        with order.mutex.hold(other):  # it has the conversation at present
            world.engine.happened(a, Number("a", 2))
            world.settle()
            other.clock(world.now)
            a.enable()
        world.engine.happened(a, Number("a", 3))
        world.settle()
        assert [e.number for e in order.recorder.data if isinstance(e, Number)] == [1, 2, 3]


class Sources(RuleBasedStateMachine):
    """Any order of events, turns, priorities, disabling, and mutexes that other engines hold."""

    indexes = st.integers(0, 1)

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.other = world_engine(name="other")
        self.held: set[int] = set()
        self.recorders: list[EventRecorder] = []
        self.sources: list[Numbers] = []
        self.disabled = [False] * 2
        self.count = 0
        self.happened: list[list[int]] = [[] for _ in range(2)]
        mutex = Mutex()
        for index in range(2):
            recorder = EventRecorder(self.world.engine, mutex)
            with recorder.mutex.hold(self.world.engine):
                self.sources.append(Numbers(recorder, str(index)))
            recorder.on[Number] = partial(self.delivered_to, index)
            self.recorders.append(recorder)

    def delivered_to(self, index: int) -> None:
        assert self.sources[index].enabled
        assert not self.disabled[index]

    @rule(index=indexes)
    def happen(self, index: int) -> None:
        self.count += 1
        self.happened[index].append(self.count)
        self.world.engine.happened(self.sources[index], Number(str(index), self.count))

    @rule(index=indexes, enabled=st.booleans())
    def enable(self, index: int, enabled: bool) -> None:
        mutex = self.recorders[index].mutex
        holder = self.other if id(mutex) in self.held else self.world.engine
        holder.clock(self.world.now)
        with mutex.hold(holder):
            (self.sources[index].enable if enabled else self.sources[index].disable)()
        self.disabled[index] = not enabled

    @rule(index=indexes, priority=st.sampled_from([0, 100, 255]))
    def set_priority(self, index: int, priority: int) -> None:
        self.sources[index].priority = priority

    @rule(index=indexes)
    def another_engine_takes_the_mutex(self, index: int) -> None:
        mutex = self.recorders[index].mutex
        if id(mutex) not in self.held:
            assert mutex.try_acquire(self.other)
            self.held.add(id(mutex))

    @rule(index=indexes)
    def another_engine_releases_it(self, index: int) -> None:
        mutex = self.recorders[index].mutex
        if id(mutex) in self.held:
            self.held.discard(id(mutex))
            mutex.release(self.other)

    @rule()
    def turn(self) -> None:
        self.world.engine.clock(self.world.now)
        self.world.engine.run()

    @rule()
    def settle(self) -> None:
        self.world.settle()

    def teardown(self) -> None:
        """Nothing is lost, nothing comes twice, and the events of each stay in order."""
        for index in range(2):
            self.another_engine_releases_it(index)
            self.enable(index, True)
        self.world.settle()
        for index, recorder in enumerate(self.recorders):
            numbers = [each.number for each in recorder.data if isinstance(each, Number)]
            assert numbers == self.happened[index]


TestRandomOrders = Sources.TestCase


class TestChildProcess:
    def test_a_signal_is_a_command(self, world: World) -> None:
        recorder, child = child_of(world)
        with recorder.mutex.hold(world.engine):
            child.signal(15)
            child.close()
            child.signal(9)
        world.settle()
        assert world.commands[1:] == [SignalChild(child, 15), CloseSource(child)]

    def test_argv_and_signals_are_checked(self, world: World) -> None:
        with pytest.raises(ValueError, match="arguments must not be empty"):
            Launch("/bin/true", ())
        _, child = child_of(world)
        for number in (0, 65):
            with pytest.raises(ValueError, match=f"{number} is no signal"):
                child.signal(number)

    def test_its_request_is_everything_but_descriptors(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        launch = Launch(
            "/bin/cat", ("cat", "-n"), "/tmp", {"LANG": "C"}, "/tmp/log", (3, 4), "games"
        )
        with recorder.mutex.hold(world.engine):
            child = ChildProcess(recorder, "bob", launch)
        assert child.request == (
            "ChildProcess bob ('/bin/cat', ('cat', '-n'), '/tmp', {'LANG': 'C'}) /tmp/log games"
        )


def socket_of(world: World) -> tuple[EventRecorder, Datagrams]:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        socket = Datagrams(recorder, "mail", ("127.0.0.1", 0))
    world.settle()
    return recorder, socket


class TestDatagrams:
    def test_a_datagram_can_be_sent_before_it_is_bound(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        with recorder.mutex.hold(world.engine):
            socket = Datagrams(recorder, "mail", ("127.0.0.1", 0))
            socket.send(b"hello", ("127.0.0.1", 9))
        world.settle()
        assert world.commands == [
            OpenSource(socket),
            SendDatagram(socket, b"hello", ("127.0.0.1", 9)),
        ]
        world.engine.happened(socket, Bound("mail", ("127.0.0.1", 4000)))
        world.engine.happened(socket, Arrived("mail", b"hi", ("127.0.0.1", 9)))
        world.settle()
        assert recorder.data == [
            Bound("mail", ("127.0.0.1", 4000)),
            Arrived("mail", b"hi", ("127.0.0.1", 9), group=""),
        ]

    def test_nothing_is_sent_after_it_has_failed_or_was_closed(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        with recorder.mutex.hold(world.engine):
            failed = Datagrams(recorder, "mail", ("192.0.2.1", 0))
            closed = Datagrams(recorder, "post", ("127.0.0.1", 0))
        world.engine.happened(failed, BindFailed("mail", "address not available"))
        with recorder.mutex.hold(world.engine):
            closed.close()
            closed.send(b"hello", ("127.0.0.1", 9))
        world.settle()
        assert recorder.events == [BindFailed]
        assert not any(isinstance(each, SendDatagram) for each in world.commands)

    @pytest.mark.parametrize("direct", [True, False])
    def test_a_datagram_is_not_queued_if_it_overtakes_nothing(
        self, world: World, direct: bool
    ) -> None:
        world.engine.direct = direct
        recorder, socket = socket_of(world)
        world.now += 1
        world.engine.clock(world.now)  # the driver reads before the events of a turn are delivered
        world.engine.happened(socket, Arrived("mail", b"1", ("127.0.0.1", 9)))
        assert recorder.events == [Arrived][:direct]
        world.engine.schedule(recorder, "queued", None)
        world.engine.happened(socket, Arrived("mail", b"2", ("127.0.0.1", 9)))
        world.settle()
        assert recorder.events == [Arrived, "queued", Arrived]

    def test_events_outside_of_reading_are_queued(self, world: World) -> None:
        recorder, socket = socket_of(world)
        world.engine.happened(socket, Bound("mail", ("127.0.0.1", 4000)))
        assert recorder.events == []
        world.settle()
        world.engine.happened(socket, Arrived("mail", b"1", ("127.0.0.1", 9)))
        assert recorder.events == [Bound]  # the events of this turn were delivered already
        world.settle()
        assert recorder.events == [Bound, Arrived]

    def test_a_failure_while_it_reads_closes_the_conversation(self, world: World) -> None:
        recorder, socket = socket_of(world)
        recorder.on[Arrived] = lambda: 1 // 0
        world.engine.clock(world.now + 1)
        world.engine.happened(socket, Arrived("mail", b"1", ("127.0.0.1", 9)))
        assert world.engine.running is None
        assert "its conversation is closed" in world.log[0]
        assert world.engine.sources == {}

    def test_an_open_socket_sends_at_once_unless_it_would_overtake(self, world: World) -> None:
        recorder, socket = socket_of(world)
        peer = ("127.0.0.1", 9)
        sent: list[bytes] = []
        socket.outlet = lambda data, to: sent.append(data)
        with recorder.mutex.hold(world.engine):
            socket.send(b"1", peer)
            assert sent == [b"1"]
            world.engine.command(SendDatagram(socket, b"2", peer))
            socket.send(b"3", peer)
            assert sent == [b"1"]
            world.settle()
            world.engine.direct = False
            socket.send(b"4", peer)
            world.settle()
            assert [c.data for c in world.commands if isinstance(c, SendDatagram)] == [
                b"2",
                b"3",
                b"4",
            ]
            world.engine.direct = True
            socket.close()
            socket.send(b"5", peer)
            assert sent == [b"1"]


class TestSignals:
    def test_a_signal_is_delivered(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        with recorder.mutex.hold(world.engine):
            signals = Signals(recorder, (15, 2))
        assert signals.request == "Signals signals (15, 2)"
        world.engine.happened(signals, Signal(15, 77))
        world.settle()
        assert recorder.data == [Signal(15, 77)]
