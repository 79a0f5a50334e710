"""CHECKS: checksums by name, as they stand on the wire.

A check is computed over bytes and compared with the bytes that the sender put beside them. See
`checked`, and the framings that have a check of their own.
"""

from __future__ import annotations

import zlib
from binascii import crc_hqx
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from vcproxy.proxy_protocol.crc32c import crc32c


@dataclass(frozen=True, slots=True)
class CheckSum:
    """A kind of checksum."""

    name: str
    width: int
    """The number of bytes of its wire form."""
    of: Callable[[bytes], bytes]
    """Returns the checksum of the bytes, in its wire form."""


def check_sum(name: str) -> CheckSum:
    """Return the check of this name. Raises ValueError, with the names there are."""
    try:
        return CHECKS[name]
    except KeyError:
        raise ValueError(f'there is no check "{name}": use one of {", ".join(CHECKS)}') from None


@cache
def _table() -> tuple[int, ...]:
    """The remainders of all bytes for CRC-16, whose polynomial is reflected."""
    remainders = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
        remainders.append(byte)
    return tuple(remainders)


def _crc16_modbus(data: bytes) -> bytes:
    """CRC-16 of the Modbus serial line specification 1.02, appendix B; low byte first."""
    table, crc = _table(), 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def _crc32c(data: bytes) -> bytes:
    """CRC-32C (iSCSI, also of SCTP); low byte first."""
    return crc32c(data).to_bytes(4, "little")


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _crc16_x25(data: bytes) -> bytes:
    """The frame check sequence of HDLC and PPP (RFC 1662, C.2); low byte first.

    It is the CRC of binascii with the bits of each byte reversed: in C, instead of a loop.
    """
    crc = crc_hqx(data.translate(_REVERSED), 0xFFFF) ^ 0xFFFF
    return crc.to_bytes(2, "big").translate(_REVERSED)


def _crc16_ccitt(data: bytes) -> bytes:
    return crc_hqx(data, 0xFFFF).to_bytes(2, "big")


def _crc16_xmodem(data: bytes) -> bytes:
    return crc_hqx(data, 0).to_bytes(2, "big")


def _crc32(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def _crc32_little(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


UNROLLED = 256


def xor_of(data: bytes) -> int:
    """Return the XOR of all bytes: of the halves of one large number, then of one of these halves.

    For a sentence of 66 bytes this takes a third of the time of a loop over its bytes.
    """
    number = int.from_bytes(data, "little")
    if len(data) > UNROLLED:
        shift = 4 << (len(data) - 1).bit_length()
        while shift > 4 * UNROLLED:
            number ^= number >> shift
            shift >>= 1
    number ^= number >> 1024
    number ^= number >> 512
    number ^= number >> 256
    number ^= number >> 128
    number ^= number >> 64
    number &= 0xFFFFFFFFFFFFFFFF
    number ^= number >> 32
    number ^= number >> 16
    return (number ^ number >> 8) & 0xFF


def sum_of(data: bytes) -> int:
    """Return the sum of all bytes, modulo 256.

    Adler-32, which is computed in C, is 1 and this sum, modulo 65521; that of 256 bytes is less.
    """
    if len(data) <= UNROLLED:
        return (zlib.adler32(data) - 1) & 0xFF
    view = memoryview(data)
    pieces = (view[at : at + UNROLLED] for at in range(0, len(data), UNROLLED))
    return sum(zlib.adler32(piece) - 1 for piece in pieces) & 0xFF


def _xor(data: bytes) -> bytes:
    return bytes((xor_of(data),))


def _xor_hex(data: bytes) -> bytes:
    """As in NMEA 0183: two digits of upper case."""
    return b"%02X" % xor_of(data)


def _sum(data: bytes) -> bytes:
    return bytes((sum_of(data) & 0xFF,))


def _sum_hex(data: bytes) -> bytes:
    """As in ASTM E1381: two digits of upper case."""
    return b"%02X" % (sum_of(data) & 0xFF)


def _lrc(data: bytes) -> bytes:
    """The two's complement of the sum: with it, all bytes add up to 0."""
    return bytes((-sum_of(data) & 0xFF,))


def _lrc_hex(data: bytes) -> bytes:
    """The LRC of digits, as in Modbus ASCII: of the bytes that the hexadecimal digits are.

    Data that is no hexadecimal digits has none: b"".
    """
    try:
        return b"%02X" % (-sum(bytes.fromhex(data.decode("ascii"))) & 0xFF)
    except ValueError:
        return b""


def _fix_sum(data: bytes) -> bytes:
    """The CheckSum of FIX, field 10: the sum in three decimal digits."""
    return b"%03d" % (sum_of(data) & 0xFF)


CHECKS: Mapping[str, CheckSum] = MappingProxyType(
    {
        name: CheckSum(name, width, of)
        for name, width, of in (
            ("crc16-modbus", 2, _crc16_modbus),
            ("crc16-x25", 2, _crc16_x25),
            ("crc16-ccitt", 2, _crc16_ccitt),
            ("crc16-xmodem", 2, _crc16_xmodem),
            ("crc32", 4, _crc32),
            ("crc32-little", 4, _crc32_little),
            ("crc32c", 4, _crc32c),
            ("xor", 1, _xor),
            ("xor-hex", 2, _xor_hex),
            ("sum", 1, _sum),
            ("sum-hex", 2, _sum_hex),
            ("lrc", 1, _lrc),
            ("lrc-hex", 2, _lrc_hex),
            ("fix-sum", 3, _fix_sum),
        )
    }
)
"""Every check by its name."""
