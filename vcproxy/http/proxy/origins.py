"""Origins: the servers that clients name themselves, each as an upstream of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import Pooling, UpstreamSettings
from vcproxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine

MOST = 256
"""Origins that are remembered: as many as some dozens of people with browsers are busy with."""

TERMS = UpstreamSettings(pool=Pooling(idle=8), retries=0)
"""Browsers keep 6 connections to one host."""


class Origins:
    """By their addresses; the one that was used longest ago is forgotten first."""

    __slots__ = ("_engine", "_known")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[Address, Upstream] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, address: Address) -> Upstream:
        """Return the upstream that has this one server."""
        known = self._known
        found = known.pop(address, None)
        if found is None:
            found = Upstream(self._engine, str(address), (Server(address),), TERMS)
            if len(known) >= MOST:
                known.pop(next(iter(known))).close()
        known[address] = found
        return found
