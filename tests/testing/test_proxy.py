"""SimulatedProxy: a plugin's story can be told with it, and a story that fails says so."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import pytest

from vcproxy.drivers.sim import NetworkFaults, Stuck
from vcproxy.engine.address import Address
from vcproxy.engine.calls import Called
from vcproxy.engine.net import NetVConnection
from vcproxy.machine.state import State
from vcproxy.plugins.forward import Forward
from vcproxy.sessions.program import Program, Signal
from vcproxy.sessions.session import Session
from vcproxy.sessions.streams import OutputStream
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.upstream.reconnecting import Reconnected, ReconnectingConnection


class Deaf(Session):
    """Takes clients, and does nothing for them."""

    SITTING = State(initial=True)
    CLOSED = State(final=True)
    SITTING.goes("never", CLOSED)


def test_a_story_in_three_lines() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"ping")
        proxy.run()
        assert server.received == b"ping"


def test_each_call_for_a_server_waits_for_one_more_connection() -> None:
    with SimulatedProxy(Forward) as proxy:
        proxy.client()
        first = proxy.server()
        proxy.client()
        second = proxy.server()
        assert first is not second
        assert proxy.connections() == 2
        assert len(proxy.sessions) == 2


def test_a_server_that_nobody_connects_to_is_waited_for_in_vain() -> None:
    with SimulatedProxy(Deaf) as proxy:
        proxy.client()
        with pytest.raises(Stuck, match="no event is left"):
            proxy.server()


def test_a_story_that_fails_names_its_seed() -> None:
    with pytest.raises(AssertionError) as failure, SimulatedProxy(Deaf, seed=17) as proxy:
        assert proxy.connections() == 1
    assert failure.value.__notes__ == ["seed=17 (VCPROXY_SEED=17 repeats it)"]


def test_options_and_limits_reach_the_plugin() -> None:
    with SimulatedProxy(Deaf, servers=(), options="mine", half_close=False, active_s=3) as proxy:
        proxy.client()
        proxy.run()
        [session] = proxy.sessions
        assert session.service.options == "mine"
        assert session.service.upstream is None
        assert not session.service.half_close
        assert session.service.active_s == 3


def test_the_network_may_be_unkind() -> None:
    with SimulatedProxy(Forward, faults=NetworkFaults(latency=(1.0, 1.0))) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"ping")
        began = proxy.sim.now
        proxy.run()
        assert server.received == b"ping"
        assert proxy.sim.now - began == 2.0


SINK = Address("tcp", "sink", 1)


@dataclass(frozen=True)
class Places:
    """Where a postman is met, and where letters go."""

    side: tuple[Address, ...] = (Address("tcp", "side", 1), Address("tls", "side", 2))
    to: Address = SINK


class Postman(Program):
    """Says to each client by which door it came; keeps a link, and counts how often it is up."""

    @classmethod
    def binds(cls, options: Places) -> dict[str, tuple[Address, ...]]:
        return {"side": options.side}

    @classmethod
    def connects(cls, options: Places) -> dict[str, tuple[Address, ...]]:
        return {"to": (options.to,)}

    def start(self) -> None:
        ReconnectingConnection(self, self.service.options.to).start()  # type: ignore[attr-defined]

    def handle_event(self, key: Hashable, data: object) -> None:
        if isinstance(data, NetVConnection):
            OutputStream(self, data, self.bind_option(data).encode() or b"front")
        elif isinstance(data, Reconnected):
            self.write("up")
        elif isinstance(data, Signal):
            self.stop()


def test_a_program_meets_clients_at_every_door_and_the_servers_of_its_options() -> None:
    with SimulatedProxy(Postman, servers=(), options=Places()) as proxy:
        clients = proxy.client(), proxy.client("side"), proxy.client("side", 1)
        target = proxy.server("tcp://sink:1")
        proxy.run()
        assert [bytes(client.received) for client in clients] == [b"front", b"side", b"side"]
        assert proxy.printed == ["up"]
        assert isinstance(proxy.program, Postman)
        proxy.programs.deliver(Signal(15))
        proxy.run()
        assert all(peer.ended for peer in (*clients, target))


def test_a_server_of_its_options_may_refuse_and_come_later() -> None:
    with SimulatedProxy(Postman, options=Places(), refusing=["tcp://sink:1"]) as proxy:
        proxy.elapse(10)
        assert proxy.printed == []
        assert "connection refused; trying again in" in proxy.log[0]
        proxy.sim.server(SINK)
        proxy.elapse(10)
        assert proxy.printed == ["up"]


class Asking(Session):
    """Tells its client what calls return."""

    ASKED = State(initial=True)
    CLOSED = State(final=True)

    @ASKED.enter
    def ask(self) -> None:
        self.engine.call(self, _asked)

    @ASKED.on(Called, to=(ASKED, CLOSED))
    def answered(self, called: Called) -> State | None:
        self.answer(repr(called.error or called.value).encode() + b"\n")
        if called.error is not None:
            return self.CLOSED
        self.engine.call(self, _asked)
        return None


def _asked() -> object:
    raise AssertionError("the test has the answers")


def test_calls_may_be_answered_by_the_test() -> None:
    with SimulatedProxy(Asking, servers=(), answers=["yes", 2, ValueError("no")]) as proxy:
        client = proxy.client()
        proxy.run()
        assert client.received == b"'yes'\n2\nValueError('no')\n"
    with SimulatedProxy(Asking, servers=(), answers=[]) as proxy:
        client = proxy.client()
        proxy.run()
        assert b"no result is left" in client.received
