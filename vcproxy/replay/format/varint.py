"""Varints: whole numbers from 0 in as few bytes as they need, seven bits to each, the low first."""

from __future__ import annotations

import struct

_SHORT = [bytes((n,)) for n in range(128)]

_DOUBLE = struct.Struct("<d")


class BrokenOctets(ValueError):
    """What is to be read is not what was written."""


def varint(number: int) -> bytes:
    """Write a number. Raises ValueError if it is below 0."""
    if 0 <= number < 128:
        return _SHORT[number]
    if number < 0:
        raise ValueError(f"{number} is below 0")
    octets = bytearray()
    while number >= 128:
        octets.append(number & 127 | 128)
        number >>= 7
    octets.append(number)
    return bytes(octets)


class Cursor:
    """A place in bytes, read from the front. All methods raise BrokenOctets at the end of them."""

    __slots__ = ("data", "high", "place")

    def __init__(self, data: bytes) -> None:
        self.data = data
        """All of them."""
        self.place = 0
        """How much has been read."""
        self.high = False
        """Whether the high bit of the present entry's opcode is set."""

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.place

    def octet(self) -> int:
        """The next byte."""
        try:
            octet = self.data[self.place]
        except IndexError:
            raise BrokenOctets("something is missing at its end") from None
        self.place += 1
        return octet

    def varint(self) -> int:
        """The next number."""
        octet = self.octet()
        if octet < 128:
            return octet
        number = octet & 127
        shift = 7
        while octet & 128:
            octet = self.octet()
            number |= (octet & 127) << shift
            shift += 7
        return number

    def double(self) -> float:
        """The next floating point number, of eight bytes."""
        return float(_DOUBLE.unpack(self.take(8))[0])

    def take(self, count: int) -> bytes:
        """The next so many bytes."""
        if count > self.left:
            raise BrokenOctets("something is missing at its end")
        begin = self.place
        self.place += count
        return self.data[begin : self.place]

    def counted(self) -> bytes:
        """The next bytes, which stand behind their number."""
        return self.take(self.varint())

    def text(self) -> str:
        """The same, as text."""
        try:
            return self.counted().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise BrokenOctets(str(error)) from None


def double(number: float) -> bytes:
    """Write a floating point number."""
    return _DOUBLE.pack(number)


def counted(data: bytes) -> bytes:
    """Write bytes behind their number."""
    return varint(len(data)) + data


def text(text: str) -> bytes:
    """Write text."""
    return counted(text.encode("utf-8", "surrogatepass"))
