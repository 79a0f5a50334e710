"""Message sockets of the simulated driver: opening those of UDP and of Unix datagrams.

Tested in tests/sim/test_datagrams.py and tests/conformance/test_messages.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from vcproxy.drivers.sim.datagram import SimDatagramListener, SimDatagramPort, SimUnixListener
from vcproxy.drivers.sim.local_streams import FifoReader
from vcproxy.drivers.sim.port import SimPort
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.drivers.sim.datagram_network import SimSocket
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.engine.commands import Connect, Subscribe
    from vcproxy.engine.listener import Listener

CONNECTED = ("udp", "unixgram")
"""The schemes that are connected at once: there is no handshake."""


Opened: TypeAlias = "tuple[SimDatagramPort | SimPort, str]"
"""A port, and its own address as text."""


def connected(driver: PortDriver, network: Network, address: Address) -> Opened:
    """Open what a VC sends to. Raises OSError."""
    if address.scheme == "unixgram":
        sock = network.unix.connect(address.path)
        return SimDatagramPort(driver, sock), sock.path
    return udp_port(driver, network.datagrams.connect(address))


def subscribed(driver: PortDriver, network: Network, address: Address) -> Opened:
    """Open what a VC receives from. Raises OSError."""
    if address.scheme == "nats":
        raise OSError(f"{address}: NATS is not available in a simulation")
    if address.scheme == "fifo":
        acceptor = network.listen(address)
        reader = FifoReader(acceptor, lambda: network.unlisten(acceptor))
        return SimPort(driver, reader), str(address)
    if address.scheme == "unixgram":
        return SimDatagramPort(driver, network.unix.bind(address.path)), address.path
    return udp_port(driver, network.datagrams.bind(address))


def udp_port(driver: PortDriver, sock: SimSocket) -> Opened:
    """Return the port of a UDP socket."""
    return SimDatagramPort(driver, sock), str(Address("udp", *sock.local))


def open_port(
    driver: PortDriver, command: Connect | Subscribe, opened: Callable[[Address], Opened]
) -> None:
    """Open the port of a VC, which is connected at once; report why if that fails."""
    outgoing, address = command.outgoing, command.address
    if outgoing.vc.closed:
        return
    try:
        port, local = opened(address)
    except OSError as error:
        driver.trace_call("refused", outgoing.vc, str(error))
        outgoing.refused(address, error)
        return
    port.vc = outgoing.vc
    driver.trace_call("connected", outgoing.vc)
    outgoing.connected(address, port, lambda: local, str(address))
    if isinstance(port, SimPort):
        port.continue_handshake()
        driver.edge(port)


def listening(
    driver: PortDriver, network: Network, address: Address, listener: Listener
) -> SimDatagramListener | SimUnixListener:
    """Listen at an address of datagrams. Raises OSError."""
    if address.scheme == "udp":
        return SimDatagramListener(driver, network.datagrams.bind(address), listener)
    return SimUnixListener(driver, network.unix.bind(address.path), address, listener)
