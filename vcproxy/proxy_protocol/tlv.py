"""Tlv: the fields of type, length and value after the addresses of a header of version 2.

The names of the types are those of HAProxy's doc/proxy-protocol.txt, section 2.2, without PP2_TYPE.
Tested in tests/proxy_protocol/test_parser.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

ALPN, AUTHORITY, CRC32C, NOOP, UNIQUE_ID, SSL, NETNS = 0x01, 0x02, 0x03, 0x04, 0x05, 0x20, 0x30
SSL_VERSION, SSL_CN, SSL_CIPHER, SSL_SIG_ALG, SSL_KEY_ALG = 0x21, 0x22, 0x23, 0x24, 0x25

CLIENT_SSL, CLIENT_CERT_CONN, CLIENT_CERT_SESS = 0x01, 0x02, 0x04
"""The bits of `client` in SSL: the client uses TLS; it has presented a certificate on this
connection; it has presented one in this TLS session, perhaps on an earlier connection."""

LONGEST_UNIQUE_ID = 128
"""Bytes: section 2.2.5."""

_HEAD = 3
"""Bytes of a type and a length."""

_SSL_HEAD = 5
"""Bytes of `client` and `verify`."""


class InvalidTlv(ValueError):
    """A field contradicts the header or itself. `position`: its index in the data that were
    read."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(reason)
        self.position = position


class Tlv(NamedTuple):
    """One field."""

    kind: int
    """Its type, 0 to 255; 0xE0 to 0xEF belong to the applications."""
    value: bytes


class TlsFacts(NamedTuple):
    """The TLS of a client, as a sender has announced it."""

    encrypted: bool
    """Whether the client uses TLS."""
    certificate: bool
    """Whether it has presented a certificate, on this connection or in this TLS session."""
    verified: bool
    """Whether that certificate was valid. In the protocol the field `verify` is 0 also for a client
    without a certificate: here that is False."""
    version: str | None = None
    """As "TLSv1.3"."""
    cipher: str | None = None
    name: str | None = None
    """The common name of the certificate's subject."""
    signature_algorithm: str | None = None
    key_algorithm: str | None = None


def read_tlvs(data: bytes, start: int = 0) -> tuple[Tlv, ...]:
    """Return the fields that fill `data` from `start`. Raises InvalidTlv."""
    found = []
    end = len(data)
    while start < end:
        if end - start < _HEAD:
            raise InvalidTlv(f"{end - start} bytes are left over after its fields", start)
        size = data[start + 1] << 8 | data[start + 2]
        rest = end - start - _HEAD
        if size > rest:
            text = f"a field of type 0x{data[start]:02x} claims {size} bytes and has {rest}"
            raise InvalidTlv(text, start + 1)
        found.append(Tlv(data[start], data[start + _HEAD : start + _HEAD + size]))
        start += _HEAD + size
    return tuple(found)


def check_tlvs(data: bytes, start: int, tlvs: Iterable[Tlv]) -> int:
    """Check the values of the fields that `read_tlvs` has returned for the same arguments.

    Return the index of the value of CRC32C; 0: there is none. Raises InvalidTlv.
    """
    checksum = 0
    for kind, value in tlvs:
        at = start + _HEAD
        start = at + len(value)
        if kind == CRC32C:
            if len(value) != 4:
                raise InvalidTlv(f"its checksum has {len(value)} bytes instead of 4", at)
            checksum = checksum or at
        elif kind == UNIQUE_ID and len(value) > LONGEST_UNIQUE_ID:
            text = f"its unique id has {len(value)} bytes: {LONGEST_UNIQUE_ID} are allowed"
            raise InvalidTlv(text, at)
        elif kind == AUTHORITY:
            try:
                value.decode()
            except UnicodeDecodeError as error:
                raise InvalidTlv("its host name is not UTF-8", at + error.start) from None
        elif kind == SSL:
            if len(value) < _SSL_HEAD:
                raise InvalidTlv(f"its field on TLS has {len(value)} bytes: 5 are needed", at)
            try:
                read_tlvs(value, _SSL_HEAD)
            except InvalidTlv as error:
                text = f"in its field on TLS, {error}"
                raise InvalidTlv(text, at + error.position) from None
    return checksum


def read_tls(value: bytes) -> TlsFacts:
    """Return what the value of an SSL field says; `check_tlvs` has accepted it."""
    bits, failed = value[0], any(value[1:_SSL_HEAD])
    parts: dict[int, str] = {}
    for kind, text in read_tlvs(value, _SSL_HEAD):
        parts.setdefault(kind, text.decode("utf-8", "replace"))
    presented = bool(bits & (CLIENT_CERT_CONN | CLIENT_CERT_SESS))
    return TlsFacts(
        bool(bits & CLIENT_SSL),
        presented,
        presented and not failed,
        *map(parts.get, (SSL_VERSION, SSL_CIPHER, SSL_CN, SSL_SIG_ALG, SSL_KEY_ALG)),
    )


def write_tls(facts: TlsFacts) -> bytes:
    """Return the value of the SSL field that says this.

    `verify` is 0 for a verified certificate only, as the protocol demands, so that a receiver that
    looks at nothing else is right too. HAProxy 2.6 sends 0 also for a client without a certificate.
    """
    bits = CLIENT_SSL if facts.encrypted else 0
    if facts.certificate:
        bits |= CLIENT_CERT_CONN | CLIENT_CERT_SESS
    head = bytes((bits, 0, 0, 0, not facts.verified))
    parts = (
        (SSL_VERSION, facts.version),
        (SSL_CN, facts.name),
        (SSL_CIPHER, facts.cipher),
        (SSL_SIG_ALG, facts.signature_algorithm),
        (SSL_KEY_ALG, facts.key_algorithm),
    )
    return head + write_tlvs(Tlv(kind, text.encode()) for kind, text in parts if text is not None)


def write_tlvs(tlvs: Iterable[Tlv]) -> bytes:
    """Return fields as bytes. The length of each value must fit in 16 bits."""
    return b"".join(_pieces(tlvs))


def _pieces(tlvs: Iterable[Tlv]) -> Iterator[bytes]:
    for kind, value in tlvs:
        yield bytes((kind,)) + len(value).to_bytes(2, "big")
        yield value
