"""http_mirror: another release gets a copy of what is only read; nobody waits for its answers.

[[listener]]
name = "watched"
bind = "tcp://127.0.0.1:15326"
plugin = "http_proxy"
upstream = "shop"
options.filters = [{ plugin = "http_mirror.py", options.upstream = "next" }]
[upstream.next]
servers = ["tcp://127.0.0.1:8082"]
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from dataclasses import dataclass

from vcproxy.api import Filter, Transaction, UpstreamName


class Mirror(Filter):
    @dataclass(frozen=True)
    class Options:
        upstream: UpstreamName
        """Who gets the copies."""

    options: Options

    def server_chosen(self, tx: Transaction) -> None:
        if tx.request.method in ("GET", "HEAD"):
            tx.mirror(tx.upstreams[self.options.upstream])
