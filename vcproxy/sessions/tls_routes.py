"""TlsRoutes: chooses the upstream of a TLS client by the server name and the protocols in its
ClientHello.

The first matching route in the file is used: there is no "best match". Names are compared in lower
case and without a final dot.

Tested in tests/sessions/test_tls_routes.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from vcproxy.config.positions import KeyPath
from vcproxy.config.tables.tls import ProtocolName
from vcproxy.config.values import UpstreamName, listed
from vcproxy.config.ways import Way, Ways

_name = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_numeric = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")
"""Matches what is read as an IP address: clients send no name for these (RFC 6066, 3)."""


def canonical_name(name: str) -> str:
    """Return a server name in the form in which names are compared."""
    return name.lower().removesuffix(".")


def _pattern(text: str) -> str:
    if not text.isascii():
        raise ValueError(_not_ascii(text))
    pattern = canonical_name(text)
    name = pattern.removeprefix("*.")
    if len(name) > 253 or not _name.fullmatch(name):
        raise ValueError(
            f'"{text}" is not a server name: write a name, or "*.NAME" for all below it'
        )
    if _numeric.fullmatch(name):
        raise ValueError(
            f'"{text}" is an IP address, for which clients send no name: leave sni out, which is '
            "the default route"
        )
    return pattern


def _not_ascii(text: str) -> str:
    """Return what to write for an international name: clients send it in ASCII (RFC 5890, 2.3)."""
    try:
        encoded = text.lower().encode("idna").decode("ascii")
    except UnicodeError:
        encoded = ""
    # IDNA 2003, which Python has, and the one of 2008, which browsers have, differ in these.
    certain = encoded and not any(each in text for each in "ßẞς\u200c\u200d")
    hint = f'write "{encoded}"' if certain else "write it in ASCII, as xn--..."
    return f'"{text}" is not in ASCII, as clients send it: {hint}'


@dataclass(frozen=True)
class TlsRoute:
    """Which clients go where. A condition that is left out matches all TLS clients."""

    sni: Annotated[
        tuple[Annotated[str, AfterValidator(_pattern)], ...], BeforeValidator(listed)
    ] = ()
    """Server names (SNI): names, or "*.NAME" for all names below it, at any depth. One or a list.
    Left out: all, also none. That is the default route, if `alpn` is left out too."""

    alpn: Annotated[tuple[ProtocolName, ...], BeforeValidator(listed)] = ()
    """Application protocols, of which the client must offer one: as "h2" or "acme-tls/1"."""

    tls: bool = True
    """False: this is the route of clients that do not begin with TLS."""

    upstream: UpstreamName | None = None
    """The upstream. Left out: the listener's."""

    def __post_init__(self) -> None:
        if not self.tls and (self.sni or self.alpn):
            raise ValueError("sni and alpn are of TLS: remove them, or tls = false")

    @property
    def takes_all(self) -> bool:
        """Whether it takes all TLS clients."""
        return self.tls and not (self.sni or self.alpn)

    @property
    def described(self) -> str:
        """All its conditions, for people."""
        if not self.tls:
            return "no TLS"
        alpn = f"alpn {' '.join(self.alpn)}" if self.alpn else ""
        sni = f"sni {' '.join(self.sni)}" if self.sni else ""
        return f"{sni} {alpn}".strip() or "any client with TLS"

    def label(self, server_name: str | None, alpn: Sequence[str]) -> str:
        """Return what has matched, as "*.b.example h2"; "*": any name, or none."""
        if not self.tls:
            return "no TLS"
        name = canonical_name(server_name or "")
        pattern = next((each for each in self.sni if within(name, each)), "*")
        protocol = next((each for each in self.alpn if each in alpn), "")
        return f"{pattern} {protocol}".rstrip()


def within(name: str, pattern: str) -> bool:
    """Whether a canonical name, or all names of a pattern, match a pattern."""
    return name == pattern or (pattern[:2] == "*." and name.removeprefix("*").endswith(pattern[1:]))


class TlsRoutes:
    """Routes, prepared for lookup: by name in one step, then one by one."""

    __slots__ = ("_anywhere", "_at", "_below", "plain")

    def __init__(self, routes: Sequence[TlsRoute]) -> None:
        self.plain = next((each for each in routes if not each.tls), None)
        """The route of clients without TLS."""
        secure = [each for each in routes if each.tls]
        patterns = {pattern for each in secure for pattern in each.sni}

        def of(pattern: str) -> tuple[TlsRoute, ...]:
            return tuple(
                each
                for each in secure
                if not each.sni or any(within(pattern, other) for other in each.sni)
            )

        self._anywhere = tuple(each for each in secure if not each.sni)
        self._at = {each: of(each) for each in patterns if each[:2] != "*."}
        self._below = {each[1:]: of(each) for each in patterns if each[:2] == "*."}

    def find(self, server_name: str | None, alpn: Sequence[str]) -> TlsRoute | None:
        """Return the first route that matches the name that a client has sent, or None, and the
        protocols that it offers; None: no route does."""
        name = "" if server_name is None else server_name.lower().removesuffix(".")
        routes = self._at.get(name)
        if routes is None:
            routes = self._with_pattern(name) if self._below else self._anywhere
        for route in routes:
            if not route.alpn or any(each in alpn for each in route.alpn):
                return route
        return None

    def _with_pattern(self, name: str) -> tuple[TlsRoute, ...]:
        """Return the routes of the longest pattern that matches, in the order of the file."""
        dot = name.find(".", 1)
        while dot > 0:
            if (routes := self._below.get(name[dot:])) is not None:
                return routes
            dot = name.find(".", dot + 1)
        return self._anywhere


@dataclass(frozen=True)
class TlsRoutingOptions:
    """Routes by what a client's ClientHello says, without decrypting anything."""

    routes: tuple[TlsRoute, ...]
    """Which clients go where: the first route that matches is taken. If none does, the client gets
    the alert unrecognized_name."""

    def __post_init__(self) -> None:
        if not self.routes:
            raise ValueError("routes is empty: write a route, or leave out the options")
        for index, route in enumerate(self.routes):
            for earlier, before in enumerate(self.routes[:index]):
                if why := _hidden(route, before):
                    raise ValueError(
                        f"routes[{index}]: {why} routes[{earlier}], which stands before it: change "
                        "their order, or remove one"
                    )

    @cached_property
    def table(self) -> TlsRoutes:
        """The routes, prepared for lookup."""
        return TlsRoutes(self.routes)

    @property
    def notes(self) -> dict[str, str]:
        """The remarks for `vcproxy -t`, by the option."""
        if any(route.takes_all for route in self.routes):
            return {}
        why = (
            "clients without a server name are refused, and some send none: Java and openssl "
            "s_client for a name without a dot, all for an IP address. To serve them, add a route "
            "without sni, the default"
        )
        return {"routes": why}

    @property
    def ways(self) -> Ways:
        """Where clients go."""
        return Ways(tuple(Way(route.described, upstream=route.upstream) for route in self.routes))

    @property
    def upstreams(self) -> dict[KeyPath, str | None]:
        """The names of upstreams, by the key that holds them; None: the listener's."""
        return dict(self._upstreams())

    def _upstreams(self) -> Iterator[tuple[KeyPath, str | None]]:
        for index, route in enumerate(self.routes):
            yield ("routes", index, "upstream"), route.upstream


def _hidden(route: TlsRoute, before: TlsRoute) -> str:
    """Return how an earlier route takes all clients, or all of a name, before a route; "": not."""
    if not route.tls or not before.tls:
        return "no client gets here past" if route.tls == before.tls else ""
    if before.alpn and not (route.alpn and set(route.alpn) <= set(before.alpn)):
        return ""
    if not before.sni:
        return "no client gets here past"
    for name in route.sni:
        for other in before.sni:
            if within(name, other):
                return f'no client for "{name}" gets here past "{other}" of'
    return ""
