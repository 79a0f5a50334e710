"""The tables of upstreams: [upstream.NAME] and those in it.

Tested in tests/config/test_problems.py and test_loader.py.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo

from vcproxy.config.tables.proxy_protocol import UpstreamAnnouncement
from vcproxy.config.tables.tcp import TcpTable
from vcproxy.config.tables.tls import UpstreamTls
from vcproxy.config.values import Duration, Table, Target, positive, server_address
from vcproxy.engine.address import Address


def _not_empty(servers: tuple["UpstreamServer", ...]) -> tuple["UpstreamServer", ...]:
    if not servers:
        raise ValueError('needs at least one server, as servers = ["tcp://127.0.0.1:8080"]')
    return servers


def _as_table(value: object, info: ValidationInfo) -> object:
    if isinstance(value, dict):
        return value
    return UpstreamServer.model_construct(address=server_address(value, info))


def _as_written(server: "UpstreamServer") -> object:
    address = str(server.address)
    keys = {"weight": server.weight, "backup": server.backup, "state": server.state}
    changed = {
        key: value
        for key, value in keys.items()
        if value != UpstreamServer.model_fields[key].default
    }
    return {"address": address, **changed} if changed else address


def _request_target(path: str) -> str:
    if not re.fullmatch(r"/[!-~]*", path):
        raise ValueError(f'"{path}" is not a path: it must begin with a slash, as "/health"')
    return path


def _host_field(host: str) -> str:
    if not re.fullmatch(r"[!-~]*", host):
        raise ValueError(f'"{host}" is not a host name: write one as "app.example"')
    return host


def _hash_by(text: str) -> str:
    if not re.fullmatch(r"client|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
        raise ValueError(f'must be "client", "header:NAME" or "cookie:NAME", not "{text}"')
    return text


class UpstreamServer(Table):
    """A server with more than an address: { address = "tcp://10.0.0.7:80", weight = 2 }."""

    address: Target
    """Its address."""

    weight: Annotated[int, Field(ge=0, le=256)] = 1
    """Its share of the connections relative to the others, as in HAProxy; for "weighted",
    "least_connections", "random_of_two" and "hash". 0, with any policy: no new connections."""

    backup: bool = False
    """Whether it is used only while no other server is up, and for a connection that every other
    one has failed."""

    state: Literal["ready", "drain", "maint"] = "ready"
    """"drain": it gets no new connections; open ones continue, and it is checked still; "maint": it
    is not checked either. Both end with "ready", in the file or in the running proxy."""


ServerEntry = Annotated[
    UpstreamServer,
    BeforeValidator(_as_table),
    PlainSerializer(_as_written, when_used="json"),
]


class UpstreamQueue(Table):
    """The queue of connections that wait while every server is at its limit."""

    size: Annotated[int, Field(ge=0)] = 1024
    """How many connections may wait, for each net thread. A further one fails at once."""

    timeout: Duration = 5.0
    """How long a connection may wait: by default as long as connecting to a server may take."""


class UpstreamPool(Table):
    """Idle connections that are kept for the next request, for plugins that reuse connections."""

    idle: Annotated[int, Field(ge=0)] = 64
    """The maximum number of idle connections for each server and net thread; 0: none. Each uses a
    descriptor of the server."""

    idle_time: Annotated[Duration, AfterValidator(positive)] = 4.0
    """How long an idle connection is kept if the server's own limit is unknown. uvicorn, Apache
    httpd and Node.js close it after 5 seconds; the default is less, because a request fails if it
    is sent while the server closes the connection. After `Keep-Alive: timeout=60` from the server,
    a connection is kept for 59 seconds (10 minutes at most). If the server closes an idle
    connection earlier than that, later ones are kept for a shorter time."""

    age: Duration = 3600.0
    """The maximum age: an older connection is replaced, and the new one may go to a server that was
    added since. "0s": no limit."""


class UpstreamCheck(Table):
    """Health checks of the servers, by each net thread."""

    kind: Literal["tcp", "tls", "http"] = "tcp"
    """What makes a server healthy: "tcp": it accepts a connection; "tls": the TLS handshake
    succeeds; "http": it replies to a GET, over TLS if its address is tls://."""

    path: Annotated[str, AfterValidator(_request_target)] = "/"
    """The path requested by "http"."""

    host: Annotated[str, AfterValidator(_host_field)] = ""
    """The Host sent by "http". Absent: the server's own name."""

    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    """The status codes of a healthy server. Absent: 200 to 399."""

    interval: Annotated[Duration, AfterValidator(positive)] = 5.0
    """The time from the end of one check to the next: with the default `fall`, an outage is
    detected within 15 seconds, and the checks cause little load."""

    timeout: Annotated[Duration, AfterValidator(positive)] = 2.0
    """The limit for one check: a slower server counts as unhealthy."""

    rise: Annotated[int, Field(ge=1)] = 2
    """How many passed checks in a row make an unhealthy server healthy, as in HAProxy."""

    fall: Annotated[int, Field(ge=1)] = 3
    """How many failed checks in a row make a healthy server unhealthy, as in HAProxy."""


class UpstreamEject(Table):
    """When to eject a server for a time because connections or requests to it failed. The last
    server that is up is never ejected."""

    failures: Annotated[int, Field(ge=0)] = 5
    """How many failed connections, or failed requests, in a row eject a server, as in Envoy. 0:
    servers are never ejected."""

    time: Annotated[Duration, AfterValidator(positive)] = 10.0
    """How long a server is ejected, as in nginx. After that, one connection tries the server. Each
    time it fails, the time doubles, up to 5 minutes."""


class UpstreamTable(Table):
    """Servers that do the same work. Each net thread balances, counts and pools its own connections
    to them. So limits are per net thread, too."""

    servers: Annotated[tuple[ServerEntry, ...], AfterValidator(_not_empty)]
    """The servers, at least one: addresses, or tables as below."""

    balance: Literal["round_robin", "weighted", "least_connections", "random_of_two", "hash"] = (
        "round_robin"
    )
    """Which server gets the next connection or request. "round_robin": each in turn; "weighted": in
    turn, in proportion to the weights; "least_connections": the one with the fewest connections
    relative to its weight; "random_of_two": two are chosen at random, and the one with fewer
    connections relative to its weight is used: for servers shared by many proxies; "hash": the same
    server for the same key."""

    all_backups: bool = False
    """Whether all backup servers are used when no other server is up. False: the first one that is
    up, as in HAProxy."""

    hash_by: Annotated[str, AfterValidator(_hash_by)] = "client"
    """The key for "hash": "client", the client's address; "header:NAME" or "cookie:NAME", of a
    request, or the client's address if the request has none."""

    max_connections: Annotated[int, Field(ge=0)] = 0
    """The maximum number of connections to each server, idle ones included; 0: no limit."""

    queue: UpstreamQueue = UpstreamQueue()
    """How connections wait while every server has `max_connections`."""

    retries: Annotated[int, Field(ge=0)] = 3
    """How many other servers are tried if a connection cannot be made, as in HAProxy."""

    pool: UpstreamPool = UpstreamPool()
    """Which idle connections are kept."""

    check: UpstreamCheck | None = None
    """Health checks. Absent: none."""

    eject: UpstreamEject = UpstreamEject()
    """When a failing server is ejected."""

    slow_start: Duration = 0.0
    """How long a server takes to reach its full share of connections after it comes up: from 1 %
    the share grows linearly. "0s": the full share at once."""

    resolve: Duration = 0.0
    """How often the names of servers are resolved; each address of a name is then a server. "0s":
    names are resolved for each connection, and their addresses are raced (Happy Eyeballs,
    RFC 8305)."""

    proxy_protocol: UpstreamAnnouncement | None = None
    """The header that announces the client to the servers: "v1", "v2" or a table. A connection
    with one belongs to its client: it is reused for no other. Absent: none is sent."""

    tls: UpstreamTls = UpstreamTls()
    """How servers on tls:// are verified, and what they are sent."""

    tcp: TcpTable = TcpTable()
    """How disappeared servers are detected."""

    @property
    def addresses(self) -> list[Address]:
        """The addresses of the servers."""
        return [server.address for server in self.servers]
