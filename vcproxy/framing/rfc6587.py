"""rfc6587: syslog over TCP.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vcproxy.framing.decoding import (
    Check,
    Damaged,
    Decoder,
    FramingError,
    LengthDecoder,
    Measure,
    skip,
)
from vcproxy.framing.framing import LIMIT, Framing, byte_limit, check_size

BLANK_LINES, BLANK_LINES_OR_NULS = re.compile(rb"\n+"), re.compile(rb"[\n\0]+")

SyslogEncoding: TypeAlias = Literal["octet-counting", "newline"]
"""How messages are encoded: the length in decimal digits and a space before each; a newline after
each."""


@dataclass(frozen=True, slots=True)
class Rfc6587:
    """See `rfc6587`."""

    encoding: SyslogEncoding
    limit: int
    nul: bool = False

    def decoder(self) -> Decoder:
        """See Framing."""
        search = _Search(self.limit, self.nul)
        return LengthDecoder(search.measure, self._check, in_place=True)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        search = _Search(self.limit, self.nul)
        return LengthDecoder(search.measure, self._check, whole=True, in_place=True)

    @property
    def _check(self) -> Check | None:
        return self.check if self.encoding == "newline" else None

    def check(self, message: bytes) -> bytes | Damaged:
        """Return a message; Damaged if it had an octet count, and no newline can end it."""
        why = _unfit(message)
        return Damaged(message, why) if why else message

    def reframe(self, message: bytes) -> bytes:
        """See `reframe_with`."""
        if self.encoding == "newline":
            return message + b"\n"
        return b"%d %b" % (len(message), message)

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        check_size(message, self.limit)
        if self.encoding == "octet-counting":
            if not message:
                raise ValueError("an empty message has no octet count: RFC 6587 has none of 0")
            return b"%d %b" % (len(message), message)
        why = _unfit(message)
        if why:
            raise ValueError(why)
        return message + b"\n"


def _unfit(message: bytes) -> str:
    """Return why a message cannot end in a newline; "": it can."""
    if b"\n" in message:
        return "a message that ends in a newline may not contain one"
    if message[:1].isdigit():
        return "a message that ends in a newline may not begin with a digit"
    return "" if message else "an empty message is a blank line, which is ignored"


class _Search:
    """Measures one stream."""

    __slots__ = ("_digits", "_limit", "_nul", "_searched")

    def __init__(self, limit: int, nul: bool) -> None:
        self._limit = limit
        self._nul = nul
        self._digits = len(str(limit))
        self._searched = 0  # bytes of the present line without a newline

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measurer."""
        if 0x30 <= data[at] <= 0x39:
            return self._counted(data, at)
        if data[at] == 0x0A or (self._nul and data[at] == 0):
            return skip(BLANK_LINES_OR_NULS if self._nul else BLANK_LINES, data, at)
        stop = data.find(b"\n", at + self._searched)
        if self._nul:
            nul = data.find(b"\0", at + self._searched, stop if stop >= 0 else len(data))
            stop = nul if nul >= 0 else stop
        if stop >= 0:
            self._searched = 0
            return (at, stop, stop + 1) if stop - at <= self._limit else FramingError.OVERSIZED
        self._searched = length = len(data) - at
        return FramingError.OVERSIZED if length > self._limit else length + 1

    def _counted(self, data: bytes, at: int) -> Measure:
        space = data.find(b" ", at, at + self._digits + 1)
        if space < 0:
            return self._partial(data[at : at + self._digits + 1])
        number = data[at:space]
        if data[at] == 0x30 or not number.isdigit():
            return FramingError.INVALID
        start = space + 1
        end = start + int(number)
        if end - start > self._limit:
            return FramingError.OVERSIZED
        return (start, end, end) if end <= len(data) else end - at

    def _partial(self, number: bytes) -> Measure:
        """Measure a length without the space behind it."""
        if number.startswith(b"0") or not number.isdigit():
            return FramingError.INVALID
        known = len(number)
        return FramingError.OVERSIZED if known > self._digits else known + 1


def rfc6587(
    encoding: SyslogEncoding = "octet-counting", limit: str | int = LIMIT, *, nul: bool = False
) -> Framing:
    """Return the framing of syslog over TCP: octet counting and newlines, on one connection.

    A message that begins with a digit has its length before it, in decimal digits and a space; any
    other ends in a newline. A message is the syslog message without either; blank lines are none.
    `encoding` is how messages are sent: "octet-counting" or "newline". With "newline", one that was
    received with a length and contains a newline is damaged. With `nul`, NUL ends a message too, as
    in those of Python's SysLogHandler. Source: RFC 6587, 3.4. rsyslog decides by the first byte;
    of syslog-ng 3.38, syslog() takes lengths only, network() newlines and NUL only.
    """
    if encoding not in ("octet-counting", "newline"):
        raise ValueError(f'encoding = "{encoding}": it must be "octet-counting" or "newline"')
    return Rfc6587(encoding, byte_limit(limit), nul)
