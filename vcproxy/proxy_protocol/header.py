"""ProxyHeader: what a sender of the PROXY protocol announces about a connection, as a value.

The protocol is HAProxy's doc/proxy-protocol.txt. Tested in tests/proxy_protocol/test_parser.py.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from vcproxy.proxy_protocol.tlv import (
    ALPN,
    AUTHORITY,
    NETNS,
    SSL,
    UNIQUE_ID,
    TlsFacts,
    Tlv,
    read_tls,
)

Protocol: TypeAlias = Literal["", "tcp4", "tcp6", "udp4", "udp6", "unix", "unixgram"]


class ProxyHeader(NamedTuple):
    """What a header says: where a connection comes from, where to, and facts about it.

    The addresses are numeric; an IPv6 address has no brackets. A header without addresses has
    `protocol` "", and so has every `local` one: the sender speaks for itself, as in a health check,
    and its own address is that of the client.
    """

    version: int
    """1 or 2."""
    local: bool = False
    """Whether the sender opened the connection for itself (the command LOCAL of version 2)."""
    protocol: Protocol = ""
    """How the client is connected; "": unknown."""
    source: str = ""
    """The client's IP address, or the path of its Unix socket, which is mostly empty."""
    source_port: int = 0
    destination: str = ""
    """The IP address or the path that the client connected to."""
    destination_port: int = 0
    tlvs: tuple[Tlv, ...] = ()
    """The further fields of version 2, in order, also those without a property here."""

    @property
    def has_addresses(self) -> bool:
        """Whether the header names IP addresses."""
        return self.protocol not in ("", "unix", "unixgram")

    @property
    def peer(self) -> str:
        """The client as "host:port", an IPv6 host in brackets; "" without an IP address."""
        return _with_port(self.source, self.source_port) if self.has_addresses else ""

    @property
    def target(self) -> str:
        """The address that the client connected to, in the form of `peer`."""
        return _with_port(self.destination, self.destination_port) if self.has_addresses else ""

    def tlv(self, kind: int) -> bytes | None:
        """Return the value of the first field of this type; None: there is none."""
        return next((each.value for each in self.tlvs if each.kind == kind), None)

    @property
    def alpn(self) -> str | None:
        """The application protocol that the client and the sender have negotiated."""
        value = self.tlv(ALPN)
        return None if value is None else value.decode("latin-1")

    @property
    def authority(self) -> str | None:
        """The host name that the client asked for: SNI, if it uses TLS."""
        value = self.tlv(AUTHORITY)
        return None if value is None else value.decode()

    @property
    def unique_id(self) -> bytes | None:
        """The sender's identifier of the connection."""
        return self.tlv(UNIQUE_ID)

    @property
    def namespace(self) -> str | None:
        """The sender's network namespace."""
        value = self.tlv(NETNS)
        return None if value is None else value.decode("latin-1")

    @property
    def tls(self) -> TlsFacts | None:
        """The TLS between the client and the sender; None: nothing is known of it."""
        value = self.tlv(SSL)
        return None if value is None else read_tls(value)


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
