"""MessageReader: a session reads messages of its client; unread bytes go to a tunnel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.engine.event import Event
from vcproxy.framing import framing as framings
from vcproxy.framing.framing import Framing, FramingError, json_lines, length_prefix, lines
from vcproxy.machine.state import State
from vcproxy.sessions.message_reader import Message, MessageReader
from vcproxy.sessions.session import Session
from vcproxy.sessions.tunnel_start import TunnelStart
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.done import Reason, TunnelDone
from vcproxy.tunnels.two_way import TwoWayTunnel

TIMEOUT = Event.TIMEOUT


class FirstMessage(Session):
    """Lends the client after its first message."""

    ASKING = State(initial=True, timeout="5s")
    RELAYING, DONE = State(), State(final=True)
    ASKING.goes(TIMEOUT, DONE)

    first: Message
    done: TunnelDone

    @ASKING.on(Message, to=RELAYING)
    def message_received(self, message: Message) -> None:
        self.first = message
        self.lend(TwoWayTunnel)

    @RELAYING.on(TunnelDone, to=DONE)
    def relayed(self, done: TunnelDone) -> None:
        self.done = done
        self.log(done)


class EchoLines(Session):
    """Answers each message with itself."""

    READING = State(initial=True)
    DONE = State(final=True)
    READING.goes("never", DONE)

    needs_upstream = False

    @READING.on(Message)
    def repeat(self, message: Message) -> None:
        self.answer(message.data + b"\n")


def first_message(proxy: SimulatedProxy) -> FirstMessage:
    [session] = proxy.sessions
    assert isinstance(session, FirstMessage)
    return session


def test_no_server_is_connected_before_the_first_message() -> None:
    with SimulatedProxy(FirstMessage) as proxy:
        client = proxy.client()
        client.send(b"hel")
        proxy.elapse(1)
        assert proxy.connections() == 0
        client.send(b"lo\n")
        proxy.server()
        assert first_message(proxy).first == Message(b"hello")


def test_bytes_that_were_read_ahead_reach_the_server() -> None:
    with SimulatedProxy(FirstMessage) as proxy:
        client = proxy.client()
        client.send(b"hello\none\n\ntwo\nhalf")
        server = proxy.server()
        proxy.run()
        client.send(b" and the rest")
        client.end()
        server.send(b"fine")
        server.end()
        proxy.run()
        assert server.received == b"one\n\ntwo\nhalf and the rest"
        assert client.received == b"fine"
        assert first_message(proxy).done.reason is Reason.EOS


STREAMS = {
    "lines": (lines(), b"hello\none\n\ntw"),
    "json lines": (json_lines(), b"\n\n{}\n \n\n[1]\n"),
    "prefix": (length_prefix(2), b"\0\5hello\0\0\0\1a\0"),
    "netstring": (framings.netstring(), b"5:hello,0:,3:one,2"),
    "fixed": (framings.fixed(3), b"abcdefgh"),
    "delimiter": (framings.delimiter(b"\r\n"), b"hello\r\n\r\none\r"),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("delivered", [1, 2])
def test_every_byte_is_delivered_or_lent_wherever_the_stream_is_cut(
    name: str, delivered: int
) -> None:
    framing, sent = STREAMS[name]
    end = next(n for n in range(1, len(sent) + 1) if _count(framing, sent[:n]) == delivered)
    for cut in range(1, len(sent)):
        with SimulatedProxy(_lends_after(delivered, framing)) as proxy:
            client = proxy.client()
            client.send(sent[:cut])
            proxy.elapse(1)
            client.send(sent[cut:])
            client.end()
            server = proxy.server()
            server.end()
            proxy.run()
            assert server.received == sent[end:], cut


def _count(framing: Framing, data: bytes) -> int:
    return len(framing.decoder().feed(data))


def _lends_after(delivered: int, of: Framing) -> type[Session]:
    class Lending(Session):
        READING, RELAYING, DONE = State(initial=True), State(), State(final=True)
        RELAYING.goes(TunnelDone, DONE)
        framing = of
        messages = 0

        @READING.on(Message, to=(RELAYING,))
        def received(self, _: Message) -> State | None:
            self.messages += 1
            return self.RELAYING if self.messages == delivered else None

        @RELAYING.enter
        def relaying(self) -> None:
            self.lend()

    return Lending


@given(st.lists(st.binary(max_size=9), min_size=1), st.integers(0, 1000))
def test_messages_are_delivered_in_order_on_a_bad_network(sent: list[bytes], seed: int) -> None:
    messages = [data.replace(b"\n", b"") for data in sent]
    faults = NetworkFaults(latency=(0.0, 0.01), short=0.3, one_byte=0.2, lock_miss=0.3)
    with SimulatedProxy(EchoLines, servers=(), seed=seed, faults=faults) as proxy:
        client = proxy.client()
        for data in messages:
            client.send(data + b"\n")
        client.end()
        proxy.run()
        assert client.received == b"".join(data + b"\n" for data in messages)
        assert client.ended
        assert not proxy.engine.vcs


def test_answers_arrive_before_bytes_of_the_server() -> None:
    class Answering(FirstMessage):
        def message_received(self, message: Message) -> None:
            self.answer(b"please wait\n" * 100_000)
            self.lend()

    with SimulatedProxy(Answering) as proxy:
        client = proxy.client()
        client.stall()
        client.send(b"hello\n")
        proxy.elapse(1)
        client.resume()
        server = proxy.server()
        server.send(b"here")
        proxy.run()
        assert client.received == b"please wait\n" * 100_000 + b"here"


def test_a_client_that_does_not_read_its_answers_is_not_read() -> None:
    with SimulatedProxy(EchoLines, servers=()) as proxy:
        client = proxy.client()
        client.stall()
        client.send(b"x" * 999 + b"\n" + b"y\n" * 2_000_000)
        proxy.run()
        assert client.sent < 2_000_000
        assert proxy.engine.memory.used < 1_500_000
        client.resume()
        proxy.run()
        assert len(client.received) == 4_001_000


def test_a_message_waits_for_a_state_that_receives_it() -> None:
    class Slow(Session):
        READING, THINKING = State(initial=True), State(timeout="1s")
        DONE = State(final=True)
        THINKING.goes(TIMEOUT, READING)
        READING.goes("never", DONE)

        @READING.enter
        def reading(self) -> None:
            self.read_messages()

        @READING.on(Message, to=THINKING)
        def received(self, message: Message) -> None:
            self.answer(b"%d:%b " % (self.engine.now, message.data))

    with SimulatedProxy(Slow, servers=()) as proxy:
        client = proxy.client()
        client.send(b"a\nb\nc\n")
        client.end()
        proxy.run()
        assert client.received == b"0:a 1:b 2:c "
        assert client.ended


# -- ends ------------------------------------------------------------------------------------


def test_the_end_of_stream_ends_a_session_without_a_receiver_for_it() -> None:
    with SimulatedProxy(FirstMessage) as proxy:
        client = proxy.client()
        client.end()
        proxy.run()
        assert proxy.sim.now < 5
        assert client.ended
        assert not proxy.engine.vcs
        assert proxy.log == []


def test_a_session_may_receive_the_end_and_a_framing_error() -> None:
    class EndReceiver(Session):
        READING, DONE = State(initial=True), State(final=True)
        READING.goes(Message, READING)

        @READING.on(Event.EOS, to=DONE)
        def ended(self, _: object) -> None:
            self.answer(b"end\n")

        @READING.on(FramingError, to=DONE)
        def faulty(self, fault: FramingError) -> None:
            self.answer(b"fault %b\n" % fault.name.encode())

    for sent, answered in ((b"a\n", b"end\n"), (b"a\nb", b"fault TRUNCATED\n")):
        with SimulatedProxy(EndReceiver, servers=()) as proxy:
            client = proxy.client()
            client.send(sent)
            client.end()
            proxy.run()
            assert client.received == answered


def test_a_framing_error_is_counted_and_logged() -> None:
    class ShortLines(EchoLines):
        framing = lines(limit="4B")

    with SimulatedProxy(ShortLines, servers=()) as proxy:
        client = proxy.client()
        client.send(b"good\nand bad\nmore\n")
        proxy.run()
        assert client.received == b"good\n"
        assert client.ended
        assert proxy.service.counts["oversized"] == 1
        assert proxy.log == [
            "info: proxy 10.0.0.1:40001: message over the size limit; connection closed"
        ]


@pytest.mark.parametrize("limit", ["inactivity_s", "active_s"])
def test_a_timeout_resets_the_client(limit: str) -> None:
    with SimulatedProxy(EchoLines, servers=(), **{limit: 3.0}) as proxy:  # type: ignore[arg-type]
        client = proxy.client()
        proxy.run()
        assert client.reset_seen
        assert proxy.sim.now == 3.0


def test_a_reset_client_is_logged() -> None:
    with SimulatedProxy(EchoLines, servers=()) as proxy:
        client = proxy.client()
        client.send(b"a\n")
        proxy.elapse(1)
        client.reset()
        proxy.run()
        assert not proxy.engine.vcs
        assert len(proxy.log) == 1


class Late(Session):
    """Reads its client after a while."""

    WAITING = State(initial=True, timeout="5s")
    ASKING = State()
    RELAYING, DONE = State(), State(final=True)
    WAITING.goes(TIMEOUT, ASKING)

    @ASKING.enter
    def asking(self) -> None:
        self.read_messages()

    @ASKING.on(Message, to=RELAYING)
    def message_received(self, message: Message) -> None:
        self.lend(TwoWayTunnel)

    RELAYING.goes(TunnelDone, DONE)


def test_bytes_before_a_reset_are_sent_as_long_as_the_server_takes_them() -> None:
    slow = NetworkFaults(latency=(0.01, 0.01), socket=(1000, 1000))
    with SimulatedProxy(Late, faults=slow) as proxy:
        client = proxy.client()
        client.send(b"hello\n" + bytes(100_000))
        proxy.elapse(4)
        client.reset()
        server = proxy.server()
        while proxy.engine.vcs:
            server.stall()
            proxy.elapse(0.8)
            server.resume()
            proxy.elapse(0.01)
        assert len(server.received) > 60_000, "what the proxy had read"
        assert proxy.sim.now > 40


def test_an_exception_is_logged_with_the_sessions_history() -> None:
    class Fragile(FirstMessage):
        def message_received(self, message: Message) -> None:
            raise ValueError("my mistake")

    with SimulatedProxy(Fragile) as proxy:
        client = proxy.client()
        client.send(b"hello\n")
        with pytest.raises(ValueError, match="my mistake"):
            proxy.run()
        proxy.run()
        assert client.reset_seen
        assert "ASKING got 'Message' from client" in proxy.log[0]


# -- without a server ------------------------------------------------------------------------


def test_if_no_server_can_be_reached_tunnel_done_follows() -> None:
    with SimulatedProxy(FirstMessage, ["one", "two"], refusing=["one", "two"]) as proxy:
        client = proxy.client()
        client.send(b"hello\n")
        proxy.run()
        done = first_message(proxy).done
        assert done.reason is Reason.ERROR
        assert done.error is not None
        assert client.ended
        assert not proxy.engine.vcs


def test_the_next_server_is_tried_after_a_refusal() -> None:
    with SimulatedProxy(FirstMessage, ["one", "two"], refusing=["one"]) as proxy:
        proxy.client().send(b"hello\nmore")
        server = proxy.server("two")
        proxy.run()
        assert server.received == b"more"


@pytest.mark.parametrize(
    ("limit", "reason"), [("inactivity_s", Reason.INACTIVITY), ("active_s", Reason.ACTIVE)]
)
def test_a_timeout_of_the_client_while_servers_are_tried(limit: str, reason: Reason) -> None:
    with SimulatedProxy(FirstMessage, **{limit: 3.0}) as proxy:  # type: ignore[arg-type]
        client: Peer = proxy.client()
        client.send(b"hello\n")
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(60.0)
        proxy.run()
        assert first_message(proxy).done.reason is reason


def test_the_events_that_cannot_reach_the_machines() -> None:
    assert check_machine(MessageReader) == set()
    assert check_machine(TunnelStart) == set()
    assert check_machine(FirstMessage) == {"ASKING TunnelDone", "RELAYING Message"}


def test_a_session_that_ends_between_messages_frees_its_memory() -> None:
    with SimulatedProxy(_lends_after(2, lines()), refusing=["server"]) as proxy:
        client = proxy.client()
        client.send(b"one\ntwo\nthree\n" + b"x" * 100_000)
        proxy.run()
        proxy.sessions.clear()
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0
