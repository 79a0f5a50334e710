"""The options of an HTTP proxy: routes, filters, limits and timeouts.

A default without a stated reason is in the middle of the defaults of HAProxy, nginx, Traffic Server
and Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from vcproxy.config.positions import KeyPath
from vcproxy.config.values import Duration, Filters, Size
from vcproxy.config.ways import Way, Ways
from vcproxy.http.duties.authentication import Authentication
from vcproxy.http.duties.declared import Duties, check_duties
from vcproxy.http.duties.duty import Duty
from vcproxy.http.duties.order import LATE, ORDER
from vcproxy.http.duties.rate import Rates
from vcproxy.http.duties.request_fields import RequestFieldEdits
from vcproxy.http.message import limits
from vcproxy.http.message.forwarded_client import IpAddress, Source
from vcproxy.http.message.resource import as_ip
from vcproxy.http.option_texts import Token
from vcproxy.http.proxy.access_list import AccessEntry, AccessList, Network, within
from vcproxy.http.proxy.routing import EVERYTHING, Route, Routes

BODY_GRACE_S = 10.0
"""Seconds after which the average rate of a request's body is compared with `body_rate`."""


def _text(read: Callable[[str], object], example: str) -> Callable[[object], object]:
    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(f'must be a text such as "{example}"')
        return read(value)

    return validate


Place = Annotated[
    AccessEntry,
    PlainValidator(_text(AccessEntry.parse, "www.example:443")),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string"}),
]

Addresses = Annotated[
    Network,
    PlainValidator(_text(ip_network, "10.0.0.0/8")),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string"}),
]


@dataclass(frozen=True)
class AllowedDestinations(AccessList):
    """The destinations that clients may be connected to: those that `allow` names, less `deny`."""

    allow: tuple[Place, ...]
    """"HOST:PORT". HOST is a name, "*.NAME" for all names below it, "*" for all names but
    localhost, an IP address, or a network as 10.0.0.0/8. PORT is a number, or "*" for all. Names
    are matched as the client sent them, before they are resolved; an entry with a name matches no
    IP address."""

    deny: tuple[Place, ...] = ()
    """Destinations that are denied although `allow` matches them, in the same form."""


@dataclass(frozen=True)
class HttpLimits(limits.MessageLimits):
    """The largest messages. A request that is larger is answered by the status in parentheses."""

    head: Annotated[Size, Field(ge=256)] = 32 << 10
    """A whole head (431): twice the limit of most servers, as cookies grow."""

    line: Annotated[Size, Field(ge=64)] = 8 << 10
    """The request line (414): RFC 9112, 3, recommends at least 8000 bytes."""

    field: Annotated[Size, Field(ge=64)] = 16 << 10
    """One field line (431): a Kerberos ticket in Authorization needs 12 KiB and more."""

    fields: Annotated[int, Field(ge=1)] = 100
    """Field lines of a head (431): a browser sends about 20."""

    chunk_line: Annotated[Size, Field(ge=18)] = 256
    """The line with the size of a chunk (400): extensions are hardly used."""

    trailers: Size = 8 << 10
    """All trailers of a chunked body (400): a checksum or a signature, rarely more."""

    trailer_fields: Annotated[int, Field(ge=0)] = 32
    """The number of trailers (400)."""

    body: Size = 0
    """A request's body (413). "0B": no limit, as bodies are streamed; a route may set another."""

    requests: Annotated[int, Field(ge=1)] = 1000
    """Requests on one connection of a client. Then it is closed, so that load balancers in front of
    this proxy can distribute clients again."""


@dataclass(frozen=True)
class HttpTimeouts:
    """How long a request waits. "0s": no timeout."""

    head: Duration = 10.0
    """For a whole head, from its first byte to its last: a normal client sends it at once, even
    over a bad mobile link."""

    body: Duration = 30.0
    """For the next byte of a request's body: longer than a bad link stalls."""

    stalled: Duration = 300.0
    """For the next byte of any body, in either direction: the sender sends nothing, or the receiver
    reads nothing. Event streams send at least a comment more often; Envoy's stream idle timeout is
    as long."""

    first_byte: Duration = 60.0
    """For the first byte of the response, after the request was sent: slow reports take as long."""

    idle: Duration = 75.0
    """For the next request on a connection. A proxy in front of this one should close its idle
    connections earlier, or it may send a request on one that is just being closed; nginx keeps
    them for 60 seconds."""

    active: Duration = 0.0
    """For a whole request and its response, even while data is transferred. None by default, as
    downloads, radio and event streams may last for hours; `stalled` ends transfers without
    progress. Not for tunnels."""


@dataclass(frozen=True)
class Options(Duties):
    """Routes, forward proxying, filters, limits and timeouts of an HTTP listener.

    Without routes, all requests in origin form go to the listener's upstream.
    """

    routes: tuple[Route, ...] = ()
    """Which requests go where: the first route that matches is taken. If none matches: 404; or 421
    if no route is for the request's host."""

    forward: AllowedDestinations | None = None
    """The destinations of requests with an absolute URI (http://HOST/...), as clients send them to
    their configured proxy. Left out: such a request is routed like all others."""

    connect: AllowedDestinations | None = None
    """The destinations to which CONNECT opens a tunnel. Left out: CONNECT is refused (403)."""

    filters: Filters = ()
    """Plugins that may change requests, in this order, and responses, in reverse order: each
    "path/file.py:Class" or "package.module:Class", or a table with that as `plugin` and its
    `options`."""

    limits: HttpLimits = HttpLimits()
    """The largest messages."""

    timeouts: HttpTimeouts = HttpTimeouts()
    """How long a request waits."""

    abort_on_close: bool = False
    """Whether to abort the request of a client that ends its sending direction, and to free its
    place in a queue and the server's connection. By default such a client may wait for its
    response, as `nc -N` and some old libraries do, and only a reset aborts the request."""

    body_rate: Size = 100
    """The slowest request body, in bytes per second, on average after the first 10 seconds. "0B":
    no limit."""

    forwarded: Literal["x-forwarded", "forwarded", "both", "off"] = "x-forwarded"
    """The fields with the client's address that are sent to servers: X-Forwarded-For, -Proto and
    -Host, which all servers support, or Forwarded (RFC 7239), or both. "off": the client's own
    fields are forwarded unchanged."""

    trusted: tuple[Addresses, ...] = ()
    """Networks of clients that are proxies themselves: their Forwarded and X-Forwarded-* fields are
    kept and extended. Those of other clients are replaced."""

    client_from: Source = "x-forwarded-for"
    """Where the address of a client comes from, if it is connected by a proxy of `trusted`: the
    last address in that proxy's X-Forwarded-For, or Forwarded, that is not in `trusted` itself.
    Access log, `balance`, `rate` and filters use it. Choose the field that these proxies set: the
    other one may have been sent by anybody. "connection": the address of the connection."""

    via: Token = "vcproxy"
    """The name of this proxy in Via. It is sent with a comment unique to this listener; a request
    that arrives with both is a loop and is refused (502)."""

    retries: Annotated[int, Field(ge=0)] = 1
    """How often a request is sent again on another connection: only if no byte of it was sent; or
    if its method is idempotent and a reused connection failed before any response. One is enough to
    replace a stale connection, and causes no retry storm."""

    def __post_init__(self) -> None:
        for route in self.routes or (EVERYTHING,):
            check_duties(self.duties_on(route), f"the route {route.label}")

    @cached_property
    def table(self) -> Routes:
        """The routes, prepared for lookup."""
        return Routes(self.routes or (EVERYTHING,))

    def duties_on(self, route: Route) -> dict[str, Duty]:
        """Return the duties that apply on a route, by their keys, in their order."""
        found = {key: duty for key, duty in self.declared.items() if key not in route.without}
        found |= route.declared
        return {key: found[key] for key in ORDER if key in found}

    @cached_property
    def late_duties(self) -> frozenset[str]:
        """The keys of the listener's duties that get a request when its route has been found:
        those of `order.LATE`, and those that some route replaces or is without, because whether
        such a duty applies is not known before."""
        keys = {key for route in self.routes for key in (*route.declared, *route.without)}
        return frozenset((keys | LATE).intersection(self.declared))

    def calls(self, route: Route) -> list[tuple[str, bool]]:
        """Return the keys of a route's duties in the order in which they get a request, and whether
        that is before the route is found."""
        found = self.duties_on(route)
        early = [key for key in found if key not in route.declared and key not in self.late_duties]
        return [(key, True) for key in early] + [(key, False) for key in found if key not in early]

    @cached_property
    def any_duties(self) -> bool:
        """Whether the listener or a route has duties."""
        return bool(self.declared) or any(route.declared for route in self.routes)

    @cached_property
    def user_fields(self) -> RequestFieldEdits | None:
        """Removes, on every route, the fields in which servers get the name of a user. Servers
        believe them, so those of clients are not for routes without a password either. None: no
        duty has such a field."""
        places: tuple[Duties, ...] = (self, *self.routes)
        duties = [duty for each in places for duty in each.declared.values()]
        names = {duty.user_field for duty in duties if isinstance(duty, Authentication)} - {None}
        return RequestFieldEdits(remove=tuple(sorted(filter(None, names)))) if names else None

    def warnings(self) -> Iterator[tuple[KeyPath, str]]:
        """Yield rates for users where no duty finds out who the user is: see `key_warnings`."""
        if self.filters:  # one of them may set tx.user
            return
        places: dict[KeyPath, list[bool]] = {}
        for index, route in enumerate(self.routes or (EVERYTHING,)):
            duties = self.duties_on(route)
            rate = duties.get("rate")
            if isinstance(rate, Rates) and any(each.for_each == "user" for each in rate.rules):
                path: KeyPath = ("routes", index, "rate") if route.rate else ("rate",)
                known = any(isinstance(each, Authentication) for each in duties.values())
                places.setdefault(path, []).append(known)
        for path, known_on in places.items():
            if not any(known_on):
                text = (
                    'for_each = "user" limits nothing: neither basic_auth nor bearer applies here'
                )
                yield path, text

    def needs_server(self, route: Route) -> bool:
        """Whether requests on a route may be sent to a server."""
        if route.answer is not None:
            return False
        return not any(duty.answers for duty in self.duties_on(route).values())

    @property
    def uses_servers(self) -> bool:
        """Whether any request may be sent to a server."""
        routed = any(map(self.needs_server, self.routes or (EVERYTHING,)))
        return routed or self.forward is not None or self.connect is not None

    @property
    def upstreams(self) -> dict[KeyPath, str | None]:
        """The names of upstreams, by the key that holds them; None: the listener's."""
        return dict(self._upstreams())

    def _upstreams(self) -> Iterator[tuple[KeyPath, str | None]]:
        tunnels = self.forward is not None or self.connect is not None
        if not self.routes and not tunnels and self.needs_server(EVERYTHING):
            yield ("routes",), None
        for index, route in enumerate(self.routes):
            if self.needs_server(route):
                yield ("routes", index, "upstream"), route.upstream

    @property
    def ways(self) -> Ways:
        """Where requests go, and which duties and filters they pass."""
        every = self.routes or (EVERYTHING,)
        early = [key for key in self.declared if key not in self.late_duties]
        named = [each.plugin.rpartition("/")[2] for each in self.filters]
        ways = [self._way(route) for route in every]
        direct = ("forward", self.forward), ("connect", self.connect)
        steps = tuple(key for key in self.declared if key in self.late_duties)
        ways += [Way(name, steps, own="named hosts") for name, allowed in direct if allowed]
        return Ways(tuple(ways), (*early, *(f"filter {name}" for name in named)))

    def _way(self, route: Route) -> Way:
        late = tuple(key for key, early in self.calls(route) if not early)
        match = route.described if self.routes else ""
        if route.answer is not None:
            return Way(match, late, own=f"answer {route.answer.status}")
        for key, duty in self.duties_on(route).items():
            if duty.answers:
                return Way(match, late, own=f"answered by {key}")
        return Way(match, late, route.upstream)

    def trusts(self, address: str) -> bool:
        """Whether a client with this IP address is in `trusted`."""
        ip = as_ip(address) if self.trusted else None
        return ip is not None and self.trusts_ip(ip)

    def trusts_ip(self, address: IpAddress) -> bool:
        """Whether this IP address is in `trusted`."""
        return within(address, self.trusted)

    def max_body(self, route: Route) -> int:
        """Return the largest request body on a route, in bytes; 0: no limit."""
        return self.limits.body if route.max_body is None else route.max_body
