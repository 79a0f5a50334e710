"""UpstreamSettings: what a configuration says of an upstream, beside its servers; times in seconds.

The names are those of the keys in the file, which say more (see vcproxy.config.schema); as they
stand here nothing is limited, checked or kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vcproxy.engine.tcp import TCP, TcpOptions


@dataclass(frozen=True, slots=True)
class Queueing:
    """How those wait for whom no server has room."""

    size: int = 1024
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class Pooling:
    """Which connections are kept for the next request."""

    idle: int = 0
    idle_time: float = 4.0
    age: float = 0.0


class Probe(Protocol):
    """What a health check sends behind the connection, and what the answer means."""

    def request(self, host: str) -> bytes:
        """Return the bytes to send to a server of this name."""

    def judge(self, answer: bytes) -> str | None:
        """Return why the server is unhealthy, "" if it is healthy, None if more is needed."""


@dataclass(frozen=True, slots=True)
class Checking:
    """How servers are checked: a connection, with `handshake` TLS too, and what `probe` asks."""

    handshake: bool = False
    probe: Probe | None = None
    interval: float = 5.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class Ejecting:
    """When a server is left alone for what it does to clients."""

    failures: int = 0
    time: float = 10.0


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """All of it."""

    balance: str = "round_robin"
    hash_by: str = "client"
    max_connections: int = 0
    queue: Queueing = Queueing()
    pool: Pooling = Pooling()
    check: Checking | None = None
    eject: Ejecting = Ejecting()
    slow_start: float = 0.0
    resolve: float = 0.0
    retries: int = 3
    tcp: TcpOptions = TCP
