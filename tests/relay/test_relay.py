"""Relay: who may speak, who hears what, what becomes of who is slow, and how it ends."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.engine.address import Address
from vcproxy.engine.iobuffer import MESSAGE_OVERHEAD
from vcproxy.engine.units import rounded_size
from vcproxy.relay.options import RelayOptions, Target
from vcproxy.relay.relay import Relay
from vcproxy.relay.status import RelayStatus, SinkStatus
from vcproxy.sessions.program import Signal
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.done import Dropped
from vcproxy.tunnels.history import History
from vcproxy.tunnels.lag import OnLag

HERE = Address("tcp", "here", 1)
ONE, TWO, FEED = (Address("tcp", name, 1) for name in ("one", "two", "feed"))

NETWORK = 1000
"""Bytes that wait in the network behind a peer that does not read."""

COST = 100 + MESSAGE_OVERHEAD
"""What a line occupies."""

MOST = 30 * COST
"""What a sink is granted: thirty lines."""


def line(number: int) -> bytes:
    """One of a hundred bytes."""
    return (b"%d " % number).ljust(99, b".") + b"\n"


def numbers(peer: Peer) -> list[int]:
    """Which lines it has heard: whole ones, or it fails."""
    lines = bytes(peer.received).split(b"\n")
    assert lines.pop() == b"", "half a line"
    assert all(len(each) == 99 for each in lines), "not whole lines"
    return [int(each.split()[0]) for each in lines]


class Stage(SimulatedProxy):
    """A relay that has been started, and what is asked of it most."""

    @property
    def relay(self) -> Relay:
        assert isinstance(self.program, Relay)
        return self.program

    @property
    def status(self) -> RelayStatus:
        return self.relay.status()

    @property
    def sinks(self) -> list[SinkStatus]:
        return list(self.status.sinks)

    def subscribe(self, count: int = 1) -> list[Peer]:
        """So many subscribers, one after the other."""
        peers = []
        for _ in range(count):
            peers.append(self.client("subscribers"))
            self.settle()
        return peers

    def produce(self, *said: bytes) -> Peer:
        """One more producer, that says this."""
        producer = self.client()
        self.settle()
        for data in said:
            self.say(producer, data)
        return producer

    def target(self, to: Address = ONE) -> Peer:
        """Once more the relay has connected there."""
        peer = self.server(str(to))
        self.settle()
        return peer

    def say(self, producer: Peer, data: bytes) -> None:
        producer.send(data)
        self.settle()

    def lines(self, producer: Peer, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.say(producer, line(number))

    def settle(self) -> None:
        """Whatever needs no time happens."""
        self.elapse(0.001)

    def end(self) -> None:
        """The process is asked to end: nothing is left, and no time is wasted."""
        self.programs.deliver(Signal(15))
        before = self.sim.now
        self.run()
        assert self.sim.now == before
        self.at_rest()

    def at_rest(self) -> None:
        """Nothing is open, and nothing is kept."""
        assert not self.engine.vcs
        assert self.engine.memory.used == 0


@contextmanager
def relay(
    plugin: type[Relay] = Relay,
    *,
    inactivity_s: float = 0.0,
    faults: NetworkFaults | None = None,
    refusing: Sequence[str] = (),
    seed: int = 0,
    end: bool = True,
    **options: Any,
) -> Iterator[Stage]:
    """A relay with these options. At the end it is told to end, and must be at rest at once."""
    options = {"subscribers": (HERE,), "framing": "lines"} | options
    faults = faults or NetworkFaults(socket=(NETWORK, NETWORK))
    made = Stage(
        plugin,
        (),
        options=RelayOptions(**options),
        inactivity_s=inactivity_s,
        faults=faults,
        refusing=refusing,
        seed=seed,
    )
    with made as stage:
        stage.settle()
        yield stage
        if end:
            stage.end()


def target(to: Address = ONE, **own: Any) -> dict[str, Any]:
    return {"targets": (Target(to, **own),)}


# -- producers -------------------------------------------------------------------------------


def test_all_who_listen_hear_whole_messages() -> None:
    with relay() as stage:
        subscribers = stage.subscribe(3)
        producer = stage.produce(b"one\ntw")
        assert {bytes(each.received) for each in subscribers} == {b"one\n"}
        stage.say(producer, b"o\n\nthree\n")
        assert {bytes(each.received) for each in subscribers} == {b"one\ntwo\n\nthree\n"}
        assert stage.log == [
            *(
                f"info: proxy.subscribers 10.0.0.1:{40001 + n}: sink connected; "
                f"{n + 1} sink{'s' * (n > 0)}"
                for n in range(3)
            ),
            "info: proxy 10.0.0.1:40004: producer connected",
        ]


def test_an_exclusive_producer_stays_alone_until_it_leaves() -> None:
    with relay() as stage:
        [subscriber] = stage.subscribe()
        first = stage.produce(b"a\n")
        second = stage.produce(b"b\n")
        assert second.reset_seen
        assert stage.status.counts["refused"] == 1
        assert stage.log[-1] == (
            "warning: proxy 10.0.0.1:40003: producer refused: "
            'proxy 10.0.0.1:40002 is the producer, and producers = "exclusive"'
        )
        first.end()
        stage.settle()
        assert first.ended
        assert stage.log[-1] == (
            "info: proxy 10.0.0.1:40002: producer closed: the source ended; 2B received"
        )
        stage.produce(b"c\n")
        assert subscriber.received == b"a\nc\n"


@pytest.mark.parametrize(("framing", "said"), [("lines", b"half"), ("lines", b""), ("none", b"")])
def test_a_producer_that_sends_nothing_does_not_keep_others_away(framing: str, said: bytes) -> None:
    with relay(framing=framing, first_message=3.0) as stage:
        [subscriber] = stage.subscribe()
        silent = stage.produce(said)
        stage.elapse(2.5)
        assert stage.produce(b"a\n").reset_seen, "it may still begin"
        stage.elapse(0.5)
        second = stage.produce(b"b\n")
        assert silent.ended
        assert subscriber.received == b"b\n"
        assert stage.log[-3:] == [
            "warning: proxy 10.0.0.1:40002: no message from the producer for 3s; "
            "replaced by proxy 10.0.0.1:40004",
            f"info: proxy 10.0.0.1:40002: producer closed: stopped; {len(said)}B received",
            "info: proxy 10.0.0.1:40004: producer connected",
        ]
        assert stage.status.counts["silent"] == 1
        stage.elapse(60)
        assert stage.produce(b"c\n").reset_seen, "who has begun stays"
        stage.say(second, b"d\n")
        assert subscriber.received == b"b\nd\n"


def test_with_0_a_silent_producer_stays() -> None:
    with relay(first_message=0.0) as stage:
        stage.produce()
        stage.elapse(1000)
        assert stage.produce(b"a\n").reset_seen


def test_producers_that_interleave_are_never_mixed() -> None:
    with relay(producers="interleave") as stage:
        [subscriber] = stage.subscribe()
        one, two = stage.produce(b"on"), stage.produce(b"tw")
        stage.say(one, b"e\nuno\nu")
        stage.say(two, b"o\n")
        stage.say(one, b"n\n")
        assert subscriber.received == b"one\nuno\ntwo\nun\n"
        assert stage.status.producers == {"proxy 10.0.0.1:40002": 11, "proxy 10.0.0.1:40003": 4}
        one.close()
        stage.say(two, b"due\n")
        assert subscriber.received.endswith(b"due\n")


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_one_takes_the_place_of_another(framing: str) -> None:
    with relay(framing=framing, producers="replace") as stage:
        [subscriber] = stage.subscribe()
        first = stage.produce(b"a\n")
        second = stage.produce(b"b\n")
        assert first.ended
        assert not first.reset_seen
        assert stage.log[-2:] == [
            "info: proxy 10.0.0.1:40002: producer closed: stopped; 2B received",
            "info: proxy 10.0.0.1:40003: producer connected",
        ]
        stage.say(second, b"c\n")
        assert subscriber.received == b"a\nb\nc\n"
        assert list(stage.status.producers) == ["proxy 10.0.0.1:40003"]


def test_of_several_heirs_the_last_one_inherits() -> None:
    with relay(producers="replace") as stage:
        [subscriber] = stage.subscribe()
        heirs = [stage.client() for _ in range(20)]
        for number, heir in enumerate(heirs):
            heir.send(line(number))
        stage.settle()
        assert any(said.endswith("connected after it") for said in stage.log)
        [last] = [heir for heir in heirs if not (heir.ended or heir.reset_seen)]
        assert numbers(subscriber)[-1] == heirs.index(last)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_half_a_message_goes_to_nobody(how: str) -> None:
    with relay(history=History(bytes=1000)) as stage:
        [subscriber] = stage.subscribe()
        producer = stage.produce(b"whole\nhal")
        getattr(producer, how)()
        stage.settle()
        why = {
            "close": "the source ended: stream ended inside a message",
            "reset": "a connection failed: connection reset by peer",
        }[how]
        assert stage.log[-1] == f"info: proxy 10.0.0.1:40002: producer closed: {why}; 9B received"
        stage.produce(b"next\n")
        assert subscriber.received == b"whole\nnext\n"
        assert stage.subscribe()[0].received == b"whole\nnext\n"


@pytest.mark.parametrize(
    ("options", "said", "heard", "why"),
    [
        ({"limit": 5}, b"short\ntoo long\nmore\n", b"short\n", "message over the size limit"),
        ({"limit": 5}, b"never ending", b"", "message over the size limit"),
        (
            {"framing": "netstring"},
            b"2:ok,what?",
            b"2:ok,",
            "invalid framing: no message can begin with these bytes",
        ),
    ],
)
def test_what_cannot_be_read_on_ends_its_producer_alone(
    options: dict[str, Any], said: bytes, heard: bytes, why: str
) -> None:
    with relay(producers="interleave", **options) as stage:
        [subscriber] = stage.subscribe()
        bad, good = stage.produce(said), stage.produce()
        assert bad.reset_seen
        said_of_it = f"producer closed: framing error: {why}"
        assert any(line.startswith("warning") and said_of_it in line for line in stage.log)
        assert not good.ended
        assert subscriber.received == heard


def test_bytes_are_passed_on_as_they_come_and_producers_follow_each_other() -> None:
    with relay(framing="none") as stage:
        subscribers = stage.subscribe(2)
        first = stage.produce(b"hal")
        assert {bytes(each.received) for each in subscribers} == {b"hal"}
        assert stage.status.producers == {"proxy 10.0.0.1:40003": 3}
        first.reset()
        stage.settle()
        stage.produce(b"f\0")
        assert {bytes(each.received) for each in subscribers} == {b"half\0"}


def test_a_producer_that_says_nothing_is_closed() -> None:
    with relay(inactivity_s=30.0) as stage:
        silent = stage.produce(b"word\n")
        stage.elapse(29)
        stage.say(silent, b"word\n")
        stage.elapse(29)
        assert not silent.ended
        stage.elapse(2)
        assert silent.ended
        assert "nothing moved for too long" in stage.log[-1]


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_producer_that_resets_behind_a_full_buffer_is_closed_soon(framing: str) -> None:
    """A dead producer must not keep others away for the inactivity timeout of a slow sink."""
    with relay(framing=framing, on_lag="block", max_lag=MOST, inactivity_s=600.0) as stage:
        [slow] = stage.subscribe()
        slow.stall()
        first = stage.produce(*[line(n) for n in range(5000)])
        first.reset()
        stage.elapse(25)
        assert stage.produce().reset_seen, "the first may still be read"
        stage.elapse(40)
        assert any("producer closed: a connection failed" in text for text in stage.log)
        second = stage.produce(b"next\n")
        assert not second.reset_seen
        slow.resume()
        stage.settle()
        assert slow.received.endswith(b"next\n")


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_producer_that_resets_is_read_to_its_end_while_there_is_progress(framing: str) -> None:
    with relay(framing=framing, on_lag="block", max_lag=MOST, inactivity_s=600.0) as stage:
        [slow] = stage.subscribe()
        slow.stall()
        data = b"".join(map(line, range(5000)))
        first = stage.produce(data)
        sent = first.sent if framing == "none" else first.sent // 100 * 100
        assert sent < len(data)
        first.reset()
        stage.elapse(20)
        slow.resume()
        stage.settle()
        assert slow.received == data[:sent]
        assert any("producer closed: a connection failed" in text for text in stage.log)


# -- authors ---------------------------------------------------------------------------------


class Edited(Relay):
    """Quiet ones are left out, one breaks."""

    def edit(self, message: bytes) -> bytes | None:
        if message == b"break":
            raise RuntimeError("broken on purpose")
        if message == b"cancel":
            raise CancelledError
        if message == b"leave":
            raise GeneratorExit
        if message == b"smuggle":
            return b"one\ntwo"
        return None if message.startswith(b"#") else message.upper()


def test_messages_are_edited_on_their_way() -> None:
    with relay(Edited) as stage:
        [subscriber] = stage.subscribe()
        stage.produce(b"a\n# no\nb\n")
        assert subscriber.received == b"A\nB\n"


@pytest.mark.parametrize("word", [b"break", b"smuggle", b"cancel", b"leave"])
def test_an_edit_that_fails_ends_its_producer_alone(word: bytes) -> None:
    with relay(Edited, producers="interleave") as stage:
        [subscriber] = stage.subscribe()
        good, bad = stage.produce(), stage.produce()
        bad.send(b"before\n" + word + b"\nafter\n")
        with pytest.raises((RuntimeError, ValueError)):
            stage.settle()
        stage.settle()
        assert bad.reset_seen
        assert "proxy 10.0.0.1:40003: edit() failed; producer closed" in stage.log[-2]
        stage.say(good, b"still\n")
        assert subscriber.received == b"BEFORE\nSTILL\n"


class Louder(Relay):
    def edit(self, message: bytes) -> bytes:
        return message.upper()


def test_datagrams_are_edited_on_their_way_each_by_itself() -> None:
    source = Address("udp", "127.0.0.1", 7)
    with relay(Edited, framing=None, source=source, refusing=[str(source)], end=False) as stage:
        [subscriber] = stage.subscribe()
        producer = stage.sim.datagram_client(source)
        for said in (b"a", b"# no", b"b", b"c" * 2000):
            producer.send(said)
        stage.settle()
        assert subscriber.received == b"AB" + b"C" * 2000
        producer.send(b"break")
        with pytest.raises(RuntimeError, match="on purpose"):
            stage.settle()
        stage.elapse(10)
        producer.send(b"again")
        stage.settle()
        assert subscriber.received.endswith(b"CAGAIN"), "it is opened anew"


@pytest.mark.parametrize("plugin", [Relay, Louder])
@pytest.mark.parametrize("stalls", [False, True])
def test_empty_datagrams_go_on_as_such_and_are_nothing_in_a_stream(
    plugin: type[Relay], stalls: bool
) -> None:
    source, target = (Address("udp", "127.0.0.1", port) for port in (7, 8))
    said = [b"", b"a", b"", b"b" * 300, b"", b"", b"c", b"d" * 200, b""]
    with relay(
        plugin, framing=None, source=source, targets=(Target(target),),
        refusing=[str(source)], end=False,
    ) as stage:  # fmt: skip
        [subscriber] = stage.subscribe()
        if stalls:
            subscriber.stall()
        producer = stage.sim.datagram_client(source)
        for data in said:
            producer.send(data)
        stage.settle()
        for data in said:
            producer.send(data)
            stage.settle()
        stage.elapse(1)
        subscriber.resume()
        stage.elapse(1)
        heard = [each.upper() if plugin is Louder else each for each in 2 * said]
        assert stage.datagram_server(str(target)).received == heard
        assert subscriber.received == b"".join(heard)
        producer.send(b"")
        stage.programs.deliver(Signal(15))
        stage.elapse(10)
        assert subscriber.ended
        assert not subscriber.reset_seen
        stage.at_rest()


# -- subscribers -----------------------------------------------------------------------------


def test_subscribers_join_and_leave_in_flow() -> None:
    with relay() as stage:
        producer = stage.produce(line(0))
        early, leaving = stage.subscribe(2)
        stage.lines(producer, range(1, 3))
        leaving.end()
        stage.settle()
        assert stage.log[-1] == (
            "info: proxy.subscribers 10.0.0.1:40003: sink closed: the sink ended; 200B sent; 1 sink"
        )
        [late] = stage.subscribe()
        stage.lines(producer, range(3, 5))
        assert [numbers(each) for each in (early, leaving, late)] == [[1, 2, 3, 4], [1, 2], [3, 4]]
        assert stage.status.counts == {"joined": 3, "left": 1}


@pytest.mark.parametrize(
    ("history", "first"), [(History(bytes=3 * COST), 7), (History(messages=2), 8)]
)
def test_who_joins_late_hears_what_is_remembered(history: History, first: int) -> None:
    with relay(history=history) as stage:
        producer = stage.produce()
        stage.lines(producer, range(10))
        [late] = stage.subscribe()
        stage.lines(producer, [10])
        assert numbers(late) == list(range(first, 11))


def test_bytes_are_remembered_to_the_byte() -> None:
    with relay(framing="none", history=History(bytes=4)) as stage:
        producer = stage.produce(b"something is on")
        [late] = stage.subscribe()
        stage.say(producer, b" its way")
        assert late.received == b"s on its way"


def test_who_wants_no_history_begins_with_what_comes() -> None:
    with relay(history=History(bytes=3 * COST), join="head", **target(join="tail")) as stage:
        first = stage.target(ONE)
        producer = stage.produce()
        stage.lines(producer, range(10))
        [late] = stage.subscribe()
        first.reset()
        stage.elapse(1)
        stage.lines(producer, [10])
        assert numbers(late) == [10]
        assert numbers(stage.peers(str(ONE))[-1]) == [7, 8, 9, 10]


def test_history_is_not_held_against_who_joins() -> None:
    with relay(history=History(bytes=50 * COST), max_lag=200) as stage:
        producer = stage.produce()
        stage.lines(producer, range(100))
        late = stage.client("subscribers")
        late.stall()
        stage.settle()
        stage.lines(producer, range(100, 102))
        late.resume()
        stage.settle()
        assert numbers(late) == list(range(50, 102))


@pytest.mark.parametrize("data", ["ignore", "close"])
def test_a_subscriber_that_speaks(data: str) -> None:
    with relay(subscriber_data=data) as stage:
        listening, speaking = stage.subscribe(2)
        stage.say(speaking, b"hello?")
        stage.produce(b"word\n")
        assert listening.received == b"word\n"
        if data == "ignore":
            assert speaking.received == b"word\n"
            assert [sink.received for sink in stage.sinks] == [0, 6]
        else:
            assert speaking.ended
            assert stage.log[2] == (
                "info: proxy.subscribers 10.0.0.1:40002: sink closed: "
                "received data from a receive-only sink; 0B sent; 1 sink"
            )


# -- who is slow -----------------------------------------------------------------------------

SLOW = "proxy.subscribers 10.0.0.1:40001"


def stalled(stage: Stage, count: int) -> tuple[Peer, list[Peer], list[str]]:
    """A subscriber that does not read, two that do, and what was logged of so many lines."""
    slow, *others = stage.subscribe(3)
    slow.stall()
    producer = stage.produce()
    before = len(stage.log)
    stage.lines(producer, range(count))
    assert [numbers(each) for each in others] == [list(range(count))] * 2
    return slow, others, stage.log[before:]


@pytest.mark.parametrize(
    ("policy", "done"),
    [
        ("drop_oldest", "its oldest messages are dropped"),
        ("drop_newest", "new messages are dropped for it"),
    ],
)
def test_messages_of_a_slow_one_are_dropped_and_counted(policy: OnLag, done: str) -> None:
    with relay(on_lag=policy, max_lag=MOST) as stage:
        slow, _, log = stalled(stage, 100)
        assert log == [f"warning: {SLOW}: sink lags {rounded_size(31 * COST)} behind: {done}"]
        [sink, *rest] = stage.sinks
        assert sink.lag <= MOST
        assert sink.sent == NETWORK
        assert [each.lag for each in rest] == [0, 0]
        slow.resume()
        stage.elapse(2)
        got = numbers(slow)
        lost = 100 - len(got)
        assert stage.sinks[0].dropped == Dropped(lost, 100 * lost)
        assert stage.log[-1] == (
            f"info: {SLOW}: sink recovered; {lost} messages dropped, "
            f"{rounded_size(100 * lost)} so far"
        )
        assert stage.status.counts["recovered"] == stage.status.counts["lagged"] == 1
        if policy == "drop_oldest":
            assert got == [*range(10), *range(70, 100)]
        else:
            assert got == list(range(40))


def test_a_slow_one_is_disconnected() -> None:
    with relay(max_lag=MOST) as stage:
        slow, _, log = stalled(stage, 100)
        assert log == [
            f"info: {SLOW}: sink closed: lagged too far behind; {rounded_size(NETWORK)} sent; "
            "2 sinks"
        ]
        slow.resume()
        stage.settle()
        assert slow.reset_seen
        assert stage.status.counts == {"joined": 3, "left": 1}


def test_all_wait_for_one_that_blocks() -> None:
    with relay(on_lag="block", max_lag=MOST, inactivity_s=60.0) as stage:
        slow, other = stage.subscribe(2)
        slow.stall()
        producer = stage.produce()
        stage.lines(producer, range(5000))
        assert stage.log[-1].startswith(f"warning: {SLOW}: sink lags ")
        assert stage.log[-1].endswith(" behind: all other sinks will wait for it")
        heard = len(numbers(other))
        assert NETWORK + MOST <= 100 * heard < 500_000
        slow.resume()
        stage.elapse(2)
        assert numbers(slow) == numbers(other) == list(range(5000))
        assert [line for line in stage.log if SLOW in line][2:] == [f"info: {SLOW}: sink recovered"]
        assert stage.sinks[0].dropped == Dropped()


def test_patience_with_one_that_blocks_ends_and_the_producer_is_not_to_blame() -> None:
    with relay(on_lag="block", max_lag=MOST, inactivity_s=60.0) as stage:
        slow, other = stage.subscribe(2)
        slow.stall()
        producer = stage.produce()
        stage.lines(producer, range(5000))
        stage.elapse(50)
        slow.resume()
        stage.settle()  # it takes some, and stalls again
        slow.stall()
        stage.lines(producer, range(5000, 10000))
        stage.elapse(59)
        assert not producer.ended
        stage.elapse(2)
        why = "connection timed out: nothing moved for too long"
        assert any(f"{SLOW}: sink closed: {why}" in said for said in stage.log)
        assert not producer.ended
        assert numbers(other) == list(range(10000))


def test_a_producer_that_has_to_wait_is_not_inactive() -> None:
    with relay(framing="lines", on_lag="block", max_lag=MOST, inactivity_s=60.0) as stage:
        [slow] = stage.subscribe()
        slow.stall()
        producer = stage.produce()
        stage.lines(producer, range(8000))
        for _ in range(5):  # a network's worth now and then
            stage.elapse(40)
            slow.resume()
            slow.stall()
        assert not producer.ended
        assert stage.status.counts == {"joined": 1, "lagged": 1}
        slow.resume()


# -- targets ---------------------------------------------------------------------------------


def test_a_target_is_tried_until_it_is_there() -> None:
    with relay(**target(), refusing=[str(ONE)]) as stage:
        stage.elapse(5)
        tries = [said for said in stage.log if "refused" in said]
        assert 4 <= len(tries) <= 8
        assert tries[0].startswith(
            "info: proxy tcp://one:1: tcp://one:1: connection refused; trying again in "
        )
        assert stage.sinks == [SinkStatus("tcp://one:1", False, 0, Dropped())]
        server = stage.sim.server(ONE)
        stage.elapse(10)
        stage.produce(b"word\n")
        assert server.peers[0].received == b"word\n"
        assert stage.sinks == [SinkStatus("tcp://one:1", True, 5, Dropped())]


def test_a_target_that_is_lost_comes_back_and_its_figures_go_on() -> None:
    with relay(on_lag="drop_oldest", max_lag=MOST, **target()) as stage:
        first = stage.target(ONE)
        producer = stage.produce()
        first.stall()
        stage.lines(producer, range(100))
        first.reset()
        stage.settle()
        [lost] = stage.sinks
        assert not lost.up
        assert lost.sent == NETWORK
        assert lost.dropped.messages > 50
        second = stage.target(ONE)
        stage.lines(producer, range(100, 103))
        assert numbers(second) == [100, 101, 102]
        assert stage.sinks == [
            SinkStatus("tcp://one:1", True, NETWORK + 300, lost.dropped, reconnects=1)
        ]
        left, again = (said for said in stage.log if "reset" in said)
        assert left == (
            "info: proxy tcp://one:1: sink closed: a connection failed: connection reset by peer; "
            f"1000B sent, {lost.dropped}; 0 sinks"
        )
        assert "proxy tcp://one:1: a connection failed: connection reset by peer" in again


def test_one_that_flaps_is_not_hammered() -> None:
    with relay(**target(), refusing=[str(ONE)]) as stage:
        server = stage.sim.server(ONE, on_connect=Peer.close)
        stage.elapse(3600)
        assert 100 < len(server.peers) < 250  # from 15 s to 30 s between two
        assert sum("trying again" in said for said in stage.log) < 15


def test_a_target_has_its_own_policy() -> None:
    targets = (Target(ONE, max_lag=MOST, on_lag="drop_oldest"), Target(TWO))
    with relay(targets=targets, on_lag="disconnect", max_lag=MOST) as stage:
        one, two = stage.target(ONE), stage.target(TWO)
        for slow in (one, two):
            slow.stall()
        producer = stage.produce()
        stage.lines(producer, range(100))
        assert stage.sinks[0].up
        assert stage.sinks[0].dropped.messages > 50
        assert not two.connected or stage.status.counts["left"] == 1
        assert next(said for said in stage.log if "lagged too far" in said).startswith(
            "info: proxy tcp://two:1: sink closed: lagged too far behind"
        )
        one.resume()


# -- rounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["lines", "none"])
@pytest.mark.parametrize("producers", ["exclusive", "replace"])
def test_it_ends_with_the_last_sink_and_begins_anew(framing: str, producers: str) -> None:
    with relay(
        framing=framing, ends="last", producers=producers, history=History(bytes=100)
    ) as stage:
        producer = stage.produce()
        one, two = stage.subscribe(2)
        stage.say(producer, b"a\n")
        one.close()
        stage.settle()
        assert not producer.ended
        two.close()
        stage.settle()
        assert producer.ended
        ending = "relay ended, and starts again: the sink ended (proxy.subscribers 10.0.0.1:40003)"
        assert stage.log[-1] == f"warning: proxy: {ending}"
        assert stage.status == RelayStatus({}, (), {"joined": 2, "left": 2})
        stage.at_rest()
        [three] = stage.subscribe()
        stage.produce(b"b\n")
        assert three.received == b"b\n"


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_it_ends_without_a_target_that_is_required(framing: str) -> None:
    targets = (Target(ONE, required=True), Target(TWO))
    with relay(framing=framing, targets=targets, ends="any_required") as stage:
        one, two = stage.target(ONE), stage.target(TWO)
        [subscriber] = stage.subscribe()
        producer = stage.produce(b"a\n")
        two.close()
        stage.settle()
        assert not producer.ended
        stage.target(TWO)
        one.reset()
        stage.settle()
        assert producer.ended
        assert subscriber.ended
        assert [sink.up for sink in stage.sinks] == [False, False]
        assert [sink.sent for sink in stage.sinks] == [2, 2]
        stage.elapse(1)
        one, two = stage.peers(str(ONE))[-1], stage.peers(str(TWO))[-1]
        stage.produce(b"b\n")
        assert one.received == two.received == b"b\n"
        assert [sink.sent for sink in stage.sinks] == [4, 4]
        assert [sink.required for sink in stage.sinks] == [True, False]
        assert [sink.reconnects for sink in stage.sinks] == [1, 2]


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_an_heir_does_not_outlive_its_round(framing: str) -> None:
    met = 0
    for seed in range(40):  # who is first is chance: the heirs, or the last subscriber's end
        with relay(framing=framing, producers="replace", ends="last", seed=seed) as stage:
            producers = [stage.produce()]
            [subscriber] = stage.subscribe()
            producers += [stage.client() for _ in range(3)]
            for _ in range(seed // 2):
                stage.sim.step()
            subscriber.reset()
            stage.settle()
            alone = [peer for peer in producers if not (peer.ended or peer.reset_seen)]
            assert len(alone) == len(stage.status.producers)
            met += not alone
    assert 0 < met < 40


# -- sources ---------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_source_that_is_lost_comes_back(framing: str) -> None:
    with relay(framing=framing, source=FEED) as stage:
        source = stage.target(FEED)
        [subscriber] = stage.subscribe()
        stage.say(source, b"a\nhal")
        source.reset()
        stage.settle()
        assert any("a connection failed: connection reset by peer" in said for said in stage.log)
        source = stage.target(FEED)
        stage.say(source, b"b\n")
        half = b"hal" if framing == "none" else b""
        assert subscriber.received == b"a\n" + half + b"b\n"


def test_a_source_that_falls_silent_is_taken_for_dead() -> None:
    with relay(source=FEED, inactivity_s=60.0) as stage:
        stage.target(FEED)
        stage.elapse(61)
        assert stage.connections(str(FEED)) == 2
        assert "nothing moved for too long; trying again" in stage.log[-2]


def test_whoever_else_would_produce_is_refused() -> None:
    with relay(source=FEED) as stage:
        stage.target(FEED)
        assert stage.produce().reset_seen
        assert stage.log[-1].endswith("producer refused: the source is tcp://feed:1")


def test_a_round_ends_with_its_source_and_begins_with_it() -> None:
    with relay(source=FEED, ends="last") as stage:
        source = stage.target(FEED)
        [subscriber] = stage.subscribe()
        stage.say(source, b"a\n")
        subscriber.close()
        stage.settle()
        assert source.ended
        source = stage.target(FEED)
        [subscriber] = stage.subscribe()
        stage.say(source, b"b\n")
        assert subscriber.received == b"b\n"


# -- the end ---------------------------------------------------------------------------------


def everybody(stage: Stage) -> list[Peer]:
    """A relay at work: two subscribers and two targets, one of which refuses."""
    peers = [*stage.subscribe(2), stage.target(ONE)]
    stage.lines(stage.produce(), range(5))
    return peers


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_at_a_signal_all_is_flushed_and_closed(framing: str) -> None:
    options: dict[str, Any] = {"framing": framing, "targets": (Target(ONE), Target(TWO))}
    with relay(refusing=[str(TWO)], history=History(bytes=250), **options) as stage:
        peers = everybody(stage)
        slow = peers[0]
        slow.stall()
        producer = stage.relay.status().producers
        assert producer
        stage.programs.deliver(Signal(15))
        stage.settle()
        assert all(numbers(peer) == list(range(5)) and peer.ended for peer in peers[1:])
        slow.resume()
        stage.run()
        assert numbers(slow) == list(range(5))
        assert slow.ended
        late = stage.client("subscribers")
        stage.run()
        assert late.ended
        assert not any("trying again" in said for said in stage.log if "two" not in said)


def test_what_a_slow_one_is_owed_is_flushed() -> None:
    with relay(on_lag="block", max_lag=MOST, inactivity_s=60.0, end=False) as stage:
        slow, other = stage.subscribe(2)
        slow.stall()
        producer = stage.produce()
        stage.lines(producer, range(4000))
        stage.programs.deliver(Signal(15))
        stage.settle()
        assert producer.ended
        slow.resume()
        stage.settle()
        got = numbers(slow)
        assert got == numbers(other) == list(range(len(got)))
        assert COST * len(got) > 320_000  # what the buffer held, and what was read ahead
        assert slow.ended
        stage.at_rest()


def test_nobody_holds_up_the_end_for_ever() -> None:
    with relay(inactivity_s=60.0, end=False) as stage:
        [slow] = stage.subscribe()
        slow.stall()
        stage.lines(stage.produce(), range(20))
        before = stage.sim.now
        stage.programs.deliver(Signal(15))
        stage.run()
        assert stage.sim.now == pytest.approx(before + 60.0, abs=1.0)
        stage.at_rest()


def test_when_its_listener_goes_all_is_closed_at_once() -> None:
    options: dict[str, Any] = {"targets": (Target(ONE), Target(TWO)), "source": FEED}
    with relay(refusing=[str(TWO)], history=History(bytes=250), end=False, **options) as stage:
        subscribers = stage.subscribe(2)
        source, one = stage.target(FEED), stage.target(ONE)
        subscribers[0].stall()
        stage.lines(source, range(20))
        program = stage.relay
        stage.programs.stop_others(())
        before = stage.sim.now
        stage.run()
        subscribers[0].resume()
        stage.run()
        assert stage.sim.now == before
        assert all(peer.ended or peer.reset_seen for peer in (*subscribers, source, one))
        stage.at_rest()
        assert program.mutex.ended


def test_a_network_that_is_cut_loses_nothing() -> None:
    faults = NetworkFaults(socket=(NETWORK, NETWORK), latency=(0.001, 0.01))
    with relay(on_lag="block", faults=faults, end=False) as stage:
        peers = [stage.client("subscribers") for _ in range(3)]
        producer = stage.client()
        stage.elapse(1)
        for number in range(50):
            producer.send(line(number))
            if number % 10 == 0:
                stage.sim.network.partition(5.0)
            stage.elapse(0.5)
        stage.elapse(10)
        assert [numbers(peer) for peer in peers] == [list(range(50))] * 3
