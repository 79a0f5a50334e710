"""AccessList: the destinations to which a forward proxy connects its clients.

A destination is allowed only if an entry matches it. An entry with a name matches no IP address,
and an entry with a network matches no name: names are matched as the client sent them, before they
are resolved. If a name is allowed, so is any address that it resolves to, private or not. There is
no built-in list of private networks: none is allowed unless an entry allows it. If the resolver
cannot be trusted, allow the names that are needed, not "*".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

from vcproxy.http.message.resource import NUMERIC, as_ip

Network = IPv4Network | IPv6Network

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")

_EXAMPLE = 'as "www.example:443", "*.example:*" or "10.0.0.0/8:80"'


def is_name(host: str) -> bool:
    """Whether this is a host name in lower case, and not any spelling of an IP address."""
    return _NAME.fullmatch(host) is not None and NUMERIC.fullmatch(host) is None


def within(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks."""
    return any(address in network for network in networks)


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """One entry of a list: a name or a network, and a port."""

    host: str
    """A name, "*.NAME" for all names below it, "*" for all names, an IP address, or a network."""
    port: int | None
    """None: all ports."""
    network: Network | None = None
    """`host` parsed, if it is a network or an IP address."""

    @classmethod
    def parse(cls, text: str) -> AccessEntry:
        """Parse "HOST:PORT". Raises ValueError with the reason if it is invalid."""
        host, colon, port = text.lower().rpartition(":")
        if not colon or not host:
            raise ValueError(f'"{text}" has no port: write HOST:PORT, {_EXAMPLE}')
        if port != "*" and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise ValueError(
                f'"{text}": the port must be 1 to 65535 or "*" (all ports), {_EXAMPLE}'
            )
        number = None if port == "*" else int(port)
        host = host.removeprefix("[").replace("]", "", 1) if host.startswith("[") else host
        if host == "*" or is_name(host.removeprefix("*.")):
            return cls(host, number)
        try:
            return cls(host, number, ip_network(host))
        except ValueError as error:
            raise ValueError(f'"{text}": {error}: write a name or a network, {_EXAMPLE}') from None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{'*' if self.port is None else self.port}"


@dataclass(frozen=True)
class AccessList:
    """Allows the destinations that `allow` matches, except those that `deny` matches."""

    allow: tuple[AccessEntry, ...]
    deny: tuple[AccessEntry, ...] = ()

    def permits(self, host: str, port: int) -> bool:
        """Return whether a client may be connected to this destination.

        Args:
            host: a name, or an IP address without brackets, in lower case.
        """
        host = host.removesuffix(".")  # the same name (RFC 1034, 3.1)
        return self._allow.matches(host, port) and not self._deny.matches(host, port)

    @cached_property
    def _allow(self) -> _EntryTable:
        return _EntryTable(self.allow)

    @cached_property
    def _deny(self) -> _EntryTable:
        return _EntryTable(self.deny)


class _EntryTable:
    """Entries, prepared for lookup."""

    def __init__(self, entries: Iterable[AccessEntry]) -> None:
        self._names: set[tuple[str, int | None]] = set()
        self._networks: list[AccessEntry] = []
        for each in entries:
            if each.network is None:
                self._names.add((each.host, each.port))
            else:
                self._networks.append(each)

    def matches(self, host: str, port: int) -> bool:
        address = as_ip(host)
        if address is not None:
            return any(
                address in each.network
                for each in self._networks
                if each.network is not None and each.port in (None, port)
            )
        if not is_name(host) or len(host) > 253:  # no name is longer (RFC 1035, 3.1)
            return False
        return any(
            (name, number) in self._names for name in _patterns(host) for number in (port, None)
        )


def _patterns(name: str) -> Iterator[str]:
    """Return the entry hosts that match a name: itself, "*.NAME" for each parent domain, "*".

    "*" does not match localhost and names below it: they resolve to this machine (RFC 6761, 6.3).
    """
    yield name
    while "." in name:
        name = name.partition(".")[2]
        yield f"*.{name}"
    if name != "localhost":
        yield "*"
