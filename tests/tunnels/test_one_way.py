"""OneWayTunnel: source and sink speak and leave, the owner hears one TunnelDone.

A test that takes `stage` runs copied, bridged and between two engines.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import LockNotHeld, Mutex
from vcproxy.testing.machines import check_machine
from vcproxy.tunnels.done import Flow, Reason, TunnelDone
from vcproxy.tunnels.one_way import OneWayTunnel

from .stage import BUFFER, BULK, NETWORK, OWED, Line, Owner, Stage

# -- moving ----------------------------------------------------------------------------------


def test_what_the_source_says_reaches_the_sink_and_the_owner_hears_nothing(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(b"hello")
    stage.run()
    source.peer.send(BULK)
    stage.run()
    assert sink.peer.received == b"hello" + BULK
    assert tunnel.flow == Flow(source.name, sink.name, 5 + len(BULK), 5 + len(BULK))
    assert stage.owner.heard == []


@pytest.mark.parametrize(("engines", "bridges"), [(1, True), (1, False), (2, True)])
def test_bulk_is_bridged_on_one_engine_that_may(engines: int, bridges: bool) -> None:
    stage = Stage(engines=engines, bridges=bridges)
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    stage.run()
    assert (tunnel.source.bridge is not None) is (engines == 1 and bridges)


def test_what_the_sink_says_is_dropped(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    sink.peer.send(BULK)
    source.peer.send(b"still heard")
    stage.run()
    assert sink.peer.received == b"still heard"
    assert sink.peer.sent == len(BULK), "all of it was read"
    assert source.peer.received == b""
    assert all(engine.memory.used == 0 for engine in stage.engines)


def test_unwatched_the_sink_is_left_for_others_to_read() -> None:
    stage = Stage()
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, watch=False))
    _, reader = stage.read(sink)
    sink.peer.send(b"for the owner")
    source.peer.send(b"for the sink")
    stage.run()
    assert reader.read() == b"for the owner"
    assert sink.peer.received == b"for the sink"
    sink.peer.end()
    stage.run()
    assert stage.owner.heard == [Event.READ_READY, Event.EOS], "and no end of the tunnel"


# -- the source ends -------------------------------------------------------------------------


def test_when_the_source_ends_what_is_buffered_arrives_and_then_the_end(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    sink.peer.stall()
    source.peer.send(OWED)
    source.peer.end()
    stage.run()
    assert stage.owner.heard == [], "the sink has not taken all of it yet"
    sink.peer.resume()
    stage.run()
    assert sink.peer.received == OWED
    assert sink.peer.ended
    count = len(OWED)
    assert stage.done.reason is Reason.EOS
    assert stage.done.ended_by == source.name
    assert stage.done.flows == (Flow(source.name, sink.name, count, count),)


def test_a_source_that_says_nothing_ends_too(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.end()
    stage.run()
    assert sink.peer.received == b""
    assert sink.peer.ended
    assert stage.done.reason is Reason.EOS


def test_a_source_that_ended_before_is_met_at_once(stage: Stage) -> None:
    source, sink = stage.lines()
    source.peer.send(b"farewell")
    source.peer.end()
    stage.run()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    stage.run()
    assert sink.peer.received == b"farewell"
    assert sink.peer.ended


def test_after_the_end_both_are_the_owners_and_open(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(b"question")
    source.peer.end()
    stage.run()
    sink.peer.send(b"answer")
    stage.run()  # it waits in the network: nobody reads
    _, reader = stage.read(sink)
    stage.say(source, b"well done")
    stage.run()
    assert reader.read() == b"answer"
    assert source.peer.received == b"well done"
    assert not source.vc.closed
    assert not sink.vc.closed


# -- the sink ends ---------------------------------------------------------------------------


def test_when_the_sink_ends_the_tunnel_ends(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    stage.run()
    sink.peer.end()
    stage.run()
    assert stage.done.reason is Reason.SINK_ENDED
    assert stage.done.ended_by == sink.name
    assert stage.done.flows == (Flow(source.name, sink.name, len(BULK), len(BULK)),)
    assert not source.peer.ended, "the source is the owner's to close"


def test_a_sink_that_ends_while_it_is_owed_something_ends_the_tunnel(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    sink.peer.stall()
    source.peer.send(OWED)
    source.peer.end()
    stage.run()
    sink.peer.end()
    stage.run()
    assert stage.done.reason is Reason.SINK_ENDED
    [flow] = stage.done.flows
    assert flow.received == len(OWED)
    assert flow.sent == NETWORK
    assert all(engine.memory.used == 0 for engine in stage.engines)


@pytest.mark.parametrize("who", ["source", "sink"])
def test_an_error_ends_the_tunnel_and_is_told(stage: Stage, who: str) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    stage.run()
    broken, other = (source, sink) if who == "source" else (sink, source)
    broken.peer.reset()
    stage.run()
    assert stage.done.reason is Reason.ERROR
    assert stage.done.ended_by == broken.name
    assert isinstance(stage.done.error, ConnectionResetError)
    assert not other.peer.ended
    assert not other.peer.reset_seen


# -- a goal ----------------------------------------------------------------------------------


def test_after_nbytes_it_is_complete_and_the_sink_open(stage: Stage) -> None:
    source, sink = stage.lines()
    goal = len(BULK) - 5
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, nbytes=goal))
    source.peer.send(BULK + b" and more")
    stage.run()
    assert sink.peer.received == BULK[:goal]
    assert not sink.peer.ended
    assert stage.done.reason is Reason.COMPLETE
    assert stage.done.ended_by == source.name
    assert stage.done.flows == (Flow(source.name, sink.name, goal, goal),)
    _, reader = stage.read(source)
    stage.say(sink, b"goodbye")
    stage.run()
    assert reader.read() == BULK[goal:] + b" and more"
    assert sink.peer.received == BULK[:goal] + b"goodbye"


def test_the_goal_may_be_nothing(stage: Stage) -> None:
    source, sink = stage.lines()
    source.peer.send(b"not for the sink")
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, nbytes=0))
    stage.run()
    assert stage.done.reason is Reason.COMPLETE
    assert sink.peer.received == b""


def test_a_source_that_ends_before_the_goal_truncates(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, nbytes=len(BULK) + 1))
    source.peer.send(BULK)
    source.peer.end()
    stage.run()
    assert stage.done.reason is Reason.TRUNCATED
    assert stage.done.ended_by == source.name
    assert not sink.peer.ended, "or the sink would take it for the end"


# -- a buffer that was read into already -----------------------------------------------------


def test_a_buffer_handed_over_loses_nothing(stage: Stage) -> None:
    source, sink = stage.lines()
    source.peer.send(b"LOGIN me\nhello ")
    _, reader = stage.read(source)
    stage.run()
    assert reader.read(9) == b"LOGIN me\n"
    source.peer.send(BULK)  # some of it comes into the old buffer, the rest into the tunnel's
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, reader=reader))
    source.peer.end()
    stage.run()
    assert sink.peer.received == b"hello " + BULK
    assert stage.done.flows == (Flow(source.name, sink.name, 6 + len(BULK), 6 + len(BULK)),)


def test_what_lies_in_the_buffer_counts_towards_the_goal(stage: Stage) -> None:
    source, sink = stage.lines()
    source.peer.send(b"12345")
    _, reader = stage.read(source)
    stage.run()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, reader=reader, nbytes=8))
    source.peer.send(b"6789")
    stage.run()
    assert sink.peer.received == b"12345678"
    assert stage.done.reason is Reason.COMPLETE


def test_the_buffer_alone_may_be_all_of_the_goal(stage: Stage) -> None:
    source, sink = stage.lines()
    source.peer.send(b"12345")
    _, reader = stage.read(source)
    stage.run()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, reader=reader, nbytes=5))
    source.peer.send(b"6789")
    stage.run()
    assert sink.peer.received == b"12345"
    assert stage.done.reason is Reason.COMPLETE
    _, rest = stage.read(source)
    stage.run()
    assert rest.read() == b"6789"


def test_a_buffer_with_more_than_the_goal_is_the_owners_mistake() -> None:
    stage = Stage()
    source, sink = stage.lines()
    buffer = stage.engine.buffer()
    reader = buffer.reader()
    buffer.write(b"12345")
    with pytest.raises(AssertionError, match="5 bytes were read already, more than nbytes=4"):
        stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, reader=reader, nbytes=4))


# -- taking it back --------------------------------------------------------------------------


def test_recalled_it_gives_back_everything(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    stage.run(until=lambda: len(sink.peer.received) > len(BULK) // 2)  # in full flow
    with stage.held():
        tunnel.recall()
    stage.run()
    assert stage.done.reason is Reason.RECALLED
    assert stage.done.ended_by == source.name
    [flow] = stage.done.flows
    assert flow.received == flow.sent == len(sink.peer.received) < len(BULK)
    assert not sink.peer.ended
    assert sink.peer.received + stage.read_all(source) == BULK, "nothing lost, nothing twice"
    stage.say(sink, b"over to me")
    stage.run()
    assert sink.peer.received.endswith(b"over to me")


def test_recalled_it_waits_for_a_slow_sink(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    stage.run(until=lambda: len(sink.peer.received) > len(BULK) // 2)
    sink.peer.stall()
    stage.run()
    with stage.held():
        tunnel.recall()
    stage.run()
    assert stage.owner.heard == []
    sink.peer.resume()
    stage.run()
    assert stage.done.reason is Reason.RECALLED
    [flow] = stage.done.flows
    assert flow.received == flow.sent == len(sink.peer.received)


def test_stopped_it_ends_at_once(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, name="mine"))
    source.peer.send(BULK)
    stage.run(until=lambda: len(sink.peer.received) > len(BULK) // 2)
    sink.peer.stall()
    stage.run()
    with stage.held():
        tunnel.stop()
    stage.run()
    assert stage.done.reason is Reason.STOPPED
    assert stage.done.ended_by == "mine"
    assert not stage.done.reason.clean
    vio, reader = stage.read(source)
    stage.run()
    assert reader.avail == vio.ndone > 0, "later bytes are the owner's"
    sink.peer.resume()
    stage.say(sink, b"sorry")
    stage.run()
    assert sink.peer.received.endswith(b"sorry")
    assert BULK.startswith(sink.peer.received[:-5])


def test_stopped_while_flushing_it_ends_at_once(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, name="mine"))
    sink.peer.stall()
    source.peer.send(OWED)
    source.peer.end()
    stage.run()
    with stage.held():
        tunnel.stop()
    stage.run()
    assert stage.done.reason is Reason.STOPPED
    assert stage.done.ended_by == "mine"
    assert not sink.peer.ended


def test_a_tunnel_that_is_done_hears_no_more() -> None:
    stage = Stage()
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.end()
    stage.run()
    with stage.held():
        tunnel.recall()
        tunnel.stop()
    source.peer.reset()
    sink.peer.reset()
    stage.run()
    assert stage.done.reason is Reason.EOS


def test_what_the_sink_says_after_the_end_is_not_dropped() -> None:
    stage = Stage()
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.end()
    sink.peer.on_end = lambda: sink.peer.send(b"thank you")
    stage.run()
    _, reader = stage.read(sink)
    stage.run()
    assert reader.read() == b"thank you"


@pytest.mark.parametrize("bridges", [True, False])
def test_an_owner_may_read_the_source_without_a_word_to_the_tunnel(bridges: bool) -> None:
    stage = Stage(bridges=bridges)
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    stage.run()
    sink.peer.stall()
    source.peer.send(BULK)
    stage.run()  # until all is full, and still
    assert (tunnel.source.bridge is not None) is bridges
    rest = stage.read_all(source)
    assert rest
    assert BULK.endswith(rest)


@pytest.mark.parametrize("bridges", [True, False])
def test_an_owner_may_write_the_sink_without_a_word_to_the_tunnel(bridges: bool) -> None:
    stage = Stage(bridges=bridges)
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    stage.run()  # until all has gone through, and it is still
    assert (tunnel.source.bridge is not None) is bridges
    stage.say(sink, b"the owner's")
    stage.run()
    assert sink.peer.received == BULK + b"the owner's"


def test_an_owner_reads_lends_twice_and_reads_again(stage: Stage) -> None:
    client, server = stage.lines()
    vio, reader = stage.read(client)
    client.peer.send(b"PUT 2097152\n" + BULK + b"PUT 3\nabcQUIT\n")
    stage.run(until=lambda: reader.find(b"\n") >= 0)
    assert reader.read(reader.find(b"\n") + 1) == b"PUT 2097152\n"
    stage.lend(
        lambda: OneWayTunnel(stage.owner, client.vc, server.vc, reader=reader, nbytes=len(BULK))
    )
    stage.run(until=lambda: bool(stage.owner.done))
    assert stage.owner.done[0].reason is Reason.COMPLETE

    vio, reader = stage.read(client, len(b"PUT 3\n"))
    stage.run(until=lambda: vio.ntodo == 0)
    assert reader.read() == b"PUT 3\n"
    stage.lend(lambda: OneWayTunnel(stage.owner, client.vc, server.vc, nbytes=3))
    stage.run(until=lambda: len(stage.owner.done) == 2)

    vio, reader = stage.read(client)
    stage.run()
    assert reader.read() == b"QUIT\n"
    assert server.peer.received == BULK + b"abc"


# -- too slow, too long ----------------------------------------------------------------------


def test_a_sink_that_never_reads_holds_one_buffer_and_nobody_else(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    another_source, another_sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, another_source.vc, another_sink.vc))
    sink.peer.stall()
    source.peer.send(10 * BULK)
    another_source.peer.send(BULK)
    stage.run_within(2 * BUFFER)
    assert another_sink.peer.received == BULK
    assert source.peer.sent < 5 * NETWORK, "the source was told to wait"
    sink.peer.resume()
    stage.run()
    assert sink.peer.received == 10 * BULK


@pytest.mark.parametrize("water_mark", [1000, SLAB])
def test_reading_pauses_at_the_water_mark(water_mark: int) -> None:
    stage = Stage(bridges=False)
    source, sink = stage.lines()
    tunnel = stage.lend(
        lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, water_mark=water_mark)
    )
    sink.peer.stall()
    source.peer.send(BULK[:NETWORK])
    stage.run()
    source.peer.send(BULK[NETWORK:])
    stage.run_within(water_mark + SLAB)
    assert tunnel.source.buffer.held >= water_mark
    sink.peer.resume()
    stage.run()
    assert sink.peer.received == BULK


@pytest.mark.parametrize("who", ["source", "sink"])
def test_when_nothing_moves_for_too_long_it_ends(stage: Stage, who: str) -> None:
    source, sink = stage.lines()
    idle = source if who == "source" else sink
    with stage.held():
        idle.vc.set_inactivity_timeout(10.0)
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    stage.run()
    assert stage.done.reason is Reason.INACTIVITY
    assert stage.done.ended_by == idle.name
    assert stage.sim.now == pytest.approx(10.0)


@pytest.mark.parametrize("who", ["source", "sink"])
def test_bytes_are_activity(stage: Stage, who: str) -> None:
    source, sink = stage.lines()
    with stage.held():
        (source if who == "source" else sink).vc.set_inactivity_timeout(10.0)
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    for _ in range(5):
        source.peer.send(BULK)
        stage.sim.elapse(9.0)
    assert stage.owner.heard == []
    assert tunnel.flow.sent == 5 * len(BULK)
    stage.run()
    assert stage.done.reason is Reason.INACTIVITY
    assert stage.sim.now == pytest.approx(4 * 9.0 + 10.0)


def test_a_sink_that_stops_taking_times_out_while_flushing(stage: Stage) -> None:
    source, sink = stage.lines()
    with stage.held():
        sink.vc.set_inactivity_timeout(10.0)
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    sink.peer.stall()
    source.peer.send(OWED)
    source.peer.end()
    stage.run()
    assert stage.done.reason is Reason.INACTIVITY
    assert stage.done.ended_by == sink.name


@pytest.mark.parametrize("who", ["source", "sink"])
def test_when_it_lasts_too_long_it_ends_whatever_moves(stage: Stage, who: str) -> None:
    source, sink = stage.lines()
    limited = source if who == "source" else sink
    with stage.held():
        limited.vc.set_active_timeout(10.0)
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    for _ in range(3):
        source.peer.send(BULK)
        stage.sim.elapse(4.0)
    assert stage.done.reason is Reason.ACTIVE
    assert stage.done.ended_by == limited.name


# -- one TunnelDone --------------------------------------------------------------------------


STORIES: dict[Reason, Callable[[Line, Line, OneWayTunnel], object]] = {
    Reason.EOS: lambda source, sink, tunnel: source.peer.end(),
    Reason.COMPLETE: lambda source, sink, tunnel: source.peer.send(BULK + bytes(5)),
    Reason.RECALLED: lambda source, sink, tunnel: tunnel.recall(),
    Reason.SINK_ENDED: lambda source, sink, tunnel: sink.peer.end(),
    Reason.TRUNCATED: lambda source, sink, tunnel: source.peer.end(),
    Reason.ERROR: lambda source, sink, tunnel: sink.peer.reset(),
    Reason.INACTIVITY: lambda source, sink, tunnel: source.vc.set_inactivity_timeout(1.0),
    Reason.ACTIVE: lambda source, sink, tunnel: sink.vc.set_active_timeout(1.0),
    Reason.STOPPED: lambda source, sink, tunnel: tunnel.stop(),
}


@pytest.mark.parametrize("reason", STORIES)
def test_for_every_reason_one_done_is_heard(stage: Stage, reason: Reason) -> None:
    goals = {Reason.COMPLETE: 2 * len(BULK) + 5, Reason.TRUNCATED: 2 * len(BULK)}
    source, sink = stage.lines()
    tunnel = stage.lend(
        lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, nbytes=goals.get(reason))
    )
    source.peer.send(BULK)
    stage.run()
    with stage.held():
        STORIES[reason](source, sink, tunnel)
    stage.run()
    source.peer.reset()
    sink.peer.reset()
    stage.run()
    assert stage.owner.heard == [TunnelDone]
    assert stage.done.tunnel is tunnel
    assert stage.done.reason is reason
    assert (stage.done.error is not None) is (reason is Reason.ERROR)
    assert sink.peer.ended is (reason is Reason.EOS)
    [flow] = stage.done.flows
    assert flow.received == flow.sent == len(sink.peer.received)


def test_what_is_done_reads_as_a_sentence() -> None:
    stage = Stage()
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(b"hello")
    source.peer.end()
    stage.run()
    assert str(stage.done) == (
        f"the source ended ({source.name}); {source.name} -> {sink.name}: 5 bytes"
    )


def test_both_break_at_once_and_one_done_is_heard(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    stage.run()
    source.peer.reset()
    sink.peer.reset()
    with stage.held():
        tunnel.stop()
    stage.run()
    assert len(stage.owner.heard) == 1


def test_lending_needs_the_mutex_of_the_conversation() -> None:
    stage = Stage()
    source, sink = stage.lines()
    stranger = Owner(stage.engine)
    with Mutex().hold(stage.engine), pytest.raises(LockNotHeld, match="a tunnel needs the mutex"):
        OneWayTunnel(stranger, source.vc, sink.vc)


def test_every_state_takes_what_may_reach_it() -> None:
    assert check_machine(OneWayTunnel) == {
        # The write has no goal before FLUSHING.
        "RELAYING WRITE_COMPLETE", "FAILING WRITE_COMPLETE",
        "RELAYING STALLED",  # that clock runs from the source's failure on
        # The source's last event has brought it to FLUSHING; the other read has no goal.
        "FLUSHING READ_COMPLETE", "FLUSHING BRIDGE_ENDED",
    }  # fmt: skip


def test_a_sink_that_breaks_while_it_is_flushed_is_no_clean_end(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc))
    sink.peer.stall()
    source.peer.send(OWED)
    source.peer.end()
    stage.run()
    sink.peer.reset()
    stage.run()
    assert stage.done.reason is Reason.ERROR
    assert stage.done.ended_by == sink.name
    assert isinstance(stage.done.error, ConnectionResetError)


def test_a_source_that_breaks_while_the_sink_stalls_is_waited_for_so_long(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = stage.lend(lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, abort_s=1.0))
    sink.peer.stall()
    source.peer.send(BULK)
    stage.sim.elapse(60)
    source.peer.reset()
    stage.sim.elapse(0.5)
    assert stage.owner.done == []
    stage.sim.elapse(0.6)
    assert stage.done.reason is Reason.ERROR
    assert stage.done.ended_by == source.name
    assert tunnel.flow.buffered > 0
    assert all(engine.memory.used == 0 for engine in stage.engines)
