"""Announcement: the PROXY header that an upstream's connections begin with.

Tested in tests/upstream/test_announcement.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from vcproxy.proxy_protocol.encoder import LOCAL, UNKNOWN, encode_v1, encode_v2
from vcproxy.proxy_protocol.header import ProxyHeader
from vcproxy.proxy_protocol.tlv import (
    ALPN,
    AUTHORITY,
    CRC32C,
    NOOP,
    SSL,
    UNIQUE_ID,
    TlsFacts,
    Tlv,
    write_tls,
)

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection

LONGEST = 255
"""Bytes of a name in a field: of each at most so many are sent. So a header with all the fields of
its own connection has less than 1220 bytes, and fits in one segment: there are receivers that do
not wait for a second one."""

_NOWHERE = {False: "0.0.0.0:0", True: "[::]:0"}
_CN = re.compile(r"(?:^|[,+])CN=([^,+]*)")
_ESCAPED = re.compile(r"\\([0-9A-Fa-f]{2})")


class Announcement:
    """How the clients of an upstream are announced to its servers.

    Args:
        version: of the header, 1 or 2.
        tlvs: the names of the fields that a header of version 2 has.
    """

    __slots__ = ("_tlvs", "_version", "local")

    def __init__(self, version: int, tlvs: Collection[str] = ()) -> None:
        self._version = version
        self._tlvs = frozenset(tlvs)
        self.local = LOCAL if version == 2 else UNKNOWN
        """The header of a connection that is made for no client, as a health check."""

    def header(self, client: NetVConnection | None) -> bytes:
        """Return the header for a client; None: the connection is made for no single one.

        A client without an IP address, as at a Unix socket, is announced as none.
        """
        source = "" if client is None else client.peer
        if client is None or not client.peer_address:
            return self.local
        proxied = client.proxied
        if (
            proxied is not None
            and proxied.protocol in ("tcp4", "tcp6")
            and not (proxied.tlvs or self._tlvs)
        ):  # the addresses are passed on as they are
            return encode_v1(proxied) if self._version == 1 else encode_v2(proxied)
        target = client.local if proxied is None else proxied.target or client.local
        wide = source[0] == "["
        host, _, port = source.rpartition(":")
        there, _, there_port = (target or _NOWHERE[wide]).rpartition(":")
        header = ProxyHeader(
            self._version,
            False,
            "tcp6" if wide else "tcp4",
            host.strip("[]"),
            int(port),
            there.strip("[]"),
            int(there_port),
        )
        if self._version == 1:
            return encode_v1(header)
        if not self._tlvs:
            return encode_v2(header)
        header = header._replace(tlvs=tuple(self._fields(client)))
        return encode_v2(header, checksum="crc32c" in self._tlvs)

    def _fields(self, client: NetVConnection) -> Iterator[Tlv]:
        """Yield the configured fields that the client has, those of its own connection first."""
        wanted, proxied = self._tlvs, client.proxied
        own = dict(_own(client))
        received = () if proxied is None else proxied.tlvs
        for name, kind in (
            ("alpn", ALPN),
            ("authority", AUTHORITY),
            ("ssl", SSL),
            ("unique-id", UNIQUE_ID),
        ):
            if name in wanted:
                value = own.get(kind) or (proxied and proxied.tlv(kind))
                if value is None and kind == UNIQUE_ID:
                    value = f"{client.engine.token}-{client.id}".encode("ascii")
                if value is not None:
                    yield Tlv(kind, value)
                received = tuple(each for each in received if each.kind != kind)
        if "received" in wanted:
            yield from (each for each in received if each.kind not in (CRC32C, NOOP))


def _own(client: NetVConnection) -> Iterator[tuple[int, bytes]]:
    """Yield what is known of the TLS of a client: between it and this proxy, or, where that routes
    it by SNI, what the client asks the server for."""
    alpn = client.alpn
    if alpn is not None and (client.secure or "," not in alpn):  # of several the server chooses
        yield ALPN, alpn.encode("latin-1")[:LONGEST]
    if client.sni is not None:
        yield AUTHORITY, client.sni.encode()[:LONGEST]
    if not client.secure:
        return
    presented = client.certificate is not None
    name = _common_name(client.certificate or "")
    yield SSL, write_tls(TlsFacts(True, presented, presented, *client.tls_parameters(), name))


def _common_name(subject: str) -> str | None:
    """Return the common name in a certificate's subject (RFC 4514), at most LONGEST bytes of it."""
    found = _CN.search(subject)
    if found is None:
        return None
    name = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), found[1])
    return name.encode()[:LONGEST].decode("utf-8", "ignore")
