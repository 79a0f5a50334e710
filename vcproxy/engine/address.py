"""Addresses as URIs: where to listen, or what to connect to.

| URI | what it is |
|---|---|
| tcp://HOST:PORT, tls://HOST:PORT | a stream of bytes, with TLS |
| udp://HOST:PORT | datagrams of a host or of a multicast group |
| unix:PATH | a Unix socket with streams of bytes |
| unixgram:PATH, unixpacket:PATH | one with datagrams, and one with connections of messages |
| fifo:PATH | a named pipe, which moves bytes in one direction (fifo(7)) |
| serial:PATH | a serial line (termios(3)) |
| terminal:, stdio: | the terminal of this process; its standard input and output |
| nats://HOST:PORT/SUBJECT | messages of NATS servers |
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import quote, unquote, urlencode, urlsplit

from vcproxy.engine.address_parameters import (
    FILE_PARAMETERS,
    Pairs,
    is_address,
    is_group,
    parameters,
)

SCHEMES = (
    "tcp", "tls", "unix", "unixgram", "unixpacket", "fifo", "serial", "terminal", "stdio", "udp",
    "nats",
)  # fmt: skip
"""The schemes of addresses in a configuration."""

UNDERNEATH = {"http": "tcp", "https": "tls", "ws": "tcp", "wss": "tls", "rtp": "udp"}
"""Schemes that are often written, and what is meant: an address is of the layer underneath."""

UNIX = ("unix", "unixgram", "unixpacket")
"""The schemes of Unix sockets: stream, datagram and seqpacket (unix(7))."""

PATHS = (*UNIX, "fifo", "serial")
"""The schemes of addresses that are paths of files."""

STANDARD = ("stdio", "terminal")
"""The schemes of what a process has only one of."""

CHILD = "child"
"""The scheme of the pipes of child processes: child:NUMBER/stdin. For the engine only: see
ChildProcess."""

LOCAL = (*PATHS, *STANDARD, CHILD)
"""The schemes of addresses in this host, which have no host and no port."""

MESSAGES = ("udp", "nats", "unixgram", "unixpacket")
"""The schemes whose connections carry messages."""

PACKETS = "unixpacket"
"""The peer of an accepted connection at unixpacket: it carries messages, but is no session of
datagrams, which may end without notice."""

NATS_PORT = 4222
"""The default port of NATS servers."""

LONGEST_SOCKET_PATH = 107
"""Bytes: sun_path holds 108 with its final NUL (unix(7))."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or connect to.

    `host` and `port` belong to tcp, tls, udp and nats, `path` to the schemes of PATHS, and to nats,
    as its subject. A host is a name, an IPv4 address or an IPv6 address without its brackets.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    parameters: Pairs = ()
    """The query parameters (see PARAMETERS) but those of `file`, in alphabetical order."""
    user: str = ""
    """The credentials for nats, "name:password" or a token. They are not shown."""
    file: Pairs = field(default=(), compare=False)
    """FILE_PARAMETERS of the file to make. Addresses that differ in them alone are equal: they are
    one place."""
    text: str = field(init=False, repr=False, compare=False)
    """The address as a URI, without `file`; its hash is that of the address. Each connection needs
    both."""
    numeric: bool = field(init=False, repr=False, compare=False)
    """Whether the address can be connected to without a look-up of its name."""
    message_oriented: bool = field(init=False, repr=False, compare=False)
    """Whether connections to the address carry messages, not a stream of bytes."""

    def __post_init__(self) -> None:
        # nats: the NATS client library does its own look-up
        numeric = self.scheme in LOCAL or self.scheme == "nats" or _is_address(self.host)
        object.__setattr__(self, "text", self._uri())
        object.__setattr__(self, "numeric", numeric)
        object.__setattr__(self, "message_oriented", self.scheme in MESSAGES)

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Return the Address of a URI. Raises ValueError with the reason if it is not valid."""
        scheme, colon, rest = uri.partition(":")
        if scheme in UNDERNEATH:
            host = rest.removeprefix("//").partition("/")[0]
            written = f"{UNDERNEATH[scheme]}://{host}"
            raise ValueError(f'"{uri}" is not an address here: write {written}')
        if not colon or (scheme not in SCHEMES and scheme != CHILD):
            known = ", ".join(f"{name}:" for name in SCHEMES)
            raise ValueError(f'"{uri}" is not an address: it must begin with one of {known}')
        if scheme in LOCAL:
            return cls._parse_local(uri, scheme, rest)
        return cls._parse_net(uri, scheme)

    @classmethod
    def _parse_local(cls, uri: str, scheme: str, rest: str) -> "Address":
        """A path is percent-encoded where it contains "?" or "%", as in any URI."""
        path, _, query = rest.partition("?")
        path = unquote(path.removeprefix("//"))
        if scheme in STANDARD and path.strip("/"):
            raise ValueError(f'"{uri}": nothing may follow {scheme}:')
        pairs = parameters(uri, scheme, "", query)
        file = tuple(pair for pair in pairs if pair[0] in FILE_PARAMETERS)
        others = tuple(pair for pair in pairs if pair not in file)
        if scheme in STANDARD:
            return cls(scheme, parameters=others)
        address = cls(scheme, path=path, parameters=others, file=file)
        address.check_path(uri)
        return address

    def check_path(self, shown: str) -> None:
        """Raise ValueError unless the path can be one. `shown`: the address as it was written."""
        path, scheme = self.path, self.scheme
        if not path:
            what = "socket path" if scheme == "unix" else "path"
            example = {"serial": "/dev/ttyUSB0"}.get(scheme, "/run/app.sock")
            raise ValueError(f'"{shown}" names no {what}, as in "{scheme}:{example}"')
        if "\0" in path:
            raise ValueError(f'"{shown}": a path contains no NUL byte')
        if scheme in UNIX and len(path.encode()) > LONGEST_SOCKET_PATH:
            most = LONGEST_SOCKET_PATH
            raise ValueError(f'"{shown}": a Unix socket path holds at most {most} bytes')

    @classmethod
    def _parse_net(cls, uri: str, scheme: str) -> "Address":
        nats = scheme == "nats"
        example = f'as in "{scheme}://127.0.0.1:{f"{NATS_PORT}/orders.new" if nats else "8080"}"'
        try:
            parts = urlsplit(uri)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f'"{uri}": {error}, {example}') from None
        user, at, _ = parts.netloc.rpartition("@")
        if parts.fragment or (not nats and (parts.path not in ("", "/") or at)):
            raise ValueError(f'"{uri}": only host and port may follow {scheme}://, {example}')
        if not host:
            raise ValueError(f'"{uri}" names no host, {example}')
        if port is None and not nats:
            raise ValueError(f'"{uri}" names no port, {example}')
        path = unquote(parts.path[1:]) if nats else ""
        if nats and (not path or any(c.isspace() for c in path)):
            raise ValueError(f'"{uri}" names no subject, {example}')
        tokens = path.split(".") if nats else []
        if not all(tokens) or ">" in tokens[:-1]:
            raise ValueError(f'"{uri}": "{path}" is not a subject, {example}')
        return cls(
            scheme,
            host=host,
            port=NATS_PORT if port is None else port,
            path=path,
            parameters=parameters(uri, scheme, host, parts.query),
            user=unquote(user),
        )

    def parameter(self, name: str) -> str:
        """Return the value of a parameter; "" if it is not given."""
        return dict(self.parameters + self.file).get(name, "")

    @property
    def subscribed(self) -> bool:
        """Whether it can be received from without a connection: see `Engine.subscribe`."""
        return self.scheme in ("udp", "nats", "unixgram", "fifo")

    @property
    def secure(self) -> bool:
        """Whether connections use TLS."""
        return self.scheme == "tls"

    @property
    def wildcard(self) -> bool:
        """Whether the address is a NATS subject with wildcards, which can only be subscribed to."""
        return self.scheme == "nats" and not {"*", ">"}.isdisjoint(self.path.split("."))

    @property
    def multicast(self) -> bool:
        """Whether the address is a multicast group (RFC 1112, RFC 4291)."""
        return self.scheme == "udp" and is_group(self.host)

    def with_port(self, port: int) -> "Address":
        """Return a copy with another port: the assigned port in place of port 0."""
        return replace(self, port=port)

    def at_path(self, path: str) -> "Address":
        """Return a copy with another path. Raises ValueError if it cannot be one."""
        moved = replace(self, path=path)
        moved.check_path(str(moved))
        return moved

    def __str__(self) -> str:
        """The address as a URI, with all parameters."""
        if not self.file:
            return self.text
        joint = "&" if self.parameters else "?"
        return f"{self.text}{joint}{urlencode(self.file)}"

    def __hash__(self) -> int:
        return hash(self.text)

    def _uri(self) -> str:
        query = f"?{urlencode(self.parameters, safe=':')}" if self.parameters else ""
        if self.scheme in LOCAL:
            path = self.path.replace("%", "%25").replace("?", "%3F")
            return f"{self.scheme}:{'//' if path.startswith('//') else ''}{path}{query}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        subject = f"/{quote(self.path)}" if self.path else ""
        return f"{self.scheme}://{host}:{self.port}{subject}{query}"


def unmapped(place: str) -> str:
    """Return "host:port" with an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2) replaced by its IPv4
    address: "[::ffff:192.0.2.1]:80" becomes "192.0.2.1:80". Other text is returned unchanged."""
    if not place.startswith("[::ffff:"):
        return place
    host, _, port = place[1:].partition("]")
    try:
        mapped = IPv6Address(host).ipv4_mapped
    except ValueError:
        return place
    return place if mapped is None else f"{mapped}{port}"


def address_of(place: str) -> str:
    """Return the host of "host:port" without brackets; "" for text without a colon."""
    return place.rpartition(":")[0].strip("[]")


@lru_cache  # called for each connection
def _is_address(text: str) -> bool:
    return is_address(text)
