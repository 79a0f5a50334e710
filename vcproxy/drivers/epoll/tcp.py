"""TCP's options on real sockets."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.tcp import TcpOptions

PROBES = 6
"""Questions that a silent peer may leave without an answer: one that is lost proves nothing."""


def set_tcp(sock: socket.socket, tcp: TcpOptions, *, fresh: bool = False) -> None:
    """Set its options. On Linux what a listening socket accepts has the same ones.

    `fresh`: none has been set, and those that are 0 are so already.
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
