"""Laws about the transfer of bytes, and about backpressure. Tested in tests/conformance."""

from __future__ import annotations

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.testing.conformance.end import FLOOD, LARGE, End, some_bytes
from vcproxy.testing.conformance.law import Laws, Trait

LAWS = Laws()


@LAWS.needing(Trait.BOTH_WAYS)
def bytes_go_both_ways(a: End, b: End) -> None:
    """Data written at one end is received at the other, in both directions."""
    a.read()
    b.read()
    a.write(b"ping")
    b.wait_for_data(b"ping")
    b.write(b"pong")
    a.wait_for_data(b"pong")


@LAWS.add
def one_byte_at_a_time(a: End, b: End) -> None:
    """Single bytes arrive in order."""
    message = some_bytes(64)
    b.read()
    for n in range(len(message)):
        a.write(message[n : n + 1])
    b.wait_for_data(message)


@LAWS.needing(Trait.BOTH_WAYS)
def large_transfers_at_once(a: End, b: End) -> None:
    """Large transfers in both directions at the same time are complete and in order."""
    there, back = some_bytes(LARGE, 1), some_bytes(LARGE, 2)
    a.read()
    b.read()
    a.begin_writing(there, nbytes=LARGE)
    b.begin_writing(back, nbytes=LARGE)
    b.wait_for_data(there)
    a.wait_for_data(back)
    a.wait_for(Event.WRITE_COMPLETE)
    b.wait_for(Event.WRITE_COMPLETE)


@LAWS.add
def a_write_continues_with_more_data(a: End, b: End) -> None:
    """A write without a goal waits when its buffer is empty, until it is reenabled."""
    b.read()
    a.begin_writing(b"")
    a.wait_for(Event.WRITE_READY)
    a.do(lambda: a.add(b"one "))
    b.wait_for_data(b"one ")
    a.do(lambda: a.add(b"two"))
    b.wait_for_data(b"one two")
    assert Event.WRITE_COMPLETE not in a.events


@LAWS.add
def a_full_buffer_stops_the_reading(a: End, b: End) -> None:
    """A buffer holds at most its water mark and one slab; after reenable() the rest follows."""
    data = some_bytes(LARGE)
    b.on[Event.READ_READY] = lambda _: None
    b.read(water_mark=64 * 1024)
    a.begin_writing(data, nbytes=LARGE)
    b.wait_for(Event.READ_READY)
    b.wait_a_moment()
    assert b.held <= 64 * 1024 + SLAB
    assert b.read_vio.ndone < LARGE
    del b.on[Event.READ_READY]
    b.do(b.drain)
    b.wait_for_data(data)


@LAWS.add
def a_peer_that_never_reads_blocks_the_writer(a: End, b: End) -> None:
    """If the peer does not read, the data stays with the writer, in bounded memory."""
    piece = bytes(SLAB)

    def fill(vio: VIO) -> None:
        if vio.ndone < FLOOD and a.outgoing.avail < SLAB:
            a.add(piece)

    a.on[Event.WRITE_READY] = fill
    a.begin_writing(piece)
    done = -1
    while done < a.write_vio.ndone:
        done = a.write_vio.ndone
        a.wait_a_moment()
    assert done < FLOOD, "a peer that never reads has taken all data"
    assert a.outgoing.avail <= 2 * SLAB
    assert not b.events
