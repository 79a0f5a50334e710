"""Routing: chooses the route of a request by its host, path, method and fields.

The first matching route in the file is used: there is no "best match". Hosts and paths are compared
in the canonical form of `vcproxy.http.message.resource`, which filters get too; the target is
forwarded unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from vcproxy.config.values import Size
from vcproxy.http.message.grammar import is_target, is_text, is_token
from vcproxy.http.message.resource import as_ip, canonical_host, canonical_path, under
from vcproxy.http.proxy.access_list import is_name

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields
    from vcproxy.http.message.messages import Request

BODILESS = (204, 205, 304)
"""Statuses whose responses have no body (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""


def _host(text: str) -> str:
    host = text.lower().removesuffix(".")
    if is_name(host.removeprefix("*.")):
        return host
    if address := as_ip(host):
        return str(address)
    raise ValueError(
        f'"{text}" is not a host: write a name, "*.NAME" or an IP address, without a port'
    )


def _prefix(text: str) -> str:
    if not text.startswith("/") or "?" in text or not is_target(_raw(text)):
        raise ValueError(
            f'"{text}" is not a path: it must be ASCII, begin with "/" and have no "?"'
        )
    if (plain := canonical_path(text)) != text:
        raise ValueError(
            f'"{text}" never matches, as paths are compared in canonical form: write "{plain}"'
        )
    return text


def _token(text: str) -> str:
    if not is_token(_raw(text)):
        raise ValueError(f'"{text}" is not a token: use letters, digits and marks such as "-"')
    return text


def _method(text: str) -> str:
    if (upper := _token(text).upper()) != text:
        raise ValueError(f'"{text}" is not in upper case, as methods are: write "{upper}"')
    return text


def _value(text: str) -> str:
    if not is_text(_raw(text)) or text != text.strip(" \t"):
        raise ValueError(
            f"{text!r} is not a field value: it has control characters or outer spaces"
        )
    return text


def _raw(text: str) -> bytes:
    """Encode a text. A character outside latin-1 becomes NUL, which never matches a request."""
    return re.sub("[^\0-\xff]", "\0", text).encode("latin-1")


Token = Annotated[str, AfterValidator(_token)]
Method = Annotated[str, AfterValidator(_method)]
Value = Annotated[str, AfterValidator(_value)]


@dataclass(frozen=True)
class Answer:
    """A response that the proxy itself sends."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    """The status code."""

    body: str = ""
    """The body."""

    content_type: Value = "text/plain; charset=utf-8"
    """The Content-Type of the body."""

    location: Value | None = None
    """The Location of a redirect: a URI."""

    def __post_init__(self) -> None:
        if self.status in BODILESS and self.body:
            raise ValueError(f"an answer with the status {self.status} has no body")
        if self.status in (301, 302, 303, 307, 308) and self.location is None:
            raise ValueError(f"an answer with the status {self.status} needs a location")


@dataclass(frozen=True)
class Route:
    """Which requests go where. A condition that is left out matches every request."""

    host: Annotated[str, AfterValidator(_host)] | None = None
    """The host of the request: a name, an IP address, or "*.NAME" for all names below it."""

    path: Annotated[str, AfterValidator(_prefix)] = "/"
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

    @cached_property
    def label(self) -> str:
        """Its host and path, as "shop.example/api"; "*": any host."""
        return f"{self.host or '*'}{self.path}"

    def __post_init__(self) -> None:
        if self.upstream is not None and self.answer is not None:
            raise ValueError("a route has an upstream or an answer, not both")


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
