"""TrustedSenders: the peers of a listener whose PROXY headers are believed."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from vcproxy.proxy_protocol.parser import parse

_REMEMBERED = 1024
"""The answers that are remembered: there are few balancers, and each opens many connections."""


class TrustedSenders:
    """The networks from which connections begin with a header.

    A listener never guesses whether a header comes: all connections of these peers begin with one,
    and no others do.

    Args:
        networks: where the senders are.
        unix: whether the peers at a Unix socket are senders.
        others_direct: whether other peers are served, as clients of their own. They are refused
            otherwise.
    """

    __slots__ = ("_answers", "_networks", "_unix", "others_direct")

    parse = staticmethod(parse)
    """Parses their headers. It is here so that a proxy without senders does not import it."""

    def __init__(
        self,
        networks: Iterable[IPv4Network | IPv6Network],
        *,
        unix: bool = False,
        others_direct: bool = False,
    ) -> None:
        self._networks = tuple(networks)
        self._unix = unix
        self.others_direct = others_direct
        self._answers: dict[str, bool] = {}

    def trusts(self, address: str) -> bool:
        """Return whether the peer at this IP address is a sender; "": a peer at a Unix socket."""
        known = self._answers.get(address)
        if known is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            known = self._answers[address] = self._contains(address)
        return known

    def _contains(self, address: str) -> bool:
        if not address:
            return self._unix
        peer = ip_address(address)
        return any(peer in network for network in self._networks)
