"""Datagrams and UnixDatagrams sources of the simulated driver, with the code for real sockets.

Tested in tests/conformance/test_sources.py and tests/conformance/test_unix_datagrams.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.datagram_source import DatagramSource, SourceSocket, open_datagrams
from vcproxy.drivers.sim.datagram import SimWatch
from vcproxy.drivers.sim.datagram_network import SimSocket
from vcproxy.drivers.sim.link import do_nothing
from vcproxy.drivers.sim.unix_network import SimUnixSocket
from vcproxy.drivers.unix_datagram_source import UnixDatagramSource, open_unix_datagrams

if TYPE_CHECKING:
    from vcproxy.drivers.datagrams import SetInterest
    from vcproxy.drivers.sim.datagram_network import DatagramNetwork
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.drivers.sim.unix_network import UnixNetwork
    from vcproxy.engine.address import Address
    from vcproxy.engine.sources.datagrams import Datagrams, HostPort
    from vcproxy.engine.sources.unix_datagrams import UnixDatagrams


def opened(
    driver: PortDriver, network: DatagramNetwork, source: Datagrams
) -> DatagramSource | None:
    """Open a source; its event is Bound, or BindFailed, then None is returned."""
    bound = partial(_bound, network, source)
    return open_datagrams(source, bound, partial(_interested, driver))


def opened_unix(
    driver: PortDriver, network: UnixNetwork, source: UnixDatagrams
) -> UnixDatagramSource | None:
    """Open a source; its event is UnixBound, or BindFailed, then None is returned."""
    bound = partial(_bound_unix, network, source)
    return open_unix_datagrams(source, bound, partial(_interested, driver))


def _bound_unix(network: UnixNetwork, source: UnixDatagrams) -> tuple[UnixDatagramSource, str]:
    sock = network.bind("" if source.address is None else source.address.path)
    return UnixDatagramSource(source, sock, str, str, do_nothing), sock.path


def _bound(
    network: DatagramNetwork, source: Datagrams, address: Address
) -> tuple[SimSocket, HostPort]:
    # Without parameters, as `interface` of a group: all simulated hosts are in one network.
    sock = network.bind(replace(address, parameters=()))
    sock.broadcast = source.broadcast
    return sock, sock.local


def _interested(driver: PortDriver, of: SourceSocket) -> SetInterest:
    assert isinstance(of.sock, SimSocket | SimUnixSocket)
    watch = SimWatch(driver, of.sock)
    watch.handler = of
    return watch.set_interest
