"""OneWayTunnel: bytes move from source to sink, and the owner receives one TunnelDone.

A test that takes `harness` runs copied, bridged and between two engines.
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
from vcproxy.tunnels.stall_timer import FLUSH_S

from .harness import BACKLOG, BUFFER, BULK, NETWORK, Harness, Line, Owner

# -- moving ----------------------------------------------------------------------------------


def test_bytes_reach_the_sink_without_an_event_to_the_owner(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(b"hello")
    harness.run()
    source.peer.send(BULK)
    harness.run()
    assert sink.peer.received == b"hello" + BULK
    assert tunnel.flow == Flow(source.name, sink.name, 5 + len(BULK), 5 + len(BULK))
    assert harness.owner.events == []


@pytest.mark.parametrize(("engines", "bridges"), [(1, True), (1, False), (2, True)])
def test_bulk_is_bridged_on_one_engine_with_bridges(engines: int, bridges: bool) -> None:
    harness = Harness(engines=engines, bridges=bridges)
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    harness.run()
    assert (tunnel.source.bridge is not None) is (engines == 1 and bridges)


def test_data_from_the_sink_is_dropped(harness: Harness) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    sink.peer.send(BULK)
    source.peer.send(b"still sent")
    harness.run()
    assert sink.peer.received == b"still sent"
    assert sink.peer.sent == len(BULK), "all of it was read"
    assert source.peer.received == b""
    assert all(engine.memory.used == 0 for engine in harness.engines)


def test_an_unwatched_sink_may_be_read_by_the_owner() -> None:
    harness = Harness()
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, watch=False))
    _, reader = harness.read(sink)
    sink.peer.send(b"for the owner")
    source.peer.send(b"for the sink")
    harness.run()
    assert reader.read() == b"for the owner"
    assert sink.peer.received == b"for the sink"
    sink.peer.end()
    harness.run()
    assert harness.owner.events == [Event.READ_READY, Event.EOS], "the tunnel has not ended"


# -- the source ends -------------------------------------------------------------------------


def test_the_sources_end_arrives_behind_what_is_buffered(harness: Harness) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    sink.peer.stall()
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.run()
    assert harness.owner.events == [], "the sink has not taken all of it yet"
    sink.peer.resume()
    harness.run()
    assert sink.peer.received == BACKLOG
    assert sink.peer.ended
    count = len(BACKLOG)
    assert harness.done.reason is Reason.EOS
    assert harness.done.ended_by == source.name
    assert harness.done.flows == (Flow(source.name, sink.name, count, count),)


def test_a_source_may_end_without_data(harness: Harness) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.end()
    harness.run()
    assert sink.peer.received == b""
    assert sink.peer.ended
    assert harness.done.reason is Reason.EOS


def test_a_source_may_have_ended_before_the_start(harness: Harness) -> None:
    source, sink = harness.lines()
    source.peer.send(b"goodbye")
    source.peer.end()
    harness.run()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    harness.run()
    assert sink.peer.received == b"goodbye"
    assert sink.peer.ended


def test_after_the_end_the_owner_has_both_vcs_open(harness: Harness) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(b"question")
    source.peer.end()
    harness.run()
    sink.peer.send(b"answer")
    harness.run()  # the data stays in the network
    _, reader = harness.read(sink)
    harness.write(source, b"reply")
    harness.run()
    assert reader.read() == b"answer"
    assert source.peer.received == b"reply"
    assert not source.vc.closed
    assert not sink.vc.closed


# -- the sink ends ---------------------------------------------------------------------------


def test_when_the_sink_ends_the_tunnel_ends(harness: Harness) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    harness.run()
    sink.peer.end()
    harness.run()
    assert harness.done.reason is Reason.SINK_ENDED
    assert harness.done.ended_by == sink.name
    assert harness.done.flows == (Flow(source.name, sink.name, len(BULK), len(BULK)),)
    assert not source.peer.ended, "the owner closes the source"


def test_a_sink_that_ends_before_it_has_everything_ends_the_tunnel(harness: Harness) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    sink.peer.stall()
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.run()
    sink.peer.end()
    harness.run()
    assert harness.done.reason is Reason.SINK_ENDED
    [flow] = harness.done.flows
    assert flow.received == len(BACKLOG)
    assert flow.sent == NETWORK
    assert all(engine.memory.used == 0 for engine in harness.engines)


@pytest.mark.parametrize("side", ["source", "sink"])
def test_an_error_ends_the_tunnel_and_is_reported(harness: Harness, side: str) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    harness.run()
    failed, other = (source, sink) if side == "source" else (sink, source)
    failed.peer.reset()
    harness.run()
    assert harness.done.reason is Reason.ERROR
    assert harness.done.ended_by == failed.name
    assert isinstance(harness.done.error, ConnectionResetError)
    assert not other.peer.ended
    assert not other.peer.reset_seen


# -- nbytes ----------------------------------------------------------------------------------


def test_it_ends_after_nbytes_with_the_sink_open(harness: Harness) -> None:
    source, sink = harness.lines()
    goal = len(BULK) - 5
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, nbytes=goal))
    source.peer.send(BULK + b" and more")
    harness.run()
    assert sink.peer.received == BULK[:goal]
    assert not sink.peer.ended
    assert harness.done.reason is Reason.COMPLETE
    assert harness.done.ended_by == source.name
    assert harness.done.flows == (Flow(source.name, sink.name, goal, goal),)
    _, reader = harness.read(source)
    harness.write(sink, b"goodbye")
    harness.run()
    assert reader.read() == BULK[goal:] + b" and more"
    assert sink.peer.received == BULK[:goal] + b"goodbye"


def test_nbytes_may_be_zero(harness: Harness) -> None:
    source, sink = harness.lines()
    source.peer.send(b"not for the sink")
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, nbytes=0))
    harness.run()
    assert harness.done.reason is Reason.COMPLETE
    assert sink.peer.received == b""


def test_a_source_that_ends_before_nbytes_is_truncated(harness: Harness) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, nbytes=len(BULK) + 1))
    source.peer.send(BULK)
    source.peer.end()
    harness.run()
    assert harness.done.reason is Reason.TRUNCATED
    assert harness.done.ended_by == source.name
    assert not sink.peer.ended, "the sink must not take it for the end"
    assert sink.peer.received == BULK


@pytest.mark.parametrize("bridges", [False, True])
def test_the_bytes_of_a_truncated_source_reach_a_slow_sink(bridges: bool) -> None:
    harness = Harness(bridges=bridges)
    source, sink = harness.lines()
    sink.peer.stall()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, nbytes=len(BULK)))
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.sim.elapse(FLUSH_S - 1)
    assert not harness.owner.done, "some of it is still buffered"
    sink.peer.resume()
    harness.run()
    assert sink.peer.received == BACKLOG
    assert harness.done.reason is Reason.TRUNCATED
    assert harness.done.flows == (Flow(source.name, sink.name, len(BACKLOG), len(BACKLOG)),)
    assert not sink.peer.ended


def test_a_sink_that_reads_nothing_of_a_truncated_source_has_a_deadline(harness: Harness) -> None:
    source, sink = harness.lines()
    sink.peer.stall()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, nbytes=len(BULK)))
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.sim.elapse(2 * FLUSH_S + 1)
    assert harness.done.reason is Reason.TRUNCATED
    assert harness.done.ended_by == source.name


# -- a buffer that was read into already -----------------------------------------------------


def test_bytes_in_a_buffer_that_was_read_are_sent_first(harness: Harness) -> None:
    source, sink = harness.lines()
    source.peer.send(b"LOGIN me\nhello ")
    _, reader = harness.read(source)
    harness.run()
    assert reader.read(9) == b"LOGIN me\n"
    source.peer.send(BULK)  # some of the data goes into the old buffer, the rest into the tunnel's
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, reader=reader))
    source.peer.end()
    harness.run()
    assert sink.peer.received == b"hello " + BULK
    assert harness.done.flows == (Flow(source.name, sink.name, 6 + len(BULK), 6 + len(BULK)),)


def test_bytes_in_the_buffer_count_for_nbytes(harness: Harness) -> None:
    source, sink = harness.lines()
    source.peer.send(b"12345")
    _, reader = harness.read(source)
    harness.run()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, reader=reader, nbytes=8))
    source.peer.send(b"6789")
    harness.run()
    assert sink.peer.received == b"12345678"
    assert harness.done.reason is Reason.COMPLETE


def test_the_buffer_alone_may_complete_nbytes(harness: Harness) -> None:
    source, sink = harness.lines()
    source.peer.send(b"12345")
    _, reader = harness.read(source)
    harness.run()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, reader=reader, nbytes=5))
    source.peer.send(b"6789")
    harness.run()
    assert sink.peer.received == b"12345"
    assert harness.done.reason is Reason.COMPLETE
    _, rest = harness.read(source)
    harness.run()
    assert rest.read() == b"6789"


def test_a_buffer_with_more_than_nbytes_is_a_mistake_of_the_owner() -> None:
    harness = Harness()
    source, sink = harness.lines()
    buffer = harness.engine.buffer()
    reader = buffer.reader()
    buffer.write(b"12345")
    with pytest.raises(AssertionError, match="5 bytes were read already, more than nbytes=4"):
        harness.lend(
            lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, reader=reader, nbytes=4)
        )


# -- taking it back --------------------------------------------------------------------------


def test_recall_loses_nothing(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    harness.run(until=lambda: len(sink.peer.received) > len(BULK) // 2)  # in full flow
    with harness.held():
        tunnel.recall()
    harness.run()
    assert harness.done.reason is Reason.RECALLED
    assert harness.done.ended_by == source.name
    [flow] = harness.done.flows
    assert flow.received == flow.sent == len(sink.peer.received) < len(BULK)
    assert not sink.peer.ended
    assert sink.peer.received + harness.read_all(source) == BULK, "no byte is lost or sent twice"
    harness.write(sink, b"from the owner")
    harness.run()
    assert sink.peer.received.endswith(b"from the owner")


def test_recall_waits_for_a_slow_sink(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    harness.run(until=lambda: len(sink.peer.received) > len(BULK) // 2)
    sink.peer.stall()
    harness.run()
    with harness.held():
        tunnel.recall()
    harness.run()
    assert harness.owner.events == []
    sink.peer.resume()
    harness.run()
    assert harness.done.reason is Reason.RECALLED
    [flow] = harness.done.flows
    assert flow.received == flow.sent == len(sink.peer.received)


def test_stop_ends_it_at_once(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, name="mine"))
    source.peer.send(BULK)
    harness.run(until=lambda: len(sink.peer.received) > len(BULK) // 2)
    sink.peer.stall()
    harness.run()
    with harness.held():
        tunnel.stop()
    harness.run()
    assert harness.done.reason is Reason.STOPPED
    assert harness.done.ended_by == "mine"
    assert not harness.done.reason.clean
    vio, reader = harness.read(source)
    harness.run()
    assert reader.avail == vio.ndone > 0, "later bytes go to the owner"
    sink.peer.resume()
    harness.write(sink, b"sorry")
    harness.run()
    assert sink.peer.received.endswith(b"sorry")
    assert BULK.startswith(sink.peer.received[:-5])


def test_stop_ends_it_at_once_while_flushing(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, name="mine"))
    sink.peer.stall()
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.run()
    with harness.held():
        tunnel.stop()
    harness.run()
    assert harness.done.reason is Reason.STOPPED
    assert harness.done.ended_by == "mine"
    assert not sink.peer.ended


def test_a_tunnel_that_has_ended_ignores_events() -> None:
    harness = Harness()
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.end()
    harness.run()
    with harness.held():
        tunnel.recall()
        tunnel.stop()
    source.peer.reset()
    sink.peer.reset()
    harness.run()
    assert harness.done.reason is Reason.EOS


def test_data_from_the_sink_after_the_end_is_not_dropped() -> None:
    harness = Harness()
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.end()
    sink.peer.on_end = lambda: sink.peer.send(b"thank you")
    harness.run()
    _, reader = harness.read(sink)
    harness.run()
    assert reader.read() == b"thank you"


@pytest.mark.parametrize("bridges", [True, False])
def test_an_owner_may_read_the_source_without_stopping_the_tunnel(bridges: bool) -> None:
    harness = Harness(bridges=bridges)
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    harness.run()
    sink.peer.stall()
    source.peer.send(BULK)
    harness.run()  # until all buffers are full
    assert (tunnel.source.bridge is not None) is bridges
    rest = harness.read_all(source)
    assert rest
    assert BULK.endswith(rest)


@pytest.mark.parametrize("bridges", [True, False])
def test_an_owner_may_write_the_sink_without_stopping_the_tunnel(bridges: bool) -> None:
    harness = Harness(bridges=bridges)
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    harness.run()  # until everything is sent
    assert (tunnel.source.bridge is not None) is bridges
    harness.write(sink, b"the owner's")
    harness.run()
    assert sink.peer.received == BULK + b"the owner's"


def test_an_owner_reads_lends_twice_and_reads_again(harness: Harness) -> None:
    client, server = harness.lines()
    vio, reader = harness.read(client)
    client.peer.send(b"PUT 2097152\n" + BULK + b"PUT 3\nabcQUIT\n")
    harness.run(until=lambda: reader.find(b"\n") >= 0)
    assert reader.read(reader.find(b"\n") + 1) == b"PUT 2097152\n"
    harness.lend(
        lambda: OneWayTunnel(harness.owner, client.vc, server.vc, reader=reader, nbytes=len(BULK))
    )
    harness.run(until=lambda: bool(harness.owner.done))
    assert harness.owner.done[0].reason is Reason.COMPLETE

    vio, reader = harness.read(client, len(b"PUT 3\n"))
    harness.run(until=lambda: vio.ntodo == 0)
    assert reader.read() == b"PUT 3\n"
    harness.lend(lambda: OneWayTunnel(harness.owner, client.vc, server.vc, nbytes=3))
    harness.run(until=lambda: len(harness.owner.done) == 2)

    vio, reader = harness.read(client)
    harness.run()
    assert reader.read() == b"QUIT\n"
    assert server.peer.received == BULK + b"abc"


# -- too slow, too long ----------------------------------------------------------------------


def test_a_sink_that_never_reads_holds_one_buffer_and_delays_no_other_tunnel(
    harness: Harness,
) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    another_source, another_sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, another_source.vc, another_sink.vc))
    sink.peer.stall()
    source.peer.send(10 * BULK)
    another_source.peer.send(BULK)
    harness.run_within(2 * BUFFER)
    assert another_sink.peer.received == BULK
    assert source.peer.sent < 5 * NETWORK, "the source was not read further"
    sink.peer.resume()
    harness.run()
    assert sink.peer.received == 10 * BULK


@pytest.mark.parametrize("water_mark", [1000, SLAB])
def test_reading_pauses_at_the_water_mark(water_mark: int) -> None:
    harness = Harness(bridges=False)
    source, sink = harness.lines()
    tunnel = harness.lend(
        lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, water_mark=water_mark)
    )
    sink.peer.stall()
    source.peer.send(BULK[:NETWORK])
    harness.run()
    source.peer.send(BULK[NETWORK:])
    harness.run_within(water_mark + SLAB)
    assert tunnel.source.buffer.held >= water_mark
    sink.peer.resume()
    harness.run()
    assert sink.peer.received == BULK


@pytest.mark.parametrize("side", ["source", "sink"])
def test_inactivity_ends_it(harness: Harness, side: str) -> None:
    source, sink = harness.lines()
    idle = source if side == "source" else sink
    with harness.held():
        idle.vc.set_inactivity_timeout(10.0)
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    harness.run()
    assert harness.done.reason is Reason.INACTIVITY
    assert harness.done.ended_by == idle.name
    assert harness.sim.now == pytest.approx(10.0)


@pytest.mark.parametrize("side", ["source", "sink"])
def test_bytes_count_as_activity(harness: Harness, side: str) -> None:
    source, sink = harness.lines()
    with harness.held():
        (source if side == "source" else sink).vc.set_inactivity_timeout(10.0)
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    for _ in range(5):
        source.peer.send(BULK)
        harness.sim.elapse(9.0)
    assert harness.owner.events == []
    assert tunnel.flow.sent == 5 * len(BULK)
    harness.run()
    assert harness.done.reason is Reason.INACTIVITY
    assert harness.sim.now == pytest.approx(4 * 9.0 + 10.0)


def test_a_sink_that_stops_reading_times_out_while_flushing(harness: Harness) -> None:
    source, sink = harness.lines()
    with harness.held():
        sink.vc.set_inactivity_timeout(10.0)
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    sink.peer.stall()
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.run()
    assert harness.done.reason is Reason.INACTIVITY
    assert harness.done.ended_by == sink.name


@pytest.mark.parametrize("side", ["source", "sink"])
def test_the_active_timeout_ends_it_also_while_bytes_move(harness: Harness, side: str) -> None:
    source, sink = harness.lines()
    limited = source if side == "source" else sink
    with harness.held():
        limited.vc.set_active_timeout(10.0)
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    for _ in range(3):
        source.peer.send(BULK)
        harness.sim.elapse(4.0)
    assert harness.done.reason is Reason.ACTIVE
    assert harness.done.ended_by == limited.name


# -- one TunnelDone --------------------------------------------------------------------------


CAUSES: dict[Reason, Callable[[Line, Line, OneWayTunnel], object]] = {
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


@pytest.mark.parametrize("reason", CAUSES)
def test_every_reason_gives_one_tunnel_done(harness: Harness, reason: Reason) -> None:
    goals = {Reason.COMPLETE: 2 * len(BULK) + 5, Reason.TRUNCATED: 2 * len(BULK)}
    source, sink = harness.lines()
    tunnel = harness.lend(
        lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, nbytes=goals.get(reason))
    )
    source.peer.send(BULK)
    harness.run()
    with harness.held():
        CAUSES[reason](source, sink, tunnel)
    harness.run()
    source.peer.reset()
    sink.peer.reset()
    harness.run()
    assert harness.owner.events == [TunnelDone]
    assert harness.done.tunnel is tunnel
    assert harness.done.reason is reason
    assert (harness.done.error is not None) is (reason is Reason.ERROR)
    assert sink.peer.ended is (reason is Reason.EOS)
    [flow] = harness.done.flows
    assert flow.received == flow.sent == len(sink.peer.received)


def test_the_text_of_a_tunnel_done() -> None:
    harness = Harness()
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(b"hello")
    source.peer.end()
    harness.run()
    assert str(harness.done) == (
        f"the source ended ({source.name}); {source.name} -> {sink.name}: 5 bytes"
    )


def test_two_failures_at_once_give_one_tunnel_done(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    source.peer.send(BULK)
    harness.run()
    source.peer.reset()
    sink.peer.reset()
    with harness.held():
        tunnel.stop()
    harness.run()
    assert len(harness.owner.events) == 1


def test_making_a_tunnel_needs_the_mutex() -> None:
    harness = Harness()
    source, sink = harness.lines()
    other = Owner(harness.engine)
    with Mutex().hold(harness.engine), pytest.raises(LockNotHeld, match="a tunnel needs the mutex"):
        OneWayTunnel(other, source.vc, sink.vc)


def test_every_state_receives_every_event_that_may_come() -> None:
    assert check_machine(OneWayTunnel) == {
        # The write has no nbytes before FLUSHING.
        "RELAYING WRITE_COMPLETE", "FAILING WRITE_COMPLETE",
        "RELAYING STALLED",  # the stall timer starts when the source fails
        # FLUSHING is entered by the source's last event; other reads have no nbytes.
        "FLUSHING READ_COMPLETE", "FLUSHING BRIDGE_ENDED",
    }  # fmt: skip


def test_a_sink_that_fails_while_it_is_flushed_is_an_error(harness: Harness) -> None:
    source, sink = harness.lines()
    harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc))
    sink.peer.stall()
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.run()
    sink.peer.reset()
    harness.run()
    assert harness.done.reason is Reason.ERROR
    assert harness.done.ended_by == sink.name
    assert isinstance(harness.done.error, ConnectionResetError)


def test_after_a_reset_of_the_source_a_stalled_sink_has_abort_s(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = harness.lend(lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, abort_s=1.0))
    sink.peer.stall()
    source.peer.send(BULK)
    harness.sim.elapse(60)
    source.peer.reset()
    harness.sim.elapse(0.5)
    assert harness.owner.done == []
    harness.sim.elapse(0.6)
    assert harness.done.reason is Reason.ERROR
    assert harness.done.ended_by == source.name
    assert tunnel.flow.buffered > 0
    assert all(engine.memory.used == 0 for engine in harness.engines)
