"""Server: one of those that do an upstream's work, and how it fares."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from vcproxy.upstream.keeping import Keeping

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection


class Server:
    """Where one server is, and what its upstream knows of it.

    It may stand alone: then there is nothing to know, and nothing is counted.

    Args:
        address: where it is.
        tls: what the driver needs to speak TLS to it; None: plain.
        weight: its share of the work, beside those of the others.
        host: the name that TLS sends and verifies; the address's own, if left out.
    """

    __slots__ = (
        "address", "connections", "ejected", "ejections", "failures", "healthy", "host", "idle",
        "keeping", "name", "position", "refusals", "share", "suspect", "tls", "trial", "up_since",
        "weight",
    )  # fmt: skip

    def __init__(
        self, address: Address, tls: object = None, weight: int = 1, host: str = ""
    ) -> None:
        self.address = address
        self.tls = tls
        self.weight = weight
        self.host = host or address.host
        self.name = str(address) if self.host == address.host else f"{host} at {address}"
        """What logs call it."""
        self.position = 0
        """Its place among the servers of its upstream; below 0: it is none of them any more."""
        self.connections = 0
        """Those that are not gone: wanted, made or idle."""
        self.idle: dict[NetVConnection, float] = {}
        """Those in the pool, the longest idle first, and since when."""
        self.keeping = Keeping()
        """How long it keeps idle connections open itself."""
        self.share: float = weight
        """What it is to get beside the others: its weight, or less while it warms up."""
        self.healthy = True
        """Whether the checks say so."""
        self.ejected = False
        """Whether it is left alone for a time, for what it did to clients."""
        self.ejections = 0
        """How often in a row: above 0 it has not yet passed a trial."""
        self.suspect = ""
        """What failed: "connections" or "requests"."""
        self.trial: NetVConnection | None = None
        """The connection that tries it again, while its outcome is not known."""
        self.refusals = 0
        """Connections in a row that could not be made."""
        self.failures = 0
        """Requests in a row that failed."""
        self.up_since = float("-inf")
        """When it last came up; from the beginning: before all time."""

    def __repr__(self) -> str:
        return f"<Server {self.name}>"

    @property
    def up(self) -> bool:
        """Whether it may be chosen."""
        return self.healthy and not self.ejected and self.trial is None

    @property
    def load(self) -> float:
        """Connections at work, for each unit of its share."""
        return (self.connections - len(self.idle)) / self.share

    def connect(
        self,
        cont: Continuation,
        *,
        client: str = "",
        tried: Collection[Server] = (),
        timeout: float = 0.0,
    ) -> NetVConnection:
        """Connect to it, standing alone: see Engine.connect. Who asks, and what was tried, is all
        one.
        """
        return cont.engine.connect(
            cont, self.address, tls=self.tls, server_name=self.host, timeout=timeout
        )

    def server_of(self, vc: NetVConnection) -> Server:
        """See Place: there is nobody else."""
        return self

    def another(self, tried: Collection[Server]) -> bool:
        """See Place."""
        return False
