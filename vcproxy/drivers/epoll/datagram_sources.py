"""Datagrams sources of the epoll driver: their sockets, and watching them with epoll.

Tested in tests/conformance/test_sources.py.
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
    from vcproxy.engine.address import Address
    from vcproxy.engine.datagrams import Datagrams, HostPort


def opened(driver: AcceptDriver, source: Datagrams) -> DatagramSource | None:
    """Open a source; its event is Bound, or BindFailed, then None is returned."""
    return open_datagrams(source, _bound, partial(_interested, driver))


def _bound(address: Address) -> tuple[socket.socket, HostPort]:
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
    host, port, *_ = sock.getsockname()
    return sock, (host, port)


def _interested(driver: AcceptDriver, of: SourceSocket) -> SetInterest:
    assert isinstance(of.sock, socket.socket)
    watch = datagram.DatagramWatch(driver, of.sock)
    watch.handler = of
    return watch.set_interest
