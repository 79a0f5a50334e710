"""TcpOptions: keep-alive and user timeout, by which a vanished TCP peer is noticed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TcpOptions:
    """What a driver sets on each TCP socket. Times are in seconds, 0: never."""

    keepalive: float = 60.0
    """A peer that has been silent for so long is asked whether it is there (RFC 9293, 3.8.4), and
    the connection fails when it has not answered for as long again."""
    user_timeout: float = 0.0
    """The connection fails when what was sent has not been acknowledged, or not been taken, for so
    long (RFC 5482)."""


TCP = TcpOptions()
"""What is set where nothing is said."""
