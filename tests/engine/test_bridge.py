"""Bridge: which bytes the driver moves, and that continuations get the same events as without
it."""

from __future__ import annotations

import pytest

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.bridge import BULK_READ, BULK_READS, SMALL_MOVES, UNLIMITED, Bridge
from vcproxy.engine.commands import EndBridge, StartBridge
from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import WATER_MARK
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import VIO, couple

from .world import EventRecorder, Wire, World, engine


class Direction:
    """A coupled direction between two plain wires."""

    def __init__(self, spliceable: bool = True, bridges: bool = True) -> None:
        self.world = World()
        self.world.engine.bridges = bridges
        self.recorder = EventRecorder(self.world.engine)
        self.source, self.source_wire = self.world.vc(self.recorder.mutex, spliceable=spliceable)
        self.sink, self.sink_wire = self.world.vc(self.recorder.mutex, spliceable=True)
        with self.recorder.mutex.hold(self.world.engine):
            self.read = self.source.do_io_read(self.recorder, None, self.recorder.buffer)
            self.write = self.sink.do_io_write(self.recorder, None, self.recorder.incoming)
            couple(self.read, self.write)
        self.world.settle()
        self.recorder.events.clear()
        self.recorder.data.clear()

    def bulk(self, reads: int = BULK_READS) -> list[Bridge]:
        """Move bulk; return the bridges that were started."""
        for _ in range(reads):
            self.source_wire.arrive(bytes(BULK_READ))
            self.world.settle()
        return [c.bridge for c in self.world.commands if isinstance(c, StartBridge)]

    def bridged(self) -> Bridge:
        (bridge,) = self.bulk()
        return bridge

    def ends(self) -> list[EndBridge]:
        return [c for c in self.world.commands if isinstance(c, EndBridge)]


def move(bridge: Bridge, taken: int, given: int) -> int | None:
    """One move, as a driver makes it."""
    limit = bridge.begin()
    if limit:
        bridge.moved(min(taken, limit), given)
    return limit


def test_bulk_between_plain_wires_is_bridged() -> None:
    direction = Direction()
    assert direction.bulk(BULK_READS - 1) == []
    assert len(direction.bulk(1)) == 1
    assert direction.recorder.events == [], "coupled VIOs deliver no READY"


@pytest.mark.parametrize("plain", [{"spliceable": False}, {"bridges": False}])
def test_bytes_are_copied_where_bridges_are_impossible_or_disabled(plain: dict[str, bool]) -> None:
    direction = Direction(**plain)
    assert direction.bulk(2 * BULK_READS) == []
    assert len(direction.sink_wire.outgoing) == 2 * BULK_READS * BULK_READ


@pytest.mark.parametrize("nbytes", [None, 1 << 20], ids=["until the end", "of a known length"])
def test_bulk_that_is_copied_is_read_in_slabs(nbytes: int | None) -> None:
    direction = Direction(spliceable=False)
    direction.recorder.buffer.water_mark = WATER_MARK
    direction.read.nbytes = nbytes
    direction.bulk(BULK_READS + 1)
    moved = direction.read.ndone
    direction.source_wire.arrive(bytes(2 * SLAB))
    assert direction.read.ndone == moved + SLAB
    if nbytes is not None:
        direction.world.settle()
        direction.read.nbytes = direction.read.ndone + WATER_MARK + 1
        direction.source_wire.read()
        assert direction.read.ndone == direction.read.nbytes


def test_small_reads_are_copied() -> None:
    direction = Direction()
    for _ in range(3 * BULK_READS):
        direction.source_wire.arrive(bytes(BULK_READ - 1))
        direction.world.settle()
    assert direction.bulk(0) == []


def test_moves_are_counted_on_both_sides_and_by_the_timers() -> None:
    direction = Direction()
    bridge = direction.bridged()
    before = direction.read.ndone
    direction.world.turn(5)
    assert move(bridge, 1000, 600) == UNLIMITED
    assert (direction.read.ndone, direction.write.ndone) == (before + 1000, before + 600)
    assert bridge.inside == 400
    assert direction.source.moved_at == direction.sink.moved_at == 5


def test_copying_stops_while_bridged() -> None:
    direction = Direction()
    direction.bridged()
    assert direction.source.begin_read() == 0
    assert direction.sink.begin_write() is None


def test_the_rest_of_the_pipe_is_copied_and_copying_goes_on() -> None:
    direction = Direction()
    bridge = direction.bridged()
    direction.sink_wire.outgoing.clear()
    move(bridge, 4, 0)
    bridge.ended(b"rest")
    direction.source_wire.arrive(b" and more")
    direction.world.settle()
    assert direction.sink_wire.outgoing == b"rest and more"
    assert direction.read.ndone == direction.write.ndone


def test_a_refused_bridge_is_copied() -> None:
    direction = Direction()
    direction.bridged().refuse()
    direction.sink_wire.outgoing.clear()
    direction.source_wire.arrive(b"copied")
    direction.world.settle()
    assert direction.sink_wire.outgoing == b"copied"


def test_small_moves_end_it() -> None:
    direction = Direction()
    bridge = direction.bridged()
    for _ in range(SMALL_MOVES):
        assert move(bridge, 10, 10)
    assert move(bridge, 10, 10) == 0


def test_a_recall_delivers_the_rest_and_then_bridge_ended() -> None:
    direction = Direction()
    bridge = direction.bridged()
    direction.sink_wire.window = 0
    move(bridge, 4, 0)
    with direction.recorder.mutex.hold(direction.world.engine):
        direction.read.recall()
    direction.world.settle()
    assert [end.bridge for end in direction.ends()] == [bridge]
    assert bridge.begin() == 0
    bridge.ended(b"rest")
    direction.world.settle()
    assert direction.recorder.events == [Event.BRIDGE_ENDED]
    assert direction.recorder.incoming.peek() == b"rest"


def test_a_recall_without_a_bridge_delivers_bridge_ended_at_once() -> None:
    direction = Direction()
    with direction.recorder.mutex.hold(direction.world.engine):
        direction.read.recall()
        assert direction.recorder.events == []
    direction.world.settle()
    assert direction.recorder.events == [Event.BRIDGE_ENDED]


def test_it_stops_at_nbytes() -> None:
    direction = Direction()
    bridge = direction.bridged()
    with direction.recorder.mutex.hold(direction.world.engine):
        direction.read.nbytes = direction.read.ndone + 10
    assert move(bridge, 99, 10) == 10
    assert move(bridge, 1, 1) == 0
    bridge.ended(b"")
    direction.world.settle()
    assert direction.recorder.events == [Event.READ_COMPLETE]


def test_nbytes_lowered_to_what_has_moved_ends_it_in_order() -> None:
    direction = Direction()
    bridge = direction.bridged()
    move(bridge, 4, 0)
    with direction.recorder.mutex.hold(direction.world.engine):
        direction.read.nbytes = direction.read.ndone
    direction.read.reenable()
    direction.world.settle()
    assert direction.recorder.events == [], "the rest is still in the pipe"
    assert bridge.begin() == 0
    bridge.ended(b"rest")
    direction.world.settle()
    assert direction.recorder.events == [Event.READ_COMPLETE]


@pytest.mark.parametrize("end", ["source", "sink"])
def test_a_close_stops_it(end: str) -> None:
    direction = Direction()
    bridge = direction.bridged()
    vc: NetVConnection = getattr(direction, end)
    with direction.recorder.mutex.hold(direction.world.engine):
        vc.do_io_close()
    direction.world.settle()
    assert [stopped.bridge for stopped in direction.ends()] == [bridge]
    bridge.ended(b"rest")
    direction.world.settle()
    assert all(isinstance(vio, VIO) and vio.vc is not vc for vio in direction.recorder.data)


def test_a_taken_mutex_delays_it_and_lists_it_again() -> None:
    direction = Direction()
    bridge = direction.bridged()
    other = engine(name="other")
    with direction.recorder.mutex.hold(other):
        assert bridge.begin() is None
    direction.world.engine.clock(0)
    assert direction.source in direction.world.engine.take_reads()


def test_only_what_shares_a_buffer_is_coupled() -> None:
    world = World()
    recorder = EventRecorder(world.engine)
    source, _ = world.vc(recorder.mutex)
    sink, _ = world.vc(recorder.mutex)
    with recorder.mutex.hold(world.engine):
        read: VIO = source.do_io_read(recorder, None, recorder.buffer)
        write = sink.do_io_write(recorder, None, recorder.outgoing)
        with pytest.raises(AssertionError, match="share no buffer"):
            couple(read, write)


def test_a_wire_of_either_kind_may_be_coupled() -> None:
    direction = Direction(spliceable=False)
    wire: Wire = direction.source_wire
    wire.arrive(b"through")
    direction.world.settle()
    assert direction.sink_wire.outgoing == b"through"


def test_a_coupled_write_stops_at_nbytes() -> None:
    direction = Direction()
    with direction.recorder.mutex.hold(direction.world.engine):
        direction.write.nbytes = 4
    direction.source_wire.arrive(b"this and not that")
    direction.world.settle()
    assert direction.sink_wire.outgoing == b"this"
    assert direction.recorder.events == [Event.WRITE_COMPLETE]


def test_a_third_reader_of_a_coupled_direction_gets_all_bytes() -> None:
    direction = Direction()
    spy = direction.recorder.buffer.reader()
    direction.source_wire.arrive(b"for both")
    direction.world.settle()
    assert direction.sink_wire.outgoing == b"for both"
    assert spy.read() == b"for both"
