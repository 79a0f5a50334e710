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
    for level, option, value in _options(tcp):
        if value or not fresh:
            sock.setsockopt(level, option, value)


@lru_cache
def _options(tcp: TcpOptions) -> tuple[tuple[int, int, int], ...]:
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(tcp.user_timeout * 1000)),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(tcp.keepalive > 0)),
    ]
    if tcp.keepalive:
        seconds = round(tcp.keepalive)
        interval = max(seconds // PROBES, 1)
        options += [
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, min(seconds // interval, PROBES)),
        ]
    return tuple(options)
