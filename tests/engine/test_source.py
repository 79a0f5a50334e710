"""Sources on a bare engine: opening, events, ends, and what closes them."""

import pytest

from vcproxy.engine.child_process import ChildExited, ChildProcess, Launch, Launched, LaunchFailed
from vcproxy.engine.commands import CloseSource, OpenSource, SendDatagram, SignalChild
from vcproxy.engine.datagrams import Arrived, BindFailed, Bound, Datagrams
from vcproxy.engine.mutex import LockNotHeld
from vcproxy.engine.signals import Signal, Signals

from .world import EventRecorder, World

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
