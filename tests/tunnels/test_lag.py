"""Slow sinks: lag policies, history, and limits of a stall."""

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
from vcproxy.tunnels.lag_policy import LagPolicy, OnLag
from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel
from vcproxy.tunnels.sink import SinkStatistics
from vcproxy.tunnels.stall_timer import FLUSH_S

from .harness import BULK, NETWORK, Harness, Line

MAX_LAG = 10 * (1000 + MESSAGE_OVERHEAD)
"""Room for ten messages."""


def message(number: int) -> bytes:
    """Return a message of a thousand bytes that begins with its number."""
    return b"%d." % number + b"x" * (999 - len(str(number)) - 1) + b"\n"


def numbers(data: bytes | bytearray) -> list[int]:
    """Return the numbers of messages; fail unless all are whole."""
    lines = bytes(data).split(b"\n")
    assert lines.pop() == b"", "incomplete message"
    assert all(len(line) == 999 for line in lines), "not whole messages"
    return [int(line.partition(b".")[0]) for line in lines]


class Relay:
    """A tunnel of messages, which its owner publishes."""

    def __init__(
        self, harness: Harness, sinks: Iterable[Line], lag: LagPolicy, history: History = NO_HISTORY
    ) -> None:
        self.harness = harness
        self.published = 0

        def make() -> OneWayMultiTunnel:
            return OneWayMultiTunnel(
                harness.owner, message_oriented=True, ends="never", history=history, name="relay"
            )

        self.tunnel = harness.lend(make)
        for sink in sinks:
            self.add(sink, lag)

    def add(self, sink: Line, lag: LagPolicy, join: Join = "head") -> None:
        with self.harness.held():
            self.tunnel.add_sink(sink.vc, lag=lag, join=join)

    def publish(self, count: int = 1) -> None:
        """Publish messages one by one, and run after each."""
        for _ in range(count):
            with self.harness.held():
                self.tunnel.publish([message(self.published)])
            self.published += 1
            self.harness.run()

    def statistics(self, sink: Line) -> SinkStatistics:
        return next(each for each in self.tunnel.sink_statistics() if each.sink is sink.vc)


@pytest.fixture(params=[1, 2], ids=["one engine", "two engines"])
def harness(request: pytest.FixtureRequest) -> Harness:
    return Harness(engines=request.param)


def test_a_sink_that_gets_published_messages_is_not_inactive() -> None:
    harness = Harness()
    sink, other = harness.lines(2)
    with harness.held():
        for line in (sink, other):
            line.vc.set_inactivity_timeout(3.0)
    relay = Relay(harness, [sink, other], LagPolicy(MAX_LAG, "drop_oldest"))
    for _ in range(10):
        with harness.held():
            relay.tunnel.publish([message(relay.published)])
        relay.published += 1
        harness.sim.elapse(1.0)
    assert harness.owner.removed == []
    harness.sim.elapse(10.0)
    assert [removed.reason for removed in harness.owner.removed] == [Reason.INACTIVITY] * 2


TO_FILL = NETWORK // 1000
"""Number of messages that fill the network between the proxy and a sink that does not read."""


def stalled(sinks: list[Line]) -> tuple[Line, list[Line]]:
    slow, *others = sinks
    slow.peer.stall()
    return slow, others


def test_drop_oldest_keeps_the_latest(harness: Harness) -> None:
    slow, others = stalled(list(harness.lines(3)))
    relay = Relay(harness, [slow, *others], LagPolicy(MAX_LAG, "drop_oldest"))
    relay.publish(TO_FILL + 100)
    assert all(numbers(sink.peer.received) == list(range(relay.published)) for sink in others)
    [lags] = harness.owner.reports
    assert isinstance(lags, SinkLags)
    assert (lags.sink, lags.on_lag) == (slow.vc, "drop_oldest")
    assert relay.statistics(slow).lag <= MAX_LAG
    slow.peer.resume()
    harness.run()
    got = numbers(slow.peer.received)
    assert got == sorted(set(got))
    assert got[-9:] == list(
        range(relay.published - 9, relay.published)
    )  # and the rest of one that was partly sent
    assert got[:TO_FILL] == list(range(TO_FILL))
    lost = relay.published - len(got)
    assert lost
    assert harness.owner.reports[1:] == [
        SinkRecovered(relay.tunnel, slow.vc, Dropped(lost, lost * 1000))
    ]
    relay.publish()
    assert numbers(slow.peer.received)[-1] == relay.published - 1


def test_drop_newest_keeps_the_messages_that_waited(harness: Harness) -> None:
    slow, others = stalled(list(harness.lines(3)))
    relay = Relay(harness, [slow, *others], LagPolicy(MAX_LAG, "drop_newest"))
    relay.publish(TO_FILL + 100)
    assert all(numbers(sink.peer.received) == list(range(relay.published)) for sink in others)
    slow.peer.resume()
    harness.run()
    got = numbers(slow.peer.received)
    assert got == list(range(len(got)))  # the first messages, without a gap
    assert TO_FILL + 9 <= len(got) <= TO_FILL + 12
    lost = relay.published - len(got)
    assert relay.statistics(slow).dropped == Dropped(lost, lost * 1000)
    relay.publish(3)
    assert numbers(slow.peer.received) == [*got, *range(relay.published - 3, relay.published)]


def test_disconnect_gives_the_slow_sink_back(harness: Harness) -> None:
    slow, others = stalled(list(harness.lines(3)))
    relay = Relay(harness, [slow, *others], LagPolicy(MAX_LAG, "disconnect"))
    relay.publish(TO_FILL + 100)
    [removed] = harness.owner.removed
    assert (removed.sink, removed.reason) == (slow.vc, Reason.LAGGED)
    assert removed.flow.received - removed.flow.sent > 10 * 1000 - 1000
    assert [each.sink for each in relay.tunnel.sink_statistics()] == [sink.vc for sink in others]
    assert all(numbers(sink.peer.received) == list(range(relay.published)) for sink in others)


def test_block_delays_all_and_drops_nothing(harness: Harness) -> None:
    slow, others = stalled(list(harness.lines(3)))
    relay = Relay(harness, [slow, *others], LagPolicy(MAX_LAG, "block"))
    while not relay.tunnel.full:
        relay.publish()
    assert relay.statistics(slow).lag < SLAB + 1000  # the least that a buffer holds
    kinds = [type(report) for report in harness.owner.reports]
    assert kinds == [SinkLags]
    slow.peer.resume()
    harness.run()
    assert {type(report) for report in harness.owner.reports[1:]} == {SinkRecovered, TunnelWritable}
    assert numbers(slow.peer.received) == list(range(relay.published))


def test_a_message_longer_than_max_lag_is_sent() -> None:
    harness = Harness()
    policies: list[OnLag] = ["drop_oldest", "drop_newest"]
    for policy in policies:
        [slow] = harness.lines(1)
        slow.peer.stall()
        relay = Relay(harness, [slow], LagPolicy(10, policy))
        relay.publish(TO_FILL + 10)
        slow.peer.resume()
        harness.run()
        got = numbers(slow.peer.received)
        assert len(got) >= TO_FILL
        assert (got[-1] == relay.published - 1) == (policy == "drop_oldest")


def test_a_message_longer_than_any_buffer_delays_no_other_sink() -> None:
    harness = Harness()
    slow, [quick] = stalled(list(harness.lines(2)))
    relay = Relay(harness, [slow, quick], LagPolicy(MAX_LAG, "drop_oldest"))
    for letter in b"abcdef":
        with harness.held():
            relay.tunnel.publish([bytes([letter]) * 2 * SLAB])
            assert relay.tunnel.full  # asking for `full` requests TunnelWritable
        harness.run()
        assert not relay.tunnel.full
    slow.peer.resume()
    harness.run()
    assert len(quick.peer.received) == 12 * SLAB
    assert slow.peer.received == b"a" * 2 * SLAB + b"f" * 2 * SLAB


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "disconnect"])
def test_a_burst_that_fills_the_buffer_at_once_delays_no_other_sink(policy: OnLag) -> None:
    harness = Harness()
    slow, [quick] = stalled(list(harness.lines(2)))
    relay = Relay(harness, [slow, quick], LagPolicy(MAX_LAG, policy))
    relay.publish(TO_FILL)  # the network holds all these messages
    with harness.held():
        while not relay.tunnel.full:
            relay.tunnel.publish([message(relay.published)])
            relay.published += 1
    harness.run()
    assert any(isinstance(report, TunnelWritable) for report in harness.owner.reports)
    assert numbers(quick.peer.received) == list(range(relay.published))


def test_a_sink_recovers_while_messages_are_published(harness: Harness) -> None:
    slow, others = stalled(list(harness.lines(3)))
    relay = Relay(harness, [slow, *others], LagPolicy(MAX_LAG, "drop_oldest"))
    relay.publish(TO_FILL + 30)
    slow.peer.resume()
    for _ in range(600):
        with harness.held():
            relay.tunnel.publish([message(relay.published)])
        relay.published += 1
        harness.sim.step()
    harness.run()
    assert isinstance(harness.owner.reports[-1], SinkRecovered)


def test_a_sink_that_lags_again_and_again_is_reported_once(harness: Harness) -> None:
    slow, others = stalled(list(harness.lines(3)))
    relay = Relay(harness, [slow, *others], LagPolicy(MAX_LAG, "drop_oldest"))
    for _ in range(5):
        slow.peer.stall()
        for _ in range(TO_FILL + 30):
            with harness.held():
                relay.tunnel.publish([message(0)])
            harness.sim.elapse(0.001)
        slow.peer.resume()
        harness.sim.elapse(0.5)
    assert [type(report) for report in harness.owner.reports] == [SinkLags]
    harness.sim.elapse(0.6)
    assert [type(report) for report in harness.owner.reports] == [SinkLags, SinkRecovered]


def test_each_sink_has_its_own_policy() -> None:
    harness = Harness()
    lines = list(harness.lines(4))
    relay = Relay(harness, [], LagPolicy())
    policies: list[OnLag] = ["disconnect", "drop_oldest", "drop_newest"]
    for line, policy in zip(lines, policies, strict=False):
        line.peer.stall()
        relay.add(line, LagPolicy(MAX_LAG, policy))
    relay.add(lines[3], LagPolicy(MAX_LAG, "block"))
    relay.publish(TO_FILL + 200)
    assert [removed.sink for removed in harness.owner.removed] == [lines[0].vc]
    assert numbers(lines[3].peer.received) == list(range(relay.published))


def test_the_end_is_flushed_to_a_sink_with_drops(harness: Harness) -> None:
    slow, others = stalled(list(harness.lines(2)))
    relay = Relay(harness, [slow, *others], LagPolicy(MAX_LAG, "drop_oldest"))
    relay.publish(TO_FILL + 100)
    with harness.held():
        relay.tunnel.finish()
    harness.run()
    assert harness.owner.done == []
    slow.peer.resume()
    harness.run()
    assert harness.done.reason is Reason.EOS
    assert numbers(slow.peer.received)[-1] == relay.published - 1
    assert slow.peer.ended
    assert all(engine.memory.used == 0 for engine in harness.engines)


def test_drop_policies_need_messages() -> None:
    harness = Harness()
    [source, sink] = harness.lines(2)
    with harness.held():
        tunnel = OneWayMultiTunnel(harness.owner, source.vc, name="relay")
        with pytest.raises(ValueError, match="drop_newest drops messages, and relay moves bytes"):
            tunnel.add_sink(sink.vc, lag=LagPolicy(MAX_LAG, "drop_newest"))


def test_memory_stays_within_max_lag() -> None:
    harness = Harness()
    lines = list(harness.lines(5))
    relay = Relay(harness, [], LagPolicy())
    for line, policy in zip(lines, ["drop_oldest", "drop_newest"] * 2, strict=False):
        line.peer.stall()
        relay.add(line, LagPolicy(MAX_LAG, policy))  # type: ignore[arg-type]
    relay.add(lines[4], LagPolicy(MAX_LAG, "disconnect"))
    most = 0
    for _ in range(TO_FILL + 300):
        relay.publish()
        most = max(most, harness.engine.memory.used)
    assert most <= 5 * (MAX_LAG + 1000)


# -- bytes -----------------------------------------------------------------------------------


def test_bytes_are_not_kept_for_a_disconnected_sink() -> None:
    harness = Harness()
    source, slow, quick = harness.lines(3)
    slow.peer.stall()

    def make() -> OneWayMultiTunnel:
        tunnel = OneWayMultiTunnel(harness.owner, source.vc, name="relay")
        tunnel.add_sink(slow.vc, lag=LagPolicy(SLAB, "disconnect"))
        tunnel.add_sink(quick.vc, lag=LagPolicy(SLAB, "disconnect"))
        return tunnel

    harness.lend(make)
    source.peer.send(2 * BULK)
    harness.run_within(3 * SLAB)
    assert [removed.reason for removed in harness.owner.removed] == [Reason.LAGGED]
    assert quick.peer.received == 2 * BULK


# -- history ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "first"),
    [(History(bytes=5 * (1000 + MESSAGE_OVERHEAD)), 15), (History(bytes=1 << 20, messages=3), 17)],
    ids=["bytes", "messages"],
)
def test_a_late_sink_begins_with_the_history(
    harness: Harness, history: History, first: int
) -> None:
    early, late, later = harness.lines(3)
    relay = Relay(harness, [early], LagPolicy(), history)
    relay.publish(20)
    relay.add(late, LagPolicy(), join="tail")
    relay.add(later, LagPolicy(), join="head")
    harness.run()
    assert numbers(late.peer.received) == list(range(first, 20))
    assert later.peer.received == b""
    relay.publish(2)
    assert numbers(late.peer.received) == list(range(first, 22))
    assert numbers(later.peer.received) == [20, 21]
    assert numbers(early.peer.received) == list(range(22))


def test_a_history_of_bytes_is_exact() -> None:
    harness = Harness()
    source, late = harness.lines(2)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(harness.owner, source.vc, ends="never", history=History(bytes=7))

    tunnel = harness.lend(make)
    source.peer.send(BULK + b"the end")
    harness.run()
    with harness.held():
        tunnel.add_sink(late.vc, join="tail")
    harness.run()
    assert late.peer.received == b"the end"


# -- sources in turn, and data from sinks ---------------------------------------------------------


def test_one_source_follows_another() -> None:
    harness = Harness()
    one, two, sink = harness.lines(3)
    tunnel = harness.lend(lambda: OneWayMultiTunnel(harness.owner, ends="never", name="relay"))
    with harness.held():
        tunnel.add_sink(sink.vc)
        tunnel.add_source(one.vc)
    one.peer.send(b"one ")
    one.peer.end()
    harness.run()
    assert harness.owner.reports == [SourceDone(tunnel, one.vc, Reason.EOS, None, 4)]
    with harness.held():
        tunnel.add_source(two.vc)
    two.peer.send(b"two")
    harness.run()
    assert sink.peer.received == b"one two"
    with harness.held():
        tunnel.remove(two.vc)
    harness.run()
    assert harness.owner.reports[1:] == [SourceDone(tunnel, two.vc, Reason.STOPPED, None, 3)]
    assert harness.owner.done == []


def test_a_lent_source_that_fails_behind_a_full_buffer_is_given_back() -> None:
    """Even without `stall_s`, data in the kernel is read for at most FLUSH_S seconds."""
    harness = Harness()
    source, slow = harness.lines(2)
    tunnel = harness.lend(lambda: OneWayMultiTunnel(harness.owner, ends="never", name="relay"))
    slow.peer.stall()
    with harness.held():
        tunnel.add_sink(slow.vc)
        tunnel.add_source(source.vc)
    source.peer.send(BULK)
    harness.sim.elapse(1)
    source.peer.reset()
    harness.sim.elapse(FLUSH_S - 1)
    assert not any(isinstance(report, SourceDone) for report in harness.owner.reports)
    harness.sim.elapse(FLUSH_S)
    [done] = [report for report in harness.owner.reports if isinstance(report, SourceDone)]
    assert (done.source, done.reason) == (source.vc, Reason.ERROR)
    assert isinstance(done.error, ConnectionResetError)
    assert tunnel.source is None
    assert harness.owner.removed == [], "the sink stays"


def test_data_from_a_sink_is_counted() -> None:
    harness = Harness()
    [sink] = harness.lines(1)
    relay = Relay(harness, [sink], LagPolicy())
    sink.peer.send(b"hello?")
    harness.run()
    assert relay.statistics(sink).received == 6
    assert harness.owner.removed == []


def test_a_receive_only_sink_that_sends_is_given_back() -> None:
    harness = Harness()
    [sink] = harness.lines(1)
    relay = Relay(harness, [], LagPolicy())
    with harness.held():
        relay.tunnel.add_sink(sink.vc, receive_only=True)
    sink.peer.send(b"hello?")
    harness.run()
    assert [removed.reason for removed in harness.owner.removed] == [Reason.UNEXPECTED_DATA]


def test_a_sink_that_takes_nothing_is_given_back() -> None:
    harness = Harness()
    slow, quick = harness.lines(2)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(harness.owner, message_oriented=True, ends="never", stall_s=30.0)

    tunnel = harness.lend(make)
    with harness.held():
        tunnel.add_sink(slow.vc)
        tunnel.add_sink(quick.vc)
    slow.peer.stall()
    harness.sim.elapse(100)  # nothing is published: no sink has stalled
    while not tunnel.full:
        with harness.held():
            tunnel.publish([message(0)])
        harness.sim.elapse(0.001)
    assert harness.owner.removed == []
    harness.sim.elapse(31)
    assert [removed.reason for removed in harness.owner.removed] == [Reason.INACTIVITY]
    assert not tunnel.full


def test_a_sink_that_takes_nothing_is_given_back_while_others_read() -> None:
    harness = Harness()
    slow, quick = harness.lines(2)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(harness.owner, message_oriented=True, ends="never", stall_s=30.0)

    tunnel = harness.lend(make)
    with harness.held():
        tunnel.add_sink(slow.vc, lag=LagPolicy(MAX_LAG, "drop_oldest"))
        tunnel.add_sink(quick.vc)
    slow.peer.stall()
    for number in range(TO_FILL + 100):
        with harness.held():
            tunnel.publish([message(number)])
        harness.sim.elapse(1)
    [removed] = harness.owner.removed
    assert (removed.sink, removed.reason) == (slow.vc, Reason.INACTIVITY)


def test_a_sink_that_sends_and_takes_nothing_is_given_back() -> None:
    harness = Harness()
    [slow] = harness.lines(1)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(harness.owner, message_oriented=True, ends="never", stall_s=30.0)

    tunnel = harness.lend(make)
    with harness.held():
        tunnel.add_sink(slow.vc)
    slow.peer.stall()
    while not tunnel.full:
        with harness.held():
            tunnel.publish([message(0)])
        harness.sim.elapse(0.001)
    for _ in range(4):
        slow.peer.send(b"wait for me")
        harness.sim.elapse(8)
    assert [removed.reason for removed in harness.owner.removed] == [Reason.INACTIVITY]


def test_a_sink_that_fills_the_buffer_at_once_is_given_back() -> None:
    harness = Harness()
    source, slow, quick = harness.lines(3)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(harness.owner, source.vc, ends="never", stall_s=30.0)

    slow.peer.stall()
    tunnel = harness.lend(make)
    with harness.held():
        tunnel.add_sink(slow.vc)
        tunnel.add_sink(quick.vc)
    source.peer.send(BULK)
    harness.sim.elapse(31)
    assert [removed.sink for removed in harness.owner.removed] == [slow.vc]
    harness.run()
    assert quick.peer.received == BULK


def test_a_blocked_source_is_not_inactive() -> None:
    harness = Harness()
    source, slow, quick = harness.lines(3)

    def make() -> OneWayMultiTunnel:
        return OneWayMultiTunnel(harness.owner, source.vc, ends="never", stall_s=30.0)

    slow.peer.stall()
    tunnel = harness.lend(make)
    with harness.held():
        tunnel.add_sink(slow.vc)
        tunnel.add_sink(quick.vc)
        source.vc.set_inactivity_timeout(30.0)
    # the second makes the sink lag, the third blocks all sinks
    for size in (NETWORK, SLAB // 2, SLAB // 2):
        source.peer.send(BULK[:size])
        harness.sim.elapse(1)
    harness.sim.elapse(31)
    assert [removed.sink for removed in harness.owner.removed] == [slow.vc]
    assert harness.owner.done == []
    harness.sim.elapse(31)
    assert harness.done.reason is Reason.INACTIVITY
