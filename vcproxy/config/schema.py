"""What a configuration file may say: every table, key, type and default, with the reason for each.

One class is one table and one attribute is one key; the text under an attribute is its entry in
the reference. Nothing here looks at the world: files, plugins and names that refer to each other
are checked in `check`.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from vcproxy.engine.address import Address
from vcproxy.engine.units import duration, show_duration, show_size, size

T = TypeVar("T")


def _from_text(read: Callable[[str], T], noun: str, example: str) -> Callable[[object], T]:
    def validate(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError(f'must be {noun} in quotes, as "{example}"')
        return read(value)

    return validate


def _beside_the_file(text: str, info: ValidationInfo) -> Path:
    directory: Path = (info.context or {}).get("directory", Path())
    return directory / text


def _file(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError('must be the path of a file in quotes, as "conf/file.pem"')
    return _beside_the_file(value, info)


def _endpoint(value: object, info: ValidationInfo) -> Address:
    address = _from_text(Address.parse, "an address", "tcp://127.0.0.1:8080")(value)
    if address.scheme != "unix":
        return address
    return Address.parse(f"unix:{_beside_the_file(address.path, info)}")


def _server(address: Address) -> Address:
    if address.scheme == "stdio":
        raise ValueError("stdio: is where a client comes from: no server can be reached there")
    if address.scheme in ("tcp", "tls", "udp") and not address.port:
        raise ValueError(f'"{address}": a server needs a port above 0')
    return _no_subject(address)


def _no_subject(address: Address) -> Address:
    if address.scheme == "nats":
        raise ValueError(f'"{address}": only the source and the targets of a relay may be nats://')
    return address


def _not_empty(servers: tuple["UpstreamServer", ...]) -> tuple["UpstreamServer", ...]:
    if not servers:
        raise ValueError("needs at least one server")
    return servers


def _as_table(value: object, info: ValidationInfo) -> object:
    if isinstance(value, dict):
        return value
    return UpstreamServer.model_construct(address=_server(_endpoint(value, info)))


def _as_written(server: "UpstreamServer") -> object:
    address = str(server.address)
    return address if server.weight == 1 else {"address": address, "weight": server.weight}


def _positive(seconds: float) -> float:
    if not seconds:
        raise ValueError("must be longer than 0s")
    return seconds


def _whole_seconds(seconds: float) -> float:
    if seconds and not 1 <= seconds <= 32767:  # tcp(7): TCP_KEEPIDLE
        raise ValueError('must be "0s", or between 1s and 32767s')
    return seconds


def _request_target(path: str) -> str:
    if not re.fullmatch(r"/[!-~]*", path):
        raise ValueError(f'"{path}" is no path to ask for, as "/health"')
    return path


def _host_field(host: str) -> str:
    if not re.fullmatch(r"[!-~]*", host):
        raise ValueError(f'"{host}" is no host to ask for, as "app.example"')
    return host


def _hash_by(text: str) -> str:
    if not re.fullmatch(r"client|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
        raise ValueError(f'must be "client", "header:NAME" or "cookie:NAME", not "{text}"')
    return text


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


def _as_filter(value: object) -> object:
    return {"plugin": value} if isinstance(value, str) else value


def _plugin(value: str, info: ValidationInfo) -> str:
    if not plugin_place(value).endswith(".py"):
        return value
    return str(_beside_the_file(value, info))


def _workers(count: int) -> int:
    if count > 1:
        raise ValueError(
            "only 1 for now, more come later: until then start a second vcproxy on other addresses"
        )
    return count


def _pattern(text: str) -> str:
    try:
        re.compile(text.encode())
    except re.error as error:
        raise ValueError(f'"{text}" is no regular expression: {error}') from None
    return text


def _protocol_name(name: str) -> str:
    if not name.isascii() or not 0 < len(name) < 256:  # one length byte (RFC 7301, 3.1)
        raise ValueError(f'"{name}" is not a protocol name: 1 to 255 ASCII letters')
    return name


class NamedUpstream(str):
    """A name that was read as an UpstreamName, so that it can be found in whatever has it."""

    __slots__ = ()


UpstreamName = Annotated[str, AfterValidator(NamedUpstream)]
"""The name of an [upstream.NAME]. Authors may use it in their plugin's Options: that there is one
is checked, and it is among the service's `upstreams`."""

Duration = Annotated[
    float,
    PlainValidator(_from_text(duration, "a duration", "5s")),
    PlainSerializer(show_duration, when_used="json"),
    WithJsonSchema({"type": "string", "format": "duration"}),
]
"""Seconds, written "250ms", "5s" or "2m". Authors may use it in their plugin's Options."""

Size = Annotated[
    int,
    PlainValidator(_from_text(size, "a size", "64KiB")),
    PlainSerializer(show_size, when_used="json"),
    WithJsonSchema({"type": "string", "format": "size"}),
]
"""Bytes, written "64KiB" or "1MiB". Authors may use it in their plugin's Options."""

FilePath = Annotated[
    Path,
    PlainValidator(_file),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "path"}),
]
"""A path relative to the configuration file. Authors may use it in their plugin's Options."""

Endpoint = Annotated[
    Address,
    PlainValidator(_endpoint),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "address"}),
]
"""An address written as a URI. Authors may use it in their plugin's Options."""


Target = Annotated[Endpoint, AfterValidator(_server)]
"""An address that can be connected to. Authors may use it in their plugin's Options."""


PluginName = Annotated[str, Field(min_length=1), AfterValidator(_plugin)]
"""Where a plugin is: "package.module:Class" or "path/file.py:Class", relative to the configuration
file. Authors may use it in their plugin's Options."""


class Table(BaseModel):
    """A table of the file: strict, closed and frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FilterTable(Table):
    """A plugin that another one, of which it is an option, lets see and change what passes."""

    plugin: PluginName
    """As a listener's."""

    options: dict[str, object] = {}
    """Its own options."""


Filters = tuple[Annotated[FilterTable, BeforeValidator(_as_filter)], ...]
"""The type of a plugin's option `filters`; a filter without options may be its place alone."""


class ProxyTable(Table):
    """The process as a whole."""

    net_threads: Annotated[int, Field(ge=1)] = 1
    """Threads that move traffic. More of them isolate listeners from each other; they add speed
    only on a Python without the global lock."""

    workers: Annotated[int, Field(ge=1), AfterValidator(_workers)] = 1
    """Worker processes. Only 1 for now."""

    memory: Size = 256 << 20
    """The budget for all that is held for clients and servers: 2000 slow readers with 128 KiB each,
    or 3,840 idle connections with TLS, 64 KiB each. When it is spent, reading pauses, but for small
    requests; then those who do not take what they are owed are closed, the largest first; then idle
    ones with TLS, the longest idle first."""

    drain_timeout: Duration = 10.0
    """How long a stopping proxy waits for its conversations to end by themselves: below the 30
    seconds that most service managers grant."""

    splice: bool = True
    """Whether bulk traffic between plain sockets may be moved by the kernel, without a copy."""

    slow_callback: Duration = 0.25
    """A plugin's callback that takes longer is logged with its stack, and ends its conversation:
    all others on its thread have waited, about as long as people notice. "0s": none is."""

    log: FilePath | None = None
    """The file that takes the log; it is reopened on SIGUSR1. Absent: standard error. Lines that a
    slow or broken target does not take are dropped and counted; traffic never waits for the log."""


class KeyPair(Table):
    """A certificate and its private key, both PEM."""

    certificate: FilePath
    """The certificate, followed by the chain that leads to its root."""

    key: FilePath
    """The private key, not encrypted: nobody is there to type a passphrase."""


class ListenerTls(KeyPair):
    """What a listener on tls:// shows its clients, and asks of them."""

    client_ca: FilePath | None = None
    """Authorities, PEM: a client must show a certificate signed by one. Absent: none is asked."""

    alpn: tuple[Annotated[str, AfterValidator(_protocol_name)], ...] = ()
    """Application protocols offered, the preferred one first."""

    names: dict[str, KeyPair] = {}
    """Other certificates, by the server name that the client asks for (SNI)."""


class LimitsTable(Table):
    """How much a listener takes on."""

    max_connections: Annotated[int, Field(ge=1)] | None = None
    """Client connections at a time; at udp://, addresses that datagrams come from. Absent: as many
    as the process has descriptors for, with one for the server of each; the log says at the start
    how many that is. More than that are never accepted, whatever stands here."""

    max_per_client: Annotated[int, Field(ge=0)] = 0
    """Connections at a time of one IP address: more are refused, over TLS before their handshake.
    0: as many as there may be, for behind one address may be a whole office."""


class TimeoutsTable(Table):
    """How long a listener waits. "0s" waits for ever."""

    handshake: Duration = 10.0
    """For a client's TLS handshake: a few round trips, even over a bad mobile link."""

    connect: Duration = 5.0
    """For a server to accept: two lost SYNs are retried within 3 seconds."""

    inactivity: Duration = 300.0
    """For the next byte in either direction: longer than the usual keep-alive intervals. Nothing
    else ends a session of datagrams."""

    active: Duration = 0.0
    """For a whole conversation, however busy: none, as tunnels may live for days."""


class TcpTable(Table):
    """How a peer is noticed that has vanished without a word, as one whose power or network failed.
    For TCP and TLS."""

    keepalive: Annotated[Duration, AfterValidator(_whole_seconds)] = 60.0
    """A peer that has been silent for so long is asked by its system's TCP, and the connection
    fails when there was no answer for as long again. "0s": none is asked."""

    user_timeout: Duration = 0.0
    """How long what was sent may wait for its acknowledgement (TCP_USER_TIMEOUT). "0s": as long as
    the system says, about 15 minutes. It also ends connections to a peer that is there and reads
    nothing for so long: give more time than a reader may pause."""


class ListenerTable(Table):
    """Where clients come in, and the plugin that serves them."""

    name: Annotated[str, Field(min_length=1)]
    """Names the listener in logs and metrics; unique."""

    bind: Annotated[
        tuple[Annotated[Endpoint, AfterValidator(_no_subject)], ...], BeforeValidator(_listed)
    ] = ()
    """Where to listen: one address or a list. Left out where the plugin accepts nothing."""

    plugin: PluginName
    """What serves a client: a bundled name, "package.module:Class" or "path/file.py:Class". The
    class may be left out where the module defines only one plugin."""

    upstream: str | None = None
    """The name of the [upstream.NAME] that the plugin connects to."""

    options: dict[str, object] = {}
    """The plugin's own options."""

    tls: ListenerTls | None = None
    """Needed for tls:// addresses, and only there."""

    limits: LimitsTable = LimitsTable()
    """How much this listener takes on."""

    timeouts: TimeoutsTable = TimeoutsTable()
    """How long this listener waits."""

    tcp: TcpTable = TcpTable()
    """How clients are noticed that have vanished."""

    half_close: bool = True
    """Whether one direction may end while the other goes on. False ends both at the first end."""


class UpstreamTls(Table):
    """How servers on tls:// are verified."""

    verify: bool = True
    """Whether a server must prove its name by a certificate. False trusts anybody."""

    ca: FilePath | None = None
    """Authorities to trust, PEM. Absent: those of the system."""


class UpstreamServer(Table):
    """A server with a weight: { address = "tcp://10.0.0.7:80", weight = 2 }."""

    address: Target
    """Where it is."""

    weight: Annotated[int, Field(ge=1, le=256)] = 1
    """Its share of the work beside those of the others, as HAProxy's; for "weighted",
    "least_connections", "random_of_two" and "hash"."""


ServerEntry = Annotated[
    UpstreamServer,
    BeforeValidator(_as_table),
    PlainSerializer(_as_written, when_used="json"),
]


class UpstreamQueue(Table):
    """How connections wait while all servers have as many as they may."""

    size: Annotated[int, Field(ge=0)] = 1024
    """How many may wait, for each net thread. One more fails at once."""

    timeout: Duration = 5.0
    """How long one waits, as long as for a server to accept: then nobody waits for it any more."""


class UpstreamPool(Table):
    """Idle connections that are kept for the next request, by plugins that know where one ends."""

    idle: Annotated[int, Field(ge=0)] = 64
    """How many, for each server and net thread; 0: none. Each costs the server a descriptor."""

    idle_time: Annotated[Duration, AfterValidator(_positive)] = 4.0
    """How long one is kept, while nothing is known of its server: less than the 5 seconds after
    which uvicorn, Apache httpd and Node.js close it, as a request must not meet a connection that
    is being closed. A server that says `Keep-Alive: timeout=60` has it kept for a second less than
    that, 10 minutes at most; one that has closed an idle connection earlier, for less than that."""

    age: Duration = 3600.0
    """How old one gets: then another is made, and may go to a server that has come meanwhile.
    "0s": any age."""


class UpstreamCheck(Table):
    """How servers are asked whether they are well, by each net thread."""

    kind: Literal["tcp", "tls", "http"] = "tcp"
    """What is well: who accepts a connection; who ends a TLS handshake; who answers a GET, over
    TLS if it is on tls://."""

    path: Annotated[str, AfterValidator(_request_target)] = "/"
    """What is asked for by "http"."""

    host: Annotated[str, AfterValidator(_host_field)] = ""
    """Its Host. Absent: the server's own name."""

    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    """The answers that are well. Absent: 200 to 399."""

    interval: Annotated[Duration, AfterValidator(_positive)] = 5.0
    """How long after one check the next begins: with `fall` an outage is noticed in 15 seconds, and
    a check is no load."""

    timeout: Annotated[Duration, AfterValidator(_positive)] = 2.0
    """How long one may take: a server that is slower than that is no help to its clients."""

    rise: Annotated[int, Field(ge=1)] = 2
    """So many in a row make a server that is down well again, as HAProxy's."""

    fall: Annotated[int, Field(ge=1)] = 3
    """So many in a row make one that is up ill, as HAProxy's."""


class UpstreamEject(Table):
    """When a server is left alone for what it does to clients. The last that is up never is."""

    failures: Annotated[int, Field(ge=0)] = 5
    """So many connections in a row that could not be made, or requests that failed, as Envoy's; 0:
    any number."""

    time: Annotated[Duration, AfterValidator(_positive)] = 10.0
    """How long, as nginx's. Then one connection tries it. As long as that fails the time doubles,
    up to 5 minutes."""


class UpstreamTable(Table):
    """Servers that do the same work. Each net thread balances, counts and keeps its own connections
    to them; limits are for each net thread, too."""

    servers: Annotated[tuple[ServerEntry, ...], AfterValidator(_not_empty)]
    """The servers, at least one: addresses, or tables as below."""

    balance: Literal["round_robin", "weighted", "least_connections", "random_of_two", "hash"] = (
        "round_robin"
    )
    """Who gets the next connection or request: each server in its turn; each as often as its weight
    says; the one with least to do for its weight; the same, of two by chance: better where many
    proxies share the servers; always the same one for the same key."""

    hash_by: Annotated[str, AfterValidator(_hash_by)] = "client"
    """The key for "hash": "client", its address; "header:NAME" or "cookie:NAME", of a request, and
    of one without it the client's address."""

    max_connections: Annotated[int, Field(ge=0)] = 0
    """How many each server has at a time, idle ones included; 0: any number."""

    queue: UpstreamQueue = UpstreamQueue()
    """How connections wait while all servers have `max_connections`."""

    retries: Annotated[int, Field(ge=0)] = 3
    """How many other servers are tried when a connection to one cannot be made, as HAProxy's."""

    pool: UpstreamPool = UpstreamPool()
    """Which idle connections are kept."""

    check: UpstreamCheck | None = None
    """How servers are asked whether they are well. Absent: they are not."""

    eject: UpstreamEject = UpstreamEject()
    """When a server is left alone for what it does to clients."""

    slow_start: Duration = 0.0
    """How long a server that has come up takes to get its full share: it begins with 1 % of it, and
    gets more evenly. "0s": it has it at once."""

    resolve: Duration = 0.0
    """How often names are looked up: each address that a name has is a server then. "0s": whenever
    one connects, and the addresses of a name are tried side by side, as RFC 8305 says."""

    tls: UpstreamTls = UpstreamTls()
    """How servers on tls:// are verified."""

    tcp: TcpTable = TcpTable()
    """How servers are noticed that have vanished."""

    @property
    def addresses(self) -> list[Address]:
        """Where the servers are."""
        return [server.address for server in self.servers]


class RecordTable(Table):
    """What is written down of a run, so that `vcproxy replay` can run it again."""

    file: FilePath
    """The log. It holds what clients and servers said: nobody but its owner may read it."""

    max_size: Size = 1 << 30
    """How large it may get: the run then goes on, unrecorded. "0B": as large as it gets."""

    redact: tuple[Annotated[str, AfterValidator(_pattern)], ...] = ()
    """Regular expressions: what matches in a piece of what clients and servers say is written down
    as so many x. A log without its contents can be looked at; a replay may part from it. What is
    spread over two pieces only `vcproxy log redact` finds, afterwards."""

    outputs: Literal["digest", "full"] = "digest"
    """What is written down of what the proxy sends: a digest, for comparison, or all of it."""

    compress: bool = False
    """Whether to compress: text gets smaller by half or more, at some cost in time."""


class Settings(Table):
    """A whole configuration file."""

    proxy: ProxyTable = ProxyTable()
    """The process as a whole."""

    record: RecordTable | None = None
    """Recording. Absent: none, unless the command line asks for it."""

    listener: tuple[ListenerTable, ...] = ()
    """Where clients come in, one [[listener]] for each."""

    upstream: dict[str, UpstreamTable] = {}
    """Servers by the name that listeners use."""


def plugin_place(plugin: str) -> str:
    """Return what stands before the ":Class" of a plugin, if there is one."""
    place, colon, _ = plugin.rpartition(":")
    return place if colon and not plugin.endswith(".py") else plugin


def as_json(tree: object) -> str:
    """Write a tree as JSON: in that form strict types take a list for a tuple, text for a path."""
    return json.dumps(tree, default=str)
