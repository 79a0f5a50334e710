"""canary: a new server gets a share of the clients; if it cannot be reached, the others get them.

[[listener]]
name = "canary"
bind = "tcp://127.0.0.1:15311"
plugin = "canary.py"
upstream = "shop"
options = { server = "tcp://127.0.0.1:8081", share = 0.05 }
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from vcproxy.api import Backend, Endpoint, Forwarder, Server


class Canary(Forwarder):
    @dataclass(frozen=True)
    class Options:
        server: Endpoint
        """The new server."""
        share: Annotated[float, Field(ge=0, le=1)]
        """The share of clients, 0 to 1."""

    options: Options

    def servers(self) -> Sequence[Backend]:
        if self.engine.random.random() >= self.options.share:
            return super().servers()
        self.count("canary")
        return [Server(self.options.server), *super().servers()]
