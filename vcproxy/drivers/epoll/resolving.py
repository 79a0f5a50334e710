"""Resolving: from a host name to the addresses to try, in the order the system prefers."""

from __future__ import annotations

import socket

from vcproxy.engine.failures import NotResolved


def resolve(host: str) -> list[str]:
    """Return the numeric addresses of a host. It blocks.

    Raises NotResolved, naming the host, when it has none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        why = str(error.strerror).lower()
        raise NotResolved(f"cannot resolve {host}: {why}") from error
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
