"""NetVConnection on a simulated port: driver calls, and the events they cause."""

import pytest

from vcproxy.engine.blocks import COPY_OUT, SLAB
from vcproxy.engine.event import Event
from vcproxy.engine.fan import Fan
from vcproxy.engine.iobuffer import IOBuffer
from vcproxy.engine.vconnection import Shutdown
from vcproxy.engine.vio import couple

from .world import EventRecorder, World, engine


@pytest.fixture
def world() -> World:
    return World()


class TestReading:
    def test_received_bytes_are_in_the_buffer(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        wire.arrive(b"hello")
        assert recorder.events == [], "nothing calls back inline"
        world.settle()
        assert recorder.events == [Event.READ_READY]
        assert recorder.data == [vc.read_vio]
        assert recorder.incoming.read() == b"hello"

    def test_ready_collapses_to_one_pending(self, world: World) -> None:
        recorder, _, wire = world.reading()
        for _ in range(3):
            wire.arrive(b"more ")
        world.settle()
        assert recorder.events == [Event.READ_READY]
        wire.arrive(b"and more")
        world.settle()
        assert recorder.events == [Event.READ_READY] * 2
        assert recorder.incoming.read() == b"more more more and more"

    def test_a_large_read_takes_the_slab_along_and_a_small_one_is_copied_out(
        self, world: World
    ) -> None:
        recorder, _, wire = world.reading()
        wire.arrive(bytes(COPY_OUT))
        assert recorder.buffer.held == COPY_OUT
        wire.arrive(bytes(COPY_OUT + 1))
        assert recorder.buffer.held == COPY_OUT + SLAB

    def test_complete_exactly_at_nbytes(self, world: World) -> None:
        recorder, vc, wire = world.reading(nbytes=4)
        wire.arrive(b"head+body")
        world.settle()
        assert recorder.events == [Event.READ_COMPLETE]
        assert recorder.incoming.read() == b"head"
        with vc.mutex.hold(world.engine):
            vc.do_io_read(recorder, None, recorder.buffer)
        world.settle()
        assert recorder.events == [Event.READ_COMPLETE, Event.READ_READY]
        assert recorder.incoming.read() == b"+body"

    @pytest.mark.parametrize("nbytes", [3, 5])
    def test_nbytes_lowered_to_what_was_read_completes(self, world: World, nbytes: int) -> None:
        recorder, vc, wire = world.reading(nbytes=10)
        wire.arrive(b"short")
        world.settle()
        assert vc.read_vio is not None
        with vc.mutex.hold(world.engine):
            vc.read_vio.nbytes = nbytes
        vc.read_vio.reenable()
        world.settle()
        assert recorder.events == [Event.READ_READY, Event.READ_COMPLETE]

    def test_reading_into_a_full_buffer_pauses_until_it_is_reenabled(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        recorder.buffer.water_mark = 4
        wire.arrive(b"12345678")
        wire.read()
        assert wire.incoming == b"5678"
        world.settle()
        recorder.incoming.read()
        world.settle()
        assert wire.incoming == b"5678", "there was no reenable() yet"
        assert vc.read_vio is not None
        vc.read_vio.reenable()
        world.settle()
        assert recorder.incoming.read() == b"5678"

    def test_eos_comes_after_all_data_and_to_each_new_reader(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        wire.arrive(b"the last")
        vc.ended()
        world.settle()
        assert recorder.events == [Event.READ_READY, Event.EOS]
        with vc.mutex.hold(world.engine):
            vc.do_io_read(recorder, None, recorder.buffer)
        world.settle()
        assert recorder.events == [Event.READ_READY, Event.EOS, Event.EOS]

    def test_an_end_delayed_by_a_taken_mutex_goes_to_the_current_reader(self, world: World) -> None:
        """Another engine replaces the reader before the end is delivered."""
        recorder, vc, _ = world.reading()
        other = engine(name="other")
        late = EventRecorder(world.engine, recorder.mutex)
        with recorder.mutex.hold(other):
            world.engine.clock(0.0)
            vc.ended()
            other.clock(0.0)
            vc.do_io_read(late, None, late.buffer)
        world.settle()
        assert recorder.events == []
        assert late.events == [Event.EOS]

    def test_a_read_of_0_bytes_reads_nothing(self, world: World) -> None:
        recorder, vc, wire = world.reading(nbytes=0)
        wire.arrive(b"later")
        with vc.mutex.hold(world.engine):
            vc.set_inactivity_timeout(1)
        world.settle(2)
        assert recorder.events == [Event.INACTIVITY_TIMEOUT]
        assert wire.incoming == b"later"

    def test_a_taken_mutex_lists_the_vc_again(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        other = engine(name="other")
        wire.incoming += b"patience"
        with recorder.mutex.hold(other):
            assert vc.begin_read() == 0
        world.settle()
        assert recorder.incoming.read() == b"patience"


class TestAtOnce:
    def test_input_is_passed_on_without_an_event_once(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        got: list[bytes] = []
        assert vc.read_vio is not None
        vc.read_vio.at_once = lambda data: got.append(bytes(data))
        world.engine.clock(world.now)  # a turn begins: its events are not delivered yet
        wire.arrive(b"first")
        assert got == [b"first"]
        assert (vc.read_vio.ndone, recorder.buffer.held) == (5, 0)
        wire.arrive(b"second")
        world.settle()
        assert got == [b"first"]
        assert recorder.events == [Event.READ_READY]
        assert recorder.incoming.read() == b"second"

    def test_it_overtakes_no_event(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        assert vc.read_vio is not None
        vc.read_vio.at_once = lambda _: recorder.events.append(Event.EOS)
        world.engine.clock(world.now)
        world.engine.schedule(recorder, Event.TIMEOUT, None)
        wire.arrive(b"later")
        world.settle()
        assert recorder.events == [Event.TIMEOUT, Event.READ_READY]
        assert vc.read_vio.at_once is None, "the next data come with an event too"

    def test_an_exception_closes_the_conversation(self, world: World) -> None:
        _, vc, wire = world.reading()
        assert vc.read_vio is not None

        def fail(data: object) -> None:
            raise KeyError("missing")

        vc.read_vio.at_once = fail
        world.engine.clock(world.now)
        wire.arrive(b"data")
        assert vc.closed
        assert isinstance(vc.error, KeyError)
        assert vc.mutex.owner is None
        assert world.engine.running is None

    def test_output_is_sent_at_once_unless_earlier_output_waits(self, world: World) -> None:
        recorder, vc, wire = world.writing()
        world.settle()
        wire.window = 4
        with recorder.mutex.hold(world.engine):
            assert vc.send_at_once(b"abcdef") == 4
            assert vc.write_vio is not None
            assert vc.write_vio.ndone == 4
            recorder.outward.write(b"ef")
            assert vc.send_at_once(b"gh") == 0
            recorder.outward.write(b"gh")
            vc.write_vio.reenable()
        wire.window = 4
        world.settle()
        assert wire.outgoing == b"abcdefgh"

    def test_nothing_is_sent_at_once_by_an_engine_that_is_not_direct(self, world: World) -> None:
        recorder, vc, wire = world.writing()
        world.engine.direct = False
        with recorder.mutex.hold(world.engine):
            assert vc.send_at_once(b"abc") == 0
        assert wire.outgoing == b""


class TestWriting:
    def test_written_bytes_are_sent(self, world: World) -> None:
        recorder, vc, wire = world.writing(b"hello", nbytes=5)
        world.settle()
        assert wire.outgoing == b"hello"
        assert recorder.events == [Event.WRITE_COMPLETE]
        assert recorder.data == [vc.write_vio]

    def test_an_empty_write_delivers_write_ready_once(self, world: World) -> None:
        recorder, vc, wire = world.writing()
        world.settle()
        assert recorder.events == [Event.WRITE_READY]
        assert vc.write_vio is not None
        vc.write_vio.reenable()
        world.settle()
        assert recorder.events == [Event.WRITE_READY], "a spurious reenable has no effect"
        recorder.outward.write(b"filled")
        vc.write_vio.reenable()
        world.settle()
        assert wire.outgoing == b"filled"
        assert recorder.events == [Event.WRITE_READY] * 2

    def test_complete_exactly_at_nbytes(self, world: World) -> None:
        recorder, _, wire = world.writing(b"this, not that", nbytes=5)
        world.settle()
        assert wire.outgoing == b"this,"
        assert recorder.events == [Event.WRITE_COMPLETE]
        assert recorder.outgoing.peek() == b" not that"

    def test_a_slow_peer_gets_it_in_pieces(self, world: World) -> None:
        recorder, _, wire = world.writing(b"abcdef", nbytes=6)
        wire.piece = 2
        world.settle()
        assert wire.outgoing == b"abcdef"
        assert recorder.events == [Event.WRITE_READY] * 2 + [Event.WRITE_COMPLETE]

    def test_no_event_while_the_peer_reads_nothing(self, world: World) -> None:
        recorder, _, wire = world.writing(b"abcdef", nbytes=6)
        wire.window = 0
        world.settle()
        assert recorder.events == []
        wire.window = 6
        wire.write()
        world.settle()
        assert recorder.events == [Event.WRITE_COMPLETE]

    def test_nbytes_lowered_to_what_was_written_completes(self, world: World) -> None:
        recorder, vc, _ = world.writing(b"short", nbytes=10)
        world.settle()
        assert vc.write_vio is not None
        with vc.mutex.hold(world.engine):
            vc.write_vio.nbytes = vc.write_vio.ndone
        vc.write_vio.reenable()
        world.settle()
        assert recorder.events == [Event.WRITE_READY, Event.WRITE_COMPLETE]

    def test_shutdown_ends_one_direction(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        with vc.mutex.hold(world.engine):
            vc.do_io_shutdown(Shutdown.WRITE)
        wire.arrive(b"still here")
        world.settle()
        assert wire.ended == "fin "
        assert recorder.incoming.read() == b"still here"


class TestEnds:
    def test_a_broken_connection_is_an_error_in_both_directions(self, world: World) -> None:
        recorder, vc, _ = world.reading()
        with vc.mutex.hold(world.engine):
            vc.do_io_write(recorder, None, recorder.outgoing)
        world.settle()
        recorder.events.clear()
        vc.failed(ConnectionResetError("reset by peer"))
        vc.failed(BrokenPipeError("reported once"))
        world.settle()
        assert recorder.events == [Event.ERROR, Event.ERROR]
        assert str(vc.error) == "reset by peer"
        with vc.mutex.hold(world.engine):
            vc.do_io_read(recorder, None, recorder.buffer)
        world.settle()
        assert recorder.events == [Event.ERROR] * 3

    def test_a_fresh_vio_drops_the_queued_events_of_the_one_it_replaces(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        wire.arrive(b"queued")
        with vc.mutex.hold(world.engine):
            vc.do_io_read(recorder, None, IOBuffer(world.engine.memory))
        world.settle()
        assert recorder.events == []
        assert recorder.incoming.read() == b"queued", "its bytes are kept"

    def test_no_event_after_the_close(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        with vc.mutex.hold(world.engine):
            vc.set_inactivity_timeout(1)
            vc.set_active_timeout(1)
        wire.arrive(b"queued")
        vc.ended()
        read = vc.read_vio
        with vc.mutex.hold(world.engine):
            vc.do_io_close()
        vc.failed(ConnectionResetError("late"))
        assert read is not None
        read.reenable()
        world.settle(10)
        assert recorder.events == []
        assert wire.ended == "closed"
        assert not world.engine.vcs

    def test_a_close_with_an_error_is_a_reset(self, world: World) -> None:
        _, vc, wire = world.reading()
        with vc.mutex.hold(world.engine):
            vc.do_io_close(ValueError("bad message"))
            vc.do_io_close()
        world.settle()
        assert wire.ended == "reset"


@pytest.mark.parametrize("window", [1 << 30, 2, 0])
def test_nbytes_reached_by_a_direct_write_completes(world: World, window: int) -> None:
    recorder = EventRecorder(world.engine)
    source, wire = world.vc(recorder.mutex)
    sink, other = world.vc(recorder.mutex)
    other.window = window
    with recorder.mutex.hold(world.engine):
        read = source.do_io_read(recorder, 9, recorder.buffer)
        couple(read, sink.do_io_write(recorder, None, recorder.incoming))
    world.settle()
    recorder.events.clear()
    wire.arrive(b"all nine and more")
    assert read.over, "at once, without listing it again"
    world.settle()
    assert recorder.events == [Event.READ_COMPLETE]
    assert wire.incoming == b"and more"


def test_nbytes_reached_by_a_spread_completes(world: World) -> None:
    recorder = EventRecorder(world.engine)
    source, _ = world.vc(recorder.mutex)
    with recorder.mutex.hold(world.engine):
        read = source.do_io_read(recorder, 9, recorder.buffer)
        fan = Fan(recorder, recorder.buffer)
        fan.add_source(read)
    recorder.incoming.close()
    assert source.begin_read() == 9
    assert source.fan is fan
    source.spread(b"all nine.", [])
    assert read.over, "at once, without listing it again"
    world.settle()
    assert recorder.events == [Event.READ_COMPLETE]


def test_a_sink_that_takes_nothing_has_not_moved(
    world: World,
) -> None:
    recorder = EventRecorder(world.engine)
    source, wire = world.vc(recorder.mutex)
    sink, closed = world.vc(recorder.mutex)
    closed.window = 0
    with recorder.mutex.hold(world.engine):
        couple(
            source.do_io_read(recorder, None, recorder.buffer),
            sink.do_io_write(recorder, None, recorder.incoming),
        )
    world.settle(5)
    wire.arrive(b"straight on")
    wire.arrive(b"by way of the buffer")
    world.settle()
    assert (source.moved_at, sink.moved_at) == (5, 0)


def test_no_connection_is_closed_while_the_budget_is_not_used_up() -> None:
    world = World(memory=4 * SLAB)
    keeping, kept, first = world.reading()
    taking, paused, second = world.reading()
    keeping.buffer.water_mark = taking.buffer.water_mark = 4 * SLAB
    for wire in (first, second, first, second):
        wire.arrive(b"." * SLAB)
    second.arrive(b"waits")
    taking.incoming.read(SLAB)
    world.settle(0.4)
    assert taking.incoming.avail == SLAB, "at three quarters reading would soon pause again"
    for _ in range(5):
        world.settle(0.1)
    assert taking.incoming.avail == SLAB + len(b"waits")
    assert (kept.error, paused.error, world.log) == (None, None, [])
