"""AccessList: whom a client may have itself connected to, as a forward proxy's lists say.

Nothing is allowed that no entry names. An entry that names hosts never allows an IP address, and
one that names a network never a name: names are matched as the client gives them, before they are
resolved, and whoever allows a name allows the address that it leads to, a private one too. So
there is no list of private networks: none is open unless an entry opens it, and a resolver that
cannot be trusted calls for entries with the names one knows, not for "*".
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
    """Whether this is a host's name, in lower case: not an IP address in any way of writing it."""
    return _NAME.fullmatch(host) is not None and NUMERIC.fullmatch(host) is None


def within(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of some networks."""
    return any(address in network for network in networks)


@dataclass(frozen=True, slots=True)
class Destination:
    """One entry of a list: hosts of a name or a network, and their port."""

    host: str
    """A name, "*.NAME" for all below it, "*" for all names, an IP address, or a network."""
    port: int | None
    """None: every port."""
    network: Network | None = None
    """What `host` stands for, where it is a network or an address."""

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Read "HOST:PORT". Raises ValueError saying what is wrong with it."""
        host, colon, port = text.lower().rpartition(":")
        if not colon or not host:
            raise ValueError(f'"{text}" names no port, {_EXAMPLE}')
        if port != "*" and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise ValueError(f'"{text}": a port is 1 to 65535, or "*" for every port, {_EXAMPLE}')
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
    """What is allowed, less what is denied."""

    allow: tuple[Destination, ...]
    deny: tuple[Destination, ...] = ()

    def permits(self, host: str, port: int) -> bool:
        """Whether a client may be connected there.

        Args:
            host: a name, or an IP address without brackets, in lower case.
        """
        host = host.removesuffix(".")  # the same name (RFC 1034, 3.1)
        return self._allow.has(host, port) and not self._deny.has(host, port)

    @cached_property
    def _allow(self) -> _Places:
        return _Places(self.allow)

    @cached_property
    def _deny(self) -> _Places:
        return _Places(self.deny)


class _Places:
    """A list of destinations, made to be looked up."""

    def __init__(self, destinations: Iterable[Destination]) -> None:
        self._names: set[tuple[str, int | None]] = set()
        self._networks: list[Destination] = []
        for each in destinations:
            if each.network is None:
                self._names.add((each.host, each.port))
            else:
                self._networks.append(each)

    def has(self, host: str, port: int) -> bool:
        address = as_ip(host)
        if address is not None:
            return any(
                address in each.network
                for each in self._networks
                if each.network is not None and each.port in (None, port)
            )
        if not is_name(host) or len(host) > 253:  # no longer name can be looked up (RFC 1035, 3.1)
            return False
        return any(
            (name, number) in self._names for name in _patterns(host) for number in (port, None)
        )


def _patterns(name: str) -> Iterator[str]:
    """The entries that a name may be allowed by: itself, all below what it is in, all names.

    "*" is not meant for localhost and what is below: they lead to this machine (RFC 6761, 6.3).
    """
    yield name
    while "." in name:
        name = name.partition(".")[2]
        yield f"*.{name}"
    if name != "localhost":
        yield "*"
