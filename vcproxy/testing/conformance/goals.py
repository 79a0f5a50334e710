"""Laws about nbytes, the goal of a read or write. Tested in tests/conformance."""

from __future__ import annotations

from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.testing.conformance.end import End, some_bytes
from vcproxy.testing.conformance.law import Laws

LAWS = Laws()


@LAWS.add
def a_read_ends_exactly_at_its_goal(a: End, b: End) -> None:
    """READ_COMPLETE comes at nbytes; further data waits for the next read."""
    a.begin_writing(b"head" + b"body")
    b.read(nbytes=4)
    b.wait_for(Event.READ_COMPLETE)
    assert b.received == b"head"
    b.read(nbytes=4)
    b.wait_for(Event.READ_COMPLETE, times=2)
    assert b.received == b"headbody"


@LAWS.add
def a_write_ends_exactly_at_its_goal(a: End, b: End) -> None:
    """WRITE_COMPLETE comes at nbytes; further data stays with the writer."""
    b.read()
    a.begin_writing(b"this, not that", nbytes=5)
    a.wait_for(Event.WRITE_COMPLETE)
    assert a.write_vio.ndone == 5
    b.wait_for_data(b"this,")
    b.wait_a_moment()
    assert a.outgoing.peek() == b" not that"
    assert b.received == b"this,"


@LAWS.add
def writes_follow_one_another(a: End, b: End) -> None:
    """Each write has its own goal and its own WRITE_COMPLETE."""
    pieces = [some_bytes(size, seed=size) for size in (1, 5_000, 300_000, 2, 70_000)]
    b.read()
    for piece in pieces:
        a.write(piece)
    b.wait_for_data(b"".join(pieces))
    assert a.events.count(Event.WRITE_COMPLETE) == len(pieces)


@LAWS.add
def a_goal_may_move(a: End, b: End) -> None:
    """nbytes may be changed under the mutex; reenable() applies the new value."""

    def read_until(nbytes: int) -> None:
        b.read_vio.nbytes = nbytes
        b.read_vio.reenable()

    def write_until(nbytes: int) -> None:
        a.write_vio.nbytes = nbytes
        a.write_vio.reenable()

    b.read(nbytes=100)
    a.begin_writing(b"12345678")
    b.wait_for_data(b"12345678")
    b.do(lambda: read_until(12))
    a.do(lambda: a.add(b"90ab and more"))
    b.wait_for(Event.READ_COMPLETE)
    b.wait_for_data(b"1234567890ab")
    b.read()
    b.wait_for_data(b"1234567890ab and more")
    a.do(lambda: write_until(a.write_vio.ndone))
    a.wait_for(Event.WRITE_COMPLETE)
    b.do(lambda: read_until(b.read_vio.ndone))
    b.wait_for(Event.READ_COMPLETE, times=2)


@LAWS.add
def a_replaced_read_keeps_every_byte(a: End, b: End) -> None:
    """A read is replaced by one with another buffer: no data is lost or repeated."""
    data = some_bytes(500_000)

    def take_and_replace(_: VIO) -> None:
        b.drain()
        b.read_now(water_mark=8 * 1024)

    b.on[Event.READ_READY] = take_and_replace
    b.read(water_mark=8 * 1024)
    a.begin_writing(data, nbytes=len(data))
    b.wait_for_data(data)
