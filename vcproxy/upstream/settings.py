"""UpstreamSettings: the configuration of an upstream, besides its servers. Times are in seconds.

The names are those of the keys in the file, which vcproxy.config.tables explains. With the defaults
here nothing is limited, checked or kept. Tested in tests/upstream/test_upstream.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.tcp import TCP, TcpOptions

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The queue for connections while no server has room."""

    size: int = 1024
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Which idle connections are kept for the next request."""

    idle: int = 0
    idle_time: float = 4.0
    age: float = 0.0


class Probe(Protocol):
    """What a health check sends on its connection, and how it judges the response."""

    def request(self, host: str) -> bytes:
        """Return the bytes to send to a server of this name."""

    def judge(self, answer: bytes) -> str | None:
        """Return why the server is unhealthy, "" if it is healthy, None if more is needed."""


class Introduction(Protocol):
    """What connections to servers begin with: see Announcement."""

    local: bytes
    """What is sent where the connection is made for no client."""

    def header(self, client: NetVConnection | None) -> bytes:
        """Return what is sent for this client; None: for no single one."""


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """A health check: a connection, with `handshake` TLS too, with `probe` also a request."""

    introduction: bytes = b""
    handshake: bool = False
    probe: Probe | None = None
    interval: float = 5.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class EjectSettings:
    """When a server is ejected for its failures, and for how long."""

    failures: int = 0
    time: float = 10.0


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """All settings of an upstream."""

    balance: str = "round_robin"
    hash_by: str = "client"
    max_connections: int = 0
    queue: QueueSettings = QueueSettings()
    pool: PoolSettings = PoolSettings()
    check: CheckSettings | None = None
    eject: EjectSettings = EjectSettings()
    slow_start: float = 0.0
    resolve: float = 0.0
    retries: int = 3
    announcement: Introduction | None = None
    all_backups: bool = False
    tcp: TcpOptions = TCP
