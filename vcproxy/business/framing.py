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

import enum
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from vcproxy.engine.units import show_size, size

LIMIT = "64KiB"
"""The longest message unless a framing says otherwise: what asyncio's streams take for a line."""

Order: TypeAlias = Literal["big", "little"]


class Fault(enum.Enum):
    """Why a stream cannot be read on."""

    OVERSIZED = "a message over the limit"
    GARBAGE = "no message begins like this"
    HALF = "half a message, then the end"


class Decoder(Protocol):
    """One stream on its way into messages."""

    fault: Fault | None
    """Set once the stream cannot be read on: after the messages that `feed` has given."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece, return the messages that it completes, in order."""

    def finish(self) -> None:
        """The stream has ended: what has begun and is not whole becomes the fault HALF."""


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
        return _Splitting(self)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        _check_size(message, self.limit)
        wire = message + self.delimiter
        # Not `in message`: together with the delimiter its end may make one more.
        if wire.find(self.delimiter) != len(message):
            raise ValueError(f"a message may not hold the delimiter {self.delimiter!r}")
        return wire


@dataclass(frozen=True, slots=True)
class LengthPrefix:
    """Each message says first how long it is. See `length_prefix`."""

    width: int
    order: Order
    inclusive: bool
    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return _Measuring(self)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        _check_size(message, self.limit)
        length = len(message) + (self.width if self.inclusive else 0)
        return length.to_bytes(self.width, self.order) + message

    def measure(self, data: bytes, at: int) -> Measure:
        """See _Measured."""
        start = at + self.width
        if len(data) < start:
            return self.width
        length = int.from_bytes(data[at:start], self.order)
        if self.inclusive:
            length -= self.width
        if length < 0:
            return Fault.GARBAGE
        if length > self.limit:
            return Fault.OVERSIZED
        end = start + length
        return (start, end, end) if end <= len(data) else end - at


@dataclass(frozen=True, slots=True)
class Netstring:
    """Each message stands between its length and a comma, as 5:hello, stands for hello."""

    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return _Measuring(self)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        _check_size(message, self.limit)
        return b"%d:%b," % (len(message), message)

    def measure(self, data: bytes, at: int) -> Measure:
        """See _Measured."""
        digits = len(str(self.limit))
        head = data[at : at + digits + 1]
        number, colon, _ = head.partition(b":")
        if (number or colon) and not number.isdigit():
            return Fault.GARBAGE
        if len(number) > 1 and number.startswith(b"0"):
            return Fault.GARBAGE
        if not colon:
            return Fault.OVERSIZED if len(head) > digits else len(head) + 1
        start = at + len(number) + 1
        end = start + int(number)
        if end - start > self.limit:
            return Fault.OVERSIZED
        if end >= len(data):
            return end + 1 - at
        return (start, end, end + 1) if data[end] == ord(",") else Fault.GARBAGE


@dataclass(frozen=True, slots=True)
class Fixed:
    """All messages have one size."""

    size: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return _Measuring(self)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        if len(message) != self.size:
            raise ValueError(f"a message has {len(message)} bytes: all must have {self.size}")
        return message

    def measure(self, data: bytes, at: int) -> Measure:
        """See _Measured."""
        end = at + self.size
        return (at, end, end) if end <= len(data) else self.size


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


# -- decoders --------------------------------------------------------------------------------


class _Splitting:
    """Decodes what stands between delimiters. Each byte is looked at twice at most."""

    __slots__ = ("_delimiter", "_held", "_limit", "_overlap", "_skips_blank", "fault")

    def __init__(self, framing: Delimited) -> None:
        self.fault: Fault | None = None
        self._delimiter = framing.delimiter
        self._limit = framing.limit
        self._skips_blank = framing.skips_blank
        self._overlap = len(framing.delimiter) - 1  # so much of a delimiter may have come
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """See Decoder."""
        held = self._held
        if held:
            fresh = max(len(held) - self._overlap, 0)
            held += data
            if held.find(self._delimiter, fresh) < 0:
                self._bound()
                return []
            data = bytes(held)
            held.clear()
        elif self.fault is not None:
            return []
        messages = data.split(self._delimiter)
        held += messages.pop()
        if len(data) > self._limit:
            messages = self._within(messages)
        if self._skips_blank:
            return [message for message in messages if message and not message.isspace()]
        return messages

    def finish(self) -> None:
        """See Decoder."""
        if self._held and not (self._skips_blank and self._held.isspace()):
            self.fault = Fault.HALF
        self._held.clear()

    def _within(self, messages: list[bytes]) -> list[bytes]:
        for number, message in enumerate(messages):
            if len(message) > self._limit:
                self._stop()
                return messages[:number]
        self._bound()
        return messages

    def _bound(self) -> None:
        if len(self._held) > self._limit + self._overlap:
            self._stop()

    def _stop(self) -> None:
        self.fault = Fault.OVERSIZED
        self._held.clear()


Measure: TypeAlias = tuple[int, int, int] | int | Fault
"""A message's start and stop and the end of its frame; or how long the frame is at least."""


class _Measured(Protocol):
    """A framing whose messages say at their beginning how long they are."""

    def measure(self, data: bytes, at: int) -> Measure:
        """Measure the frame that begins there; never from what may lie behind it."""


class _Measuring:
    """Decodes messages that say how long they are."""

    __slots__ = ("_framing", "_held", "_needed", "fault")

    def __init__(self, framing: _Measured) -> None:
        self.fault: Fault | None = None
        self._framing = framing
        self._held = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[bytes]:
        """See Decoder."""
        held = self._held
        if held:
            held += data
            if len(held) < self._needed:
                return []
            data = bytes(held)
            held.clear()
        elif self.fault is not None:
            return []
        messages: list[bytes] = []
        measure = self._framing.measure
        at, size = 0, len(data)
        while at < size:
            found = measure(data, at)
            if type(found) is tuple:
                start, stop, at = found
                messages.append(data[start:stop])
            elif type(found) is int:
                self._needed = found
                held += data[at:]
                break
            else:
                self.fault = found  # type: ignore[assignment]
                break
        return messages

    def finish(self) -> None:
        """See Decoder."""
        if self._held:
            self.fault = Fault.HALF
            self._held.clear()


def _bytes(limit: str | int) -> int:
    return size(limit) if isinstance(limit, str) else limit


def _check_size(message: bytes, limit: int) -> None:
    if len(message) > limit:
        raise ValueError(f"a message of {len(message)} bytes is over the limit {show_size(limit)}")
