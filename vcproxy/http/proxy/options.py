"""The options of an HTTP proxy: who is served by whom, how much is taken, and how long it waits.

Where a default has no reason of its own, it is the middle of what HAProxy, nginx, Traffic Server
and Envoy have.
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
from vcproxy.http.message import limits
from vcproxy.http.message.resource import as_ip
from vcproxy.http.proxy.access_list import AccessList, Destination, Network, within
from vcproxy.http.proxy.routing import EVERYTHING, Route, Routes, Token

BODY_GRACE_S = 10.0
"""How long a body may take however slow it comes: `body_rate` holds on average from then on."""


def _text(read: Callable[[str], object], example: str) -> Callable[[object], object]:
    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(f'must be text, as "{example}"')
        return read(value)

    return validate


Place = Annotated[
    Destination,
    PlainValidator(_text(Destination.parse, "www.example:443")),
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
class ForwardTargets(AccessList):
    """Whom clients may have themselves connected to. Nobody, unless it is allowed."""

    allow: tuple[Place, ...]
    """"HOST:PORT": a name, "*.NAME" for all names below it, "*" for all names but localhost, an
    IP address, or a network as 10.0.0.0/8; a port, or "*". Names are matched as they are given, not
    resolved, and no name allows an IP address."""

    deny: tuple[Place, ...] = ()
    """What of it is denied all the same, in the same form."""


@dataclass(frozen=True)
class HttpLimits(limits.MessageLimits):
    """How much a message may have. A request with more is answered by the status in brackets."""

    head: Annotated[Size, Field(ge=256)] = 32 << 10
    """All of a head (431): twice what most servers take, as cookies grow."""

    line: Annotated[Size, Field(ge=64)] = 8 << 10
    """The request line (414): what RFC 9112, 3, has everybody take."""

    field: Annotated[Size, Field(ge=64)] = 16 << 10
    """One field's line (431): a ticket of Kerberos in Negotiate needs 12 KiB and more."""

    fields: Annotated[int, Field(ge=1)] = 100
    """Fields in a head (431): a browser sends 20."""

    chunk_line: Annotated[Size, Field(ge=18)] = 256
    """The line with a chunk's size (400): extensions are not in use."""

    trailers: Size = 8 << 10
    """All fields behind a chunked body (400): a checksum or a signature, rarely more."""

    trailer_fields: Annotated[int, Field(ge=0)] = 32
    """Their number (400)."""

    body: Size = 0
    """A request's body (413). "0B": no limit, as it streams and is never held; a route may have
    another."""

    requests: Annotated[int, Field(ge=1)] = 1000
    """Requests on a connection of a client: then it is closed, so that load spreads anew."""


@dataclass(frozen=True)
class HttpTimeouts:
    """How long a request waits. "0s" waits for ever."""

    head: Duration = 10.0
    """For a head, from its first byte to its last, however steadily it trickles: honest ones come
    at once, even over a bad mobile link."""

    body: Duration = 30.0
    """For a client to send the next byte of a request's body: longer than a bad link stalls."""

    stalled: Duration = 300.0
    """For the next byte of any body to move, in either direction: the server sends nothing, or one
    side takes nothing. Event streams send something more often, if only a comment; Envoy's stream
    idle timeout is as long."""

    first_byte: Duration = 60.0
    """For a server to begin its answer once it has the request: slow reports take that long."""

    idle: Duration = 75.0
    """For the next request on a connection: who is slower can bear a new one. A proxy in front of
    this one must give up its idle connections first, or it sends a request on one that is just
    being closed; nginx keeps them for 60 seconds."""

    active: Duration = 0.0
    """For a whole request and its answer, however busy: none, as downloads, radio and event streams
    may last for hours; `stalled` ends what no longer moves. Not for tunnels."""


@dataclass(frozen=True)
class Options:
    """What of HTTP is served, for whom, and within which bounds.

    Without routes all requests for a server go to the listener's upstream.
    """

    routes: tuple[Route, ...] = ()
    """Which requests go where: the first that fits is taken. None fits: 404, or 421 where none is
    for that host."""

    forward: ForwardTargets | None = None
    """Whom requests with a whole URI (http://HOST/...) may be for, by a client that has set this as
    its proxy. Left out: such a request is routed as all others."""

    connect: ForwardTargets | None = None
    """Whom CONNECT may open a tunnel to. Left out: nobody."""

    filters: Filters = ()
    """Plugins that see, and may change, what passes: in this order on the way to a server, and the
    other way round on the way back. "path/file.py:Class" or "package.module:Class", or a table of
    that as `plugin` and its `options`."""

    limits: HttpLimits = HttpLimits()
    """How much a message may have."""

    timeouts: HttpTimeouts = HttpTimeouts()
    """How long a request waits."""

    abort_on_close: bool = False
    """Whether a client that ends its direction is gone: then its request is given up, its place in
    a queue and the server's connection are freed. By default such a client may be waiting for its
    answer, as `nc -N` and some old libraries do, and gets it; only a reset says that it is gone."""

    body_rate: Size = 100
    """Bytes in a second that the body of a request must bring on average, after 10 seconds: nobody
    who is there is slower. "0B": as slow as it likes."""

    forwarded: Literal["x-forwarded", "forwarded", "both", "off"] = "x-forwarded"
    """How a server is told of the client: X-Forwarded-For, -Proto and -Host, which all servers
    know, or Forwarded (RFC 7239)."""

    trusted: tuple[Addresses, ...] = ()
    """Networks of clients that are proxies themselves: what they say of theirs is believed and
    added to. What others say is replaced."""

    via: Token = "vcproxy"
    """The name that this proxy goes by in Via, with a mark behind it that no other has: a request
    that comes with it has come back, and is refused (502)."""

    retries: Annotated[int, Field(ge=0)] = 1
    """How often a request is sent anew: only if no byte of it has left, or if it is idempotent and
    its connection, which had been used before, died before any answer. One is enough to leave a
    stale connection behind, and no storm."""

    @cached_property
    def table(self) -> Routes:
        """The routes, made to be looked up."""
        return Routes(self.routes or (EVERYTHING,))

    @property
    def asks(self) -> bool:
        """Whether some request goes to a server."""
        routed = not self.routes or any(route.answer is None for route in self.routes)
        return routed or self.forward is not None or self.connect is not None

    @property
    def upstreams(self) -> dict[KeyPath, str | None]:
        """The upstreams that are named, by where; None: the listener's is meant."""
        return dict(self._upstreams())

    def _upstreams(self) -> Iterator[tuple[KeyPath, str | None]]:
        if not self.routes and self.forward is None and self.connect is None:
            yield ("routes",), None
        for index, route in enumerate(self.routes):
            if route.answer is None:
                yield ("routes", index, "upstream"), route.upstream

    def trusts(self, address: str) -> bool:
        """Whether what a client says of those before it is believed, by its IP address."""
        ip = as_ip(address) if self.trusted else None
        return ip is not None and within(ip, self.trusted)

    def max_body(self, route: Route) -> int:
        """The largest body that a request on a route may have, in bytes; 0: no limit."""
        return self.limits.body if route.max_body is None else route.max_body
