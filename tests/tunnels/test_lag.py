"""Sinks that are slow, and what each policy makes of them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.iobuffer import MESSAGE_OVERHEAD
from vcproxy.tunnels.done import (
    Dropped,
    Reason,
    SinkLags,
    SinkRecovered,
    SourceDone,
    TunnelWritable,
)
from vcproxy.tunnels.history import NO_HISTORY, History, Join
from vcproxy.tunnels.lag import Lag, OnLag
from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel
from vcproxy.tunnels.sink import SinkStatistics

from .stage import BULK, NETWORK, Line, Stage

MOST = 10 * (1000 + MESSAGE_OVERHEAD)
"""Room for ten messages."""


def message(number: int) -> bytes:
    """One of a thousand bytes, that says which one it is."""
    return b"%d." % number + b"x" * (999 - len(str(number)) - 1) + b"\n"


def numbers(said: bytes | bytearray) -> list[int]:
    """Which messages these are: whole ones, or it fails."""
    lines = bytes(said).split(b"\n")
    assert lines.pop() == b"", "half a message"
    assert all(len(line) == 999 for line in lines), "not whole messages"
    return [int(line.partition(b".")[0]) for line in lines]


class Relay:
    """A tunnel of messages on a stage; its owner says them."""

    def __init__(
        self, stage: Stage, sinks: Iterable[Line], lag: Lag, history: History = NO_HISTORY
    ) -> None:
        self.stage = stage
        self.said = 0

        def make() -> OneWayMultiTunnel:
            return OneWayMultiTunnel(
                stage.owner, message_oriented=True, ends="never", history=history, name="relay"
            )

        self.tunnel = stage.lend(make)
        for sink in sinks:
            self.add(sink, lag)

    def add(self, sink: Line, lag: Lag, join: Join = "head") -> None:
        with self.stage.held():
            self.tunnel.add_sink(sink.vc, lag=lag, join=join)

    def publish(self, count: int = 1) -> None:
        """So many messages, and each has its time."""
        for _ in range(count):
            with self.stage.held():
                self.tunnel.publish([message(self.said)])
            self.said += 1
            self.stage.run()

    def statistics(self, sink: Line) -> SinkStatistics:
        return next(each for each in self.tunnel.sink_statistics() if each.sink is sink.vc)


@pytest.fixture(params=[1, 2], ids=["one engine", "two engines"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(engines=request.param)


def test_a_sink_that_gets_what_the_owner_says_is_not_inactive() -> None:
    stage = Stage()
    sink, other = stage.lines(2)
    with stage.held():
        for line in (sink, other):
            line.vc.set_inactivity_timeout(3.0)
    relay = Relay(stage, [sink, other], Lag(MOST, "drop_oldest"))
    for _ in range(10):
        with stage.held():
            relay.tunnel.publish([message(relay.said)])
        relay.said += 1
        stage.sim.elapse(1.0)
    assert stage.owner.gone == []
    stage.sim.elapse(10.0)
    assert [gone.reason for gone in stage.owner.gone] == [Reason.INACTIVITY] * 2


TO_FILL = NETWORK // 1000
"""So many messages fill the network behind a sink that does not read."""


def stalled(sinks: list[Line]) -> tuple[Line, list[Line]]:
    slow, *others = sinks
    slow.peer.stall()
    return slow, others


def test_drop_oldest_keeps_the_latest(stage: Stage) -> None:
    slow, others = stalled(list(stage.lines(3)))
    relay = Relay(stage, [slow, *others], Lag(MOST, "drop_oldest"))
    relay.publish(TO_FILL + 100)
    assert all(numbers(sink.peer.received) == list(range(relay.said)) for sink in others)
    [lags] = stage.owner.news
    assert isinstance(lags, SinkLags)
    assert (lags.sink, lags.on_lag) == (slow.vc, "drop_oldest")
    assert relay.statistics(slow).lag <= MOST
    slow.peer.resume()
    stage.run()
    got = numbers(slow.peer.received)
    assert got == sorted(set(got))
    assert got[-9:] == list(range(relay.said - 9, relay.said))  # and the rest of one half sent
    assert got[:TO_FILL] == list(range(TO_FILL))
    lost = relay.said - len(got)
    assert lost
    assert stage.owner.news[1:] == [
        SinkRecovered(relay.tunnel, slow.vc, Dropped(lost, lost * 1000))
    ]
    relay.publish()
    assert numbers(slow.peer.received)[-1] == relay.said - 1


def test_drop_newest_keeps_what_waited(stage: Stage) -> None:
    slow, others = stalled(list(stage.lines(3)))
    relay = Relay(stage, [slow, *others], Lag(MOST, "drop_newest"))
    relay.publish(TO_FILL + 100)
    assert all(numbers(sink.peer.received) == list(range(relay.said)) for sink in others)
    slow.peer.resume()
    stage.run()
    got = numbers(slow.peer.received)
    assert got == list(range(len(got)))  # from the first on, without a gap
    assert TO_FILL + 9 <= len(got) <= TO_FILL + 12
    lost = relay.said - len(got)
    assert relay.statistics(slow).dropped == Dropped(lost, lost * 1000)
    relay.publish(3)
    assert numbers(slow.peer.received) == [*got, *range(relay.said - 3, relay.said)]


def test_disconnect_gives_the_slow_one_back(stage: Stage) -> None:
    slow, others = stalled(list(stage.lines(3)))
    relay = Relay(stage, [slow, *others], Lag(MOST, "disconnect"))
    relay.publish(TO_FILL + 100)
    [gone] = stage.owner.gone
    assert (gone.sink, gone.reason) == (slow.vc, Reason.LAGGED)
    assert gone.flow.received - gone.flow.sent > 10 * 1000 - 1000
    assert [each.sink for each in relay.tunnel.sink_statistics()] == [sink.vc for sink in others]
    assert all(numbers(sink.peer.received) == list(range(relay.said)) for sink in others)


def test_block_makes_all_wait_and_loses_nothing(stage: Stage) -> None:
    slow, others = stalled(list(stage.lines(3)))
    relay = Relay(stage, [slow, *others], Lag(MOST, "block"))
    while not relay.tunnel.full:
        relay.publish()
    assert relay.statistics(slow).lag < SLAB + 1000  # the least that a buffer holds
    kinds = [type(news) for news in stage.owner.news]
    assert kinds == [SinkLags]
    slow.peer.resume()
    stage.run()
    assert {type(news) for news in stage.owner.news[1:]} == {SinkRecovered, TunnelWritable}
    assert numbers(slow.peer.received) == list(range(relay.said))


def test_a_message_longer_than_what_is_granted_is_sent_all_the_same() -> None:
    stage = Stage()
    policies: list[OnLag] = ["drop_oldest", "drop_newest"]
    for policy in policies:
        [slow] = stage.lines(1)
        slow.peer.stall()
        relay = Relay(stage, [slow], Lag(10, policy))
        relay.publish(TO_FILL + 10)
        slow.peer.resume()
        stage.run()
        got = numbers(slow.peer.received)
        assert len(got) >= TO_FILL
        assert (got[-1] == relay.said - 1) == (policy == "drop_oldest")


def test_a_message_longer_than_any_buffer_holds_up_nobody_else() -> None:
    stage = Stage()
    slow, [quick] = stalled(list(stage.lines(2)))
    relay = Relay(stage, [slow, quick], Lag(MOST, "drop_oldest"))
    for letter in b"abcdef":
        with stage.held():
            relay.tunnel.publish([bytes([letter]) * 2 * SLAB])
            assert relay.tunnel.full  # so TunnelWritable is wanted
        stage.run()
        assert not relay.tunnel.full
    slow.peer.resume()
    stage.run()
    assert len(quick.peer.received) == 12 * SLAB
    assert slow.peer.received == b"a" * 2 * SLAB + b"f" * 2 * SLAB


@pytest.mark.parametrize("then", ["drop_oldest", "drop_newest", "disconnect"])
def test_a_burst_that_fills_the_buffer_at_once_holds_up_nobody_else(then: OnLag) -> None:
    stage = Stage()
    slow, [quick] = stalled(list(stage.lines(2)))
    relay = Relay(stage, [slow, quick], Lag(MOST, then))
    relay.publish(TO_FILL)  # by the network: it still has had all
    with stage.held():
        while not relay.tunnel.full:
            relay.tunnel.publish([message(relay.said)])
            relay.said += 1
    stage.run()
    assert any(isinstance(news, TunnelWritable) for news in stage.owner.news)
    assert numbers(quick.peer.received) == list(range(relay.said))


def test_one_that_catches_up_in_full_flow_has_recovered(stage: Stage) -> None:
    slow, others = stalled(list(stage.lines(3)))
    relay = Relay(stage, [slow, *others], Lag(MOST, "drop_oldest"))
    relay.publish(TO_FILL + 30)
    slow.peer.resume()
    for _ in range(600):
        with stage.held():
            relay.tunnel.publish([message(relay.said)])
        relay.said += 1
        stage.sim.step()
    stage.run()
    assert isinstance(stage.owner.news[-1], SinkRecovered)


def test_one_that_lags_again_and_again_is_news_once(stage: Stage) -> None:
    slow, others = stalled(list(stage.lines(3)))
    relay = Relay(stage, [slow, *others], Lag(MOST, "drop_oldest"))
    for _ in range(5):
        slow.peer.stall()
        for _ in range(TO_FILL + 30):
            with stage.held():
                relay.tunnel.publish([message(0)])
            stage.sim.elapse(0.001)
        slow.peer.resume()
        stage.sim.elapse(0.5)
    assert [type(news) for news in stage.owner.news] == [SinkLags]
    stage.sim.elapse(0.6)
    assert [type(news) for news in stage.owner.news] == [SinkLags, SinkRecovered]


def test_policies_are_each_sinks_own() -> None:
    stage = Stage()
    lines = list(stage.lines(4))
    relay = Relay(stage, [], Lag())
    policies: list[OnLag] = ["disconnect", "drop_oldest", "drop_newest"]
    for line, policy in zip(lines, policies, strict=False):
        line.peer.stall()
        relay.add(line, Lag(MOST, policy))
    relay.add(lines[3], Lag(MOST, "block"))
    relay.publish(TO_FILL + 200)
    assert [gone.sink for gone in stage.owner.gone] == [lines[0].vc]
    assert numbers(lines[3].peer.received) == list(range(relay.said))


def test_the_end_is_flushed_to_one_that_had_to_do_without(stage: Stage) -> None:
    slow, others = stalled(list(stage.lines(2)))
    relay = Relay(stage, [slow, *others], Lag(MOST, "drop_oldest"))
    relay.publish(TO_FILL + 100)
    with stage.held():
        relay.tunnel.finish()
    stage.run()
    assert stage.owner.done == []
    slow.peer.resume()
    stage.run()
    assert stage.done.reason is Reason.EOS
    assert numbers(slow.peer.received)[-1] == relay.said - 1
    assert slow.peer.ended
    assert all(engine.memory.used == 0 for engine in stage.engines)


def test_dropping_needs_messages() -> None:
    stage = Stage()
    [source, sink] = stage.lines(2)
    with stage.held():
        tunnel = OneWayMultiTunnel(stage.owner, source.vc, name="relay")
        with pytest.raises(ValueError, match="drop_newest drops messages, and relay moves bytes"):
            tunnel.add_sink(sink.vc, lag=Lag(MOST, "drop_newest"))


def test_memory_stays_within_what_is_granted() -> None:
    stage = Stage()
    lines = list(stage.lines(5))
    relay = Relay(stage, [], Lag())
    for line, policy in zip(lines, ["drop_oldest", "drop_newest"] * 2, strict=False):
        line.peer.stall()
        relay.add(line, Lag(MOST, policy))  # type: ignore[arg-type]
    relay.add(lines[4], Lag(MOST, "disconnect"))
    most = 0
    for _ in range(TO_FILL + 300):
        relay.publish()
        most = max(most, stage.engine.memory.used)
    assert most <= 5 * (MOST + 1000)


# -- bytes -----------------------------------------------------------------------------------


def test_bytes_too_are_not_kept_for_who_is_cut_off() -> None:
    stage = Stage()
    source, slow, quick = stage.lines(3)
    slow.peer.stall()

    def make() -> OneWayMultiTunnel:
        tunnel = OneWayMultiTunnel(stage.owner, source.vc, name="relay")
        tunnel.add_sink(slow.vc, lag=Lag(SLAB, "disconnect"))
        tunnel.add_sink(quick.vc, lag=Lag(SLAB, "disconnect"))
        return tunnel

    stage.lend(make)
    source.peer.send(2 * BULK)
    stage.run_within(3 * SLAB)
    assert [gone.reason for gone in stage.owner.gone] == [Reason.LAGGED]
    assert quick.peer.received == 2 * BULK


# -- history ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "first"),
    [(History(bytes=5 * (1000 + MESSAGE_OVERHEAD)), 15), (History(bytes=1 << 20, messages=3), 17)],
    ids=["bytes", "messages"],
)
def test_a_late_sink_begins_with_what_is_remembered(
    stage: Stage, history: History, first: int
) -> None:
    early, late, later = stage.lines(3)
    relay = Relay(stage, [early], Lag(), history)
    relay.publish(20)
    relay.add(late, Lag(), join="tail")
    relay.add(later, Lag(), join="head")
    stage.run()
    assert numbers(late.peer.received) == list(range(first, 20))
    assert later.peer.received == b""
    relay.publish(2)
    assert numbers(late.peer.received) == list(range(first, 22))
    assert numbers(later.peer.received) == [20, 21]
    assert numbers(early.peer.received) == list(range(22))


def test_bytes_are_remembered_to_the_byte() -> None:
    stage = Stage()
    source, late = stage.lines(2)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(stage.owner, source.vc, ends="never", history=History(bytes=7))

    tunnel = stage.lend(make)
    source.peer.send(BULK + b"the end")
    stage.run()
    with stage.held():
        tunnel.add_sink(late.vc, join="tail")
    stage.run()
    assert late.peer.received == b"the end"


# -- sources in turn, and who speaks ---------------------------------------------------------


def test_sources_follow_each_other() -> None:
    stage = Stage()
    one, two, sink = stage.lines(3)
    tunnel = stage.lend(lambda: OneWayMultiTunnel(stage.owner, ends="never", name="relay"))
    with stage.held():
        tunnel.add_sink(sink.vc)
        tunnel.add_source(one.vc)
    one.peer.send(b"one ")
    one.peer.end()
    stage.run()
    assert stage.owner.news == [SourceDone(tunnel, one.vc, Reason.EOS, None, 4)]
    with stage.held():
        tunnel.add_source(two.vc)
    two.peer.send(b"two")
    stage.run()
    assert sink.peer.received == b"one two"
    with stage.held():
        tunnel.remove(two.vc)
    stage.run()
    assert stage.owner.news[1:] == [SourceDone(tunnel, two.vc, Reason.STOPPED, None, 3)]
    assert stage.owner.done == []


def test_what_a_sink_says_is_counted() -> None:
    stage = Stage()
    [sink] = stage.lines(1)
    relay = Relay(stage, [sink], Lag())
    sink.peer.send(b"hello?")
    stage.run()
    assert relay.statistics(sink).received == 6
    assert stage.owner.gone == []


def test_a_sink_that_must_be_mute_is_given_back_when_it_speaks() -> None:
    stage = Stage()
    [sink] = stage.lines(1)
    relay = Relay(stage, [], Lag())
    with stage.held():
        relay.tunnel.add_sink(sink.vc, receive_only=True)
    sink.peer.send(b"hello?")
    stage.run()
    assert [gone.reason for gone in stage.owner.gone] == [Reason.UNEXPECTED_DATA]


def test_patience_ends_with_one_that_takes_nothing() -> None:
    stage = Stage()
    slow, quick = stage.lines(2)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(stage.owner, message_oriented=True, ends="never", stall_s=30.0)

    tunnel = stage.lend(make)
    with stage.held():
        tunnel.add_sink(slow.vc)
        tunnel.add_sink(quick.vc)
    slow.peer.stall()
    stage.sim.elapse(100)  # of silence, which is nobody's fault
    while not tunnel.full:
        with stage.held():
            tunnel.publish([message(0)])
        stage.sim.elapse(0.001)
    assert stage.owner.gone == []
    stage.sim.elapse(31)
    assert [gone.reason for gone in stage.owner.gone] == [Reason.INACTIVITY]
    assert not tunnel.full


def test_patience_ends_too_while_others_are_served() -> None:
    stage = Stage()
    slow, quick = stage.lines(2)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(stage.owner, message_oriented=True, ends="never", stall_s=30.0)

    tunnel = stage.lend(make)
    with stage.held():
        tunnel.add_sink(slow.vc, lag=Lag(MOST, "drop_oldest"))
        tunnel.add_sink(quick.vc)
    slow.peer.stall()
    for number in range(TO_FILL + 100):
        with stage.held():
            tunnel.publish([message(number)])
        stage.sim.elapse(1)
    [gone] = stage.owner.gone
    assert (gone.sink, gone.reason) == (slow.vc, Reason.INACTIVITY)


def test_patience_ends_with_one_that_speaks_and_takes_nothing() -> None:
    stage = Stage()
    [slow] = stage.lines(1)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(stage.owner, message_oriented=True, ends="never", stall_s=30.0)

    tunnel = stage.lend(make)
    with stage.held():
        tunnel.add_sink(slow.vc)
    slow.peer.stall()
    while not tunnel.full:
        with stage.held():
            tunnel.publish([message(0)])
        stage.sim.elapse(0.001)
    for _ in range(4):
        slow.peer.send(b"wait for me")
        stage.sim.elapse(8)
    assert [gone.reason for gone in stage.owner.gone] == [Reason.INACTIVITY]


def test_patience_ends_with_one_that_leaves_no_room_for_a_second_read() -> None:
    stage = Stage()
    source, slow, quick = stage.lines(3)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(stage.owner, source.vc, ends="never", stall_s=30.0)

    slow.peer.stall()
    tunnel = stage.lend(make)
    with stage.held():
        tunnel.add_sink(slow.vc)
        tunnel.add_sink(quick.vc)
    source.peer.send(BULK)
    stage.sim.elapse(31)
    assert [gone.sink for gone in stage.owner.gone] == [slow.vc]
    stage.run()
    assert quick.peer.received == BULK


def test_a_source_that_had_to_wait_is_not_to_blame() -> None:
    stage = Stage()
    source, slow, quick = stage.lines(3)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(stage.owner, source.vc, ends="never", stall_s=30.0)

    slow.peer.stall()
    tunnel = stage.lend(make)
    with stage.held():
        tunnel.add_sink(slow.vc)
        tunnel.add_sink(quick.vc)
        source.vc.set_inactivity_timeout(30.0)
    for size in (NETWORK, SLAB // 2, SLAB // 2):  # the second makes it lag, the third all wait
        source.peer.send(BULK[:size])
        stage.sim.elapse(1)
    stage.sim.elapse(31)
    assert [gone.sink for gone in stage.owner.gone] == [slow.vc]
    assert stage.owner.done == []
    stage.sim.elapse(31)
    assert stage.done.reason is Reason.INACTIVITY
