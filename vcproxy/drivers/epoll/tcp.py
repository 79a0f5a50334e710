"""TCP's options on real sockets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.tcp import Tcp

PROBES = 6
"""Questions that a silent peer may leave without an answer: one that is lost proves nothing."""


def set_tcp(sock: socket.socket, tcp: Tcp) -> None:
    """Set its options. On Linux what a listening socket accepts has the same ones."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, tcp.keepalive > 0)
    if tcp.keepalive:
        seconds = round(tcp.keepalive)
        interval = max(seconds // PROBES, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, min(seconds // interval, PROBES))
    milliseconds = round(tcp.user_timeout * 1000)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
