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


def _not_empty(servers: tuple[Address, ...]) -> tuple[Address, ...]:
    if not servers:
        raise ValueError("needs at least one server")
    return servers


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


class Filter(Table):
    """A plugin that another one, of which it is an option, lets see and change what passes."""

    plugin: PluginName
    """As a listener's."""

    options: dict[str, object] = {}
    """Its own options."""


Filters = tuple[Annotated[Filter, BeforeValidator(_as_filter)], ...]
"""The type of a plugin's option `filters`; a filter without options may be its place alone."""


class Proxy(Table):
    """The process as a whole."""

    net_threads: Annotated[int, Field(ge=1)] = 1
    """Threads that move traffic. More of them isolate listeners from each other; they add speed
    only on a Python without the global lock."""

    workers: Annotated[int, Field(ge=1), AfterValidator(_workers)] = 1
    """Worker processes. Only 1 for now."""

    memory: Size = 256 << 20
    """The budget of all buffers together: 1000 connections that each hold 256 KiB. When it is
    spent, reading pauses, and then the largest laggards are closed."""

    drain_timeout: Duration = 10.0
    """How long a stopping proxy waits for its conversations to end by themselves: below the 30
    seconds that most service managers grant."""

    splice: bool = True
    """Whether bulk traffic between plain sockets may be moved by the kernel, without a copy."""

    slow_callback: Duration = 0.25
    """A plugin's callback that takes longer is logged with its stack, and ends its conversation:
    all others on its thread have waited, about as long as people notice. "0s": none is."""

    log: FilePath | None = None
    """The file that takes the log; it is reopened on SIGUSR1. Absent: standard error."""


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


class Limits(Table):
    """How much a listener takes on."""

    max_connections: Annotated[int, Field(ge=1)] = 1000
    """Client connections at a time; at udp://, addresses that datagrams come from. 1000 clients and
    as many servers stay well below 4096, the lowest hard limit on descriptors in common use."""

    max_per_client: Annotated[int, Field(ge=0)] = 0
    """Connections at a time of one IP address: more are refused, over TLS before their handshake.
    0: as many as there may be, for behind one address may be a whole office."""


class Timeouts(Table):
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


class Listener(Table):
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

    limits: Limits = Limits()
    """How much this listener takes on."""

    timeouts: Timeouts = Timeouts()
    """How long this listener waits."""

    half_close: bool = True
    """Whether one direction may end while the other goes on. False ends both at the first end."""


class UpstreamTls(Table):
    """How servers on tls:// are verified."""

    verify: bool = True
    """Whether a server must prove its name by a certificate. False trusts anybody."""

    ca: FilePath | None = None
    """Authorities to trust, PEM. Absent: those of the system."""


class Upstream(Table):
    """Servers that do the same work."""

    servers: Annotated[tuple[Target, ...], AfterValidator(_not_empty)]
    """The servers' addresses, at least one."""

    balance: Literal["round_robin"] = "round_robin"
    """Who gets the next connection: each server in its turn."""

    tls: UpstreamTls = UpstreamTls()
    """How servers on tls:// are verified."""


class Record(Table):
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

    proxy: Proxy = Proxy()
    """The process as a whole."""

    record: Record | None = None
    """Recording. Absent: none, unless the command line asks for it."""

    listener: tuple[Listener, ...] = ()
    """Where clients come in, one [[listener]] for each."""

    upstream: dict[str, Upstream] = {}
    """Servers by the name that listeners use."""


def plugin_place(plugin: str) -> str:
    """Return what stands before the ":Class" of a plugin, if there is one."""
    place, colon, _ = plugin.rpartition(":")
    return place if colon and not plugin.endswith(".py") else plugin


def as_json(tree: object) -> str:
    """Write a tree as JSON: in that form strict types take a list for a tuple, text for a path."""
    return json.dumps(tree, default=str)
