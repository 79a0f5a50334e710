"""resp: the protocol of Redis, versions 2 and 3.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.decoding import Decoded, Decoder, FramingError, LengthDecoder, Measure
from vcproxy.framing.framing import LIMIT, Framing, byte_limit

LINES = frozenset(b"+-:_#,(")
"""Types that are one line: texts, errors, numbers, null, booleans."""

BLOBS = frozenset(b"$!=")
"""Types with a length and that many bytes: strings, errors, texts with a format."""

ITEMS = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2, ord("|"): 2}
"""Types with a number of items, and how many values each item has."""

NULLABLE = frozenset(b"$*")
"""Types of which -1 is the null of version 2."""

SHORTEST = 3
"""Bytes of the shortest value: null, of version 3."""


@dataclass(frozen=True, slots=True)
class Resp:
    """See `resp`."""

    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return RespDecoder(self.limit)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: here these are the messages."""
        return self.decoder()

    def reframe(self, message: bytes) -> bytes:
        """See `reframe_with`."""
        return message

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        found = _Reading(self.limit).measure(message, 0) if message else 1
        if type(found) is not tuple or found[2] != len(message):
            raise ValueError(f"{message[:40]!r} is not one whole value of RESP")
        return message


class _Reading:
    """Measures one stream: which values of the present one have been passed."""

    __slots__ = ("_limit", "_missing", "_passed", "_searched")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._passed = 0  # bytes of values that are complete
        self._missing = 1  # values that are not
        self._searched = 0  # bytes of an incomplete line in which no end begins

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measurer."""
        passed, missing, limit, size = self._passed, self._missing, self._limit, len(data)
        position, find = at + passed, data.find
        while missing:
            stop = find(b"\r\n", position + self._searched)
            if stop < 0:
                return self._incomplete(data, at, position, missing)
            self._searched = 0
            kind, behind = data[position], stop + 2
            if kind not in LINES:
                number = data[position + 1 : stop]
                if not number.isdigit() or len(number) > 15:
                    if number != b"-1" or kind not in NULLABLE:
                        return FramingError.INVALID
                elif kind in BLOBS:
                    behind += int(number) + 2
                    if behind > size or behind - at > limit:
                        if behind - at + SHORTEST * (missing - 1) > limit:
                            return FramingError.OVERSIZED
                        return self._wait(position - at, missing, behind - at)
                    if data[behind - 2] != 13 or data[behind - 1] != 10:
                        return FramingError.INVALID
                elif kind in ITEMS:
                    missing += int(number) * ITEMS[kind] + (kind == 0x7C)  # an attribute is none
                else:
                    return FramingError.INVALID
            position = behind
            missing -= 1
            if position - at + SHORTEST * missing > limit:
                return FramingError.OVERSIZED
        self._passed, self._missing = 0, 1
        return at, position, position

    def _incomplete(self, data: bytes, at: int, position: int, missing: int) -> Measure:
        """Measure a value whose first line is not complete."""
        size = len(data)
        if size - at + SHORTEST * (missing - 1) > self._limit:
            return FramingError.OVERSIZED
        if position < size and data[position] not in _TYPES:
            return FramingError.INVALID
        self._searched = max(size - position - 1, 0)
        return self._wait(position - at, missing, size - at + 1)

    def _wait(self, passed: int, missing: int, needed: int) -> int:
        """Keep what has been passed, until there is more."""
        self._passed, self._missing = passed, missing
        return needed


KNOWN = 256
HEADS = tuple(b"$%d" % size for size in range(KNOWN))
"""The first lines of short strings."""

COUNTS = {b"*%d" % count: count for count in range(64)}
"""The first lines of short arrays, and how many values they have."""


class RespDecoder:
    """A LengthDecoder, and a shorter way for pieces that have whole commands and nothing else."""

    __slots__ = ("_decoder", "_limit", "fault")

    def __init__(self, limit: int) -> None:
        self.fault: FramingError | None = None
        self._limit = limit
        self._decoder = LengthDecoder(_Reading(limit).measure, in_place=True)

    def feed(self, data: bytes) -> Decoded:
        """See Decoder."""
        if self._decoder.empty and data.startswith(b"*") and data.endswith(b"\r\n"):
            commands = self._commands(data.split(b"\r\n"))
            if commands is not None:
                return commands
        found = self._decoder.feed(data)
        self.fault = self._decoder.fault
        return found

    def _commands(self, lines: list[bytes]) -> list[bytes] | None:
        """Return the commands of lines: arrays of strings, none of which has a line end inside.
        None: there is anything else."""
        commands = []
        at, last = 0, len(lines) - 1
        while at < last:
            end = at + 1 + 2 * COUNTS.get(lines[at], last)
            if end > last:
                return None
            for place in range(at + 1, end, 2):
                size = len(lines[place + 1])
                if lines[place] != (HEADS[size] if size < KNOWN else b"$%d" % size):
                    return None
            command = b"\r\n".join((*lines[at:end], b""))
            if len(command) > self._limit:
                return None
            commands.append(command)
            at = end
        return commands

    def finish(self) -> None:
        """See Decoder."""
        self._decoder.finish()
        self.fault = self._decoder.fault


_TYPES = LINES | BLOBS | ITEMS.keys()


def resp(limit: str | int = LIMIT) -> Framing:
    """Return the framing of RESP2 and RESP3, of clients and servers.

    A message is one whole value as it stands: a command is an array of strings. An attribute and
    the value that it describes are one message. Inline commands, which are no values, and values
    of unknown length are invalid framing.
    Source: Redis serialization protocol specification, https://redis.io/docs/reference/protocol-spec
    """
    return Resp(byte_limit(limit))
