"""between, mllp: messages between start and end bytes.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vcproxy.framing.checks import CheckSum, check_sum
from vcproxy.framing.decoding import (
    Damaged,
    Decoded,
    Decoder,
    FramingError,
    LengthDecoder,
    Measure,
    Skip,
    skip,
)
from vcproxy.framing.framing import LIMIT, Framing, byte_limit, check_size

Gaps: TypeAlias = Literal["refuse", "blank", "skip"]
"""What may stand between two messages: nothing; blanks and line ends; anything."""

BLANK = b" \t\r\n"
BLANKS = re.compile(rb"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class Between:
    """See `between`."""

    start: bytes
    end: bytes
    gaps: Gaps
    sum: CheckSum | None
    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        if self.sum is None and _apart(self.start, self.end):
            return BetweenDecoder(self)
        return LengthDecoder(_Search(self).measure, self.check, in_place=True)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        return LengthDecoder(_Search(self).measure, self.check, whole=True, in_place=True)

    def check(self, message: bytes) -> bytes | Damaged:
        """Return the message of what follows the start bytes. Damaged: its check is wrong, or
        another message begins in it, as after half a message."""
        content = message
        if self.sum is not None:
            given = message[-self.sum.width :]
            covered = message[: -self.sum.width]
            content = covered[: -len(self.end)]
            if self.sum.of(covered) != given:
                return Damaged(message, f"its check {self.sum.name} is wrong")
        if self.start in content:
            return Damaged(content, f"the start bytes {self.start!r} stand inside of it")
        return content

    def reframe(self, message: bytes) -> bytes:
        """See `reframe_with`."""
        wire = self.start + message + self.end
        return wire if self.sum is None else wire + self.sum.of(wire[len(self.start) :])

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        check_size(message, self.limit)
        wire = self.start + message + self.end
        if self.start in message or wire.find(self.end, len(self.start)) != len(wire) - len(
            self.end
        ):
            raise ValueError(
                f"a message may not contain the bytes {self.start!r} or {self.end!r} around it"
            )
        return wire if self.sum is None else wire + self.sum.of(wire[len(self.start) :])


class _Search:
    """Measures one stream: where the end of its present frame was not found yet."""

    __slots__ = ("_framing", "_searched")

    def __init__(self, framing: Between) -> None:
        self._framing = framing
        self._searched = 0  # bytes after the start in which no end begins

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measurer."""
        framing = self._framing
        start = framing.start
        if not data.startswith(start, at):
            return self._gap(data, at)
        begin = at + len(start)
        stop = data.find(framing.end, begin + self._searched)
        if stop >= 0:
            if stop - begin > framing.limit:
                return FramingError.OVERSIZED
            end = stop + len(framing.end)
            if framing.sum is not None:
                stop = end = end + framing.sum.width
                if end > len(data):
                    return end - at
            self._searched = 0
            return begin, stop, end
        overlap = len(framing.end) - 1
        length = len(data) - begin
        if length > framing.limit + overlap:
            return FramingError.OVERSIZED
        self._searched = max(length - overlap, 0)
        return len(data) - at + 1

    def _gap(self, data: bytes, at: int) -> Measure:
        """Measure what is not the start of a message."""
        start, gaps = self._framing.start, self._framing.gaps
        head = data[at : at + len(start)]
        if len(head) < len(start) and start.startswith(head):
            return len(head) + 1
        if gaps == "skip":
            following = data.find(start[:1], at + 1)
            return Skip((len(data) if following < 0 else following) - at)
        if gaps == "blank" and head[0] in BLANK:
            return skip(BLANKS, data, at)
        return FramingError.INVALID


def _apart(start: bytes, end: bytes) -> bool:
    """Whether no two of them can overlap, so that counting them finds all."""
    ends = start + end
    return len(set(ends)) == len(ends)


class BetweenDecoder:
    """A LengthDecoder, and a shorter way for pieces that have whole messages and nothing else."""

    __slots__ = ("_between", "_decoder", "_empty", "_end", "_limit", "_start", "fault")

    def __init__(self, framing: Between) -> None:
        self.fault: FramingError | None = None
        self._decoder = LengthDecoder(_Search(framing).measure, framing.check, in_place=True)
        self._start, self._end = framing.start, framing.end
        self._between = framing.end + framing.start
        self._limit = framing.limit
        self._empty = True  # nothing is held of an incomplete message

    def feed(self, data: bytes) -> Decoded:
        """See Decoder."""
        start, end = self._start, self._end
        if self._empty and data.startswith(start) and data.endswith(end):
            messages = data[len(start) : -len(end)].split(self._between)
            count = len(messages)
            # Each start and each end is one of those between two messages: no message has any.
            alone = data.count(start) == count == data.count(end)
            if alone and (len(data) <= self._limit or max(map(len, messages)) <= self._limit):
                return messages
        found = self._decoder.feed(data)
        self.fault = self._decoder.fault
        self._empty = self._decoder.empty
        return found

    def finish(self) -> None:
        """See Decoder."""
        self._decoder.finish()
        self.fault = self._decoder.fault


def between(
    start: bytes,
    end: bytes,
    gaps: Gaps = "refuse",
    check: str | None = None,
    limit: str | int = LIMIT,
) -> Framing:
    """Return the framing of messages between the bytes `start` and `end`, such as STX and ETX.

    A message is what stands between them. One that contains the start bytes is damaged: then the
    end of a message was lost. So both must not occur in messages: for text, not for binary data.

    Args:
        start: the bytes before each message.
        end: the bytes after it.
        gaps: what may stand between two messages. "refuse": nothing. "blank": blanks and line
            ends. "skip": anything; it is dropped.
        check: the name of a check behind the end bytes: see CHECKS. It covers the message and the
            end bytes, as of IEC 62056-21 ("xor") and ASTM E1381 ("sum-hex").
        limit: of the message.

    Raises ValueError if `start` or `end` is empty, or for an unknown check.
    """
    if not start or not end:
        raise ValueError("start and end need at least one byte each")
    if gaps not in ("refuse", "blank", "skip"):
        raise ValueError(f'gaps = "{gaps}": it must be "refuse", "blank" or "skip"')
    return Between(start, end, gaps, check_sum(check) if check else None, byte_limit(limit))


def mllp(limit: str | int = LIMIT) -> Framing:
    """Return the framing of HL7 v2 messages: VT, the message, FS, CR.

    Source: HL7 v2.x, Minimal Lower Layer Protocol (HL7 Implementation Guide, appendix C).
    """
    return Between(b"\x0b", b"\x1c\r", "refuse", None, byte_limit(limit))
