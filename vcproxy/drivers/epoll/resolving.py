"""Resolving: from a host name to the addresses to try, in the order the system prefers."""

from __future__ import annotations

import socket
from dataclasses import replace

from vcproxy.engine.address import Address
from vcproxy.engine.failures import NotResolved


def resolve(address: Address) -> list[Address]:
    """Return the numeric addresses of a tcp or tls address. It blocks.

    Raises NotResolved, naming the host, when it has none.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        why = str(error.strerror).lower()
        raise NotResolved(f"cannot resolve {address.host}: {why}") from error
    hosts = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
    return [replace(address, host=host) for host in hosts]
