"""Datagrams and UnixDatagrams sources of the epoll driver: their sockets, and watching them.

Tested in tests/conformance/test_sources.py and tests/conformance/test_unix_datagrams.py.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.datagram_source import ANY, DatagramSource, SourceSocket, open_datagrams
from vcproxy.drivers.epoll import datagram
from vcproxy.drivers.epoll.multicast import NoGroupRoute, send_on

if TYPE_CHECKING:
    from vcproxy.drivers.datagrams import SetInterest
    from vcproxy.drivers.epoll.accepting import AcceptDriver
    from vcproxy.drivers.unix_datagram_source import UnixDatagramSource
    from vcproxy.engine.address import Address
    from vcproxy.engine.sources.datagrams import Datagrams, HostPort
    from vcproxy.engine.sources.unix_datagrams import UnixDatagrams


def opened(driver: AcceptDriver, source: Datagrams) -> DatagramSource | None:
    """Open a source; its event is Bound, or BindFailed, then None is returned."""
    return open_datagrams(source, partial(_bound, source), partial(_interested, driver))


def opened_unix(driver: AcceptDriver, source: UnixDatagrams) -> UnixDatagramSource | None:
    """Open a source; its event is UnixBound, or BindFailed, then None is returned."""
    from vcproxy.drivers.unix_datagram_source import open_unix_datagrams  # few proxies need it

    return open_unix_datagrams(source, partial(_bound_unix, source), partial(_interested, driver))


def _bound_unix(source: UnixDatagrams) -> tuple[UnixDatagramSource, str]:
    from vcproxy.drivers.epoll.unix_socket import SocketFile, bound_unix, shown, sockaddr
    from vcproxy.drivers.unix_datagram_source import UnixDatagramSource

    address = source.address
    if address is None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.bind("")  # the kernel chooses a name of the abstract namespace (unix(7))
        removed = _nothing
    else:
        sock = bound_unix(address)
        removed = SocketFile(address.path).remove
    return UnixDatagramSource(source, sock, shown, sockaddr, removed), shown(sock.getsockname())


def _nothing() -> None:
    """Do nothing: there is no file to remove."""


def _bound(source: Datagrams, address: Address) -> tuple[socket.socket, HostPort]:
    try:
        sock = datagram.bound(address)
    except NoGroupRoute:
        why = "no route to the multicast group: use the address of an interface as the own address"
        raise OSError(why) from None
    if not address.multicast and address.host not in ANY:
        try:
            send_on(sock, replace(address, parameters=(("interface", address.host),)))
        except OSError:
            sock.close()
            raise
    if source.broadcast:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    host, port, *_ = sock.getsockname()
    return sock, (host, port)


def _interested(driver: AcceptDriver, of: SourceSocket) -> SetInterest:
    assert isinstance(of.sock, socket.socket)
    watch = datagram.DatagramWatch(driver, of.sock)
    watch.handler = of
    return watch.set_interest
