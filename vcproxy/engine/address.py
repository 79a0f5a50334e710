"""Addresses as URIs: tcp, tls and udp://host:port, unix:path, stdio:, nats://host:port/subject."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

SCHEMES = ("tcp", "tls", "unix", "stdio", "udp", "nats")

NATS_PORT = 4222
"""The default port of NATS servers."""

PARAMETERS = {"udp": ("interface", "source", "ttl"), "nats": ("stream", "durable")}
"""The query parameters by scheme. udp://, for multicast groups only: the interface to join or send
on (its name or an address of it), the only source to receive from, and the most hops of a datagram.
nats://, for JetStream: the stream, and the durable consumer, which keeps the position in it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or connect to.

    `host` and `port` belong to tcp, tls, udp and nats, `path` to unix, and to nats, as its subject;
    stdio has none of them. A host is a name, an IPv4 address or an IPv6 address without its
    brackets.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    """The query parameters (see PARAMETERS), in alphabetical order."""
    user: str = ""
    """The credentials for nats, "name:password" or a token. They are not shown."""
    text: str = field(init=False, repr=False, compare=False)
    """The address as a URI; its hash is that of the address. Each connection needs both."""
    numeric: bool = field(init=False, repr=False, compare=False)
    """Whether the address can be connected to without a look-up of its name."""
    message_oriented: bool = field(init=False, repr=False, compare=False)
    """Whether connections to the address carry messages, not a stream of bytes."""

    def __post_init__(self) -> None:
        # unix: needs none; nats: the NATS client library does its own look-up
        numeric = self.scheme in ("unix", "nats") or _is_address(self.host)
        object.__setattr__(self, "text", self._uri())
        object.__setattr__(self, "numeric", numeric)
        object.__setattr__(self, "message_oriented", self.scheme in ("udp", "nats"))

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Return the Address of a URI. Raises ValueError with the reason if it is not valid."""
        scheme, colon, rest = uri.partition(":")
        if not colon or scheme not in SCHEMES:
            known = ", ".join(f"{name}:" for name in SCHEMES)
            raise ValueError(f'"{uri}" is not an address: it must begin with one of {known}')
        if scheme == "stdio":
            if rest.strip("/"):
                raise ValueError(f'"{uri}": nothing may follow stdio:')
            return cls("stdio")
        if scheme == "unix":
            path = rest[2:] if rest.startswith("//") else rest
            if not path:
                raise ValueError(f'"{uri}" names no socket path, as in "unix:/run/app.sock"')
            if len(path.encode()) > 107:  # sun_path holds 108 bytes with its final NUL (unix(7))
                raise ValueError(f'"{uri}": a Unix socket path holds at most 107 bytes')
            return cls("unix", path=path)
        return cls._parse_net(uri, scheme)

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
            parameters=_parameters(uri, scheme, host, parts.query),
            user=unquote(user),
        )

    def parameter(self, name: str) -> str:
        """Return the value of a parameter; "" if it is not given."""
        return dict(self.parameters).get(name, "")

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
        return self.scheme == "udp" and _is_group(self.host)

    def with_port(self, port: int) -> "Address":
        """Return a copy with another port: the assigned port in place of port 0."""
        return replace(self, port=port)

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def _uri(self) -> str:
        if self.scheme == "stdio":
            return "stdio:"
        if self.scheme == "unix":
            return f"unix:{'//' if self.path.startswith('//') else ''}{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        subject = f"/{quote(self.path)}" if self.path else ""
        query = f"?{urlencode(self.parameters, safe=':')}" if self.parameters else ""
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


def _is_group(host: str) -> bool:
    try:
        return ip_address(host).is_multicast
    except ValueError:
        return False


def _parameters(uri: str, scheme: str, host: str, query: str) -> tuple[tuple[str, str], ...]:
    known = PARAMETERS.get(scheme, ())
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        pairs = [(query, "")]
    for name, value in pairs:
        if name not in known:
            names = ", ".join(known) or "none"
            raise ValueError(f'"{uri}": unknown parameter {name}: {scheme}:// has {names}')
        if not value or (name == "ttl" and not (value.isdecimal() and int(value) < 256)):
            meant = "a number of hops from 0 to 255" if name == "ttl" else "a value"
            raise ValueError(f'"{uri}": {name} must have {meant}')
        if name == "source" and not _is_address(value):
            raise ValueError(f'"{uri}": source must be an IP address')
    if pairs and scheme == "udp" and not _is_group(host):
        raise ValueError(f'"{uri}": {pairs[0][0]} is for multicast groups, and {host} is not one')
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError(f'"{uri}": each parameter may be given once')
    return tuple(sorted(pairs))


@lru_cache  # called for each connection
def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
