"""Addresses as URIs: tcp://host:port, tls://host:port, unix:///path, unix:relative, stdio:."""

from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

STREAM_SCHEMES = ("tcp", "tls", "unix", "stdio")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or connect to.

    `host` and `port` belong to tcp and tls, `path` to unix; stdio has none of them. A host is a
    name, an IPv4 address or an IPv6 address without its brackets.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Read an address from its URI. Raises ValueError saying what is wrong with it."""
        scheme, colon, rest = uri.partition(":")
        if not colon or scheme not in STREAM_SCHEMES:
            known = ", ".join(f"{name}:" for name in STREAM_SCHEMES)
            raise ValueError(f'"{uri}" is not an address: it must begin with one of {known}')
        if scheme == "stdio":
            if rest.strip("/"):
                raise ValueError(f'"{uri}": stdio: takes nothing after the colon')
            return cls("stdio")
        if scheme == "unix":
            path = rest[2:] if rest.startswith("//") else rest
            if not path:
                raise ValueError(f'"{uri}" names no socket path, as in "unix:/run/app.sock"')
            if len(path.encode()) > 107:  # sun_path holds 108 bytes with its final NUL (unix(7))
                raise ValueError(f'"{uri}": a Unix socket path holds at most 107 bytes')
            return cls("unix", path=path)
        return cls._parse_inet(uri, scheme)

    @classmethod
    def _parse_inet(cls, uri: str, scheme: str) -> "Address":
        example = f'as in "{scheme}://127.0.0.1:8080"'
        try:
            parts = urlsplit(uri)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f'"{uri}": {error}, {example}') from None
        if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f'"{uri}": only host and port may stand after {scheme}://, {example}')
        if not host:
            raise ValueError(f'"{uri}" names no host, {example}')
        if port is None:
            raise ValueError(f'"{uri}" names no port, {example}')
        return cls(scheme, host=host, port=port)

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken here."""
        return self.scheme == "tls"

    @property
    def numeric(self) -> bool:
        """Whether nothing has to be resolved to reach it."""
        if self.scheme == "unix":
            return True
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True

    def with_port(self, port: int) -> "Address":
        """The same address on another port: what port 0 turned out to be."""
        return replace(self, port=port)

    def __str__(self) -> str:
        if self.scheme == "stdio":
            return "stdio:"
        if self.scheme == "unix":
            return f"unix:{'//' if self.path.startswith('//') else ''}{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"
