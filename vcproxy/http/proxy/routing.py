"""Routing: which route a request takes, by its host, path, method and fields.

The first route of the file that fits is taken, so that the order says what is meant: no rule about
which of two fits better has to be known. Hosts and paths are compared in the one spelling that they
have in `vcproxy.http.message.resource`, which filters see too; the target is sent as it came.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
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
"""Answers that have no body (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""


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
        raise ValueError(f'"{text}" is not a path: it is ASCII, begins with "/" and has no "?"')
    if (plain := canonical_path(text)) != text:
        raise ValueError(f'"{text}" would never be met: write it as "{plain}"')
    return text


def _token(text: str) -> str:
    if not is_token(_raw(text)):
        raise ValueError(f'"{text}" is not a name in HTTP: letters, digits and a few marks as "-"')
    return text


def _method(text: str) -> str:
    if (upper := _token(text).upper()) != text:
        raise ValueError(f'"{text}" is not in upper case, as methods are: write it as "{upper}"')
    return text


def _value(text: str) -> str:
    if not is_text(_raw(text)) or text != text.strip(" \t"):
        raise ValueError(f"{text!r} is no field's value: it has control characters or outer spaces")
    return text


def _raw(text: str) -> bytes:
    """A text as it is sent, or with a NUL, which nothing may have, for what cannot be."""
    return re.sub("[^\0-\xff]", "\0", text).encode("latin-1")


Token = Annotated[str, AfterValidator(_token)]
Method = Annotated[str, AfterValidator(_method)]
Value = Annotated[str, AfterValidator(_value)]


@dataclass(frozen=True)
class Answer:
    """What the proxy answers by itself."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    """The status code."""

    body: str = ""
    """The text that is sent."""

    content_type: Value = "text/plain; charset=utf-8"
    """What the text is."""

    location: Value | None = None
    """Where a redirection leads."""

    def __post_init__(self) -> None:
        if self.status in BODILESS and self.body:
            raise ValueError(f"an answer with the status {self.status} has no body")
        if self.status in (301, 302, 303, 307, 308) and self.location is None:
            raise ValueError(f"an answer with the status {self.status} needs a location")


@dataclass(frozen=True)
class Route:
    """Which requests go where. What is left out fits every request."""

    host: Annotated[str, AfterValidator(_host)] | None = None
    """The host that is asked for: a name, an IP address, or "*.NAME" for all names below it."""

    path: Annotated[str, AfterValidator(_prefix)] = "/"
    """What the path begins with, by whole segments: "/api" fits /api and /api/x, not /apis."""

    methods: tuple[Method, ...] = ()
    """Methods, in upper case as they are sent. HEAD is not GET: it has to be named."""

    headers: dict[Token, Value] = field(default_factory=dict)
    """Fields that the request must have, and their values, exactly."""

    upstream: str | None = None
    """Where the request goes. Left out: to the listener's upstream."""

    answer: Answer | None = None
    """What the proxy answers by itself, in place of a server."""

    max_body: Size | None = None
    """The largest body that a request may have: as `limits.body`, if left out. "0B": no limit."""

    def __post_init__(self) -> None:
        if self.upstream is not None and self.answer is not None:
            raise ValueError("a route has an upstream or an answer, not both")


class NoRoute(IntEnum):
    """The status of the answer to a request that no route fits."""

    NOT_FOUND = 404
    """Some route is for its host."""
    MISDIRECTED = 421
    """None is: who sends it has the wrong proxy (RFC 9110, 15.5.20)."""


EVERYTHING = Route()
"""The route of a proxy that has none: all goes to the listener's upstream."""


class Routes:
    """Routes, made to be looked up: by the host in one step, then one by one."""

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
        """Return the first route that fits a request."""
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
            if route.headers and not has(request.fields, route):
                continue
            return route
        return NoRoute.NOT_FOUND

    def _for(self, host: str) -> tuple[Route, ...]:
        """The routes for a host, in the order of the file."""
        if not self._at and not self._below:
            return self._anywhere
        name = canonical_host(host)
        if (routes := self._at.get(name)) is not None:
            return routes
        if self._below and len(name) < 256:  # a name is not longer (RFC 1035, 2.3.4)
            dot = name.find(".", 1)
            while dot > 0:
                if (routes := self._below.get(name[dot:])) is not None:
                    return routes
                dot = name.find(".", dot + 1)
        return self._anywhere


def fits_host(route: Route, name: str) -> bool:
    """Whether a route is for a name; or for all of a pattern's names, if it is one."""
    host = route.host
    if host is None or host == name:
        return True
    return host.startswith("*.") and name.removeprefix("*").endswith(host[1:]) and name != host[2:]


def has(fields: Fields, route: Route) -> bool:
    """Whether a request has what a route asks for."""
    return all(fields.get(name) == value for name, value in route.headers.items())
