"""Origins: the servers that a forward proxy's clients request, each with its own upstream.

Tested in tests/http/proxy/test_routing.py and test_kept.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import PoolSettings, UpstreamSettings
from vcproxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine

MAX_ORIGINS = 256
"""Origins that are kept: enough for some dozens of people with browsers."""

ORIGIN_SETTINGS = UpstreamSettings(pool=PoolSettings(idle=8), retries=0)
"""Eight idle connections: browsers keep 6 to one host."""


class Origins:
    """Upstreams by address. If there are too many, the least recently used one is closed."""

    __slots__ = ("_by_address", "_engine")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_address: dict[Address, Upstream] = {}

    def __len__(self) -> int:
        return len(self._by_address)

    def find(self, address: Address) -> Upstream:
        """Return the upstream whose only server has this address; create it if there is none."""
        origins = self._by_address
        found = origins.pop(address, None)
        if found is None:
            found = Upstream(self._engine, str(address), (Server(address),), ORIGIN_SETTINGS)
            if len(origins) >= MAX_ORIGINS:
                origins.pop(next(iter(origins))).close()
        origins[address] = found
        return found
