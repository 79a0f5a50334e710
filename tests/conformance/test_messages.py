"""The laws for messages, on Unix datagrams and packets, real and simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vcproxy.drivers.sim import NetworkFaults, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.testing.conformance import Pair, Trait
from vcproxy.testing.conformance.messages import MessageEnd, MessageLaw, message_laws

from .meeting import Caller
from .test_epoll import Drivers, drivers
from .test_sim import ROUGH

DATAGRAMS = message_laws(lacking=(Trait.END,))


@contextmanager
def real(address: str) -> Iterator[tuple[Pair, Drivers]]:
    """Two VCs on two engines with real sockets. The first datagram makes the session."""
    with drivers() as both:
        came: list[NetVConnection] = []
        listener = Listener("listener", came.append, both.home.engine)
        both.home.listen(Address.parse(address), listener)
        caller = Caller(both.away.engine, None)
        both.away.engine.schedule(caller, Address, Address.parse(address))
        both.run(lambda: bool(caller.connected))
        yield (
            Pair(caller.connected[0], _accepted(caller.connected[0], came, both.run), both.run),
            both,
        )
        both.home.unlisten(listener)


def _accepted(
    client: NetVConnection, came: list[NetVConnection], run: Callable[[Callable[[], bool]], None]
) -> NetVConnection:
    """The accepted VC: a session of datagrams begins with one, which is read here."""
    if client.peer.startswith("unixgram"):
        hello = MessageEnd(client, run)
        hello.send(b"hello")
        run(lambda: bool(came))
        other = MessageEnd(came[0], run)
        other.expect(b"hello")
        hello.release_buffers()
        other.release_buffers()
    run(lambda: bool(came))
    return came[0]


@pytest.mark.parametrize("law", message_laws(), ids=str)
def test_packets(law: MessageLaw, tmp_path: Path) -> None:
    with real(f"unixpacket:{tmp_path}/socket") as (pair, _):
        law(pair)


@pytest.mark.parametrize("law", DATAGRAMS, ids=str)
def test_datagrams(law: MessageLaw, tmp_path: Path) -> None:
    with real(f"unixgram:{tmp_path}/socket") as (pair, _):
        law(pair)


def test_an_empty_packet_is_not_sent(tmp_path: Path) -> None:
    with real(f"unixpacket:{tmp_path}/socket") as (pair, both):
        a, b = MessageEnd(pair.a, pair.run), MessageEnd(pair.b, pair.run)
        a.send(b"one", EMPTY, b"two")
        b.expect(b"one", b"two")
        assert both.lines == [
            f"away warning: unixpacket:{tmp_path}/socket: a datagram was dropped: an empty message "
            "would end the connection"
        ]
        for end in (a, b):
            end.close()
            end.release_buffers()


@contextmanager
def simulated(scheme: str, faults: NetworkFaults) -> Iterator[Pair]:
    """Two VCs on two engines of a simulation."""
    with Simulation(1, faults) as simulation:
        home, away = simulation.driver("home"), simulation.driver("away")
        came: list[NetVConnection] = []
        listener = Listener("listener", came.append, home.engine)
        address = Address(scheme, path="/run/app.sock")
        home.listen(address, listener)
        caller = Caller(away.engine, None)
        away.engine.schedule(caller, Address, address)
        simulation.run(lambda: bool(caller.connected))
        client = caller.connected[0]
        yield Pair(client, _accepted(client, came, simulation.run), simulation.run)
        home.unlisten(listener)
        simulation.run()
        assert not home.engine.vcs
        assert not away.engine.vcs
        assert (home.engine.memory.used, away.engine.memory.used) == (0, 0)


@pytest.mark.parametrize("law", message_laws(), ids=str)
@pytest.mark.parametrize("faults", [NetworkFaults(), ROUGH], ids=["smooth", "rough"])
def test_simulated_packets(law: MessageLaw, faults: NetworkFaults) -> None:
    with simulated("unixpacket", faults) as pair:
        law(pair)


@pytest.mark.parametrize("law", DATAGRAMS, ids=str)
@pytest.mark.parametrize("faults", [NetworkFaults(), ROUGH], ids=["smooth", "rough"])
def test_simulated_datagrams(law: MessageLaw, faults: NetworkFaults) -> None:
    with simulated("unixgram", faults) as pair:
        law(pair)
