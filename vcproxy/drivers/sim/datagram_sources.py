"""Datagrams sources of the simulated driver: they use the code for real sockets on simulated ones.

Tested in tests/conformance/test_sources.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.datagram_source import DatagramSource, SourceSocket, open_datagrams
from vcproxy.drivers.sim.datagram import SimWatch
from vcproxy.drivers.sim.datagram_network import SimSocket

if TYPE_CHECKING:
    from vcproxy.drivers.datagrams import SetInterest
    from vcproxy.drivers.sim.datagram_network import DatagramNetwork
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.engine.address import Address
    from vcproxy.engine.datagrams import Datagrams, HostPort


def opened(
    driver: PortDriver, network: DatagramNetwork, source: Datagrams
) -> DatagramSource | None:
    """Open a source; its event is Bound, or BindFailed, then None is returned."""
    return open_datagrams(source, partial(_bound, network), partial(_interested, driver))


def _bound(network: DatagramNetwork, address: Address) -> tuple[SimSocket, HostPort]:
    # Without parameters, as `interface` of a group: all simulated hosts are in one network.
    sock = network.bind(replace(address, parameters=()))
    return sock, sock.local


def _interested(driver: PortDriver, of: SourceSocket) -> SetInterest:
    assert isinstance(of.sock, SimSocket)
    watch = SimWatch(driver, of.sock)
    watch.handler = of
    return watch.set_interest
