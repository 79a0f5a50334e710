"""What an engine waits for, as values and as lines."""

from vcproxy.engine.event import Event
from vcproxy.engine.sources.child_process import ChildProcess, Launch
from vcproxy.engine.sources.datagrams import Datagrams
from vcproxy.engine.sources.ticks import Ticks
from vcproxy.engine.waited_for import WaitedFor, waited_for

from .world import EventRecorder, World


def test_an_engine_that_waits_for_nothing() -> None:
    assert list(waited_for(World().engine)) == []


def test_sources_connections_and_calls_in_the_order_of_opening() -> None:
    world = World()
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        ChildProcess(recorder, "alice", Launch("/bin/cat", ("cat",)))
        Datagrams(recorder, "mail", ("::1", 4000)).disable()
        Ticks(recorder, "clock", 60.0)
        world.engine.call(recorder, sorted, [])
    connecting = world.connecting(recorder)
    open_vc, _ = world.vc(recorder.mutex)
    world.now += 3.5
    world.settle()
    assert list(waited_for(world.engine)) == [
        WaitedFor("ChildProcess", "alice", 3.5, "/bin/cat"),
        WaitedFor("Datagrams", "mail", 3.5, "[::1]:4000, disabled"),
        WaitedFor("Ticks", "clock", 3.5, "every 1m"),
        WaitedFor("connection", connecting.name, 3.5, "connecting"),
        WaitedFor("connection", open_vc.name, 3.5, ""),
        WaitedFor("call", "sorted", 3.5),
    ]


def test_what_a_stop_waits_for() -> None:
    world = World()
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        ChildProcess(recorder, "alice", Launch("/bin/cat", ("cat",)))
        Ticks(recorder, "clock", 60.0)
        world.engine.call(recorder, sorted, [])
    vc, _ = world.vc(recorder.mutex)
    with recorder.mutex.hold(world.engine):
        vc.do_io_close()
    found = list(waited_for(world.engine, stopping=True, now=world.now + 9.0))
    assert [(each.name, each.since_s, each.detail) for each in found] == [
        ("alice", 9.0, "/bin/cat"),
        (vc.name, 9.0, "closing"),
    ]


def test_a_connection_that_failed_and_was_not_closed() -> None:
    world = World()
    recorder = EventRecorder(world.engine)
    vc = world.connecting(recorder, timeout=1.0)
    for _ in range(4):  # a longer pause would be a delay of the whole engine
        world.now += 0.5
        world.settle()
    assert recorder.events == [Event.ERROR]
    assert list(waited_for(world.engine)) == [
        WaitedFor("connection", vc.name, 2.0, "failed, not closed")
    ]


def test_its_text() -> None:
    texts = [
        str(WaitedFor("ChildProcess", "alice", 3.54, "/bin/cat")),
        str(WaitedFor("connection", "web 127.0.0.1:9", 60.0)),
    ]
    assert texts == [
        "ChildProcess alice (/bin/cat) for 3.5s",
        "connection web 127.0.0.1:9 quiet for 60.0s",
    ]
