"""Framing: where one message of a stream ends and the next one begins.

A framing is immutable. Its decoder takes the bytes of one stream in pieces of any size and returns
complete messages; how the stream is cut makes no difference. It never raises: when no more messages
can be found it has a `fault`, and returns nothing after it. `encode` is the inverse of the decoder.

    lines()                    messages end in a newline; a CR before it is kept
    delimiter(b"\\r\\n")         messages end in these bytes
    json_lines()               lines; blank lines are ignored
    length_prefix(4)           each begins with its length in 1, 2, 4 or 8 bytes
    netstring()                5:hello,
    fixed("1KiB")              all have the same size

Any object with `decoder()` and `encode()` is a framing: see the protocol Framing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from vcproxy.engine.units import show_size, size
from vcproxy.framing.decoding import (
    Decoder,
    DelimiterDecoder,
    FramingError,
    LengthDecoder,
    Measure,
    PassthroughDecoder,
)

LIMIT = "64KiB"
"""The default limit of a message: the line limit of asyncio's streams."""

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
    """How messages are encoded in a stream.

    A framing of serial lines has the attribute `noisy`, which is true: what is Damaged may be bytes
    between two messages, and not one of them; and late messages come on the next connection too.
    See Splitter.in_flight and LateAnswers.
    """

    def decoder(self) -> Decoder:
        """Return a decoder for a new stream."""

    def encode(self, message: bytes) -> bytes:
        """Return a message with its framing.

        Raises ValueError for a message that a decoder would not return: one over the limit, or with
        a delimiter inside, which would be decoded as two messages.
        """


@dataclass(frozen=True, slots=True)
class Delimited:
    """Each message ends in the delimiter. See `lines`, `delimiter`, `json_lines`."""

    delimiter: bytes
    limit: int
    skips_blank: bool = False

    def decoder(self) -> Decoder:
        """See Framing."""
        return DelimiterDecoder(self.delimiter, self.limit, self.skips_blank)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        wire = message + self.delimiter
        # `in message` would not suffice: a delimiter may begin in the last bytes of the message and
        # end in the added delimiter.
        if wire.find(self.delimiter) == len(message) <= self.limit:
            return wire
        check_size(message, self.limit)
        raise ValueError(f"a message may not contain the delimiter {self.delimiter!r}")


@dataclass(frozen=True, slots=True)
class LengthPrefix:
    """Each message begins with its length. See `length_prefix`."""

    width: int
    order: Order
    inclusive: bool
    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return LengthDecoder(self.measure)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        check_size(message, self.limit)
        length = len(message) + (self.width if self.inclusive else 0)
        return length.to_bytes(self.width, self.order) + message

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measurer."""
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
    """Each message is between its length and a comma: 5:hello, is hello. See `netstring`."""

    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return LengthDecoder(self.measure)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        check_size(message, self.limit)
        return b"%d:%b," % (len(message), message)

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measurer."""
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
    """All messages have the same size. See `fixed`."""

    size: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return LengthDecoder(self.measure)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        if len(message) != self.size:
            raise ValueError(f"a message has {len(message)} bytes: it must have {self.size}")
        return message

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measurer."""
        end = at + self.size
        return (at, end, end) if end <= len(data) else self.size


@dataclass(frozen=True, slots=True)
class Unframed:
    """No messages: every piece of the stream is passed on unchanged. See UNFRAMED."""

    def decoder(self) -> Decoder:
        """See Framing."""
        return PassthroughDecoder()

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        return message


def reframe_with(framing: Framing, received: Framing) -> Callable[[bytes], bytes]:
    """Return a function that encodes messages which were received with the framing `received`.

    If that is the same, it is `encode` without the check that a decoder has made already, where
    that takes time: the attribute `reframe` of a framing. A changed message must not be passed.
    """
    encode: Callable[[bytes], bytes] = framing.encode
    return getattr(framing, "reframe", encode) if framing is received else encode


UNFRAMED: Framing = Unframed()
"""The framing of streams that are not split into messages."""

# -- for authors -----------------------------------------------------------------------------


def lines(limit: str | int = LIMIT) -> Framing:
    """Return the framing of messages that end in a newline. A CR before it is kept."""
    return Delimited(b"\n", byte_limit(limit))


def delimiter(between: bytes, limit: str | int = LIMIT) -> Framing:
    """Return the framing of messages that end in `between`. Raises ValueError if it is empty."""
    if not between:
        raise ValueError("a delimiter needs at least one byte")
    return Delimited(between, byte_limit(limit))


def json_lines(limit: str | int = LIMIT) -> Framing:
    """Return the framing of one JSON text a line. Blank lines are ignored, JSON is not checked."""
    return Delimited(b"\n", byte_limit(limit), skips_blank=True)


def length_prefix(
    width: int = 4,
    order: Order = "big",
    inclusive: bool = False,
    limit: str | int = LIMIT,
) -> Framing:
    """Return the framing of messages after their length, in `width` (1, 2, 4 or 8) bytes.

    With `inclusive` the length includes its own bytes. A limit above the largest length that
    `width` bytes can hold is lowered to it. Raises ValueError for another width.
    """
    if width not in (1, 2, 4, 8):
        raise ValueError(f"a length prefix of {width} bytes: it must have 1, 2, 4 or 8")
    longest = (1 << (8 * width)) - 1 - (width if inclusive else 0)
    return LengthPrefix(width, order, inclusive, min(byte_limit(limit), longest))


def netstring(limit: str | int = LIMIT) -> Framing:
    """Return the framing of netstrings: 5:hello, (https://cr.yp.to/proto/netstrings.txt)."""
    return Netstring(byte_limit(limit))


def fixed(each: str | int) -> Framing:
    """Return the framing of messages of one size. Raises ValueError for a size of 0."""
    if not byte_limit(each):
        raise ValueError("a fixed message size must be at least 1 byte")
    return Fixed(byte_limit(each))


# -- for the other framings ------------------------------------------------------------------


def byte_limit(limit: str | int) -> int:
    """Return a limit in bytes. Raises ValueError for a text that is not a size."""
    return size(limit) if isinstance(limit, str) else limit


def check_size(message: bytes, limit: int) -> None:
    """Raise ValueError if the message is over the limit."""
    if len(message) > limit:
        raise ValueError(f"a message of {len(message)} bytes is over the limit {show_size(limit)}")
