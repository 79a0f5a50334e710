"""TCP options of real sockets."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.tcp import TcpOptions

PROBES = 6
"""Keep-alive probes without a reply before the connection fails: a single one may be lost."""


def set_tcp(sock: socket.SocketType, tcp: TcpOptions, *, fresh: bool = False) -> None:
    """Set a socket's TCP options. On Linux accepted sockets inherit those of the listening socket.

    `fresh`: a new socket, where options with the value 0 need not be set.
    """
    for option in _options(tcp.keepalive, tcp.user_timeout, fresh):
        sock.setsockopt(*option)


@lru_cache
def _options(
    keepalive: float, user_timeout: float, fresh: bool
) -> tuple[tuple[int, int, int], ...]:
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(user_timeout * 1000)),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(keepalive > 0)),
    ]
    if keepalive:
        seconds = round(keepalive)
        interval = max(seconds // PROBES, 1)
        options += [
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, min(seconds // interval, PROBES)),
        ]
    return tuple(option for option in options if option[2] or not fresh)
