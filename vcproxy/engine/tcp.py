"""TcpOptions: keep-alive and user timeout, which detect a TCP peer that has vanished.

Tested with the driver that sets them: tests/drivers/test_epoll_tcp.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TcpOptions:
    """What a driver sets on each TCP socket. Times are in seconds, 0: off."""

    keepalive: float = 60.0
    """A peer that was silent for this time gets keep-alive probes (RFC 9293, 3.8.4), and the
    connection fails when it has not answered them for the same time."""
    user_timeout: float = 0.0
    """The connection fails if sent data have not been acknowledged, or the peer's window was
    closed, for this time (RFC 5482)."""


TCP = TcpOptions()
"""The default options."""
