"""Pipe: behaviour that the conformance suite (tests/conformance) does not cover."""

import pytest

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.pipe import PipeVConnection, pipe

from .world import EventRecorder, World, engine


@pytest.fixture
def world() -> World:
    return World()


def used(end: PipeVConnection, reads: bool = True) -> EventRecorder:
    recorder = EventRecorder(end.engine, end.mutex)
    with end.mutex.hold(end.engine):
        if reads:
            end.do_io_read(recorder, None, recorder.buffer)
        else:
            end.do_io_write(recorder, None, recorder.outgoing)
    return recorder


def test_slabs_are_passed_by_reference(world: World) -> None:
    a, b = pipe(world.engine)
    writer, reader = used(a, reads=False), used(b)
    writer.outward.append_read(world.engine.memory.scratch, world.engine.memory)
    (slab,) = writer.outgoing.views(SLAB)
    assert a.write_vio is not None
    a.write_vio.reenable()
    world.settle()
    (view,) = reader.incoming.views(SLAB)
    assert view.obj is slab.obj  # type: ignore[union-attr]


def test_the_buffers_of_its_users_are_the_backpressure(world: World) -> None:
    a, b = pipe(world.engine)
    writer, reader = used(a, reads=False), used(b)
    reader.buffer.water_mark = 10
    writer.outward.write(bytes(25))
    a.write_vio.reenable()  # type: ignore[union-attr]
    world.settle()
    assert (writer.outgoing.avail, reader.incoming.avail) == (15, 10)


def test_both_ends_may_share_a_conversation(world: World) -> None:
    a, b = pipe(world.engine)
    recorder = EventRecorder(world.engine, a.mutex)
    with a.mutex.hold(world.engine), b.mutex.hold(world.engine):
        a.do_io_write(recorder, 2, recorder.outgoing)
        b.do_io_read(recorder, 2, recorder.buffer)
    recorder.outward.write(b"me")
    a.write_vio.reenable()  # type: ignore[union-attr]
    world.settle()
    assert recorder.events == [Event.WRITE_READY, Event.WRITE_COMPLETE, Event.READ_COMPLETE]


@pytest.mark.parametrize("taken", [0, 1])
def test_a_taken_mutex_at_either_end_only_delays(world: World, taken: int) -> None:
    ends = pipe(world.engine)
    writer, reader = used(ends[0], reads=False), used(ends[1])
    other = engine(name="other")
    writer.outward.write(b"late")
    with ends[taken].mutex.hold(other):
        for _ in range(3):
            world.turn()
        assert reader.incoming.avail == 0
        assert not world.engine.busy, "the engine does not spin"
    world.settle()
    assert reader.incoming.read() == b"late"


def test_a_close_does_not_touch_its_owners_buffers(world: World) -> None:
    """A scheduled move must not read from a reader that now belongs to another VC."""
    a, b = pipe(world.engine)
    writer, reader = used(a, reads=False), used(b)
    world.settle()
    writer.outward.write(b"mine again")
    a.write_vio.reenable()  # type: ignore[union-attr]
    with a.mutex.hold(world.engine):
        a.do_io_close()
    world.settle()
    assert writer.outgoing.read() == b"mine again"
    assert reader.events == [Event.EOS]


def test_a_reset_is_not_an_orderly_end(world: World) -> None:
    a, b = pipe(world.engine)
    reader = used(b)
    b.read_vio.reenable()  # type: ignore[union-attr]
    with a.mutex.hold(world.engine):
        a.do_io_close(ValueError("bad"))
    world.settle()
    assert reader.events == [Event.ERROR]
    assert str(b.error) == "the other end was closed: bad"


def test_a_finished_writer_gets_no_error_from_a_close(world: World) -> None:
    a, b = pipe(world.engine)
    used(a)
    recorder = EventRecorder(world.engine, b.mutex)
    recorder.outward.write(b"request")
    with b.mutex.hold(world.engine):
        b.do_io_write(recorder, 7, recorder.outgoing)
    world.settle()
    with a.mutex.hold(world.engine):
        a.do_io_close()
    world.settle()
    with b.mutex.hold(world.engine):
        b.do_io_read(recorder, None, recorder.buffer)
    world.settle()
    assert recorder.events == [Event.WRITE_COMPLETE, Event.EOS]


def test_ends_are_under_mutexes_of_their_own(world: World) -> None:
    a, b = pipe(world.engine, "inner")
    assert isinstance(a.mutex, Mutex)
    assert a.mutex is not b.mutex
    assert (a.name, b.name) == ("inner A", "inner B")
