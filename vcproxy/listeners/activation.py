"""Socket activation: listening sockets that a service manager has bound (sd_listen_fds(3)).

Each socket is used for the address of the configuration at which it is bound. Tested in
tests/listeners/test_activation.py and tests/e2e/test_activation.py.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING

from vcproxy.engine.address import UNIX
from vcproxy.listeners.plan import Place, addresses_of, place_of

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.engine.address import Address

FIRST = 3
"""The first descriptor (SD_LISTEN_FDS_START)."""


def activated(
    configuration: Configuration,
    warn: Callable[[str], None],
    environment: MutableMapping[str, str] = os.environ,
    first: int = FIRST,
) -> dict[Place, socket.socket]:
    """Return the sockets that this process was started with, by place.

    A socket that is at no address of the configuration is closed, and reported to `warn`. The
    variables are removed from the environment: they are not meant for child processes.
    """
    count = environment.pop("LISTEN_FDS", "")
    pid = environment.pop("LISTEN_PID", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    places = {
        key: place_of(name, address)
        for entry in configuration.settings.listener
        for name, address in addresses_of(entry, configuration.plugins[entry.name])
        for key in _bound_to(address)
    }
    found: dict[Place, socket.socket] = {}
    for descriptor in range(first, first + int(count)):
        sock = socket.socket(fileno=descriptor)
        place = places.get((sock.type, _key(sock)))
        if place is None or place in found:
            warn(
                f"the inherited socket {descriptor}, bound to {sock.getsockname()}, is not used: "
                "no listener has this address"
            )
            sock.close()
            continue
        sock.set_inheritable(False)
        sock.setblocking(False)
        found[place] = sock
    return found


def _bound_to(address: Address) -> Iterator[tuple[int, object]]:
    """Yield the type and the key of each socket that may be bound to an address."""
    kind = socket.SOCK_DGRAM if address.message_oriented else socket.SOCK_STREAM
    if address.scheme in UNIX:
        from vcproxy.drivers.epoll.unix_socket import KINDS  # few proxies are activated

        yield KINDS[address.scheme], address.path
    elif address.scheme in ("tcp", "tls", "udp"):
        try:
            found = socket.getaddrinfo(address.host, address.port, type=kind)
        except OSError:
            return  # binding the address will report the error
        for *_, sockaddr in found:
            yield kind, sockaddr[:2]


def _key(sock: socket.socket) -> object:
    """Return the path of a socket, or its host and port, as a key."""
    where = sock.getsockname()
    return where[:2] if isinstance(where, tuple) else where
