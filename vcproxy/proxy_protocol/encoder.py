"""The encoder of PROXY protocol headers, versions 1 and 2."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from vcproxy.proxy_protocol.crc32c import crc32c
from vcproxy.proxy_protocol.header import ProxyHeader
from vcproxy.proxy_protocol.parser import SIGNATURE
from vcproxy.proxy_protocol.tlv import CRC32C, Tlv, write_tlvs

LOCAL = SIGNATURE + b"\x20\0\0\0"
"""The header of version 2 of a connection that the sender opens for itself. Receivers use their
peer's address for it, or none."""

UNKNOWN = b"PROXY UNKNOWN\r\n"
"""That of version 1, which has no other for a client without an IP address."""

_CHECKSUM = Tlv(CRC32C, bytes(4))
_BYTES = {"tcp4": b"\x11", "udp4": b"\x12", "tcp6": b"\x21", "udp6": b"\x22"}
_UNIX = {"unix": b"\x31", "unixgram": b"\x32"}


def encode_header(header: ProxyHeader) -> bytes:
    """Return a header in the form of its version, without a checksum: see `encode_v2`."""
    return encode_v1(header) if header.version == 1 else encode_v2(header)


def encode_v1(header: ProxyHeader) -> bytes:
    """Return a header as a line of version 1: addresses of TCP, or UNKNOWN.

    Raises ValueError if the addresses are not IP addresses.
    """
    if header.local or header.protocol not in ("tcp4", "tcp6"):
        return UNKNOWN
    source, destination = _alike(header.source, header.destination)
    kind = "TCP6" if ":" in source else "TCP4"
    ports = f"{header.source_port} {header.destination_port}"
    return f"PROXY {kind} {source} {destination} {ports}\r\n".encode("ascii")


def encode_v2(header: ProxyHeader, *, checksum: bool = False) -> bytes:
    """Return a header in the form of version 2, with its fields, and with a checksum if wanted.

    A local one, and one without addresses or fields, is LOCAL: there are receivers that refuse the
    family UNSPEC. Raises ValueError if the addresses are not IP addresses, OverflowError if a field
    or the whole does not fit in 16 bits of length.
    """
    protocol = header.protocol
    if header.local or not (protocol or header.tlvs):
        return LOCAL
    if protocol in _UNIX:
        kind = _UNIX[protocol]
        places = _padded(header.source) + _padded(header.destination)
    elif protocol:
        source, destination = header.source, header.destination
        if protocol[3] == "4" and ":" not in source + destination:
            a, b, c, d = source.split(".")
            e, f, g, h = destination.split(".")
            hosts = bytes((int(a), int(b), int(c), int(d), int(e), int(f), int(g), int(h)))
            kind = _BYTES[protocol]
        else:
            source, destination = _alike(source, destination, wide=True)
            hosts = IPv6Address(source).packed + IPv6Address(destination).packed
            kind = _BYTES["tcp6" if protocol[0] == "t" else "udp6"]
        ports = header.source_port << 16 | header.destination_port
        places = hosts + ports.to_bytes(4, "big")
    else:
        kind, places = b"\0", b""
    if not (header.tlvs or checksum):
        return b"%b\x21%b%b%b" % (SIGNATURE, kind, len(places).to_bytes(2, "big"), places)
    tlvs = tuple(each for each in header.tlvs if each.kind != CRC32C)
    if checksum:
        tlvs = (_CHECKSUM, *tlvs)
    body = places + write_tlvs(tlvs)
    whole = b"%b\x21%b%b%b" % (SIGNATURE, kind, len(body).to_bytes(2, "big"), body)
    if not checksum:
        return whole
    at = len(SIGNATURE) + 4 + len(places) + 3
    return whole[:at] + crc32c(whole).to_bytes(4, "big") + whole[at + 4 :]


def _alike(source: str, destination: str, *, wide: bool = False) -> tuple[str, str]:
    """Return two IP addresses of one family: IPv4 as IPv6 (RFC 4291, 2.5.5.2) if one is IPv6, or
    if `wide`."""
    pair = ip_address(source), ip_address(destination)
    if not wide and pair[0].version == pair[1].version:
        return str(pair[0]), str(pair[1])
    first, second = (
        f"::ffff:{each}" if isinstance(each, IPv4Address) else str(each) for each in pair
    )
    return first, second


def _padded(path: str) -> bytes:
    """Return the path of a Unix socket as 108 bytes, or none if it is longer."""
    octets = path.encode("utf-8", "surrogateescape")
    return (octets if len(octets) <= 108 else b"").ljust(108, b"\0")
