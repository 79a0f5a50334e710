"""Headers for tests: examples, and a strategy that makes all that can be written."""

from __future__ import annotations

import ipaddress
from typing import Literal

from hypothesis import strategies as st

from vcproxy.proxy_protocol import tlv
from vcproxy.proxy_protocol.header import Protocol, ProxyHeader
from vcproxy.proxy_protocol.parser import SIGNATURE
from vcproxy.proxy_protocol.tlv import TlsFacts, Tlv, write_tls

V4 = ProxyHeader(2, False, "tcp4", "203.0.113.7", 40_000, "192.0.2.1", 443)
V6 = ProxyHeader(2, False, "tcp6", "2001:db8::7", 40_000, "2001:db8::1", 443)


def v2(command: int, family: int, body: bytes, size: int | None = None) -> bytes:
    """Return a header of version 2, as valid or not as its parts are."""
    length = len(body) if size is None else size
    return SIGNATURE + bytes((command, family)) + length.to_bytes(2, "big") + body


def field(kind: int, value: bytes, size: int | None = None) -> bytes:
    """Return a field, whose length may be wrong."""
    length = len(value) if size is None else size
    return bytes((kind,)) + length.to_bytes(2, "big") + value


_ports = st.integers(0, 65535)
_words = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=30)

facts = st.builds(
    TlsFacts,
    st.booleans(),
    st.just(True),
    st.booleans(),
    *[st.none() | _words for _ in range(5)],
)

fields = st.one_of(
    st.builds(Tlv, st.just(tlv.ALPN), st.binary(max_size=20)),
    st.builds(Tlv, st.just(tlv.AUTHORITY), st.text(max_size=20).map(str.encode)),
    st.builds(Tlv, st.just(tlv.UNIQUE_ID), st.binary(max_size=128)),
    st.builds(Tlv, st.just(tlv.SSL), facts.map(write_tls)),
    st.builds(Tlv, st.integers(0xE0, 0xEF), st.binary(max_size=40)),
)


def _hosts(version: Literal[4, 6]) -> st.SearchStrategy[str]:
    return st.ip_addresses(v=version).map(str).filter(lambda text: "%" not in text)


@st.composite
def headers(draw: st.DrawFn, *, version: int = 2) -> ProxyHeader:
    """Draw a header with the addresses of one family; version 2 also with fields."""
    kinds: list[Protocol] = ["tcp4", "tcp6"] if version == 1 else ["tcp4", "tcp6", "udp4", "udp6"]
    protocol = draw(st.sampled_from(kinds))
    hosts = _hosts(6 if protocol[3] == "6" else 4)
    tlvs = draw(st.lists(fields, max_size=4)) if version == 2 else []
    source, destination = draw(hosts), draw(hosts)
    return ProxyHeader(
        version, False, protocol, source, draw(_ports), destination, draw(_ports), tuple(tlvs)
    )


def is_numeric(host: str) -> bool:
    """Return whether a host is an IP address in its shortest form."""
    return str(ipaddress.ip_address(host)) == host
