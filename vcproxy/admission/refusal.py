"""Refusal: why a client is refused before it is served. Tested in tests/admission."""

from __future__ import annotations

from enum import Enum


class Refusal(Enum):
    """Why a connection, a datagram or a request is refused. The value is its name in counters."""

    MAX_PER_CLIENT = "max_per_client"
    """The client has as many connections as `limits.max_per_client` allows."""
    DENIED = "denied"
    """The client's address is in `deny`, or not in `allow`."""
    RATE = "rate"
    """There were more than a `rate` allows."""
