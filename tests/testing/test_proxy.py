"""SimulatedProxy: a test of a plugin takes a few lines, and a failing one names its seed."""

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
from vcproxy.relay.options import RelayOptions
from vcproxy.relay.relay import Relay
from vcproxy.sessions.program import Program, Signal
from vcproxy.sessions.session import Session
from vcproxy.sessions.streams import OutputStream
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.upstream.reconnecting import Reconnected, ReconnectingConnection


class Idle(Session):
    """Accepts clients and does nothing."""

    WAITING = State(initial=True)
    CLOSED = State(final=True)
    WAITING.goes("never", CLOSED)


def test_a_test_in_three_lines() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"ping")
        proxy.run()
        assert server.received == b"ping"


def test_each_server_call_waits_for_one_more_connection() -> None:
    with SimulatedProxy(Forward) as proxy:
        proxy.client()
        first = proxy.server()
        proxy.client()
        second = proxy.server()
        assert first is not second
        assert proxy.connections() == 2
        assert len(proxy.sessions) == 2


def test_a_server_without_a_connection_raises_stuck() -> None:
    with SimulatedProxy(Idle) as proxy:
        proxy.client()
        with pytest.raises(Stuck, match="no event is left"):
            proxy.server()


def test_a_failing_test_names_its_seed() -> None:
    with pytest.raises(AssertionError) as failure, SimulatedProxy(Idle, seed=17) as proxy:
        assert proxy.connections() == 1
    assert failure.value.__notes__ == ["seed=17 (VCPROXY_SEED=17 repeats it)"]


class Colours(Idle):
    @dataclass(frozen=True)
    class Options:
        colour: str
        shade: str = "dark"


class Shades(Idle):
    @dataclass(frozen=True)
    class Options:
        shade: str = "dark"


def test_without_options_a_plugin_has_its_defaults() -> None:
    with SimulatedProxy(Shades, servers=()) as proxy:
        assert proxy.service.options == Shades.Options("dark")


def test_options_that_must_be_given_are_named() -> None:
    with pytest.raises(TypeError, match=r"'colour': pass options=Colours\.Options\(\.\.\.\)"):
        SimulatedProxy(Colours)


def test_a_method_that_is_never_called_is_refused() -> None:
    class Edited(Relay):
        def edit(self, message: bytes) -> bytes | None:
            return None

    options = RelayOptions(subscribers=(Address.parse("tcp://here:1"),))
    with pytest.raises(TypeError, match=r"Edited overrides edit\(\), which is never called: fra"):
        SimulatedProxy(Edited, options=options)


def test_options_and_limits_are_passed_to_the_plugin() -> None:
    with SimulatedProxy(Idle, servers=(), options="mine", half_close=False, active_s=3) as proxy:
        proxy.client()
        proxy.run()
        [session] = proxy.sessions
        assert session.service.options == "mine"
        assert session.service.upstream is None
        assert not session.service.half_close
        assert session.service.active_s == 3


def test_the_network_may_have_faults() -> None:
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
    """The addresses of a Postman."""

    side: tuple[Address, ...] = (Address("tcp", "side", 1), Address("tls", "side", 2))
    to: Address = SINK


class Postman(Program):
    """Sends each client the option of its address; opens a connection and reports it."""

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


def test_a_program_has_clients_at_all_its_addresses_and_servers_from_its_options() -> None:
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


def test_a_server_from_the_options_may_refuse_and_accept_later() -> None:
    with SimulatedProxy(Postman, options=Places(), refusing=["tcp://sink:1"]) as proxy:
        proxy.elapse(10)
        assert proxy.printed == []
        assert "connection refused; trying again in" in proxy.log[0]
        proxy.sim.server(SINK)
        proxy.elapse(10)
        assert proxy.printed == ["up"]


class Calling(Session):
    """Sends its client what calls return."""

    CALLING = State(initial=True)
    CLOSED = State(final=True)

    @CALLING.enter
    def call(self) -> None:
        self.engine.call(self, _called)

    @CALLING.on(Called, to=(CALLING, CLOSED))
    def answered(self, called: Called) -> State | None:
        self.answer(repr(called.error or called.value).encode() + b"\n")
        if called.error is not None:
            return self.CLOSED
        self.engine.call(self, _called)
        return None


def _called() -> object:
    raise AssertionError("the test gives the results")


def test_a_test_may_give_the_results_of_calls() -> None:
    with SimulatedProxy(Calling, servers=(), answers=["yes", 2, ValueError("no")]) as proxy:
        client = proxy.client()
        proxy.run()
        assert client.received == b"'yes'\n2\nValueError('no')\n"
    with SimulatedProxy(Calling, servers=(), answers=[]) as proxy:
        client = proxy.client()
        proxy.run()
        assert b"no result is left" in client.received
