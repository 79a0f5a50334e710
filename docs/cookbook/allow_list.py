"""allow_list: serve only clients of some networks.

[[listener]]
name = "inner"
bind = "tcp://127.0.0.1:15312"
plugin = "allow_list.py"
upstream = "shop"
options.networks = ["10.0.0.0/8", "::1/128"]
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]

The keys `allow` and `deny` of a listener do this for any plugin, also before TLS. This recipe shows
`refusal`, for rules of your own.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from vcproxy.api import Forwarder


class AllowList(Forwarder):
    @dataclass(frozen=True)
    class Options:
        networks: list[IPv4Network | IPv6Network]
        """Networks of clients that are served."""

    options: Options

    def refusal(self) -> bytes | None:
        address = self.client_address  # empty on a Unix socket
        if address and any(ip_address(address) in each for each in self.options.networks):
            return None
        self.log("refused: the client is in none of the networks")
        return b""
