"""http_mirror: another release gets copies of GET and HEAD requests; its responses are dropped.

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
        """The servers that get the copies."""

    options: Options

    def server_chosen(self, tx: Transaction) -> None:
        if tx.request.method in ("GET", "HEAD"):
            tx.mirror(tx.upstreams[self.options.upstream])
