"""Relay: producers, subscribers, targets, slow sinks, and the end."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest

from vcproxy.config.secret import Secret
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.engine.address import Address
from vcproxy.engine.iobuffer import MESSAGE_OVERHEAD
from vcproxy.engine.units import rounded_size
from vcproxy.relay.options import RelayOptions, RelaySource, Target
from vcproxy.relay.relay import Relay
from vcproxy.relay.status import RelayStatus, SinkStatus
from vcproxy.sessions.program import Signal
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.done import Dropped
from vcproxy.tunnels.history import History
from vcproxy.tunnels.lag_policy import OnLag

HERE = Address("tcp", "here", 1)
ONE, TWO, FEED = (Address("tcp", name, 1) for name in ("one", "two", "feed"))

NETWORK = 1000
"""Bytes that the network holds before a peer that does not read."""

COST = 100 + MESSAGE_OVERHEAD
"""Buffer bytes that a line occupies."""

MAX_LAG = 30 * COST
"""Thirty lines may wait for a sink."""


def line(number: int) -> bytes:
    """Return a line of a hundred bytes that begins with its number."""
    return (b"%d " % number).ljust(99, b".") + b"\n"


def numbers(peer: Peer) -> list[int]:
    """Return the numbers of the lines that a peer received; fail if one is incomplete."""
    lines = bytes(peer.received).split(b"\n")
    assert lines.pop() == b"", "incomplete line"
    assert all(len(each) == 99 for each in lines), "not whole lines"
    return [int(each.split()[0]) for each in lines]


class RelayProxy(SimulatedProxy):
    """A simulated proxy with one relay."""

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
        """Connect subscribers, one after the other."""
        peers = []
        for _ in range(count):
            peers.append(self.client("subscribers"))
            self.settle()
        return peers

    def produce(self, *pieces: bytes) -> Peer:
        """Connect a producer that sends this."""
        producer = self.client()
        self.settle()
        for data in pieces:
            self.send(producer, data)
        return producer

    def target(self, to: Address = ONE) -> Peer:
        """Return the relay's next connection to that target."""
        peer = self.server(str(to))
        self.settle()
        return peer

    def send(self, producer: Peer, data: bytes) -> None:
        producer.send(data)
        self.settle()

    def lines(self, producer: Peer, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.send(producer, line(number))

    def settle(self) -> None:
        """Run everything that takes no time."""
        self.elapse(0.001)

    def end(self) -> None:
        """End the process; check that no time passes, and that nothing is left open."""
        self.programs.deliver(Signal(15))
        before = self.sim.now
        self.run()
        assert self.sim.now == before
        self.at_rest()

    def at_rest(self) -> None:
        """Check that no connection is open and no memory is held."""
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
) -> Iterator[RelayProxy]:
    """A relay with these options. Afterwards the process ends, and nothing may be left."""
    options = {"subscribers": (HERE,), "framing": "lines"} | options
    faults = faults or NetworkFaults(socket=(NETWORK, NETWORK))
    made = RelayProxy(
        plugin,
        (),
        options=RelayOptions(**options),
        inactivity_s=inactivity_s,
        faults=faults,
        refusing=refusing,
        seed=seed,
    )
    with made as proxy:
        proxy.settle()
        yield proxy
        if end:
            proxy.end()


def target(to: Address = ONE, **own: Any) -> dict[str, Any]:
    return {"targets": (Target(to, **own),)}


# -- producers -------------------------------------------------------------------------------


def test_every_subscriber_gets_whole_messages() -> None:
    with relay() as proxy:
        subscribers = proxy.subscribe(3)
        producer = proxy.produce(b"one\ntw")
        assert {bytes(each.received) for each in subscribers} == {b"one\n"}
        proxy.send(producer, b"o\n\nthree\n")
        assert {bytes(each.received) for each in subscribers} == {b"one\ntwo\n\nthree\n"}
        assert proxy.log == [
            *(
                f"info: proxy.subscribers 10.0.0.1:{40001 + n}: sink connected; "
                f"{n + 1} sink{'s' * (n > 0)}"
                for n in range(3)
            ),
            "info: proxy 10.0.0.1:40004: producer connected",
        ]


def test_a_second_exclusive_producer_is_refused_until_the_first_ends() -> None:
    with relay() as proxy:
        [subscriber] = proxy.subscribe()
        first = proxy.produce(b"a\n")
        second = proxy.produce(b"b\n")
        assert second.reset_seen
        assert proxy.status.counts["refused"] == 1
        assert proxy.log[-1] == (
            "warning: proxy 10.0.0.1:40003: producer refused: "
            'proxy 10.0.0.1:40002 is the producer, and producers = "exclusive"'
        )
        first.end()
        proxy.settle()
        assert first.ended
        assert proxy.log[-1] == (
            "info: proxy 10.0.0.1:40002: producer closed: the source ended; 2B received"
        )
        proxy.produce(b"c\n")
        assert subscriber.received == b"a\nc\n"


@pytest.mark.parametrize(("framing", "data"), [("lines", b"half"), ("lines", b""), ("none", b"")])
def test_a_producer_that_sends_nothing_is_replaced(framing: str, data: bytes) -> None:
    with relay(framing=framing, first_message=3.0) as proxy:
        [subscriber] = proxy.subscribe()
        silent = proxy.produce(data)
        proxy.elapse(2.5)
        assert proxy.produce(b"a\n").reset_seen, "it may still begin"
        proxy.elapse(0.5)
        second = proxy.produce(b"b\n")
        assert silent.ended
        assert subscriber.received == b"b\n"
        assert proxy.log[-3:] == [
            "warning: proxy 10.0.0.1:40002: no message for 3s; replaced by proxy 10.0.0.1:40004",
            f"info: proxy 10.0.0.1:40002: producer closed: stopped; {len(data)}B received",
            "info: proxy 10.0.0.1:40004: producer connected",
        ]
        assert proxy.status.counts["silent"] == 1
        proxy.elapse(60)
        assert proxy.produce(b"c\n").reset_seen, "a producer that has sent something stays"
        proxy.send(second, b"d\n")
        assert subscriber.received == b"b\nd\n"


def test_with_first_message_0_a_silent_producer_stays() -> None:
    with relay(first_message=0.0) as proxy:
        proxy.produce()
        proxy.elapse(1000)
        assert proxy.produce(b"a\n").reset_seen


def test_messages_of_interleaved_producers_stay_whole() -> None:
    with relay(producers="interleave") as proxy:
        [subscriber] = proxy.subscribe()
        one, two = proxy.produce(b"on"), proxy.produce(b"tw")
        proxy.send(one, b"e\nuno\nu")
        proxy.send(two, b"o\n")
        proxy.send(one, b"n\n")
        assert subscriber.received == b"one\nuno\ntwo\nun\n"
        assert proxy.status.producers == {"proxy 10.0.0.1:40002": 11, "proxy 10.0.0.1:40003": 4}
        one.close()
        proxy.send(two, b"due\n")
        assert subscriber.received.endswith(b"due\n")


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_producer_replaces_another(framing: str) -> None:
    with relay(framing=framing, producers="replace") as proxy:
        [subscriber] = proxy.subscribe()
        first = proxy.produce(b"a\n")
        second = proxy.produce(b"b\n")
        assert first.ended
        assert not first.reset_seen
        assert proxy.log[-2:] == [
            "info: proxy 10.0.0.1:40002: producer closed: stopped; 2B received",
            "info: proxy 10.0.0.1:40003: producer connected",
        ]
        proxy.send(second, b"c\n")
        assert subscriber.received == b"a\nb\nc\n"
        assert list(proxy.status.producers) == ["proxy 10.0.0.1:40003"]


def test_of_several_replacements_the_last_one_is_used() -> None:
    with relay(producers="replace") as proxy:
        [subscriber] = proxy.subscribe()
        others = [proxy.client() for _ in range(20)]
        for number, other in enumerate(others):
            other.send(line(number))
        proxy.settle()
        assert any(text.endswith("connected after it") for text in proxy.log)
        [last] = [other for other in others if not (other.ended or other.reset_seen)]
        assert numbers(subscriber)[-1] == others.index(last)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_incomplete_message_is_dropped(how: str) -> None:
    with relay(history=History(bytes=1000)) as proxy:
        [subscriber] = proxy.subscribe()
        producer = proxy.produce(b"whole\nhal")
        getattr(producer, how)()
        proxy.settle()
        why = {
            "close": "the source ended: stream ended inside a message",
            "reset": "a connection failed: connection reset by peer",
        }[how]
        assert proxy.log[-1] == f"info: proxy 10.0.0.1:40002: producer closed: {why}; 9B received"
        proxy.produce(b"next\n")
        assert subscriber.received == b"whole\nnext\n"
        assert proxy.subscribe()[0].received == b"whole\nnext\n"


@pytest.mark.parametrize(
    ("options", "data", "received", "why"),
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
def test_a_framing_error_closes_its_producer_only(
    options: dict[str, Any], data: bytes, received: bytes, why: str
) -> None:
    with relay(producers="interleave", **options) as proxy:
        [subscriber] = proxy.subscribe()
        bad, good = proxy.produce(data), proxy.produce()
        assert bad.reset_seen
        expected = f"producer closed: framing error: {why}"
        assert any(line.startswith("warning") and expected in line for line in proxy.log)
        assert not good.ended
        assert subscriber.received == received


def test_without_a_framing_bytes_are_relayed_as_they_come() -> None:
    with relay(framing="none") as proxy:
        subscribers = proxy.subscribe(2)
        first = proxy.produce(b"hal")
        assert {bytes(each.received) for each in subscribers} == {b"hal"}
        assert proxy.status.producers == {"proxy 10.0.0.1:40003": 3}
        first.reset()
        proxy.settle()
        proxy.produce(b"f\0")
        assert {bytes(each.received) for each in subscribers} == {b"half\0"}


def test_an_inactive_producer_is_closed() -> None:
    with relay(inactivity_s=30.0) as proxy:
        silent = proxy.produce(b"word\n")
        proxy.elapse(29)
        proxy.send(silent, b"word\n")
        proxy.elapse(29)
        assert not silent.ended
        proxy.elapse(2)
        assert silent.ended
        assert "nothing moved for too long" in proxy.log[-1]


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_producer_that_resets_behind_a_full_buffer_is_closed_soon(framing: str) -> None:
    """Other producers must not wait for a closed one until the inactivity timeout of a slow
    sink."""
    with relay(framing=framing, on_lag="block", max_lag=MAX_LAG, inactivity_s=600.0) as proxy:
        [slow] = proxy.subscribe()
        slow.stall()
        first = proxy.produce(*[line(n) for n in range(5000)])
        first.reset()
        proxy.elapse(25)
        assert proxy.produce().reset_seen, "the first may still be read"
        proxy.elapse(40)
        assert any("producer closed: a connection failed" in text for text in proxy.log)
        second = proxy.produce(b"next\n")
        assert not second.reset_seen
        slow.resume()
        proxy.settle()
        assert slow.received.endswith(b"next\n")


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_producer_that_resets_is_read_to_its_end_while_there_is_progress(framing: str) -> None:
    with relay(framing=framing, on_lag="block", max_lag=MAX_LAG, inactivity_s=600.0) as proxy:
        [slow] = proxy.subscribe()
        slow.stall()
        data = b"".join(map(line, range(5000)))
        first = proxy.produce(data)
        sent = first.sent if framing == "none" else first.sent // 100 * 100
        assert sent < len(data)
        first.reset()
        proxy.elapse(20)
        slow.resume()
        proxy.settle()
        assert slow.received == data[:sent]
        assert any("producer closed: a connection failed" in text for text in proxy.log)


# -- authors ---------------------------------------------------------------------------------


class Edited(Relay):
    """Drops comments, and raises at some words."""

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


def test_messages_are_edited() -> None:
    with relay(Edited) as proxy:
        [subscriber] = proxy.subscribe()
        proxy.produce(b"a\n# no\nb\n")
        assert subscriber.received == b"A\nB\n"


@pytest.mark.parametrize("word", [b"break", b"smuggle", b"cancel", b"leave"])
def test_an_edit_that_raises_closes_its_producer_only(word: bytes) -> None:
    with relay(Edited, producers="interleave") as proxy:
        [subscriber] = proxy.subscribe()
        good, bad = proxy.produce(), proxy.produce()
        bad.send(b"before\n" + word + b"\nafter\n")
        with pytest.raises((RuntimeError, ValueError)):
            proxy.settle()
        proxy.settle()
        assert bad.reset_seen
        assert "proxy 10.0.0.1:40003: edit() or pack() failed; producer closed" in proxy.log[-2]
        proxy.send(good, b"still\n")
        assert subscriber.received == b"BEFORE\nSTILL\n"


class Louder(Relay):
    def edit(self, message: bytes) -> bytes:
        return message.upper()


def test_each_datagram_is_edited() -> None:
    source = Address("udp", "127.0.0.1", 7)
    with relay(
        Edited, framing=None, source=(RelaySource(source),), refusing=[str(source)], end=False
    ) as proxy:
        [subscriber] = proxy.subscribe()
        producer = proxy.sim.datagram_client(source)
        for data in (b"a", b"# no", b"b", b"c" * 2000):
            producer.send(data)
        proxy.settle()
        assert subscriber.received == b"AB" + b"C" * 2000
        producer.send(b"break")
        with pytest.raises(RuntimeError, match="on purpose"):
            proxy.settle()
        proxy.elapse(10)
        producer.send(b"again")
        proxy.settle()
        assert subscriber.received.endswith(b"CAGAIN"), "the source is opened again"


class Pairs(Relay):
    """Two messages in each datagram."""

    def pack(self, messages: list[bytes]) -> list[bytes]:
        if b"break\n" in messages:
            raise RuntimeError("on purpose")
        return [b"".join(messages[at : at + 2]) for at in range(0, len(messages), 2)]


def test_messages_that_were_read_at_once_may_be_joined() -> None:
    there = Address("udp", "127.0.0.1", 8)
    with relay(Pairs, **target(there)) as proxy:
        [subscriber] = proxy.subscribe()
        producer = proxy.produce(b"a\nb\nc\n", b"d\n")
        assert proxy.datagram_server(str(there)).received == [b"a\nb\n", b"c\n", b"d\n"]
        assert subscriber.received == b"a\nb\nc\nd\n"
        producer.send(b"e\nbreak\n")
        with pytest.raises(RuntimeError, match="on purpose"):
            proxy.settle()
        proxy.settle()
        assert producer.reset_seen


class Strict(Relay):
    """Closes a producer that sends a certain word."""

    def edit(self, message: bytes) -> bytes | None:
        if message != b"bad":
            return message
        assert self.producer is not None
        self.producer.do_io_close()
        return None


def test_a_producer_that_edit_has_closed_is_no_producer() -> None:
    with relay(Strict) as proxy:
        [subscriber] = proxy.subscribe()
        bad = proxy.produce(b"one\nbad\n")
        assert bad.ended
        proxy.produce(b"two\n")
        assert subscriber.received == b"one\ntwo\n"
        name = "info: proxy 10.0.0.1:40002: "
        why = "a connection failed: closed by edit(); 8B received"
        assert f"{name}producer closed: {why}" in proxy.log


class Careless(Relay):
    """Returns what is no message, as an author may by mistake."""

    def edit(self, message: bytes) -> Any:
        return "text" if message == b"text" else message

    def pack(self, messages: list[bytes]) -> Any:
        wrong: dict[bytes, Any] = {b"nothing": None, b"numbers": [1], b"one": b"one"}
        word = messages[0].strip() if messages else b""
        if word == b"late":
            cast("list[Any]", messages).append("text")
        return wrong.get(word, messages)


@pytest.mark.parametrize("word", [b"text", b"nothing", b"numbers", b"one", b"late"])
@pytest.mark.parametrize("framing", ["lines", None])
def test_what_is_no_message_closes_its_producer_only(framing: Any, word: bytes) -> None:
    source = Address("udp", "127.0.0.1", 7)
    options: dict[str, Any] = (
        {"producers": "interleave"} if framing else {"source": (RelaySource(source),)}
    )
    with relay(
        Careless, framing=framing, refusing=[] if framing else [str(source)], end=False, **options
    ) as proxy:
        [subscriber] = proxy.subscribe()
        if framing:
            proxy.produce().send(word + b"\n")
        else:
            proxy.sim.datagram_client(source).send(word)
        with pytest.raises(TypeError):
            proxy.settle()
        proxy.elapse(10)
        assert any("edit() or pack() failed; producer closed" in line for line in proxy.log)
        if framing:
            proxy.produce(b"still\n")
        else:
            proxy.sim.datagram_client(source).send(b"still\n")
            proxy.settle()
        assert subscriber.received.endswith(b"still\n")
        assert b"text" not in subscriber.received
        assert isinstance(proxy.program, Careless)
        assert proxy.program.producer is None


@pytest.mark.parametrize("plugin", [Relay, Louder])
@pytest.mark.parametrize("stalls", [False, True])
def test_empty_datagrams_are_relayed_and_add_nothing_to_a_stream(
    plugin: type[Relay], stalls: bool
) -> None:
    source, target = (Address("udp", "127.0.0.1", port) for port in (7, 8))
    sent = [b"", b"a", b"", b"b" * 300, b"", b"", b"c", b"d" * 200, b""]
    with relay(
        plugin, framing=None, source=(RelaySource(source),), targets=(Target(target),),
        refusing=[str(source)], end=False,
    ) as proxy:  # fmt: skip
        [subscriber] = proxy.subscribe()
        if stalls:
            subscriber.stall()
        producer = proxy.sim.datagram_client(source)
        for data in sent:
            producer.send(data)
        proxy.settle()
        for data in sent:
            producer.send(data)
            proxy.settle()
        proxy.elapse(1)
        subscriber.resume()
        proxy.elapse(1)
        received = [each.upper() if plugin is Louder else each for each in 2 * sent]
        assert proxy.datagram_server(str(target)).received == received
        assert subscriber.received == b"".join(received)
        producer.send(b"")
        proxy.programs.deliver(Signal(15))
        proxy.elapse(10)
        assert subscriber.ended
        assert not subscriber.reset_seen
        proxy.at_rest()


# -- subscribers -----------------------------------------------------------------------------


def test_subscribers_connect_and_leave_while_messages_come() -> None:
    with relay() as proxy:
        producer = proxy.produce(line(0))
        early, leaving = proxy.subscribe(2)
        proxy.lines(producer, range(1, 3))
        leaving.end()
        proxy.settle()
        assert proxy.log[-1] == (
            "info: proxy.subscribers 10.0.0.1:40003: sink closed: the sink ended; 200B sent; 1 sink"
        )
        [late] = proxy.subscribe()
        proxy.lines(producer, range(3, 5))
        assert [numbers(each) for each in (early, leaving, late)] == [[1, 2, 3, 4], [1, 2], [3, 4]]
        assert proxy.status.counts == {"joined": 3, "left": 1}


@pytest.mark.parametrize(
    ("history", "first"), [(History(bytes=3 * COST), 7), (History(messages=2), 8)]
)
def test_a_late_subscriber_gets_the_history(history: History, first: int) -> None:
    with relay(history=history) as proxy:
        producer = proxy.produce()
        proxy.lines(producer, range(10))
        [late] = proxy.subscribe()
        proxy.lines(producer, [10])
        assert numbers(late) == list(range(first, 11))


def test_a_history_of_bytes_is_exact() -> None:
    with relay(framing="none", history=History(bytes=4)) as proxy:
        producer = proxy.produce(b"something is on")
        [late] = proxy.subscribe()
        proxy.send(producer, b" its way")
        assert late.received == b"s on its way"


def test_join_head_skips_the_history() -> None:
    with relay(history=History(bytes=3 * COST), join="head", **target(join="tail")) as proxy:
        first = proxy.target(ONE)
        producer = proxy.produce()
        proxy.lines(producer, range(10))
        [late] = proxy.subscribe()
        first.reset()
        proxy.elapse(1)
        proxy.lines(producer, [10])
        assert numbers(late) == [10]
        assert numbers(proxy.peers(str(ONE))[-1]) == [7, 8, 9, 10]


def test_history_does_not_count_as_lag() -> None:
    with relay(history=History(bytes=50 * COST), max_lag=200) as proxy:
        producer = proxy.produce()
        proxy.lines(producer, range(100))
        late = proxy.client("subscribers")
        late.stall()
        proxy.settle()
        proxy.lines(producer, range(100, 102))
        late.resume()
        proxy.settle()
        assert numbers(late) == list(range(50, 102))


@pytest.mark.parametrize("data", ["ignore", "close"])
def test_a_subscriber_that_sends_data(data: str) -> None:
    with relay(subscriber_data=data) as proxy:
        receiving, sending = proxy.subscribe(2)
        proxy.send(sending, b"hello?")
        proxy.produce(b"word\n")
        assert receiving.received == b"word\n"
        if data == "ignore":
            assert sending.received == b"word\n"
            assert [sink.received for sink in proxy.sinks] == [0, 6]
        else:
            assert sending.ended
            assert proxy.log[2] == (
                "info: proxy.subscribers 10.0.0.1:40002: sink closed: "
                "received data from a receive-only sink; 0B sent; 1 sink"
            )


# -- slow sinks -----------------------------------------------------------------------------

SLOW = "proxy.subscribers 10.0.0.1:40001"


def stalled(proxy: RelayProxy, count: int) -> tuple[Peer, list[Peer], list[str]]:
    """Return a subscriber that does not read, two that do, and the log of `count` lines."""
    slow, *others = proxy.subscribe(3)
    slow.stall()
    producer = proxy.produce()
    before = len(proxy.log)
    proxy.lines(producer, range(count))
    assert [numbers(each) for each in others] == [list(range(count))] * 2
    return slow, others, proxy.log[before:]


@pytest.mark.parametrize(
    ("policy", "done"),
    [
        ("drop_oldest", "its oldest messages are dropped"),
        ("drop_newest", "new messages are dropped for it"),
    ],
)
def test_messages_for_a_slow_sink_are_dropped_and_counted(policy: OnLag, done: str) -> None:
    with relay(on_lag=policy, max_lag=MAX_LAG) as proxy:
        slow, _, log = stalled(proxy, 100)
        assert log == [f"warning: {SLOW}: sink lags {rounded_size(31 * COST)} behind: {done}"]
        [sink, *rest] = proxy.sinks
        assert sink.lag <= MAX_LAG
        assert sink.sent == NETWORK
        assert [each.lag for each in rest] == [0, 0]
        slow.resume()
        proxy.elapse(2)
        got = numbers(slow)
        lost = 100 - len(got)
        assert proxy.sinks[0].dropped == Dropped(lost, 100 * lost)
        assert proxy.log[-1] == (
            f"info: {SLOW}: sink recovered; {lost} messages dropped, "
            f"{rounded_size(100 * lost)} so far"
        )
        assert proxy.status.counts["recovered"] == proxy.status.counts["lagged"] == 1
        if policy == "drop_oldest":
            assert got == [*range(10), *range(70, 100)]
        else:
            assert got == list(range(40))


def test_a_slow_sink_is_disconnected() -> None:
    with relay(max_lag=MAX_LAG) as proxy:
        slow, _, log = stalled(proxy, 100)
        assert log == [
            f"info: {SLOW}: sink closed: lagged too far behind; {rounded_size(NETWORK)} sent; "
            "2 sinks"
        ]
        slow.resume()
        proxy.settle()
        assert slow.reset_seen
        assert proxy.status.counts == {"joined": 3, "left": 1}


def test_all_wait_for_a_sink_that_blocks() -> None:
    with relay(on_lag="block", max_lag=MAX_LAG, inactivity_s=60.0) as proxy:
        slow, other = proxy.subscribe(2)
        slow.stall()
        producer = proxy.produce()
        proxy.lines(producer, range(5000))
        assert proxy.log[-1].startswith(f"warning: {SLOW}: sink lags ")
        assert proxy.log[-1].endswith(" behind: all other sinks will wait for it")
        received = len(numbers(other))
        assert NETWORK + MAX_LAG <= 100 * received < 500_000
        slow.resume()
        proxy.elapse(2)
        assert numbers(slow) == numbers(other) == list(range(5000))
        assert [line for line in proxy.log if SLOW in line][2:] == [f"info: {SLOW}: sink recovered"]
        assert proxy.sinks[0].dropped == Dropped()


def test_a_stalled_sink_that_blocks_is_closed_and_not_the_producer() -> None:
    with relay(on_lag="block", max_lag=MAX_LAG, inactivity_s=60.0) as proxy:
        slow, other = proxy.subscribe(2)
        slow.stall()
        producer = proxy.produce()
        proxy.lines(producer, range(5000))
        proxy.elapse(50)
        slow.resume()
        proxy.settle()  # the sink reads some data, and stalls again
        slow.stall()
        proxy.lines(producer, range(5000, 10000))
        proxy.elapse(59)
        assert not producer.ended
        proxy.elapse(2)
        why = "connection timed out: nothing moved for too long"
        assert any(f"{SLOW}: sink closed: {why}" in text for text in proxy.log)
        assert not producer.ended
        assert numbers(other) == list(range(10000))


def test_a_blocked_producer_is_not_inactive() -> None:
    with relay(framing="lines", on_lag="block", max_lag=MAX_LAG, inactivity_s=60.0) as proxy:
        [slow] = proxy.subscribe()
        slow.stall()
        producer = proxy.produce()
        proxy.lines(producer, range(8000))
        for _ in range(5):  # every 40 s the sink reads as much as the network holds
            proxy.elapse(40)
            slow.resume()
            slow.stall()
        assert not producer.ended
        assert proxy.status.counts == {"joined": 1, "lagged": 1}
        slow.resume()


# -- targets ---------------------------------------------------------------------------------


def test_a_target_is_tried_until_it_accepts() -> None:
    with relay(**target(), refusing=[str(ONE)]) as proxy:
        proxy.elapse(5)
        tries = [text for text in proxy.log if "refused" in text]
        assert 4 <= len(tries) <= 8
        assert tries[0].startswith(
            "info: proxy tcp://one:1: tcp://one:1: connection refused; trying again in "
        )
        assert proxy.sinks == [SinkStatus("tcp://one:1", False, 0, Dropped())]
        server = proxy.sim.server(ONE)
        proxy.elapse(10)
        proxy.produce(b"word\n")
        assert server.peers[0].received == b"word\n"
        assert proxy.sinks == [SinkStatus("tcp://one:1", True, 5, Dropped())]


def test_a_lost_target_is_connected_again_and_its_counts_continue() -> None:
    with relay(on_lag="drop_oldest", max_lag=MAX_LAG, **target()) as proxy:
        first = proxy.target(ONE)
        producer = proxy.produce()
        first.stall()
        proxy.lines(producer, range(100))
        first.reset()
        proxy.settle()
        [lost] = proxy.sinks
        assert not lost.up
        assert lost.sent == NETWORK
        assert lost.dropped.messages > 50
        second = proxy.target(ONE)
        proxy.lines(producer, range(100, 103))
        assert numbers(second) == [100, 101, 102]
        assert proxy.sinks == [
            SinkStatus("tcp://one:1", True, NETWORK + 300, lost.dropped, reconnects=1)
        ]
        left, again = (text for text in proxy.log if "reset" in text)
        assert left == (
            "info: proxy tcp://one:1: sink closed: a connection failed: connection reset by peer; "
            f"1000B sent, {lost.dropped}; 0 sinks"
        )
        assert "proxy tcp://one:1: a connection failed: connection reset by peer" in again


def test_a_target_that_closes_at_once_is_tried_with_growing_delays() -> None:
    with relay(**target(), refusing=[str(ONE)]) as proxy:
        server = proxy.sim.server(ONE, on_connect=Peer.close)
        proxy.elapse(3600)
        assert 100 < len(server.peers) < 250  # at intervals of 15 s to 30 s
        assert sum("trying again" in text for text in proxy.log) < 15


def test_a_target_has_its_own_policy() -> None:
    targets = (Target(ONE, max_lag=MAX_LAG, on_lag="drop_oldest"), Target(TWO))
    with relay(targets=targets, on_lag="disconnect", max_lag=MAX_LAG) as proxy:
        one, two = proxy.target(ONE), proxy.target(TWO)
        for slow in (one, two):
            slow.stall()
        producer = proxy.produce()
        proxy.lines(producer, range(100))
        assert proxy.sinks[0].up
        assert proxy.sinks[0].dropped.messages > 50
        assert not two.connected or proxy.status.counts["left"] == 1
        assert next(text for text in proxy.log if "lagged too far" in text).startswith(
            "info: proxy tcp://two:1: sink closed: lagged too far behind"
        )
        one.resume()


# -- ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["lines", "none"])
@pytest.mark.parametrize("producers", ["exclusive", "replace"])
def test_ends_last_closes_all_and_starts_again(framing: str, producers: str) -> None:
    with relay(
        framing=framing, ends="last", producers=producers, history=History(bytes=100)
    ) as proxy:
        producer = proxy.produce()
        one, two = proxy.subscribe(2)
        proxy.send(producer, b"a\n")
        one.close()
        proxy.settle()
        assert not producer.ended
        two.close()
        proxy.settle()
        assert producer.ended
        ending = "relay ended, and starts again: the sink ended (proxy.subscribers 10.0.0.1:40003)"
        assert proxy.log[-1] == f"warning: proxy: {ending}"
        assert proxy.status == RelayStatus({}, (), {"joined": 2, "left": 2})
        proxy.at_rest()
        [three] = proxy.subscribe()
        proxy.produce(b"b\n")
        assert three.received == b"b\n"


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_ends_any_required_closes_all_and_starts_again(framing: str) -> None:
    targets = (Target(ONE, required=True), Target(TWO))
    with relay(framing=framing, targets=targets, ends="any_required") as proxy:
        one, two = proxy.target(ONE), proxy.target(TWO)
        [subscriber] = proxy.subscribe()
        producer = proxy.produce(b"a\n")
        two.close()
        proxy.settle()
        assert not producer.ended
        proxy.target(TWO)
        one.reset()
        proxy.settle()
        assert producer.ended
        assert subscriber.ended
        assert [sink.up for sink in proxy.sinks] == [False, False]
        assert [sink.sent for sink in proxy.sinks] == [2, 2]
        proxy.elapse(1)
        one, two = proxy.peers(str(ONE))[-1], proxy.peers(str(TWO))[-1]
        proxy.produce(b"b\n")
        assert one.received == two.received == b"b\n"
        assert [sink.sent for sink in proxy.sinks] == [4, 4]
        assert [sink.required for sink in proxy.sinks] == [True, False]
        assert [sink.reconnects for sink in proxy.sinks] == [1, 2]


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_waiting_producer_is_closed_with_the_tunnel(framing: str) -> None:
    met = 0
    # the seed decides which comes first: the producers, or the end of the subscriber
    for seed in range(40):
        with relay(framing=framing, producers="replace", ends="last", seed=seed) as proxy:
            producers = [proxy.produce()]
            [subscriber] = proxy.subscribe()
            producers += [proxy.client() for _ in range(3)]
            for _ in range(seed // 2):
                proxy.sim.step()
            subscriber.reset()
            proxy.settle()
            alone = [peer for peer in producers if not (peer.ended or peer.reset_seen)]
            assert len(alone) == len(proxy.status.producers)
            met += not alone
    assert 0 < met < 40


# -- sources ---------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_lost_source_is_connected_again(framing: str) -> None:
    with relay(framing=framing, source=(RelaySource(FEED),)) as proxy:
        source = proxy.target(FEED)
        [subscriber] = proxy.subscribe()
        proxy.send(source, b"a\nhal")
        source.reset()
        proxy.settle()
        assert any("a connection failed: connection reset by peer" in text for text in proxy.log)
        source = proxy.target(FEED)
        proxy.send(source, b"b\n")
        half = b"hal" if framing == "none" else b""
        assert subscriber.received == b"a\n" + half + b"b\n"


def test_an_inactive_source_is_connected_again() -> None:
    with relay(source=(RelaySource(FEED),), inactivity_s=60.0) as proxy:
        proxy.target(FEED)
        proxy.elapse(61)
        assert proxy.connections(str(FEED)) == 2
        assert "nothing moved for too long; trying again" in proxy.log[-2]


def test_a_producer_is_refused_where_there_is_a_source() -> None:
    with relay(source=(RelaySource(FEED),)) as proxy:
        proxy.target(FEED)
        assert proxy.produce().reset_seen
        assert proxy.log[-1].endswith("producer refused: the source is tcp://feed:1")


def test_the_source_is_closed_with_the_tunnel_and_connected_again() -> None:
    with relay(source=(RelaySource(FEED),), ends="last") as proxy:
        source = proxy.target(FEED)
        [subscriber] = proxy.subscribe()
        proxy.send(source, b"a\n")
        subscriber.close()
        proxy.settle()
        assert source.ended
        source = proxy.target(FEED)
        [subscriber] = proxy.subscribe()
        proxy.send(source, b"b\n")
        assert subscriber.received == b"b\n"


# -- the end ---------------------------------------------------------------------------------


def all_peers(proxy: RelayProxy) -> list[Peer]:
    """Return two subscribers and a target, after five lines; a second target refuses."""
    peers = [*proxy.subscribe(2), proxy.target(ONE)]
    proxy.lines(proxy.produce(), range(5))
    return peers


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_signal_flushes_and_closes_all(framing: str) -> None:
    options: dict[str, Any] = {"framing": framing, "targets": (Target(ONE), Target(TWO))}
    with relay(refusing=[str(TWO)], history=History(bytes=250), **options) as proxy:
        peers = all_peers(proxy)
        slow = peers[0]
        slow.stall()
        producer = proxy.relay.status().producers
        assert producer
        proxy.programs.deliver(Signal(15))
        proxy.settle()
        assert all(numbers(peer) == list(range(5)) and peer.ended for peer in peers[1:])
        slow.resume()
        proxy.run()
        assert numbers(slow) == list(range(5))
        assert slow.ended
        late = proxy.client("subscribers")
        proxy.run()
        assert late.ended
        assert not any("trying again" in text for text in proxy.log if "two" not in text)


def test_a_slow_sink_is_flushed() -> None:
    with relay(on_lag="block", max_lag=MAX_LAG, inactivity_s=60.0, end=False) as proxy:
        slow, other = proxy.subscribe(2)
        slow.stall()
        producer = proxy.produce()
        proxy.lines(producer, range(4000))
        proxy.programs.deliver(Signal(15))
        proxy.settle()
        assert producer.ended
        slow.resume()
        proxy.settle()
        got = numbers(slow)
        assert got == numbers(other) == list(range(len(got)))
        assert COST * len(got) > 320_000  # data in the buffer, and data that was read ahead
        assert slow.ended
        proxy.at_rest()


def test_a_stalled_sink_does_not_delay_the_end_for_ever() -> None:
    with relay(inactivity_s=60.0, end=False) as proxy:
        [slow] = proxy.subscribe()
        slow.stall()
        proxy.lines(proxy.produce(), range(20))
        before = proxy.sim.now
        proxy.programs.deliver(Signal(15))
        proxy.run()
        assert proxy.sim.now == pytest.approx(before + 60.0, abs=1.0)
        proxy.at_rest()


def test_all_is_closed_when_the_listener_is_removed() -> None:
    options: dict[str, Any] = {
        "targets": (Target(ONE), Target(TWO)),
        "source": (RelaySource(FEED),),
    }
    with relay(refusing=[str(TWO)], history=History(bytes=250), end=False, **options) as proxy:
        subscribers = proxy.subscribe(2)
        source, one = proxy.target(FEED), proxy.target(ONE)
        subscribers[0].stall()
        proxy.lines(source, range(20))
        program = proxy.relay
        proxy.programs.stop_others(())
        before = proxy.sim.now
        proxy.run()
        subscribers[0].resume()
        proxy.run()
        assert proxy.sim.now == before
        assert all(peer.ended or peer.reset_seen for peer in (*subscribers, source, one))
        proxy.at_rest()
        assert program.mutex.ended


def test_a_partition_of_the_network_loses_nothing() -> None:
    faults = NetworkFaults(socket=(NETWORK, NETWORK), latency=(0.001, 0.01))
    with relay(on_lag="block", faults=faults, end=False) as proxy:
        peers = [proxy.client("subscribers") for _ in range(3)]
        producer = proxy.client()
        proxy.elapse(1)
        for number in range(50):
            producer.send(line(number))
            if number % 10 == 0:
                proxy.sim.network.partition(5.0)
            proxy.elapse(0.5)
        proxy.elapse(10)
        assert [numbers(peer) for peer in peers] == [list(range(50))] * 3


# -- several sources ---------------------------------------------------------------------------


def sources(*hosts: str, send: str = "") -> tuple[RelaySource, ...]:
    sent = Secret(send) if send else None
    return tuple(RelaySource(Address("tcp", host, 1), sent) for host in hosts)


def test_messages_of_several_sources_stay_whole() -> None:
    with relay(source=sources("one", "two")) as proxy:
        [subscriber] = proxy.subscribe()
        one, two = proxy.target(ONE), proxy.target(TWO)
        proxy.send(one, b"a1\na")
        proxy.send(two, b"b1\nb2\nb")
        proxy.send(one, b"2\n")
        proxy.send(two, b"3\n")
        assert subscriber.received == b"a1\nb1\nb2\na2\nb3\n"
        assert proxy.status.producers == {"tcp://one:1": 6, "tcp://two:1": 9}


def test_a_source_that_fails_in_mid_message_is_connected_again_alone() -> None:
    with relay(source=sources("one", "two")) as proxy:
        [subscriber] = proxy.subscribe()
        one, two = proxy.target(ONE), proxy.target(TWO)
        proxy.send(one, b"a1\nhalf of a")
        one.reset()
        proxy.settle()
        proxy.send(two, b"b1\n")
        proxy.elapse(2)
        again = proxy.target(ONE)
        assert again is not one
        proxy.send(again, b"a2\n")
        assert subscriber.received == b"a1\nb1\na2\n"
        assert sum("producer closed" in each for each in proxy.log) == 1


def test_a_silent_source_is_connected_again_alone() -> None:
    with relay(source=sources("one", "two"), inactivity_s=60.0) as proxy:
        one, two = proxy.target(ONE), proxy.target(TWO)
        for _ in range(4):
            proxy.elapse(20)
            proxy.send(two, b"b\n")
        assert one.ended
        assert not two.ended


def test_producers_may_connect_beside_a_source() -> None:
    with relay(source=sources("one"), producers="interleave") as proxy:
        [subscriber] = proxy.subscribe()
        proxy.send(proxy.target(ONE), b"a\n")
        proxy.produce(b"b\n").end()
        proxy.settle()
        assert subscriber.received == b"a\nb\n"


def test_a_source_is_sent_its_login_before_it_is_read() -> None:
    with relay(source=sources("one", send="LOGIN\r\n")) as proxy:
        [subscriber] = proxy.subscribe()
        one = proxy.target(ONE)
        assert one.received == b"LOGIN\r\n"
        proxy.send(one, b"a\n")
        assert subscriber.received == b"a\n"
        one.end()
        proxy.elapse(2)
        assert proxy.target(ONE).received == b"LOGIN\r\n"


def test_a_target_is_sent_its_login_before_the_messages() -> None:
    with relay(**target(send=Secret("LOGIN\r\n"))) as proxy:
        one = proxy.target(ONE)
        proxy.produce(b"a\n")
        assert one.received == b"LOGIN\r\na\n"


def test_datagrams_of_several_sources_are_relayed() -> None:
    feeds = tuple(Address("udp", "127.0.0.1", port) for port in (7, 8))
    refusing = list(map(str, feeds))
    with relay(
        framing=None, source=tuple(map(RelaySource, feeds)), refusing=refusing, end=False
    ) as proxy:
        [subscriber] = proxy.subscribe()
        for number, feed in enumerate(feeds):
            proxy.sim.datagram_client(feed).send(b"from %d;" % number)
            proxy.settle()
        assert subscriber.received == b"from 0;from 1;"


def test_messages_of_datagrams_and_of_streams_are_mixed() -> None:
    feed, out = (Address("udp", "127.0.0.1", port) for port in (7, 8))
    both = (RelaySource(feed), *sources("one"))
    with relay(source=both, targets=(Target(out),), refusing=[str(feed)], end=False) as proxy:
        [subscriber] = proxy.subscribe()
        datagrams, one = proxy.sim.datagram_client(feed), proxy.target(ONE)
        proxy.send(one, b"a1\na")
        for datagram in (b"b1\nb2\n", b"", b"b3", b"b4\r\nb5\r\n"):
            datagrams.send(datagram)
            proxy.settle()
        proxy.send(one, b"2\n")
        lines = [b"a1\n", b"b1\n", b"b2\n", b"b3\n", b"b4\r\n", b"b5\r\n", b"a2\n"]
        assert subscriber.received == b"".join(lines)
        assert proxy.datagram_server(str(out)).received == lines


def test_a_datagram_that_ends_inside_a_message_is_dropped_and_counted() -> None:
    feed = Address("udp", "127.0.0.1", 7)
    with relay(
        framing="netstring", source=(RelaySource(feed),), refusing=[str(feed)], end=False
    ) as proxy:
        [subscriber] = proxy.subscribe()
        producer = proxy.sim.datagram_client(feed)
        for datagram in (b"1:a,2:b", b"1:c,"):
            producer.send(datagram)
            proxy.settle()
        assert subscriber.received == b"1:c,"
        assert proxy.status.counts["damaged"] == 1


class Named(Relay):
    def edit(self, message: bytes) -> bytes:
        assert self.producer is not None
        return b"%s from %s" % (message, self.producer.name.encode())


def test_edit_has_the_producer_of_its_message() -> None:
    with relay(Named, source=sources("one", "two")) as proxy:
        [subscriber] = proxy.subscribe()
        proxy.send(proxy.target(ONE), b"a\n")
        proxy.send(proxy.target(TWO), b"b\n")
        assert subscriber.received == b"a from tcp://one:1\nb from tcp://two:1\n"
