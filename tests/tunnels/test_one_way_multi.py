"""OneWayMultiTunnel: one speaks, any number listen; the owner hears who left, when and why."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from random import Random

import pytest

from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.testing.machines import check_machine
from vcproxy.tunnels.done import Flow, Reason
from vcproxy.tunnels.one_way_multi import Ends, OneWayMultiTunnel

from .stage import BUFFER, BULK, NETWORK, OWED, Line, Stage


@pytest.fixture(params=[1, 2], ids=["one engine", "two engines"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """A sink may be on another engine than the source."""
    return Stage(engines=request.param)


def lend(
    stage: Stage,
    source: Line,
    sinks: Iterable[Line],
    *,
    required: Iterable[Line] = (),
    ends: Ends = "last",
) -> OneWayMultiTunnel:
    with stage.held():
        tunnel = OneWayMultiTunnel(stage.owner, source.vc, ends=ends, name="relay")
        for sink in sinks:
            tunnel.add_sink(sink.vc)
        for sink in required:
            tunnel.add_sink(sink.vc, required=True)
        tunnel.start()
    return tunnel


def join(stage: Stage, tunnel: OneWayMultiTunnel, sink: Line) -> None:
    with stage.held():
        tunnel.add_sink(sink.vc)


# -- joining and leaving ---------------------------------------------------------------------


def test_what_the_source_says_reaches_every_sink(stage: Stage) -> None:
    source, *sinks = stage.lines(51)
    lend(stage, source, sinks)
    source.peer.send(BULK)
    stage.run()
    assert all(sink.peer.received == BULK for sink in sinks)
    source.peer.send(b"the end")
    source.peer.end()
    stage.run()
    assert all(sink.peer.received == BULK + b"the end" for sink in sinks)
    assert all(sink.peer.ended for sink in sinks)
    count = len(BULK) + 7
    assert stage.done.reason is Reason.EOS
    assert stage.done.ended_by == source.name
    assert {flow.sink for flow in stage.done.flows} == {sink.name for sink in sinks}
    assert all((flow.received, flow.sent) == (count, count) for flow in stage.done.flows)


def test_a_sink_gets_everything_from_its_joining_on(stage: Stage) -> None:
    source, first, second, third = stage.lines(4)
    tunnel = lend(stage, source, [first])
    source.peer.send(b"one ")
    stage.run()
    join(stage, tunnel, second)
    source.peer.send(b"two ")
    stage.run()
    join(stage, tunnel, third)
    source.peer.send(b"three")
    stage.run()
    assert first.peer.received == b"one two three"
    assert second.peer.received == b"two three"
    assert third.peer.received == b"three"
    assert tunnel.flows == (
        Flow(source.name, first.name, 13, 13),
        Flow(source.name, second.name, 9, 9),
        Flow(source.name, third.name, 5, 5),
    )


def test_a_sink_joins_in_full_flow(stage: Stage) -> None:
    source, first, second = stage.lines(3)
    tunnel = lend(stage, source, [first])
    source.peer.send(BULK)
    stage.run(until=lambda: len(first.peer.received) > len(BULK) // 2)
    join(stage, tunnel, second)
    stage.run()
    assert first.peer.received == BULK
    assert 0 < len(second.peer.received) < len(BULK)
    assert BULK.endswith(second.peer.received)


def test_a_sink_that_is_removed_is_the_owners_again(stage: Stage) -> None:
    source, first, second = stage.lines(3)
    tunnel = lend(stage, source, [first, second])
    source.peer.send(b"one ")
    stage.run()
    with stage.held():
        tunnel.remove(first.vc)
    stage.run()
    [gone] = stage.owner.gone
    assert (gone.sink, gone.reason) == (first.vc, Reason.STOPPED)
    assert gone.flow == Flow(source.name, first.name, 4, 4)
    source.peer.send(b"two")
    stage.run()
    assert second.peer.received == b"one two"
    stage.say(first, b"so long")
    first.peer.send(b"and thanks")
    stage.run()  # it waits in the network: nobody reads
    assert stage.read_all(first) == b"and thanks"
    assert first.peer.received == b"one so long"


def test_a_sink_that_has_had_all_is_not_forgotten_when_nothing_comes(stage: Stage) -> None:
    source, first, second = stage.lines(3)
    tunnel = lend(stage, source, [first, second])
    source.peer.send(b"one ")
    stage.run()
    assert tunnel.source is not None
    with stage.held():
        tunnel.source.ready()
    stage.run()
    source.peer.send(b"two")
    stage.run()
    assert first.peer.received == second.peer.received == b"one two"


def test_a_sink_that_was_removed_comes_again(stage: Stage) -> None:
    source, first, second = stage.lines(3)
    tunnel = lend(stage, source, [first, second])
    with stage.held():
        tunnel.remove(first.vc)
    stage.run()
    source.peer.send(b"missed ")
    stage.run()
    join(stage, tunnel, first)
    source.peer.send(b"heard")
    stage.run()
    assert first.peer.received == b"heard"
    assert second.peer.received == b"missed heard"


def test_removing_who_is_gone_already_is_harmless() -> None:
    stage = Stage()
    source, first, second = stage.lines(3)
    tunnel = lend(stage, source, [first, second])
    first.peer.end()
    stage.run()
    with stage.held():
        tunnel.remove(first.vc)
    stage.run()
    assert len(stage.owner.gone) == 1
    assert stage.owner.done == []


def test_what_sinks_say_is_dropped() -> None:
    stage = Stage()
    source, sink = stage.lines()
    lend(stage, source, [sink])
    sink.peer.send(BULK)
    source.peer.send(b"hello")
    stage.run()
    assert sink.peer.sent == len(BULK)
    assert sink.peer.received == b"hello"
    assert source.peer.received == b""
    assert stage.engine.memory.used == 0


def test_two_tunnels_may_have_each_others_sources_as_sinks() -> None:
    stage = Stage()
    ann, bob, eve = stage.lines(3)
    for source, sinks in ((ann, (bob, eve)), (bob, (ann, eve))):
        with stage.held():
            tunnel = OneWayMultiTunnel(stage.owner, source.vc)
            for sink in sinks:
                tunnel.add_sink(sink.vc, watch=sink is eve and source is ann)
            tunnel.start()
        stage.run()
    ann.peer.send(b"hi, bob")
    stage.run()
    assert bob.peer.received == b"hi, bob"
    bob.peer.send(b"hi, ann")
    stage.run()
    assert ann.peer.received == b"hi, ann"


# -- sinks that end --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["end", "reset"])
def test_a_sink_that_ends_leaves_alone(stage: Stage, way: str) -> None:
    source, first, second = stage.lines(3)
    lend(stage, source, [first, second])
    source.peer.send(b"one ")
    stage.run()
    getattr(first.peer, way)()
    stage.run()
    source.peer.send(b"two")
    stage.run()
    [gone] = stage.owner.gone
    assert gone.sink is first.vc
    assert gone.reason is (Reason.SINK_ENDED if way == "end" else Reason.ERROR)
    assert isinstance(gone.error, ConnectionResetError) is (way == "reset")
    assert gone.flow == Flow(source.name, first.name, 4, 4)
    assert second.peer.received == b"one two"
    assert stage.owner.done == []


def test_a_sinks_timeout_is_its_own() -> None:
    stage = Stage()
    source, first, second = stage.lines(3)
    with stage.held():
        first.vc.set_inactivity_timeout(10.0)
    lend(stage, source, [first, second])
    first.peer.stall()
    source.peer.send(BULK)
    stage.run()
    [gone] = stage.owner.gone
    assert (gone.sink, gone.reason) == (first.vc, Reason.INACTIVITY)
    assert gone.flow.sent < gone.flow.received
    assert second.peer.received == BULK, "it was held up, and goes on"


def test_with_the_last_sink_it_ends(stage: Stage) -> None:
    source, first, second = stage.lines(3)
    lend(stage, source, [first, second])
    first.peer.end()
    stage.run()
    assert stage.owner.done == []
    second.peer.reset()
    stage.run()
    assert stage.done.reason is Reason.ERROR
    assert stage.done.ended_by == second.name
    assert [gone.sink for gone in stage.owner.gone] == [first.vc, second.vc]
    assert not source.peer.ended


def test_any_required_sink_ends_it_and_others_do_not(stage: Stage) -> None:
    source, optional, staying, required = stage.lines(4)
    lend(stage, source, [optional, staying], required=[required], ends="any_required")
    optional.peer.end()
    stage.run()
    assert stage.owner.done == []
    source.peer.send(b"hello")
    stage.run()
    required.peer.end()
    stage.run()
    assert stage.done.reason is Reason.SINK_ENDED
    assert stage.done.ended_by == required.name
    assert stage.done.flows == (Flow(source.name, staying.name, 5, 5),)
    assert not staying.peer.ended


def test_it_may_never_end_for_want_of_sinks(stage: Stage) -> None:
    source, first, second = stage.lines(3)
    tunnel = lend(stage, source, [first], ends="never")
    first.peer.end()
    stage.run()
    source.peer.send(BULK)
    stage.run()
    assert source.peer.sent == len(BULK), "it is read, and dropped"
    assert all(engine.memory.used == 0 for engine in stage.engines)
    join(stage, tunnel, second)
    source.peer.send(b"somebody is there")
    source.peer.end()
    stage.run()
    assert second.peer.received == b"somebody is there"
    assert second.peer.ended
    assert stage.done.reason is Reason.EOS


def test_without_any_sink_the_sources_end_is_the_end() -> None:
    stage = Stage()
    source = stage.line()
    lend(stage, source, [], ends="never")
    source.peer.end()
    stage.run()
    assert stage.done.reason is Reason.EOS
    assert stage.done.flows == ()


def test_removing_the_last_sink_is_an_end_like_any_other() -> None:
    stage = Stage()
    source, sink = stage.lines()
    tunnel = lend(stage, source, [sink])
    with stage.held():
        tunnel.remove(sink.vc)
    stage.run()
    assert stage.done.reason is Reason.STOPPED
    assert stage.done.ended_by == sink.name


def test_the_last_sink_may_be_exchanged() -> None:
    stage = Stage()
    source, old, new = stage.lines(3)
    tunnel = lend(stage, source, [old])
    with stage.held():
        tunnel.remove(old.vc)
        tunnel.add_sink(new.vc)
    source.peer.send(b"hello")
    stage.run()
    assert new.peer.received == b"hello"
    assert stage.owner.done == []


# -- the source ends -------------------------------------------------------------------------


def test_the_sources_end_is_flushed_to_every_survivor(stage: Stage) -> None:
    source, quick, slow, lost = stage.lines(4)
    lend(stage, source, [quick, slow, lost])
    for sink in (slow, lost):
        sink.peer.stall()
    source.peer.send(OWED)
    source.peer.end()
    stage.run()
    assert quick.peer.received == OWED
    assert quick.peer.ended
    assert [gone.sink for gone in stage.owner.gone] == [quick.vc]
    assert stage.owner.gone[0].reason is Reason.EOS
    lost.peer.reset()
    stage.run()
    assert stage.owner.done == []
    slow.peer.resume()
    stage.run()
    assert slow.peer.received == OWED
    assert slow.peer.ended
    assert [gone.reason for gone in stage.owner.gone] == [Reason.EOS, Reason.ERROR, Reason.EOS]
    assert stage.done.reason is Reason.EOS
    assert stage.done.ended_by == source.name
    assert [flow.sent for flow in stage.done.flows] == [len(OWED), NETWORK, len(OWED)]


def test_the_last_that_flushes_may_be_removed() -> None:
    stage = Stage()
    source, sink = stage.lines()
    tunnel = lend(stage, source, [sink])
    sink.peer.stall()
    source.peer.send(OWED)
    source.peer.end()
    stage.run()
    with stage.held():
        tunnel.remove(sink.vc)
    stage.run()
    [gone] = stage.owner.gone
    assert gone.reason is Reason.STOPPED
    assert stage.done.reason is Reason.EOS
    assert stage.engine.memory.used == 0


def test_who_joins_after_the_sources_end_gets_the_end() -> None:
    stage = Stage()
    source, slow, late, latest = stage.lines(4)
    tunnel = lend(stage, source, [slow])
    slow.peer.stall()
    source.peer.send(OWED)
    source.peer.end()
    stage.run()
    join(stage, tunnel, late)
    stage.run()
    assert late.peer.received == b""
    assert late.peer.ended
    slow.peer.resume()
    stage.run()
    assert stage.done.reason is Reason.EOS
    join(stage, tunnel, latest)
    stage.run()
    assert [gone.sink for gone in stage.owner.gone] == [late.vc, slow.vc, latest.vc]
    stage.say(latest, b"too late")
    stage.run()
    assert latest.peer.received == b"too late"


def test_a_source_that_breaks_ends_it_behind_what_it_sent(stage: Stage) -> None:
    source, first, second = stage.lines(3)
    lend(stage, source, [first, second])
    source.peer.send(b"half of")
    stage.run()
    source.peer.reset()
    stage.run()
    assert stage.done.reason is Reason.ERROR
    assert stage.done.ended_by == source.name
    assert isinstance(stage.done.error, ConnectionResetError)
    assert [flow.sent for flow in stage.done.flows] == [7, 7]
    assert not first.peer.ended
    assert {gone.reason for gone in stage.owner.gone} == {Reason.ERROR}
    assert {gone.error for gone in stage.owner.gone} == {stage.done.error}


@pytest.mark.parametrize("limit", ["inactivity", "active"])
def test_a_sources_timeout_ends_it(limit: str) -> None:
    stage = Stage()
    source, sink = stage.lines()
    with stage.held():
        getattr(source.vc, f"set_{limit}_timeout")(10.0)
    lend(stage, source, [sink])
    source.peer.send(b"hello")
    stage.run()
    assert stage.done.reason is Reason[limit.upper()]
    assert stage.done.ended_by == source.name


def test_stopped_it_ends_at_once(stage: Stage) -> None:
    source, first, second = stage.lines(3)
    tunnel = lend(stage, source, [first, second])
    first.peer.stall()
    source.peer.send(BULK)
    stage.run()
    with stage.held():
        tunnel.stop()
    stage.run()
    assert stage.done.reason is Reason.STOPPED
    assert stage.done.ended_by == "relay"
    assert len(stage.done.flows) == 2
    assert all(engine.memory.used == 0 for engine in stage.engines)
    assert stage.read_all(source) != b""


# -- the slowest governs ---------------------------------------------------------------------


def test_the_slowest_sink_governs_and_memory_stays_one_buffer(stage: Stage) -> None:
    source, *quick, slow = stage.lines(9)
    lend(stage, source, [*quick, slow])
    slow.peer.stall()
    source.peer.send(4 * BULK)
    stage.run_within(BUFFER)
    assert all(len(sink.peer.received) < 2 * NETWORK + BUFFER for sink in quick)
    slow.peer.resume()
    stage.run()
    assert all(sink.peer.received == 4 * BULK for sink in [*quick, slow])


@pytest.mark.parametrize("way", ["removed", "ends", "reset"])
def test_when_the_slowest_leaves_the_others_go_on(stage: Stage, way: str) -> None:
    source, quick, slow = stage.lines(3)
    tunnel = lend(stage, source, [quick, slow])
    slow.peer.stall()
    source.peer.send(4 * BULK)
    stage.run()
    assert len(quick.peer.received) < len(BULK)
    if way == "removed":
        with stage.held():
            tunnel.remove(slow.vc)
    elif way == "ends":
        slow.peer.end()
    else:
        slow.peer.reset()
    stage.run()
    assert quick.peer.received == 4 * BULK


WEATHER = NetworkFaults(latency=(0, 0.02), short=0.1, one_byte=0.01, stall=0.02, lock_miss=0.1)


@pytest.mark.parametrize("seed", list(seeds(30)))
def test_whatever_sinks_do_each_gets_one_piece_of_it_and_one_word_is_said(seed: int) -> None:
    random = Random(seed)
    stage = Stage(seed, engines=random.choice([1, 2]), faults=WEATHER)
    data = random.randbytes(1_000_000)
    with stage.sim:
        source, *sinks = stage.lines(6)
        tunnel = lend(stage, source, sinks[:3], ends="never")
        source.peer.send(data)
        source.peer.end()
        for sink in sinks:
            act = random.choice(["join", "leave", "end", "reset", "stall", "nothing"])
            when = random.uniform(0.0, 0.5)
            stage.engine.schedule_in(
                when, stage.owner, "act", partial(_act, stage, tunnel, sink, act)
            )
            stage.sim.clock.after(when + 1.0, sink.peer.resume)
        stage.run()
    assert stage.done.reason is Reason.EOS
    assert all(sink.peer.received in data for sink in sinks)
    flushed = [gone for gone in stage.owner.gone if gone.reason is Reason.EOS]
    assert {sink.vc for sink in sinks if sink.peer.ended} <= {gone.sink for gone in flushed}
    assert all(gone.flow.sent == gone.flow.received for gone in flushed)
    assert all(gone.flow.sent <= gone.flow.received <= len(data) for gone in stage.owner.gone)
    assert all(engine.memory.used == 0 for engine in stage.engines)


def _act(stage: Stage, tunnel: OneWayMultiTunnel, sink: Line, act: str) -> None:
    taking_part = any(flow.sink == sink.name for flow in tunnel.flows)
    if act == "join" and not taking_part:
        tunnel.add_sink(sink.vc)
    elif act == "leave" and taking_part:
        tunnel.remove(sink.vc)
    elif act in ("end", "reset", "stall"):
        getattr(sink.peer, act)()


def test_every_state_takes_what_may_reach_it() -> None:
    assert check_machine(OneWayMultiTunnel) == {
        # No write has a goal before FLUSHING.
        "RELAYING WRITE_COMPLETE", "FAILING WRITE_COMPLETE",
    }  # fmt: skip


def test_a_source_that_resets_waits_for_a_required_sink_so_long(stage: Stage) -> None:
    source, required, other = stage.lines(3)
    with stage.held():
        tunnel = OneWayMultiTunnel(stage.owner, source.vc, ends="any_required", abort_s=1.0)
        tunnel.add_sink(required.vc, required=True)
        tunnel.add_sink(other.vc)
        tunnel.start()
    required.peer.stall()
    other.peer.stall()
    source.peer.send(OWED)
    stage.sim.elapse(60)
    source.peer.reset()
    stage.sim.elapse(0.5)
    assert stage.owner.gone == []
    stage.sim.elapse(0.6)
    [gone] = stage.owner.gone
    assert gone.sink is required.vc
    assert isinstance(gone.error, ConnectionResetError), "the source's: that is why"
    stage.sim.elapse(30)
    assert [gone.sink for gone in stage.owner.gone] == [required.vc, other.vc]
    assert stage.done.reason is Reason.ERROR
    assert stage.done.ended_by == source.name
    assert all(engine.memory.used == 0 for engine in stage.engines)
