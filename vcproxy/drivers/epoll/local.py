"""Local: the ports of addresses in this host that are no stream sockets, and listening at them.

Most proxies have none: so each kind is imported when it is needed. Tested in
tests/drivers/test_epoll_fifo.py, test_epoll_serial.py, test_epoll_terminal.py and
tests/conformance/test_messages.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.address import PACKETS, STANDARD

if TYPE_CHECKING:
    import socket

    from vcproxy.drivers.datagrams import DatagramPort
    from vcproxy.drivers.epoll.accepting import AcceptDriver
    from vcproxy.drivers.epoll.descriptor_port import DescriptorPort
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener

SPECIAL = ("unixgram", "fifo", "serial", *STANDARD)
"""The schemes that are opened here."""


class ListeningPort(Protocol):
    """What the driver has for each address at which it listens."""

    listener: Listener
    requested: Address
    """The address in the configuration."""
    address: Address
    """With its actual port."""

    def resume(self) -> None:
        """Accept again, after a pause or for another listener."""

    def renew(self, address: Address, inherited: socket.socket | None = None) -> None:
        """Apply what a reload may have changed. Raises OSError."""

    def close(self) -> None:
        """Stop listening."""


def connected(driver: AcceptDriver, address: Address) -> DescriptorPort | DatagramPort:
    """Open what a VC connects to. Raises OSError."""
    if address.scheme == "unixgram":
        from vcproxy.drivers.epoll.packet_port import connected_port

        return connected_port(driver, address)
    if address.scheme == "fifo":
        from vcproxy.drivers.epoll.fifo import writer

        return writer(driver, address)
    if address.scheme == "serial":
        from vcproxy.drivers.epoll.serial import SerialPort

        return SerialPort(driver, address)
    from vcproxy.drivers.epoll.stdio import standard

    return standard(driver, address)


def adopt_packets(driver: AcceptDriver, listener: Listener, sock: socket.SocketType) -> None:
    """Make an accepted SOCK_SEQPACKET socket a VC."""
    from vcproxy.drivers.epoll.packet_port import packet_port

    try:
        port = packet_port(driver, sock)
    except OSError as error:  # ENOSPC: the limit of watched descriptors (epoll_ctl(2))
        listener.dropped(driver.engine)
        driver.engine.log("warning", f"{listener.name} {PACKETS}: closed: {error.strerror}")
        return
    port.vc = driver.engine.accepted(listener, port, PACKETS, message_oriented=True)


def subscribed(driver: AcceptDriver, address: Address) -> DescriptorPort | DatagramPort:
    """Open what a VC only receives from. Raises OSError."""
    if address.scheme == "fifo":
        from vcproxy.drivers.epoll.fifo import reader

        return reader(driver, address)
    from vcproxy.drivers.epoll.packet_port import bound_port

    return bound_port(driver, address)


def listening(
    driver: AcceptDriver, listener: Listener, address: Address, inherited: socket.socket | None
) -> ListeningPort:
    """Listen at an address. Raises OSError."""
    if address.scheme == "unixgram":
        from vcproxy.drivers.epoll.unix_listener import UnixDatagramListener

        return UnixDatagramListener(driver, listener, address, inherited)
    if address.scheme == "fifo":
        from vcproxy.drivers.epoll.fifo import FifoListener

        return FifoListener(driver, listener, address)
    if address.scheme == "serial":
        raise OSError("a serial line is connected to: write it as a server, or a relay's source")
    from vcproxy.drivers.epoll.stdio import Single

    return Single(driver, listener, address)
