"""The tables of a configuration file: every key with its type, its default and the reason for it.

The file is over 400 lines long because it is one list: one class is one table, and one attribute is
one key. The text under an attribute is its entry in the generated reference (see `reference`). The
types of values are in `values`. Nothing here reads files or loads plugins. Checks that involve more
than one key are in `checks`.
Tested in tests/config/test_problems.py and test_loader.py.
"""

import json
import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from vcproxy.config.values import (
    Duration,
    Endpoint,
    FilePath,
    PluginName,
    Size,
    Table,
    Target,
    listed,
    no_subject,
    positive,
    server_address,
)
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
    return address if server.weight == 1 else {"address": address, "weight": server.weight}


def _whole_seconds(seconds: float) -> float:
    if seconds and not 1 <= seconds <= 32767:  # maximum of TCP_KEEPIDLE, see tcp(7)
        raise ValueError('must be "0s", or between 1s and 32767s')
    return seconds


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


def _worker_count(value: object) -> object:
    if value == "auto" or (type(value) is int and value > 0):
        return value
    raise ValueError('must be a whole number above 0, or "auto"')


def _pattern(text: str) -> str:
    try:
        re.compile(text.encode())
    except re.error as error:
        raise ValueError(f'"{text}" is not a regular expression: {error}') from None
    return text


def _protocol_name(name: str) -> str:
    if not name.isascii() or not 0 < len(name) < 256:  # the length is one byte (RFC 7301, 3.1)
        raise ValueError(f'"{name}" is not a protocol name: write 1 to 255 ASCII characters')
    return name


class ProxyTable(Table):
    """The process as a whole."""

    net_threads: Annotated[int, Field(ge=1)] = 1
    """Threads that move traffic. More of them isolate listeners from each other; they add speed
    only on a Python without the global lock."""

    workers: Annotated[
        int | Literal["auto"], PlainValidator(_worker_count), WithJsonSchema({"type": "integer"})
    ] = 1
    """Processes that serve clients, so that as many processors are used. "auto": as many as there
    are processors that this process may use. With more than 1, a master process starts and replaces
    them, and `memory` and all limits are divided among them: see the page on several cores."""

    worker_timeout: Duration = 30.0
    """With more than one worker: a worker in which a net thread does not turn for so long is
    killed, after the stacks of its threads were logged, and replaced. A slow client or server has
    no effect. It is longer than a start or a machine that swaps takes. "0s": no limit."""

    memory: Size = 256 << 20
    """The budget for all data and connections that are held for clients and servers: 2000 slow
    readers with 128 KiB each, or 3,840 idle connections with TLS, 64 KiB each. When it is used
    up, reading pauses, except for small requests. Then connections whose peer does not read are
    closed, the largest first; then idle ones with TLS, the longest idle first."""

    drain_timeout: Duration = 10.0
    """How long a stopping proxy waits for its connections to end: less than the 30 seconds that
    most service managers allow."""

    splice: bool = True
    """Whether bulk traffic between plain sockets may be moved by the kernel, without a copy."""

    slow_callback: Duration = 0.25
    """A plugin's callback that takes longer than this is logged with its stack, and its connection
    is closed, because all other connections of the thread were delayed. "0s": no limit."""

    user: Annotated[str, Field(min_length=1)] | None = None
    """The user as whom the proxy runs once its addresses are bound: a name or a number. Each worker
    changes to it; the master stays root, so that it can bind the addresses of a reload. The user
    needs access to certificates and keys for a reload, and to the folder of the log for SIGUSR1.
    Absent: the user who starts the proxy. Only root can change its user."""

    log: FilePath | None = None
    """The file for the log; it is reopened on SIGUSR1. Absent: standard error. Lines that a slow or
    broken target does not accept are dropped and counted; traffic never waits for the log."""


def _list_address(address: Address) -> Address:
    loopback = address.numeric and (address.host.startswith("127.") or address.host == "::1")
    if address.scheme != "udp" or not loopback:
        raise ValueError(
            f"{address}: the list is given to all who ask: write udp://127.0.0.1:42000, or another "
            "port of a loopback address"
        )
    return address


class SuperviseTable(Table):
    """How often the master process of several workers starts them again, and where it lists
    them."""

    intensity: Annotated[int, Field(ge=0)] = 5
    """How many restarts of workers within `period` are allowed, of all workers together. One more
    ends the proxy with status 3: starting them again does not help. 0: the first end of a worker
    ends the proxy. (Erlang/OTP's word.)"""

    period: Annotated[Duration, AfterValidator(positive)] = 10.0
    """The period of `intensity`. A worker that ends at its start, again and again, makes five
    restarts in about 3 seconds: the first is immediate, the others wait longer each time."""

    bind: Annotated[Endpoint, AfterValidator(_list_address)] | None = None
    """Where `vcproxy machine list` finds the processes of this proxy: udp://127.0.0.1:42000 is the
    address that it asks by default. Absent: nowhere. Only `list` is answered there."""


class HttpTable(Table):
    """HTTP as a whole, for all listeners."""

    direct: bool = True
    """Whether requests that need no decision are passed on directly: a GET for which a server's
    connection is idle, while no filter, recording or trace needs it. Such a request takes about
    0.6 of the CPU time; what is sent, logged and counted is the same."""


class KeyPair(Table):
    """A certificate and its private key, both PEM."""

    certificate: FilePath
    """The certificate, followed by the chain that leads to its root."""

    key: FilePath
    """The private key, not encrypted: the proxy cannot ask for a passphrase."""


class ListenerTls(KeyPair):
    """The certificate of a listener on tls://, and the certificates required from clients."""

    client_ca: FilePath | None = None
    """Authorities, PEM: a client must present a certificate signed by one of them. Absent: clients
    need no certificate."""

    alpn: tuple[Annotated[str, AfterValidator(_protocol_name)], ...] = ()
    """Application protocols offered, the preferred one first."""

    names: dict[str, KeyPair] = {}
    """Other certificates, by the server name that the client sends (SNI)."""


class LimitsTable(Table):
    """How many connections a listener accepts."""

    max_connections: Annotated[int, Field(ge=1)] | None = None
    """The maximum number of simultaneous client connections; at udp://, of client addresses.
    Absent: as many as the limit of descriptors allows, with one server connection for each client;
    this number is logged at the start. A higher value has no further effect."""

    max_per_client: Annotated[int, Field(ge=0)] = 0
    """The maximum number of simultaneous connections from one IP address. Further ones are refused,
    with TLS before the handshake. 0: no limit, because many clients may share one address."""


class TimeoutsTable(Table):
    """How long a listener waits. "0s": no limit."""

    handshake: Duration = 10.0
    """The limit for a client's TLS handshake: enough for a few round trips over a bad mobile
    link."""

    connect: Duration = 5.0
    """The limit for connecting to a server: TCP retries two lost SYNs within 3 seconds."""

    inactivity: Duration = 300.0
    """The limit without data in either direction: longer than the usual keep-alive intervals. A
    datagram session ends only by this timeout."""

    active: Duration = 0.0
    """The limit for a whole connection, even a busy one: none, as tunnels may last for days."""


class TcpTable(Table):
    """How to detect a peer that has disappeared without closing, after a power or network failure.
    For TCP and TLS."""

    keepalive: Annotated[Duration, AfterValidator(_whole_seconds)] = 60.0
    """After this time without data the kernel probes the peer. If there is no reply within the same
    time again, the connection fails. "0s": no probes."""

    user_timeout: Duration = 0.0
    """How long sent data may remain unacknowledged (TCP_USER_TIMEOUT). "0s": the system's default,
    about 15 minutes. It also closes connections to a live peer that reads nothing for this time:
    choose more than the longest pause of a reader."""


class ListenerTable(Table):
    """Addresses that accept clients, and the plugin that serves them."""

    name: Annotated[str, Field(min_length=1)]
    """The name of the listener in logs and metrics; unique."""

    bind: Annotated[
        tuple[Annotated[Endpoint, AfterValidator(no_subject)], ...], BeforeValidator(listed)
    ] = ()
    """The addresses to listen on: one or a list. Leave it out if the plugin accepts no clients."""

    plugin: PluginName
    """The plugin that serves clients: a bundled name, "package.module:Class" or
    "path/file.py:Class". The class may be left out if the module defines only one plugin."""

    upstream: str | None = None
    """The name of the [upstream.NAME] that the plugin connects to."""

    options: dict[str, object] = {}
    """The plugin's own options."""

    tls: ListenerTls | None = None
    """Required for tls:// addresses, and only for those."""

    limits: LimitsTable = LimitsTable()
    """How many connections this listener accepts."""

    timeouts: TimeoutsTable = TimeoutsTable()
    """How long this listener waits."""

    tcp: TcpTable = TcpTable()
    """How disappeared clients are detected."""

    half_close: bool = True
    """Whether one direction may end while the other continues. False: the first end closes both."""


class UpstreamTls(Table):
    """How servers on tls:// are verified."""

    verify: bool = True
    """Whether servers need a valid certificate for their name. False: any server is accepted."""

    ca: FilePath | None = None
    """Trusted authorities, PEM. Absent: those of the system."""


class UpstreamServer(Table):
    """A server with a weight: { address = "tcp://10.0.0.7:80", weight = 2 }."""

    address: Target
    """Its address."""

    weight: Annotated[int, Field(ge=1, le=256)] = 1
    """Its share of the connections relative to the others, as in HAProxy; for "weighted",
    "least_connections", "random_of_two" and "hash"."""


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

    tls: UpstreamTls = UpstreamTls()
    """How servers on tls:// are verified."""

    tcp: TcpTable = TcpTable()
    """How disappeared servers are detected."""

    @property
    def addresses(self) -> list[Address]:
        """The addresses of the servers."""
        return [server.address for server in self.servers]


class RecordTable(Table):
    """The recording of a run, for `vcproxy replay`."""

    file: FilePath
    """The log. It contains the data of clients and servers: only its owner may read it."""

    max_size: Size = 1 << 30
    """The maximum size: beyond it the run continues without being recorded. "0B": no limit."""

    redact: tuple[Annotated[str, AfterValidator(_pattern)], ...] = ()
    """Regular expressions: each match in a piece of received data is recorded as the same number of
    x. A redacted log can be read; its replay may diverge. A match split over two pieces is found
    only by `vcproxy log redact`, afterwards."""

    outputs: Literal["digest", "full"] = "digest"
    """How data sent by the proxy is recorded: as a digest, for comparison, or in full."""

    compress: bool = False
    """Whether to compress the log: text shrinks by half or more, at the cost of some CPU time."""


class Settings(Table):
    """A whole configuration file."""

    proxy: ProxyTable = ProxyTable()
    """The process as a whole."""

    supervise: SuperviseTable = SuperviseTable()
    """How several workers are supervised."""

    http: HttpTable = HttpTable()
    """HTTP as a whole."""

    record: RecordTable | None = None
    """Recording. Absent: none, unless the command line asks for it."""

    listener: tuple[ListenerTable, ...] = ()
    """The listeners, one [[listener]] for each."""

    upstream: dict[str, UpstreamTable] = {}
    """The upstreams, by the name that listeners use."""


def as_json(tree: object) -> str:
    """Return a tree as JSON, for validation in pydantic's strict mode.

    Strict mode accepts a list as a tuple, or a text as a path, only if the input is JSON.
    """
    return json.dumps(tree, default=str)
