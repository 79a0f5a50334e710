"""http_canary: a new release gets a percentage of the clients, always the same ones.

[[listener]]
name = "release"
bind = "tcp://127.0.0.1:15323"
plugin = "http_proxy"
upstream = "shop"
options.filters = [{ plugin = "http_canary.py", options = { upstream = "new", percent = 5 } }]
[upstream.new]
servers = ["tcp://127.0.0.1:8081"]
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated

from pydantic import Field

from vcproxy.api import Filter, Transaction, UpstreamName


class Canary(Filter):
    @dataclass(frozen=True)
    class Options:
        upstream: UpstreamName
        """The servers of the new release."""
        percent: Annotated[float, Field(ge=0, le=100)]
        """The percentage of clients, by their addresses."""

    options: Options

    def route(self, tx: Transaction) -> None:
        digest = blake2b(tx.client.encode(), digest_size=8).digest()
        if int.from_bytes(digest) / 2**64 * 100 < self.options.percent:
            tx.upstream = tx.upstreams[self.options.upstream]
