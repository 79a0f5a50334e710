"""Codec: what a datagram consists of: a number and a message, or a message alone.

The wire of the original (wink.md 1 and 2). Two differences, both only where the original loses
data: white space is stripped from the message only, never from the number, and a message that is
too long is refused instead of truncated.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Protocol

LARGEST: Final = 65_507
"""Limit of a datagram's bytes: an IPv4 packet without its headers."""

ACK: Final = b"ack"
"""The text of an acknowledgement. No other message can have it: see `Numbered.encode`."""

NUMBERS: Final = 2**64
"""How many numbers there are. The number after the last one is 0."""


class Malformed(ValueError):
    """A datagram that no peer of this protocol sends; the text is the reason."""


class Codec(Protocol):
    """Encodes and decodes datagrams."""

    acknowledged: bool
    """Whether datagrams have numbers, so that they can be acknowledged."""

    def encode(self, number: int, message: bytes) -> bytes:
        """Return the datagram. Raises ValueError, with the reason, if it cannot be sent."""

    def decode(self, datagram: bytes) -> tuple[int, bytes]:
        """Return number and message of a datagram. Raises Malformed."""


class Numbered:
    """Eight bytes of number, little-endian, then the text; the text of an acknowledgement is ack.

    New lines at the end of a text are stripped on arrival, as in the original, so that a datagram
    may be typed in a terminal.
    """

    acknowledged = True
    _pack = Struct("<Q").pack
    _unpack_from = Struct("<Q").unpack_from

    def encode(self, number: int, message: bytes) -> bytes:
        """Return number and text as one datagram. Raises ValueError if the text has more than
        65,499 bytes, or is that of an acknowledgement."""
        if len(message) > LARGEST - 8:
            raise ValueError(
                f"a message has at most {LARGEST - 8} bytes, this one has {len(message)}"
            )
        if message.startswith(ACK) and message.rstrip(b"\n") == ACK:
            raise ValueError(
                'a message cannot be "ack": on the wire it is the acknowledgement of a message'
            )
        return self._pack(number) + message

    def decode(self, datagram: bytes) -> tuple[int, bytes]:
        """Return number and text; Malformed if there are less than 8 bytes."""
        if len(datagram) < 8:
            raise Malformed(f"{len(datagram)} bytes, and the number alone has 8")
        return self._unpack_from(datagram)[0], datagram[8:].rstrip(b"\n")


class Legacy:
    """The text and a NUL byte: the wire of the original's first versions, without numbers."""

    acknowledged = False

    def encode(self, number: int, message: bytes) -> bytes:
        """Return the text with its NUL; the number is not used. Raises ValueError if the text has
        more than 65,506 bytes, or a NUL."""
        if len(message) >= LARGEST:
            raise ValueError(
                f"a message has at most {LARGEST - 1} bytes, this one has {len(message)}"
            )
        if b"\0" in message:
            raise ValueError("a message cannot contain a NUL byte: on the wire it ends the message")
        return message + b"\0"

    def decode(self, datagram: bytes) -> tuple[int, bytes]:
        """Return 0 and the text before the first NUL; Malformed if there is no NUL."""
        text, nul, _ = datagram.partition(b"\0")
        if not nul:
            raise Malformed("there is no NUL byte, which ends a message")
        return 0, text


NUMBERED: Final = Numbered()
LEGACY: Final = Legacy()
