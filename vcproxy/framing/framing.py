"""Framing: where one message of a stream ends and the next one begins.

A framing is a value. Its decoder takes the bytes of one stream in whatever pieces they come and
gives whole messages; the pieces never matter. It never raises: a stream that cannot be read on has
a `fault`, and gives nothing after it. `encode` writes what the decoder reads, or refuses.

    lines()                    messages end in a newline; a return before it belongs to the message
    delimiter(b"\\r\\n")         messages end in these bytes
    json_lines()               lines, of which the blank ones carry nothing
    length_prefix(4)           each says first how long it is, in 1, 2, 4 or 8 bytes
    netstring()                5:hello,
    fixed("1KiB")              all have one size

A framing of one's own is any object with `decoder()` and `encode()`, see the protocol Framing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from vcproxy.engine.units import show_size, size
from vcproxy.framing.decoding import Decoder, FramingError, Measure, Measuring, Passing, Splitting

LIMIT = "64KiB"
"""The longest message unless a framing says otherwise: what asyncio's streams take for a line."""

__all__ = [
    "UNFRAMED",
    "Decoder",
    "Framing",
    "FramingError",
    "delimiter",
    "fixed",
    "json_lines",
    "length_prefix",
    "lines",
    "netstring",
]

Order: TypeAlias = Literal["big", "little"]


class Framing(Protocol):
    """What a protocol's messages look like on the wire."""

    def decoder(self) -> Decoder:
        """A decoder at the beginning of a stream."""

    def encode(self, message: bytes) -> bytes:
        """Return a message as it stands on the wire.

        Raises ValueError for one that a decoder would not give back: over the limit, or with a
        delimiter inside, which would smuggle a second message.
        """


@dataclass(frozen=True, slots=True)
class Delimited:
    """Each message ends in the delimiter. See `lines`, `delimiter`, `json_lines`."""

    delimiter: bytes
    limit: int
    skips_blank: bool = False

    def decoder(self) -> Decoder:
        """See Framing."""
        return Splitting(self.delimiter, self.limit, self.skips_blank)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        wire = message + self.delimiter
        # Not `in message`: together with the delimiter its end may make one more.
        if wire.find(self.delimiter) == len(message) <= self.limit:
            return wire
        _check_size(message, self.limit)
        raise ValueError(f"a message may not hold the delimiter {self.delimiter!r}")


@dataclass(frozen=True, slots=True)
class LengthPrefix:
    """Each message says first how long it is. See `length_prefix`."""

    width: int
    order: Order
    inclusive: bool
    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return Measuring(self)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        _check_size(message, self.limit)
        length = len(message) + (self.width if self.inclusive else 0)
        return length.to_bytes(self.width, self.order) + message

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        start = at + self.width
        if len(data) < start:
            return self.width
        length = int.from_bytes(data[at:start], self.order)
        if self.inclusive:
            length -= self.width
        if length < 0:
            return FramingError.INVALID
        if length > self.limit:
            return FramingError.OVERSIZED
        end = start + length
        return (start, end, end) if end <= len(data) else end - at


@dataclass(frozen=True, slots=True)
class Netstring:
    """Each message stands between its length and a comma, as 5:hello, stands for hello."""

    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return Measuring(self)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        _check_size(message, self.limit)
        return b"%d:%b," % (len(message), message)

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        digits = len(str(self.limit))
        head = data[at : at + digits + 1]
        number, colon, _ = head.partition(b":")
        if (number or colon) and not number.isdigit():
            return FramingError.INVALID
        if len(number) > 1 and number.startswith(b"0"):
            return FramingError.INVALID
        if not colon:
            return FramingError.OVERSIZED if len(head) > digits else len(head) + 1
        start = at + len(number) + 1
        end = start + int(number)
        if end - start > self.limit:
            return FramingError.OVERSIZED
        if end >= len(data):
            return end + 1 - at
        return (start, end, end + 1) if data[end] == ord(",") else FramingError.INVALID


@dataclass(frozen=True, slots=True)
class Fixed:
    """All messages have one size."""

    size: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return Measuring(self)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        if len(message) != self.size:
            raise ValueError(f"a message has {len(message)} bytes: all must have {self.size}")
        return message

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        end = at + self.size
        return (at, end, end) if end <= len(data) else self.size


@dataclass(frozen=True, slots=True)
class Unframed:
    """No messages: every piece of the stream is passed on as it came. See UNFRAMED."""

    def decoder(self) -> Decoder:
        """See Framing."""
        return Passing()

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        return message


UNFRAMED: Framing = Unframed()
"""Where messages are not told apart."""

# -- how framings are written ----------------------------------------------------------------


def lines(limit: str | int = LIMIT) -> Framing:
    """Messages that end in a newline. A return before it belongs to the message."""
    return Delimited(b"\n", _bytes(limit))


def delimiter(between: bytes, limit: str | int = LIMIT) -> Framing:
    """Messages that end in these bytes. Raises ValueError if there are none."""
    if not between:
        raise ValueError("a delimiter needs at least one byte")
    return Delimited(between, _bytes(limit))


def json_lines(limit: str | int = LIMIT) -> Framing:
    """JSON texts, one in each line. Blank lines are no messages; whether it is JSON is not seen."""
    return Delimited(b"\n", _bytes(limit), skips_blank=True)


def length_prefix(
    width: int = 4,
    order: Order = "big",
    inclusive: bool = False,
    limit: str | int = LIMIT,
) -> Framing:
    """Messages behind their length in `width` (1, 2, 4, 8) bytes; inclusive: it counts itself.

    Raises ValueError for another number of bytes. A limit that the length cannot express is
    lowered to the longest that it can.
    """
    if width not in (1, 2, 4, 8):
        raise ValueError(f"a length of {width} bytes: it has 1, 2, 4 or 8")
    longest = (1 << (8 * width)) - 1 - (width if inclusive else 0)
    return LengthPrefix(width, order, inclusive, min(_bytes(limit), longest))


def netstring(limit: str | int = LIMIT) -> Framing:
    """Messages as D. J. Bernstein's netstrings: 5:hello,"""
    return Netstring(_bytes(limit))


def fixed(each: str | int) -> Framing:
    """Messages of one size. Raises ValueError for a size of 0."""
    if not _bytes(each):
        raise ValueError("messages need a size of at least 1 byte")
    return Fixed(_bytes(each))


def _bytes(limit: str | int) -> int:
    return size(limit) if isinstance(limit, str) else limit


def _check_size(message: bytes, limit: int) -> None:
    if len(message) > limit:
        raise ValueError(f"a message of {len(message)} bytes is over the limit {show_size(limit)}")
