"""http_maintenance: everybody is told to come back later, but for those who work on it.

[[listener]]
name = "closed"
bind = "tcp://127.0.0.1:15325"
plugin = "http_proxy"
upstream = "shop"
options.filters = [{ plugin = "http_maintenance.py", options.bypass = ["10.0.0.0/8"] }]
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from vcproxy.api import Filter, Response, Transaction

PAGE = b"<!doctype html><title>Back soon</title><h1>Back soon</h1>\n"


class Maintenance(Filter):
    @dataclass(frozen=True)
    class Options:
        bypass: list[IPv4Network | IPv6Network]
        """Where those are who are served as ever."""
        minutes: int = 10
        """When the others should try again."""

    options: Options

    def request_head(self, tx: Transaction) -> Response | None:
        address = tx.client  # empty on a Unix socket
        if address and any(ip_address(address) in each for each in self.options.bypass):
            return None
        later = str(self.options.minutes * 60)
        return Response(503, {"Content-Type": "text/html", "Retry-After": later}, PAGE)
