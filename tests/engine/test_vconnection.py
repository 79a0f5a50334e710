"""VConnection: the timeouts of every kind."""

import pytest

from vcproxy.engine.event import Event
from vcproxy.engine.vconnection import ClosedError

from .world import EventRecorder, World


@pytest.fixture
def world() -> World:
    return World()


def test_inactivity_fires_once(world: World) -> None:
    recorder, vc, _ = world.reading()
    with vc.mutex.hold(world.engine):
        vc.set_inactivity_timeout(10)
    world.settle(9)
    assert recorder.events == []
    world.settle(1)
    world.settle(100)
    assert recorder.events == [Event.INACTIVITY_TIMEOUT]
    assert recorder.data == [vc.read_vio]


def test_inactivity_is_rearmed_when_it_fires_and_not_on_each_byte(world: World) -> None:
    recorder, vc, wire = world.reading()
    with vc.mutex.hold(world.engine):
        vc.set_inactivity_timeout(10)
    world.settle(6)
    wire.arrive(b".")
    assert world.engine.next_deadline() == 10
    world.settle(5)
    assert recorder.events == [Event.READ_READY]
    assert world.engine.next_deadline() == 16
    world.settle(5)
    assert recorder.events == [Event.READ_READY, Event.INACTIVITY_TIMEOUT]


def test_active_fires_whether_bytes_move_or_not(world: World) -> None:
    recorder, vc, wire = world.reading()
    with vc.mutex.hold(world.engine):
        vc.set_active_timeout(10)
    for _ in range(10):
        wire.arrive(b".")
        world.settle(1)
    assert recorder.events[-1] == Event.ACTIVE_TIMEOUT
    world.settle(100)
    assert recorder.events.count(Event.ACTIVE_TIMEOUT) == 1


def test_zero_cancels_and_setting_again_replaces(world: World) -> None:
    recorder, vc, _ = world.reading()
    with vc.mutex.hold(world.engine):
        for limit in (vc.set_inactivity_timeout, vc.set_active_timeout):
            limit(5)
            limit(20)
            limit(0)
        vc.set_active_timeout(30)
    world.settle(29)
    assert recorder.events == []
    world.settle(1)
    assert recorder.events == [Event.ACTIVE_TIMEOUT]


def test_reader_and_writer_are_notified_once_each_where_they_differ(world: World) -> None:
    recorder, vc, _ = world.reading()
    writer = EventRecorder(world.engine, recorder.mutex)
    with vc.mutex.hold(world.engine):
        vc.do_io_write(writer, None, writer.outgoing)
        vc.set_active_timeout(1)
    world.settle(1)
    assert recorder.events == [Event.ACTIVE_TIMEOUT]
    assert writer.events == [Event.WRITE_READY, Event.ACTIVE_TIMEOUT]


def test_one_continuation_for_both_directions_is_notified_once(world: World) -> None:
    recorder, vc, _ = world.reading()
    with vc.mutex.hold(world.engine):
        vc.do_io_write(recorder, None, recorder.outgoing)
        vc.set_active_timeout(1)
    world.settle(1)
    assert recorder.events == [Event.WRITE_READY, Event.ACTIVE_TIMEOUT]


def test_the_writer_is_notified_when_the_read_is_over(world: World) -> None:
    recorder, vc, _ = world.reading()
    with vc.mutex.hold(world.engine):
        vc.do_io_write(recorder, None, recorder.outgoing)
        vc.set_active_timeout(1)
    vc.ended()
    world.settle(1)
    assert recorder.data[-1] is vc.write_vio


def test_methods_after_the_close_raise_closed_error(world: World) -> None:
    recorder, vc, _ = world.reading()
    with vc.mutex.hold(world.engine):
        vc.do_io_close()
        with pytest.raises(ClosedError, match=r"do_io_read\(\) on tcp://example:1 after do_io_clo"):
            vc.do_io_read(recorder, None, recorder.buffer)


def test_a_vc_belongs_to_the_conversation_of_the_last_operation(world: World) -> None:
    _, vc, _ = world.reading()
    old, new = vc.mutex, EventRecorder(world.engine)
    with old.hold(world.engine), new.mutex.hold(world.engine):
        vc.do_io_read(new, None, new.buffer)
    assert vc.mutex is new.mutex
    assert list(old.vcs) == []
    assert list(new.mutex.vcs) == [vc]
