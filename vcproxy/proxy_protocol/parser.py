"""The parser of PROXY protocol headers, versions 1 and 2: bytes in, values out.

The bytes are those at the begin of a connection, in pieces of any size: both functions are called
again with all of them when more have come. What does not begin as a header is refused at its first
wrong byte, without waiting for the rest.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from vcproxy.proxy_protocol.crc32c import crc32c
from vcproxy.proxy_protocol.header import Protocol, ProxyHeader
from vcproxy.proxy_protocol.tlv import InvalidTlv, Tlv, check_tlvs, read_tlvs

V1_MOST = 107
"""The bytes of the longest line of version 1 with its CRLF: two full IPv6 addresses and ports."""

V2_MOST = 4096
"""The most bytes of a header of version 2 that are accepted. The protocol allows 65,551; nginx
takes 4096 too. With addresses and all fields but certificates a header has less than 1000."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""The first bytes of version 2: no other protocol begins like this."""

_V1 = b"PROXY "
_HEAD = 16
"""The bytes of version 2 before the addresses."""
_LOCAL, _PROXY = 0x20, 0x21

_FAMILIES: dict[int, tuple[Protocol, int]] = {
    0x00: ("", 0),
    0x11: ("tcp4", 12),
    0x12: ("udp4", 12),
    0x21: ("tcp6", 36),
    0x22: ("udp6", 36),
    0x31: ("unix", 216),
    0x32: ("unixgram", 216),
}
"""By the byte of family and transport: the protocol, and the bytes of its addresses."""


class InvalidHeader(ValueError):
    """The bytes are no valid header.

    `position` is the index of the first wrong byte, where there is one; a header that is too long
    is wrong at the first byte beyond the limit.
    """

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(reason)
        self.position = position


class Parsed(NamedTuple):
    """A complete header, and the number of bytes it takes."""

    header: ProxyHeader
    size: int


def header_size(data: bytes) -> int:
    """Return how many bytes the header at the begin of `data` takes; 0: more are needed to see it.

    The result may be larger than `data`, which then is only the first part. Raises InvalidHeader.
    """
    if data[:12] == SIGNATURE:
        if len(data) < _HEAD:
            return 0
        size = _HEAD + (data[14] << 8 | data[15])
        if size > V2_MOST:
            raise InvalidHeader(f"it has {size} bytes: {V2_MOST} are allowed", 14)
        return size
    if data[:6] == _V1:
        end = data.find(b"\n", 0, V1_MOST)
        if end >= 0 and data[end - 1 : end] != b"\r":
            raise InvalidHeader("its line ends with LF alone: CRLF is needed", end)
        if end >= 0:
            return end + 1
        if len(data) >= V1_MOST:
            raise InvalidHeader(f"its line is longer than {V1_MOST} bytes", V1_MOST)
        return 0
    start = SIGNATURE if data[:1] == b"\r" else _V1
    same = next((at for at, (a, b) in enumerate(zip(data, start, strict=False)) if a != b), None)
    if same is not None:
        raise InvalidHeader("it does not begin as one", same)
    return 0


def parse(data: bytes) -> Parsed | None:
    """Return the header at the begin of `data`; None: more bytes are needed.

    Raises InvalidHeader. Bytes after the header belong to the application.
    """
    size = header_size(data)
    if not size or len(data) < size:
        return None
    header = _version_1(data[: size - 2]) if data[0] == _V1[0] else _version_2(data[:size])
    return Parsed(header, size)


def _version_1(line: bytes) -> ProxyHeader:
    """Return the header of a line without its CRLF. Section 2.1."""
    words = line.split(b" ")
    protocol = words[1]
    if protocol == b"UNKNOWN":  # what follows must be ignored
        return ProxyHeader(1)
    if protocol not in (b"TCP4", b"TCP6"):
        raise InvalidHeader("its protocol is not TCP4, TCP6 or UNKNOWN", len(_V1))
    if len(words) != 6:
        text = f"it has {len(words)} words instead of 6, one space between them"
        raise InvalidHeader(text, len(line))
    positions = [sum(map(len, words[:index])) + index for index in range(6)]
    kind = IPv4Address if protocol == b"TCP4" else IPv6Address
    source, destination = (_host(kind, words[i], positions[i]) for i in (2, 3))
    ports = [_port(words[i], positions[i]) for i in (4, 5)]
    family: Protocol = "tcp4" if protocol == b"TCP4" else "tcp6"
    return ProxyHeader(1, False, family, source, ports[0], destination, ports[1])


def _host(kind: type[IPv4Address] | type[IPv6Address], word: bytes, position: int) -> str:
    text = word.decode("latin-1")
    try:
        if "%" in text:  # a zone (RFC 4007, 11) names an interface of the sender
            raise ValueError
        return str(kind(text))
    except ValueError:
        name = "an IPv4 address" if kind is IPv4Address else "an IPv6 address"
        raise InvalidHeader(f"{_shown(word)} is not {name}", position) from None


def _port(word: bytes, position: int) -> int:
    valid = word.isdigit() and len(word) <= 5 and (word[:1] != b"0" or len(word) == 1)
    if not valid or int(word) > 65535:
        raise InvalidHeader(f"{_shown(word)} is not a port, 0 to 65535", position)
    return int(word)


def _shown(word: bytes) -> str:
    return '"' + ascii(word.decode("latin-1"))[1:-1].replace('"', r"\"") + '"'


def _version_2(data: bytes) -> ProxyHeader:
    """Return the header of these bytes. Section 2.2."""
    command = data[12]
    if command == _LOCAL:  # the rest must be discarded
        return ProxyHeader(2, True)
    if command != _PROXY:
        what = f"version {command >> 4}" if command >> 4 != 2 else f"command {command & 15}"
        raise InvalidHeader(f"its {what} is not known", 12)
    try:
        protocol, length = _FAMILIES[data[13]]
    except KeyError:
        text = f"its family and transport, 0x{data[13]:02x}, are not known"
        raise InvalidHeader(text, 13) from None
    start = _HEAD + length
    if len(data) < start:
        text = f"it has {len(data) - _HEAD} bytes of addresses: {length} are needed"
        raise InvalidHeader(text, 14)
    tlvs = _tlvs(data, start) if len(data) > start else ()
    if not length:
        return ProxyHeader(2, tlvs=tlvs)
    if length == 12:
        a, b, c, d, e, f, g, h, p, q, r, s = data[16:28]
        source, destination = f"{a}.{b}.{c}.{d}", f"{e}.{f}.{g}.{h}"
        return ProxyHeader(2, False, protocol, source, p << 8 | q, destination, r << 8 | s, tlvs)
    if length == 36:
        source, destination = str(IPv6Address(data[16:32])), str(IPv6Address(data[32:48]))
        p, q, r, s = data[48:52]
        return ProxyHeader(2, False, protocol, source, p << 8 | q, destination, r << 8 | s, tlvs)
    source, destination = _path(data[16:124]), _path(data[124:232])
    return ProxyHeader(2, False, protocol, source, 0, destination, 0, tlvs)


def _tlvs(data: bytes, start: int) -> tuple[Tlv, ...]:
    try:
        tlvs = read_tlvs(data, start)
        at = check_tlvs(data, start, tlvs)
    except InvalidTlv as error:
        raise InvalidHeader(str(error), error.position) from None
    if at and crc32c(data[:at] + bytes(4) + data[at + 4 :]) != int.from_bytes(data[at : at + 4]):
        raise InvalidHeader("its checksum is wrong: it was damaged on the way", at)
    return tlvs


def _path(field: bytes) -> str:
    """Return the path in a field: up to the first NUL, but that of an abstract socket's name."""
    end = field.find(b"\0", 1)
    path = field if end < 0 else field[:end]
    return "" if path == b"\0" else path.decode("utf-8", "backslashreplace")
