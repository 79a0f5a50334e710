"""OneWayMultiTunnel: one source, any number of sinks, and the reports to its owner."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from random import Random

import pytest

from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.testing.machines import check_machine
from vcproxy.tunnels.done import Flow, Reason
from vcproxy.tunnels.one_way_multi import Ends, OneWayMultiTunnel

from .harness import BACKLOG, BUFFER, BULK, NETWORK, Harness, Line


@pytest.fixture(params=[1, 2], ids=["one engine", "two engines"])
def harness(request: pytest.FixtureRequest) -> Harness:
    """A sink may be on another engine than the source."""
    return Harness(engines=request.param)


def lend(
    harness: Harness,
    source: Line,
    sinks: Iterable[Line],
    *,
    required: Iterable[Line] = (),
    ends: Ends = "last",
) -> OneWayMultiTunnel:
    with harness.held():
        tunnel = OneWayMultiTunnel(harness.owner, source.vc, ends=ends, name="relay")
        for sink in sinks:
            tunnel.add_sink(sink.vc)
        for sink in required:
            tunnel.add_sink(sink.vc, required=True)
        tunnel.start()
    return tunnel


def join(harness: Harness, tunnel: OneWayMultiTunnel, sink: Line) -> None:
    with harness.held():
        tunnel.add_sink(sink.vc)


# -- joining and leaving ---------------------------------------------------------------------


def test_bytes_of_the_source_reach_every_sink(harness: Harness) -> None:
    source, *sinks = harness.lines(51)
    lend(harness, source, sinks)
    source.peer.send(BULK)
    harness.run()
    assert all(sink.peer.received == BULK for sink in sinks)
    source.peer.send(b"the end")
    source.peer.end()
    harness.run()
    assert all(sink.peer.received == BULK + b"the end" for sink in sinks)
    assert all(sink.peer.ended for sink in sinks)
    count = len(BULK) + 7
    assert harness.done.reason is Reason.EOS
    assert harness.done.ended_by == source.name
    assert {flow.sink for flow in harness.done.flows} == {sink.name for sink in sinks}
    assert all((flow.received, flow.sent) == (count, count) for flow in harness.done.flows)


def test_a_sink_gets_everything_from_its_place_on(harness: Harness) -> None:
    source, first, second, third = harness.lines(4)
    tunnel = lend(harness, source, [first])
    source.peer.send(b"one ")
    harness.run()
    join(harness, tunnel, second)
    source.peer.send(b"two ")
    harness.run()
    join(harness, tunnel, third)
    source.peer.send(b"three")
    harness.run()
    assert first.peer.received == b"one two three"
    assert second.peer.received == b"two three"
    assert third.peer.received == b"three"
    assert tunnel.flows == (
        Flow(source.name, first.name, 13, 13),
        Flow(source.name, second.name, 9, 9),
        Flow(source.name, third.name, 5, 5),
    )


def test_a_sink_may_be_added_while_bytes_move(harness: Harness) -> None:
    source, first, second = harness.lines(3)
    tunnel = lend(harness, source, [first])
    source.peer.send(BULK)
    harness.run(until=lambda: len(first.peer.received) > len(BULK) // 2)
    join(harness, tunnel, second)
    harness.run()
    assert first.peer.received == BULK
    assert 0 < len(second.peer.received) < len(BULK)
    assert BULK.endswith(second.peer.received)


def test_a_removed_sink_is_given_back_open(harness: Harness) -> None:
    source, first, second = harness.lines(3)
    tunnel = lend(harness, source, [first, second])
    source.peer.send(b"one ")
    harness.run()
    with harness.held():
        tunnel.remove(first.vc)
    harness.run()
    [removed] = harness.owner.removed
    assert (removed.sink, removed.reason) == (first.vc, Reason.STOPPED)
    assert removed.flow == Flow(source.name, first.name, 4, 4)
    source.peer.send(b"two")
    harness.run()
    assert second.peer.received == b"one two"
    harness.write(first, b"so long")
    first.peer.send(b"and thanks")
    harness.run()  # the data stays in the network
    assert harness.read_all(first) == b"and thanks"
    assert first.peer.received == b"one so long"


def test_a_read_without_data_leaves_level_sinks_in_place(harness: Harness) -> None:
    source, first, second = harness.lines(3)
    tunnel = lend(harness, source, [first, second])
    source.peer.send(b"one ")
    harness.run()
    assert tunnel.source is not None
    with harness.held():
        tunnel.source.ready()
    harness.run()
    source.peer.send(b"two")
    harness.run()
    assert first.peer.received == second.peer.received == b"one two"


def test_a_removed_sink_may_be_added_again(harness: Harness) -> None:
    source, first, second = harness.lines(3)
    tunnel = lend(harness, source, [first, second])
    with harness.held():
        tunnel.remove(first.vc)
    harness.run()
    source.peer.send(b"missed ")
    harness.run()
    join(harness, tunnel, first)
    source.peer.send(b"sent")
    harness.run()
    assert first.peer.received == b"sent"
    assert second.peer.received == b"missed sent"


def test_removing_a_sink_twice_has_no_effect() -> None:
    harness = Harness()
    source, first, second = harness.lines(3)
    tunnel = lend(harness, source, [first, second])
    first.peer.end()
    harness.run()
    with harness.held():
        tunnel.remove(first.vc)
    harness.run()
    assert len(harness.owner.removed) == 1
    assert harness.owner.done == []


def test_data_from_sinks_is_dropped() -> None:
    harness = Harness()
    source, sink = harness.lines()
    lend(harness, source, [sink])
    sink.peer.send(BULK)
    source.peer.send(b"hello")
    harness.run()
    assert sink.peer.sent == len(BULK)
    assert sink.peer.received == b"hello"
    assert source.peer.received == b""
    assert harness.engine.memory.used == 0


def test_two_tunnels_may_have_each_others_sources_as_sinks() -> None:
    harness = Harness()
    ann, bob, eve = harness.lines(3)
    for source, sinks in ((ann, (bob, eve)), (bob, (ann, eve))):
        with harness.held():
            tunnel = OneWayMultiTunnel(harness.owner, source.vc)
            for sink in sinks:
                tunnel.add_sink(sink.vc, watch=sink is eve and source is ann)
            tunnel.start()
        harness.run()
    ann.peer.send(b"hi, bob")
    harness.run()
    assert bob.peer.received == b"hi, bob"
    bob.peer.send(b"hi, ann")
    harness.run()
    assert ann.peer.received == b"hi, ann"


# -- sinks that end --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["end", "reset"])
def test_a_sink_that_ends_is_removed_alone(harness: Harness, way: str) -> None:
    source, first, second = harness.lines(3)
    lend(harness, source, [first, second])
    source.peer.send(b"one ")
    harness.run()
    getattr(first.peer, way)()
    harness.run()
    source.peer.send(b"two")
    harness.run()
    [removed] = harness.owner.removed
    assert removed.sink is first.vc
    assert removed.reason is (Reason.SINK_ENDED if way == "end" else Reason.ERROR)
    assert isinstance(removed.error, ConnectionResetError) is (way == "reset")
    assert removed.flow == Flow(source.name, first.name, 4, 4)
    assert second.peer.received == b"one two"
    assert harness.owner.done == []


def test_a_timeout_of_a_sink_removes_it_alone() -> None:
    harness = Harness()
    source, first, second = harness.lines(3)
    with harness.held():
        first.vc.set_inactivity_timeout(10.0)
    lend(harness, source, [first, second])
    first.peer.stall()
    source.peer.send(BULK)
    harness.run()
    [removed] = harness.owner.removed
    assert (removed.sink, removed.reason) == (first.vc, Reason.INACTIVITY)
    assert removed.flow.sent < removed.flow.received
    assert second.peer.received == BULK, "it was blocked, and continues"


def test_ends_last(harness: Harness) -> None:
    source, first, second = harness.lines(3)
    lend(harness, source, [first, second])
    first.peer.end()
    harness.run()
    assert harness.owner.done == []
    second.peer.reset()
    harness.run()
    assert harness.done.reason is Reason.ERROR
    assert harness.done.ended_by == second.name
    assert [removed.sink for removed in harness.owner.removed] == [first.vc, second.vc]
    assert not source.peer.ended


def test_ends_any_required(harness: Harness) -> None:
    source, optional, staying, required = harness.lines(4)
    lend(harness, source, [optional, staying], required=[required], ends="any_required")
    optional.peer.end()
    harness.run()
    assert harness.owner.done == []
    source.peer.send(b"hello")
    harness.run()
    required.peer.end()
    harness.run()
    assert harness.done.reason is Reason.SINK_ENDED
    assert harness.done.ended_by == required.name
    assert harness.done.flows == (Flow(source.name, staying.name, 5, 5),)
    assert not staying.peer.ended


def test_ends_never(harness: Harness) -> None:
    source, first, second = harness.lines(3)
    tunnel = lend(harness, source, [first], ends="never")
    first.peer.end()
    harness.run()
    source.peer.send(BULK)
    harness.run()
    assert source.peer.sent == len(BULK), "the source is read, and its bytes are dropped"
    assert all(engine.memory.used == 0 for engine in harness.engines)
    join(harness, tunnel, second)
    source.peer.send(b"to the new sink")
    source.peer.end()
    harness.run()
    assert second.peer.received == b"to the new sink"
    assert second.peer.ended
    assert harness.done.reason is Reason.EOS


def test_without_any_sink_the_sources_end_ends_it() -> None:
    harness = Harness()
    source = harness.line()
    lend(harness, source, [], ends="never")
    source.peer.end()
    harness.run()
    assert harness.done.reason is Reason.EOS
    assert harness.done.flows == ()


def test_removing_the_last_sink_ends_it() -> None:
    harness = Harness()
    source, sink = harness.lines()
    tunnel = lend(harness, source, [sink])
    with harness.held():
        tunnel.remove(sink.vc)
    harness.run()
    assert harness.done.reason is Reason.STOPPED
    assert harness.done.ended_by == sink.name


def test_the_last_sink_may_be_replaced() -> None:
    harness = Harness()
    source, old, new = harness.lines(3)
    tunnel = lend(harness, source, [old])
    with harness.held():
        tunnel.remove(old.vc)
        tunnel.add_sink(new.vc)
    source.peer.send(b"hello")
    harness.run()
    assert new.peer.received == b"hello"
    assert harness.owner.done == []


# -- the source ends -------------------------------------------------------------------------


def test_the_sources_end_is_flushed_to_every_sink(harness: Harness) -> None:
    source, quick, slow, lost = harness.lines(4)
    lend(harness, source, [quick, slow, lost])
    for sink in (slow, lost):
        sink.peer.stall()
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.run()
    assert quick.peer.received == BACKLOG
    assert quick.peer.ended
    assert [removed.sink for removed in harness.owner.removed] == [quick.vc]
    assert harness.owner.removed[0].reason is Reason.EOS
    lost.peer.reset()
    harness.run()
    assert harness.owner.done == []
    slow.peer.resume()
    harness.run()
    assert slow.peer.received == BACKLOG
    assert slow.peer.ended
    assert [removed.reason for removed in harness.owner.removed] == [
        Reason.EOS,
        Reason.ERROR,
        Reason.EOS,
    ]
    assert harness.done.reason is Reason.EOS
    assert harness.done.ended_by == source.name
    assert [flow.sent for flow in harness.done.flows] == [len(BACKLOG), NETWORK, len(BACKLOG)]


def test_the_last_sink_may_be_removed_while_flushing() -> None:
    harness = Harness()
    source, sink = harness.lines()
    tunnel = lend(harness, source, [sink])
    sink.peer.stall()
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.run()
    with harness.held():
        tunnel.remove(sink.vc)
    harness.run()
    [removed] = harness.owner.removed
    assert removed.reason is Reason.STOPPED
    assert harness.done.reason is Reason.EOS
    assert harness.engine.memory.used == 0


def test_a_sink_added_after_the_sources_end_gets_the_end() -> None:
    harness = Harness()
    source, slow, late, latest = harness.lines(4)
    tunnel = lend(harness, source, [slow])
    slow.peer.stall()
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.run()
    join(harness, tunnel, late)
    harness.run()
    assert late.peer.received == b""
    assert late.peer.ended
    slow.peer.resume()
    harness.run()
    assert harness.done.reason is Reason.EOS
    join(harness, tunnel, latest)
    harness.run()
    assert [removed.sink for removed in harness.owner.removed] == [late.vc, slow.vc, latest.vc]
    harness.write(latest, b"too late")
    harness.run()
    assert latest.peer.received == b"too late"


def test_a_source_that_fails_ends_it_after_its_bytes_arrived(harness: Harness) -> None:
    source, first, second = harness.lines(3)
    lend(harness, source, [first, second])
    source.peer.send(b"half of")
    harness.run()
    source.peer.reset()
    harness.run()
    assert harness.done.reason is Reason.ERROR
    assert harness.done.ended_by == source.name
    assert isinstance(harness.done.error, ConnectionResetError)
    assert [flow.sent for flow in harness.done.flows] == [7, 7]
    assert not first.peer.ended
    assert {removed.reason for removed in harness.owner.removed} == {Reason.ERROR}
    assert {removed.error for removed in harness.owner.removed} == {harness.done.error}


@pytest.mark.parametrize("limit", ["inactivity", "active"])
def test_a_timeout_of_the_source_ends_it(limit: str) -> None:
    harness = Harness()
    source, sink = harness.lines()
    with harness.held():
        getattr(source.vc, f"set_{limit}_timeout")(10.0)
    lend(harness, source, [sink])
    source.peer.send(b"hello")
    harness.run()
    assert harness.done.reason is Reason[limit.upper()]
    assert harness.done.ended_by == source.name


def test_stop_ends_it_at_once(harness: Harness) -> None:
    source, first, second = harness.lines(3)
    tunnel = lend(harness, source, [first, second])
    first.peer.stall()
    source.peer.send(BULK)
    harness.run()
    with harness.held():
        tunnel.stop()
    harness.run()
    assert harness.done.reason is Reason.STOPPED
    assert harness.done.ended_by == "relay"
    assert len(harness.done.flows) == 2
    assert all(engine.memory.used == 0 for engine in harness.engines)
    assert harness.read_all(source) != b""


# -- slow sinks ---------------------------------------------------------------------


def test_all_wait_for_the_slowest_sink_within_one_buffer(harness: Harness) -> None:
    source, *quick, slow = harness.lines(9)
    lend(harness, source, [*quick, slow])
    slow.peer.stall()
    source.peer.send(4 * BULK)
    harness.run_within(BUFFER)
    assert all(len(sink.peer.received) < 2 * NETWORK + BUFFER for sink in quick)
    slow.peer.resume()
    harness.run()
    assert all(sink.peer.received == 4 * BULK for sink in [*quick, slow])


@pytest.mark.parametrize("way", ["removed", "ends", "reset"])
def test_the_others_continue_when_the_slowest_is_removed(harness: Harness, way: str) -> None:
    source, quick, slow = harness.lines(3)
    tunnel = lend(harness, source, [quick, slow])
    slow.peer.stall()
    source.peer.send(4 * BULK)
    harness.run()
    assert len(quick.peer.received) < len(BULK)
    if way == "removed":
        with harness.held():
            tunnel.remove(slow.vc)
    elif way == "ends":
        slow.peer.end()
    else:
        slow.peer.reset()
    harness.run()
    assert quick.peer.received == 4 * BULK


FAULTS = NetworkFaults(latency=(0, 0.02), short=0.1, one_byte=0.01, stall=0.02, lock_miss=0.1)


@pytest.mark.parametrize("seed", list(seeds(30)))
def test_random_sinks_get_one_contiguous_piece_and_one_report(seed: int) -> None:
    random = Random(seed)
    harness = Harness(seed, engines=random.choice([1, 2]), faults=FAULTS)
    data = random.randbytes(1_000_000)
    with harness.sim:
        source, *sinks = harness.lines(6)
        tunnel = lend(harness, source, sinks[:3], ends="never")
        source.peer.send(data)
        source.peer.end()
        for sink in sinks:
            act = random.choice(["join", "leave", "end", "reset", "stall", "nothing"])
            when = random.uniform(0.0, 0.5)
            harness.engine.schedule_in(
                when, harness.owner, "act", partial(_act, harness, tunnel, sink, act)
            )
            harness.sim.clock.after(when + 1.0, sink.peer.resume)
        harness.run()
    assert harness.done.reason is Reason.EOS
    assert all(sink.peer.received in data for sink in sinks)
    flushed = [removed for removed in harness.owner.removed if removed.reason is Reason.EOS]
    assert {sink.vc for sink in sinks if sink.peer.ended} <= {removed.sink for removed in flushed}
    assert all(removed.flow.sent == removed.flow.received for removed in flushed)
    assert all(
        removed.flow.sent <= removed.flow.received <= len(data) for removed in harness.owner.removed
    )
    assert all(engine.memory.used == 0 for engine in harness.engines)


def _act(harness: Harness, tunnel: OneWayMultiTunnel, sink: Line, act: str) -> None:
    present = any(flow.sink == sink.name for flow in tunnel.flows)
    if act == "join" and not present:
        tunnel.add_sink(sink.vc)
    elif act == "leave" and present:
        tunnel.remove(sink.vc)
    elif act in ("end", "reset", "stall"):
        getattr(sink.peer, act)()


def test_every_state_receives_every_event_that_may_come() -> None:
    assert check_machine(OneWayMultiTunnel) == {
        # No write has nbytes before FLUSHING.
        "RELAYING WRITE_COMPLETE", "FAILING WRITE_COMPLETE",
    }  # fmt: skip


def test_after_a_reset_of_the_source_a_required_sink_has_abort_s(harness: Harness) -> None:
    source, required, other = harness.lines(3)
    with harness.held():
        tunnel = OneWayMultiTunnel(harness.owner, source.vc, ends="any_required", abort_s=1.0)
        tunnel.add_sink(required.vc, required=True)
        tunnel.add_sink(other.vc)
        tunnel.start()
    required.peer.stall()
    other.peer.stall()
    source.peer.send(BACKLOG)
    harness.sim.elapse(60)
    source.peer.reset()
    harness.sim.elapse(0.5)
    assert harness.owner.removed == []
    harness.sim.elapse(0.6)
    [removed] = harness.owner.removed
    assert removed.sink is required.vc
    assert isinstance(removed.error, ConnectionResetError), "the error is that of the source"
    harness.sim.elapse(30)
    assert [removed.sink for removed in harness.owner.removed] == [required.vc, other.vc]
    assert harness.done.reason is Reason.ERROR
    assert harness.done.ended_by == source.name
    assert all(engine.memory.used == 0 for engine in harness.engines)
