"""header_fields: messages behind fields, one of which is their length.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from vcproxy.framing.decoding import Decoder, FramingError, LengthDecoder, Measure, unchanged
from vcproxy.framing.framing import LIMIT, Framing, byte_limit, check_size
from vcproxy.framing.measured import Measured

HEAD_LIMIT = 8 << 10
"""The longest head: as of HTTP servers. It also keeps a search for its end short."""

FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
START_LINE = re.compile(rb"[^\r\n\0 \t][^\r\n\0]*")


@dataclass(frozen=True, slots=True)
class HeaderFields(Measured):
    """See `header_fields`."""

    length_field: str
    whole: bool
    limit: int
    alone: re.Pattern[bytes]
    """A head that has the length only."""

    def decoder(self) -> Decoder:
        """See Framing."""
        return LengthDecoder(self.measure, in_place=True)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        return LengthDecoder(self.measure, whole=True, in_place=True)

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        alone = self.alone.match(data, at)
        if alone is not None:
            return self._found(data, at, alone.end(), int(alone[1]))
        stop = data.find(b"\r\n\r\n", at, at + HEAD_LIMIT)
        if stop < 0:
            known = len(data) - at
            return FramingError.OVERSIZED if known >= HEAD_LIMIT else known + 1
        length = self._length(data[at:stop])
        if length is None:
            return FramingError.INVALID
        return self._found(data, at, stop + 4, length)

    def _found(self, data: bytes, at: int, start: int, length: int) -> Measure:
        end = start + length
        first = at if self.whole else start
        if end - first > self.limit:
            return FramingError.OVERSIZED
        return (first, end, end) if end <= len(data) else end - at

    def _length(self, head: bytes) -> int | None:
        """Return the length of the content; None: the head does not give one."""
        lines = head.split(b"\r\n")
        if self.whole and START_LINE.fullmatch(lines[0]) and not FIELD.fullmatch(lines[0]):
            del lines[0]
        wanted, lengths = self.length_field.lower().encode(), []
        for line in lines:
            field = FIELD.fullmatch(line)
            if field is None:
                return None
            if field[1].lower() == wanted:
                lengths.append(field[2])
        if not lengths:
            return 0 if self.whole else None
        # A length that is there twice is refused: sender and receiver may not read the same one.
        if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 15:
            return None
        return int(lengths[0])

    @property
    def reframe(self) -> Callable[[bytes], bytes]:
        """See `reframe_with`."""
        return unchanged if self.whole else self.encode

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        if self.whole:
            return Measured.encode(self, message)
        check_size(message, self.limit)
        return b"%b: %d\r\n\r\n%b" % (self.length_field.encode(), len(message), message)


def header_fields(
    length_field: str = "Content-Length", whole: bool = False, limit: str | int = LIMIT
) -> Framing:
    """Return the framing of messages behind header fields, as of LSP: "Content-Length: 5", CR LF,
    an empty line, five bytes.

    A message is the content; other fields are dropped, and the length must be there. With `whole`
    it is the head too, which may begin with a line that is no field, as in SIP; without a length
    there is no content. A length that is there twice, or is no number, is invalid framing, and so
    is a line that is no field. The head has at most 8 KiB.
    Source: Language Server Protocol 3.17, Base Protocol.

    Raises ValueError for a name that no field can have.
    """
    if not FIELD.fullmatch(length_field.encode() + b":"):
        raise ValueError(f'length_field = "{length_field}": this cannot be the name of a field')
    alone = re.compile(rb"(?i:%b): *([0-9]{1,15})\r\n\r\n" % re.escape(length_field.encode()))
    return HeaderFields(length_field, whole, byte_limit(limit), alone)
