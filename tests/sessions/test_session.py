"""Session: its VCs are closed with it, in every case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.sources.datagrams import Bound, Datagrams
from vcproxy.engine.sources.ticks import Tick, Ticks
from vcproxy.machine.state import State
from vcproxy.sessions.message_reader import Message
from vcproxy.sessions.session import Session
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.done import Reason, TunnelDone
from vcproxy.tunnels.transform import Transform
from vcproxy.tunnels.two_way import TwoWayTunnel
from vcproxy.upstream.server import Server


class Clock(Session):
    """Answers each line with its times, and logs the line at its level."""

    READING = State(initial=True)
    CLOSED = State(final=True)
    READING.goes(Event.EOS, CLOSED)

    @READING.on(Message)
    def asked(self, message: Message) -> None:
        self.answer(b"%.1f s, %d past the minute\n" % (self.now, self.wall % 60))
        self.log(message.data.decode(), "debug" if message.data == b"quiet" else "info")


def test_a_session_has_a_clock_and_a_log() -> None:
    with SimulatedProxy(Clock) as proxy:
        client = proxy.client(client_ip="192.0.2.7")
        proxy.elapse(1.5)
        client.send(b"loud\nquiet\n")
        proxy.elapse(1)
        assert client.received == 2 * b"1.5 s, 1 past the minute\n"
        name = proxy.sessions[0].name
        assert proxy.log == [f"info: {name}: loud", f"debug: {name}: quiet"]


class UpperCase:
    """Upper case."""

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def finish(self) -> bytes:
        return b"!"


class Lender(Session):
    """Connects, lends, and stores the TunnelDone; subclasses override the steps."""

    CONNECTING = State(initial=True)
    LENT = State()
    REFUSED, BACK = State(final=True), State(final=True)

    tunnel: type[TwoWayTunnel] = TwoWayTunnel
    transforms: dict[str, Transform] = {}
    done: TunnelDone | None = None

    @CONNECTING.enter
    def connecting(self) -> None:
        assert self.service.upstream is not None
        self.connect(self.service.upstream)

    CONNECTING.goes(Event.ERROR, REFUSED)
    CONNECTING.goes(Event.CONNECTED, LENT)

    @LENT.enter
    def lent(self) -> None:
        self.lend(self.tunnel, **self.transforms)

    @LENT.on(TunnelDone, to=BACK)
    def back(self, done: TunnelDone) -> None:
        self.done = done


def lender(proxy: SimulatedProxy) -> Lender:
    [session] = proxy.sessions
    assert isinstance(session, Lender)
    return session


def test_its_name_and_its_log_lines_begin_with_the_client() -> None:
    class Logger(Session):
        DONE = State(initial=True, final=True)

        @DONE.enter
        def write_line(self) -> None:
            self.log("good morning")

    with SimulatedProxy(Logger, servers=()) as proxy:
        proxy.client()
        proxy.run()
        [line] = proxy.log
        assert line == "info: proxy 10.0.0.1:40001: good morning"


def test_lent_connections_come_back_and_are_closed_in_the_final_state() -> None:
    with SimulatedProxy(Lender) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"hello")
        client.end()
        server.end()
        proxy.run()
        session = lender(proxy)
        assert session.state is Lender.BACK
        assert session.done is not None
        assert session.done.reason is Reason.EOS
        assert session.client.closed
        assert not proxy.engine.vcs
        assert not client.reset_seen
        assert not server.reset_seen


def test_lend_passes_options_to_the_tunnel() -> None:
    class Changing(Lender):
        transforms = {"upward": UpperCase()}

    with SimulatedProxy(Changing) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"hello")
        client.end()
        proxy.run()
        assert server.received == b"HELLO!"
        assert server.ended


def test_answers_before_lending_arrive_before_bytes_of_the_server() -> None:
    class Answering(Lender):
        def lent(self) -> None:
            self.answer(bytes(1_000_000))
            super().lent()

    with SimulatedProxy(Answering) as proxy:
        client, server = proxy.client(), proxy.server()
        client.stall()
        server.send(b"welcome")
        proxy.run()
        client.resume()
        proxy.run()
        assert client.received == bytes(1_000_000) + b"welcome"


def test_a_session_may_choose_its_servers() -> None:
    class Chooser(Lender):
        def connecting(self) -> None:
            self.connect_first()

        def servers(self) -> Sequence[Server]:
            assert self.service.upstream is not None
            return self.service.upstream.servers[::-1]

    with SimulatedProxy(Chooser, ["a", "b"]) as proxy:
        proxy.client()
        proxy.server("b")
        assert not proxy.connections("a")


def test_sessions_share_the_object_that_the_first_creates() -> None:
    class Visitors:
        number = 0

    class Counted(Lender):
        def connecting(self) -> None:
            visitors = self.service.share(Visitors)
            visitors.number += 1
            self.answer(b"%d" % visitors.number)
            super().connecting()

    with SimulatedProxy(Counted, refusing=["server"]) as proxy:
        clients = [proxy.client(), proxy.client()]
        proxy.run()
        assert [client.received for client in clients] == [b"1", b"2"]


def test_lend_to_a_subclass_of_the_tunnel() -> None:
    class OwnTunnel(TwoWayTunnel):
        """Unchanged."""

    class Owner(Lender):
        tunnel = OwnTunnel

    with SimulatedProxy(Owner) as proxy:
        client, server = proxy.client(), proxy.server()
        client.end()
        server.end()
        proxy.run()
        done = lender(proxy).done
        assert done is not None
        assert isinstance(done.tunnel, OwnTunnel)


@pytest.mark.parametrize("half_close", [True, False])
def test_half_close_is_a_setting_of_the_service(half_close: bool) -> None:
    with SimulatedProxy(Lender, half_close=half_close) as proxy:
        client, _server = proxy.client(), proxy.server()
        client.end()
        proxy.run()
        assert client.ended is not half_close


def test_the_inactivity_timeout_of_the_service() -> None:
    with SimulatedProxy(Lender, inactivity_s=10.0) as proxy:
        proxy.client()
        proxy.server()
        proxy.run()
        done = lender(proxy).done
        assert done is not None
        assert done.reason is Reason.INACTIVITY
        assert proxy.sim.now == 10.0


def test_the_connect_timeout_of_the_service() -> None:
    with SimulatedProxy(Lender, connect_s=5.0) as proxy:
        client = proxy.client()
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(60.0)
        proxy.sim.run(until=lambda: lender(proxy).state is Lender.REFUSED)
        assert proxy.sim.now == 5.0
        proxy.run()
        assert client.ended


def test_closing_with_an_error_is_a_reset_for_both() -> None:
    class Breaker(Lender):
        def lent(self) -> None:
            self.close(ConnectionAbortedError("no"))

    with SimulatedProxy(Breaker) as proxy:
        client, server = proxy.client(), proxy.server()
        proxy.run()
        assert client.reset_seen
        assert server.reset_seen


def test_an_exception_resets_its_own_session_only() -> None:
    class Fragile(Lender):
        def lent(self) -> None:
            if len(proxy.sessions) == 2:
                raise ValueError("my mistake")
            super().lent()

    with SimulatedProxy(Fragile) as proxy:
        first, first_server = proxy.client(), proxy.server()
        second = proxy.client()
        with pytest.raises(ValueError, match="my mistake"):
            proxy.run()
        proxy.run()
        assert second.reset_seen
        assert second.received == b""
        first.send(b"still here")
        proxy.run()
        assert first_server.received == b"still here"
        [line] = proxy.log
        assert "CONNECTING got 'CONNECTED' from" in line


def test_its_sources_are_closed_with_it() -> None:
    class Counting(Session):
        COUNTING, DONE = State(initial=True), State(final=True)

        @COUNTING.enter
        def begin(self) -> None:
            Ticks(self, "clock", 1.0)
            Datagrams(self, "box", ("127.0.0.1", 0))
            self.ticks = 0

        COUNTING.on(Bound)(lambda self, bound: None)

        @COUNTING.on(Tick, to=(COUNTING, DONE))
        def tick(self, tick: Tick) -> State | None:
            self.ticks += 1
            return self.DONE if self.ticks == 3 else None

    with SimulatedProxy(Counting, servers=()) as proxy:
        client = proxy.client()
        proxy.elapse(2.5)
        assert not client.ended
        assert len(proxy.engine.sources) == 2
        proxy.elapse(1.0)
        assert client.ended
        assert proxy.engine.sources == {}


def test_an_exception_in_the_constructor_resets_the_client() -> None:
    class Failing(Lender):
        def __init__(self, client: NetVConnection, service: Any) -> None:
            super().__init__(client, service)
            raise ValueError("my mistake")

    with SimulatedProxy(Failing) as proxy:
        client = proxy.client()
        with pytest.raises(ValueError, match="my mistake"):
            proxy.run()
        proxy.run()
        assert client.reset_seen
        assert not proxy.engine.vcs


def test_the_error_for_lending_without_an_upstream_names_the_remedy() -> None:
    class Lending(Lender):
        def connecting(self) -> None:
            self.lend()

    with SimulatedProxy(Lending, servers=()) as proxy:
        proxy.client()
        with pytest.raises(AssertionError, match="set needs_upstream = True"):
            proxy.run()
