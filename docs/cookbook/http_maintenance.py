"""http_maintenance: clients get a maintenance page, except those in some networks.

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
        """Networks of clients that are served as usual."""
        minutes: int = 10
        """After how many minutes the other clients should retry."""

    options: Options

    def request_head(self, tx: Transaction) -> Response | None:
        address = tx.client  # empty on a Unix socket
        if address and any(ip_address(address) in each for each in self.options.bypass):
            return None
        later = str(self.options.minutes * 60)
        return Response(503, {"Content-Type": "text/html", "Retry-After": later}, PAGE)
