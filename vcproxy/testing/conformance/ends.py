"""Laws about the end of a stream: shutdown, close, reset, failure. Tested in tests/conformance."""

from __future__ import annotations

from vcproxy.engine.event import Event
from vcproxy.engine.vconnection import Shutdown
from vcproxy.engine.vio import VIO
from vcproxy.testing.conformance.end import Crash, Do, End, some_bytes
from vcproxy.testing.conformance.law import Laws, Trait

LAWS = Laws()


@LAWS.needing(Trait.HALF_CLOSE, Trait.END, Trait.BOTH_WAYS)
def one_direction_ends_and_the_other_continues(a: End, b: End) -> None:
    """EOS comes after all data; the other direction still works, and ends later."""
    data = some_bytes(200_000)
    a.read()
    b.read()
    a.write(data)
    a.shutdown(Shutdown.WRITE)
    b.wait_for(Event.EOS)
    b.wait_for_data(data)
    assert Event.EOS not in a.events
    b.write(data)
    a.wait_for_data(data)
    b.shutdown(Shutdown.WRITE)
    a.wait_for(Event.EOS)
    assert Event.ERROR not in a.events + b.events


@LAWS.needing(Trait.HALF_CLOSE, Trait.END, Trait.BOTH_WAYS)
def the_other_direction_may_end_first(a: End, b: End) -> None:
    """Either end may shut down first."""
    a.read()
    b.write(b"goodbye")
    b.shutdown(Shutdown.WRITE)
    a.wait_for(Event.EOS)
    a.wait_for_data(b"goodbye")
    b.read()
    a.write(b"so long")
    b.wait_for_data(b"so long")


@LAWS.needing(Trait.END)
def a_close_is_an_orderly_end(a: End, b: End) -> None:
    """All data up to WRITE_COMPLETE arrives, then EOS."""
    data = some_bytes(100_000)
    b.read()
    a.write(data)
    a.close()
    b.wait_for(Event.EOS)
    b.wait_for_data(data)
    assert Event.ERROR not in b.events


@LAWS.needing(Trait.END)
def each_new_reader_gets_the_end(a: End, b: End) -> None:
    """EOS is a state of the stream: each new read gets it."""
    b.read()
    a.close()
    b.wait_for(Event.EOS)
    b.read()
    b.wait_for(Event.EOS, times=2)


@LAWS.needing(Trait.END, Trait.BOTH_WAYS)
def an_end_that_came_before_the_read(a: End, b: End) -> None:
    """A complete read gets no EOS; the next read does."""
    a.read()
    b.read(nbytes=len(b"answer"))
    b.write(b"question")
    a.wait_for_data(b"question")
    a.write(b"answer")
    b.wait_for(Event.READ_COMPLETE)
    a.close()
    b.wait_a_moment()
    b.read()
    b.wait_for(Event.EOS)
    b.wait_for_data(b"answer")


@LAWS.add
def both_close_at_once(a: End, b: End) -> None:
    """Neither end gets an event."""
    a.read()
    b.read()
    a.begin_writing(b"")
    a.wait_for(Event.WRITE_READY)
    events = list(a.events)
    a.engine.schedule(a, Do, Do(a.close_now))
    b.engine.schedule(b, Do, Do(b.close_now))
    a.wait(lambda: a.closed and b.closed)
    a.wait_a_moment()
    b.wait_a_moment()
    assert a.events == events


@LAWS.needing(Trait.END)
def shutdown_of_both_directions(a: End, b: End) -> None:
    """The peer gets EOS; the end that shut down gets no event, and must still close."""
    a.read()
    b.read()
    a.shutdown(Shutdown.BOTH)
    b.wait_for(Event.EOS)
    events = list(a.events)
    a.wait_a_moment()
    assert a.events == events
    a.close()


@LAWS.needing(Trait.RESET, Trait.END)
def a_reset_is_an_error(a: End, b: End) -> None:
    """After a close with an error the peer gets ERROR for both directions, and no EOS."""
    b.read()
    b.begin_writing(b"")
    b.wait_for(Event.WRITE_READY)
    a.close(ConnectionError("on purpose"))
    b.wait_for(Event.ERROR, times=2)
    assert Event.EOS not in b.events
    assert isinstance(b.read_vio.error, Exception)
    b.read()
    b.wait_for(Event.ERROR, times=3)


@LAWS.needing(Trait.END, Trait.BOTH_WAYS)
def writing_to_a_closed_peer_is_an_error(a: End, b: End) -> None:
    """A writer gets ERROR in the end."""
    a.close()

    def more(_: VIO) -> None:
        b.add(bytes(1000))

    b.on[Event.WRITE_READY] = more
    b.begin_writing(bytes(1000))
    b.wait_for(Event.ERROR)


@LAWS.needing(Trait.END)
def closing_in_a_callback(a: End, b: End) -> None:
    """Any callback may close; no event follows, even if more data has arrived."""
    b.on[Event.READ_READY] = lambda _: b.close_now()
    a.begin_writing(some_bytes(300_000))
    b.read(water_mark=1024)
    b.wait(lambda: b.closed)
    b.wait_a_moment()
    assert b.events == [Event.READ_READY]
    a.read()
    a.wait_for_end()


@LAWS.needing(Trait.END)
def a_crash_closes_the_connection(a: End, b: End) -> None:
    """An exception in a callback closes the connection; the peer gets an end."""

    def crash(_: VIO) -> None:
        b.closed = True
        raise Crash("on purpose")

    a.read()
    b.on[Event.READ_READY] = crash
    b.read()
    a.begin_writing(b"data")
    a.wait_for_end()
    assert b.vc.closed
    assert b.events == [Event.READ_READY]
