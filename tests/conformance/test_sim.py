"""The laws on simulated VCs, with and without network faults."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.proxy_protocol.headers import V4
from vcproxy.drivers.sim import NetworkFaults, Simulation
from vcproxy.engine.address import Address
from vcproxy.proxy_protocol.encoder import encode_v2
from vcproxy.testing.conformance import Crash, Law, Pair, laws

from .conftest import Contexts
from .meeting import meet

ROUGH = replace(NetworkFaults.all(), reset=0, refuse=0, accept_error=0)
"""All faults that delay and split, and none that end a connection."""


@contextmanager
def simulated(
    faults: NetworkFaults, contexts: Contexts | None = None, header: bytes = b""
) -> Iterator[Pair]:
    """Two VCs on two engines, connected over a network in memory."""
    with Simulation(1, faults) as simulation:
        home, away = simulation.driver("home"), simulation.driver("away")
        scheme, server, client = ("tls", *contexts) if contexts else ("tcp", None, None)

        def run(until: Callable[[], bool]) -> None:
            try:
                simulation.run(until)
            except Crash:  # made on purpose: the simulation raises what an engine only logs
                simulation.run(until)

        yield meet(
            lambda listener: home.listen(Address(scheme, "listener"), listener),
            home.engine,
            away.engine,
            run,
            server,
            client,
            header,
        )
        simulation.run()
        assert not home.engine.vcs
        assert not away.engine.vcs
        assert (home.engine.memory.used, away.engine.memory.used) == (0, 0)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tcp(law: Law) -> None:
    with simulated(NetworkFaults()) as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tcp_on_a_rough_network(law: Law) -> None:
    with simulated(ROUGH) as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tls(law: Law, contexts: Contexts) -> None:
    with simulated(NetworkFaults(), contexts) as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tls_on_a_rough_network(law: Law, contexts: Contexts) -> None:
    with simulated(ROUGH, contexts) as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tcp_after_a_proxy_header_on_a_rough_network(law: Law) -> None:
    with simulated(ROUGH, header=encode_v2(V4)) as pair:
        law(Pair(pair.b, pair.a, pair.run))


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tls_after_a_proxy_header_on_a_rough_network(law: Law, contexts: Contexts) -> None:
    with simulated(ROUGH, contexts, encode_v2(V4)) as pair:
        law(pair)
