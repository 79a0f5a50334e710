"""Session: what it owns is closed with it, whatever it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.machine.state import State
from vcproxy.sessions.session import Session
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.done import Reason, TunnelDone
from vcproxy.tunnels.transform import Transform
from vcproxy.tunnels.two_way import TwoWayTunnel
from vcproxy.upstream.server import Server


class Shout:
    """Upper case."""

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def finish(self) -> bytes:
        return b"!"


class Lender(Session):
    """Connects, lends, and keeps what it was told; subclasses say how."""

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


def test_it_is_named_after_its_client_and_so_are_its_lines() -> None:
    class Talker(Session):
        DONE = State(initial=True, final=True)

        @DONE.enter
        def talk(self) -> None:
            self.log("good morning")

    with SimulatedProxy(Talker, servers=()) as proxy:
        proxy.client()
        proxy.run()
        [line] = proxy.log
        assert line == "info: proxy 10.0.0.1:40001: good morning"


def test_what_it_lent_comes_back_and_is_closed_in_its_final_state() -> None:
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


def test_a_tunnel_takes_options() -> None:
    class Shouter(Lender):
        transforms = {"upward": Shout()}

    with SimulatedProxy(Shouter) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"hello")
        client.end()
        proxy.run()
        assert server.received == b"HELLO!"
        assert server.ended


def test_what_was_said_before_lending_is_heard_before_what_the_server_says() -> None:
    class Polite(Lender):
        def lent(self) -> None:
            self.answer(bytes(1_000_000))
            super().lent()

    with SimulatedProxy(Polite) as proxy:
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


def test_sessions_share_what_the_first_of_them_makes() -> None:
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


def test_a_tunnel_of_ones_own_may_be_lent_to() -> None:
    class Mine(TwoWayTunnel):
        """Nothing is different."""

    class Owner(Lender):
        tunnel = Mine

    with SimulatedProxy(Owner) as proxy:
        client, server = proxy.client(), proxy.server()
        client.end()
        server.end()
        proxy.run()
        done = lender(proxy).done
        assert done is not None
        assert isinstance(done.tunnel, Mine)


@pytest.mark.parametrize("half_close", [True, False])
def test_the_service_says_whether_halves_may_go_on(half_close: bool) -> None:
    with SimulatedProxy(Lender, half_close=half_close) as proxy:
        client, _server = proxy.client(), proxy.server()
        client.end()
        proxy.run()
        assert client.ended is not half_close


def test_the_services_limits_are_the_clients() -> None:
    with SimulatedProxy(Lender, inactivity_s=10.0) as proxy:
        proxy.client()
        proxy.server()
        proxy.run()
        done = lender(proxy).done
        assert done is not None
        assert done.reason is Reason.INACTIVITY
        assert proxy.sim.now == 10.0


def test_the_services_limit_for_connecting_holds() -> None:
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


def test_a_mistake_ends_the_session_closed_and_no_other() -> None:
    class Fragile(Lender):
        def lent(self) -> None:
            if len(proxy.sessions) == 2:
                raise ValueError("my mistake")
            super().lent()

    with SimulatedProxy(Fragile) as proxy:
        first, its_server = proxy.client(), proxy.server()
        second = proxy.client()
        with pytest.raises(ValueError, match="my mistake"):
            proxy.run()
        proxy.run()
        assert second.reset_seen
        assert second.received == b""
        first.send(b"still here")
        proxy.run()
        assert its_server.received == b"still here"
        [line] = proxy.log
        assert "CONNECTING got 'CONNECTED' from" in line


def test_a_session_that_cannot_be_made_is_closed() -> None:
    class Unmade(Lender):
        def __init__(self, client: NetVConnection, service: Any) -> None:
            super().__init__(client, service)
            raise ValueError("my mistake")

    with SimulatedProxy(Unmade) as proxy:
        client = proxy.client()
        with pytest.raises(ValueError, match="my mistake"):
            proxy.run()
        proxy.run()
        assert client.reset_seen
        assert not proxy.engine.vcs


def test_lending_without_an_upstream_says_what_to_do() -> None:
    class Hasty(Lender):
        def connecting(self) -> None:
            self.lend()

    with SimulatedProxy(Hasty, servers=()) as proxy:
        proxy.client()
        with pytest.raises(AssertionError, match="set needs_upstream = True"):
            proxy.run()
