"""Varints: non-negative integers in as few bytes as possible, seven bits each, low bits first.

Also the cursor that reads them, and the other plain encodings: doubles, counted bytes, text.
Tested in tests/replay/test_format.py.
"""

from __future__ import annotations

import struct

_SHORT = [bytes((n,)) for n in range(128)]

_DOUBLE = struct.Struct("<d")


LONGEST_VARINT = 1024
"""Bytes of an encoded number: decoding takes quadratic time, so the length must be limited."""


class BrokenOctets(ValueError):
    """The data cannot be decoded: it is damaged or too short."""


def varint(number: int) -> bytes:
    """Encode a number. Raises ValueError if it is negative, or longer than LONGEST_VARINT."""
    if 0 <= number < 128:
        return _SHORT[number]
    if number < 0:
        raise ValueError(f"{number} is negative")
    if number.bit_length() > 7 * LONGEST_VARINT:
        raise ValueError(f"a number of {number.bit_length()} bits is too large")
    octets = bytearray()
    while number >= 128:
        octets.append(number & 127 | 128)
        number >>= 7
    octets.append(number)
    return bytes(octets)


class Cursor:
    """A read position in bytes. All methods raise BrokenOctets when the data ends too early."""

    __slots__ = ("data", "high", "place")

    def __init__(self, data: bytes) -> None:
        self.data = data
        """All the bytes."""
        self.place = 0
        """The number of bytes that have been read."""
        self.high = False
        """Whether the high bit of the current entry's opcode is set."""

    @property
    def left(self) -> int:
        """The number of bytes not read yet."""
        return len(self.data) - self.place

    def octet(self) -> int:
        """Read a byte."""
        try:
            octet = self.data[self.place]
        except IndexError:
            raise BrokenOctets("the data ends inside an entry") from None
        self.place += 1
        return octet

    def varint(self) -> int:
        """Read a number."""
        try:  # octet() inlined: most of a log are numbers of one byte
            octet = self.data[self.place]
        except IndexError:
            raise BrokenOctets("the data ends inside an entry") from None
        self.place += 1
        if octet < 128:
            return octet
        number = octet & 127
        shift = 7
        while octet & 128:
            octet = self.octet()
            number |= (octet & 127) << shift
            shift += 7
            if shift > 7 * LONGEST_VARINT:
                raise BrokenOctets(f"a number is longer than {LONGEST_VARINT} bytes")
        return number

    def double(self) -> float:
        """Read a floating point number of eight bytes."""
        return float(_DOUBLE.unpack(self.take(8))[0])

    def take(self, count: int) -> bytes:
        """Read `count` bytes."""
        if count > self.left:
            raise BrokenOctets("the data ends inside an entry")
        begin = self.place
        self.place += count
        return self.data[begin : self.place]

    def counted(self) -> bytes:
        """Read a count, then that many bytes."""
        return self.take(self.varint())

    def text(self) -> str:
        """Read a count of bytes, then text of that length."""
        try:
            return self.counted().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise BrokenOctets(str(error)) from None


def double(number: float) -> bytes:
    """Encode a floating point number."""
    return _DOUBLE.pack(number)


def counted(data: bytes) -> bytes:
    """Encode bytes, preceded by their count."""
    return varint(len(data)) + data


def text(text: str) -> bytes:
    """Encode text, preceded by its count of bytes."""
    return counted(text.encode("utf-8", "surrogatepass"))
