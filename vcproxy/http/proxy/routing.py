"""Routing: chooses the route of a request by its host, path, method and fields.

The first matching route in the file is used: there is no "best match". Hosts and paths are compared
in the canonical form of `vcproxy.http.message.resource`, which filters get too; the target is
forwarded unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from vcproxy.config.values import Size
from vcproxy.http.duties.answer import Answer
from vcproxy.http.duties.declared import Duties
from vcproxy.http.duties.order import ORDER
from vcproxy.http.message.resource import as_ip, canonical_host, under
from vcproxy.http.option_texts import Method, PathPrefix, Token, Value
from vcproxy.http.proxy.access_list import is_name

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields
    from vcproxy.http.message.messages import Request


def _host(text: str) -> str:
    host = text.lower().removesuffix(".")
    if is_name(host.removeprefix("*.")):
        return host
    if address := as_ip(host):
        return str(address)
    raise ValueError(
        f'"{text}" is not a host: write a name, "*.NAME" or an IP address, without a port'
    )


def _duty(name: str) -> str:
    if name not in ORDER:
        raise ValueError(f'"{name}" is not a duty: it may be {", ".join(sorted(ORDER))}')
    return name


@dataclass(frozen=True)
class Route(Duties):
    """Which requests go where. A condition that is left out matches every request."""

    host: Annotated[str, AfterValidator(_host)] | None = None
    """The host of the request: a name, an IP address, or "*.NAME" for all names below it."""

    path: PathPrefix = "/"
    """The first segments of the path: "/api" matches /api and /api/x, not /apis."""

    methods: tuple[Method, ...] = ()
    """Methods, in upper case. HEAD must be listed in addition to GET."""

    headers: dict[Token, Value] = field(default_factory=dict)
    """Fields that the request must have, with exactly these values."""

    upstream: str | None = None
    """The upstream that gets the request. Left out: the listener's."""

    answer: Answer | None = None
    """The response that the proxy sends, in place of a server."""

    max_body: Size | None = None
    """The largest request body. Left out: `limits.body`. "0B": no limit."""

    without: tuple[Annotated[str, AfterValidator(_duty)], ...] = ()
    """Duties of the listener that do not apply on this route, by their keys."""

    @cached_property
    def label(self) -> str:
        """Its host and path, as "shop.example/api"; "*": any host."""
        return f"{self.host or '*'}{self.path}"

    @property
    def described(self) -> str:
        """All its conditions, for people. The values of fields may be secret."""
        methods = f"{'|'.join(self.methods)} " if self.methods else ""
        headers = f" with {', '.join(self.headers)}" if self.headers else ""
        return f"{methods}{self.label}{headers}"

    def __post_init__(self) -> None:
        if self.upstream is not None and self.answer is not None:
            raise ValueError("a route has an upstream or an answer, not both")
        if self.folder is not None and (self.upstream is not None or self.answer is not None):
            raise ValueError("a route has a folder, an upstream or an answer, one of them")
        for name in self.without:
            if getattr(self, name) is not None:
                raise ValueError(f"a route that sets {name} cannot be without it")


class NoRoute(IntEnum):
    """The status of the response to a request that no route matches."""

    NOT_FOUND = 404
    """Some route is for its host."""
    MISDIRECTED = 421
    """No route is for its host: the request was sent to the wrong proxy (RFC 9110, 15.5.20)."""


EVERYTHING = Route()
"""The route of a proxy without routes: all requests go to the listener's upstream."""


class Routes:
    """Routes, prepared for lookup: by host in one step, then one by one."""

    __slots__ = ("_anywhere", "_at", "_below")

    def __init__(self, routes: Sequence[Route]) -> None:
        self._anywhere = tuple(route for route in routes if route.host is None)
        named = {route.host for route in routes if route.host is not None}
        self._at = {
            host: tuple(route for route in routes if fits_host(route, host))
            for host in named
            if not host.startswith("*.")
        }
        self._below = {
            host[1:]: tuple(route for route in routes if fits_host(route, host))
            for host in named
            if host.startswith("*.")
        }

    def find(self, request: Request) -> Route | NoRoute:
        """Return the first route that matches a request."""
        routes = self._for(request.host)
        if not routes:
            return NoRoute.MISDIRECTED
        path = ""
        for route in routes:
            prefix = route.path
            if prefix != "/":
                path = path or request.path
                if not under(path, prefix):
                    continue
            if route.methods and request.method not in route.methods:
                continue
            if route.headers and not has_headers(request.fields, route):
                continue
            return route
        return NoRoute.NOT_FOUND

    def only(self, host: str) -> Route | None:
        """Return the route of all requests for a host; None: the route depends on more than the
        host."""
        routes = self._for(host)
        first = routes[0] if routes else None
        if first is None or first.path != "/" or first.methods or first.headers:
            return None
        return first

    def _for(self, host: str) -> tuple[Route, ...]:
        """Return the routes for a host, in the order of the file."""
        if not self._at and not self._below:
            return self._anywhere
        name = canonical_host(host)
        if (routes := self._at.get(name)) is not None:
            return routes
        if self._below and len(name) < 256:  # no name is longer (RFC 1035, 2.3.4)
            dot = name.find(".", 1)
            while dot > 0:
                if (routes := self._below.get(name[dot:])) is not None:
                    return routes
                dot = name.find(".", dot + 1)
        return self._anywhere


def fits_host(route: Route, name: str) -> bool:
    """Whether a route matches a name, or all names that match `name` if that is a pattern."""
    host = route.host
    if host is None or host == name:
        return True
    return host.startswith("*.") and name.removeprefix("*").endswith(host[1:]) and name != host[2:]


def has_headers(fields: Fields, route: Route) -> bool:
    """Whether a request has the fields that a route requires."""
    return all(fields.get(name) == value for name, value in route.headers.items())
