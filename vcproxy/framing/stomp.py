"""stomp: frames of STOMP.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vcproxy.framing.decoding import Decoder, FramingError, LengthDecoder, Measure, skip
from vcproxy.framing.framing import LIMIT, Framing, byte_limit

LINE_ENDS = re.compile(rb"[\r\n]+")
"""Between two frames: heart-beats, and the end of the frame before."""
HEAD_END = re.compile(rb"\n\r?\n")
LENGTH = re.compile(rb"\ncontent-length:([^\r\n]*)")
"""The first of several counts (STOMP 1.2, Repeated Header Entries)."""


@dataclass(frozen=True, slots=True)
class Stomp:
    """See `stomp`."""

    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return LengthDecoder(_Search(self.limit).measure, in_place=True)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        return LengthDecoder(_Search(self.limit).measure, whole=True, in_place=True)

    def reframe(self, message: bytes) -> bytes:
        """See `reframe_with`."""
        return message

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        found = _Search(self.limit).measure(message, 0) if message else 1
        if type(found) is not tuple or found[2] != len(message):
            raise ValueError(f"{message[:40]!r} is not one whole frame of STOMP")
        return message


class _Search:
    """Measures one stream: what of the present frame was examined."""

    __slots__ = ("_body", "_limit", "_searched")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body = 0  # where its body begins; 0: not known yet
        self._searched = 0  # bytes in which the searched end does not begin

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measurer."""
        if data[at] in b"\r\n":
            return skip(LINE_ENDS, data, at)
        if not self._body:
            head = HEAD_END.search(data, at + self._searched)
            if data.find(b"\0", at + self._searched, head.start() if head else len(data)) >= 0:
                return FramingError.INVALID
            if head is None:
                return self._wait(data, at, max(len(data) - at - 2, 0))
            self._body, self._searched = head.end() - at, 0
        body = at + self._body
        length = LENGTH.search(data, at, body)
        if length is None:
            stop = data.find(b"\0", body + self._searched)
            if stop < 0:
                return self._wait(data, at, len(data) - body)
        else:
            number = length[1].strip()  # versions before 1.2 allow blanks
            if not number.isdigit() or len(number) > 15:
                return FramingError.INVALID
            stop = body + int(number)
        end = stop + 1
        if end - at > self._limit:
            return FramingError.OVERSIZED
        if end > len(data):
            return end - at
        if data[stop]:
            return FramingError.INVALID
        self._body = self._searched = 0
        return at, end, end

    def _wait(self, data: bytes, at: int, searched: int) -> Measure:
        known = len(data) - at
        if known > self._limit:
            return FramingError.OVERSIZED
        self._searched = searched
        return known + 1


def stomp(limit: str | int = LIMIT) -> Framing:
    """Return the framing of STOMP: a command, headers, an empty line, a body and a zero.

    A message is the whole frame; ends of lines between two frames (heart-beats) are none. The body
    has the length of the header content-length, or else ends at the first zero.
    Source: STOMP 1.2, Augmented BNF and Body.
    """
    return Stomp(byte_limit(limit))
