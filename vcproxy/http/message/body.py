"""Bodies: readers that find the end of a body, and writers that frame one (RFC 9112 6, 7).

A reader takes the bytes of a message in pieces of any size and returns those of the body. A writer
frames a body as its head announces.
"""

from __future__ import annotations

import re
from typing import Protocol

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.framing import LONGEST
from vcproxy.http.message.grammar import CONTROL_CHARACTER, QUOTED, TOKEN
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import UNTIL_CLOSE, Body
from vcproxy.http.message.syntax_errors import control_character_error, excerpt, too_long
from vcproxy.http.message.trailers import read_trailers

CRLF = b"\r\n"


class BodyReader(Protocol):
    """Reads one body."""

    over: bool
    """Whether the body is complete; then nothing more may be fed."""
    rest: bytes
    """Once `over`: the bytes fed after the end of the body."""
    trailers: Fields
    """Once `over`: the trailers of a chunked body (RFC 9110 6.5)."""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the body in `data`, without chunk framing.

        Raises BadMessage for a malformed frame.
        """

    def finish(self) -> None:
        """End the input. Raises BadMessage if the body is not complete."""


class BodyWriter(Protocol):
    """Writes one body."""

    def frame(self, data: bytes) -> bytes:
        """Return a piece of the body, framed. Raises ValueError if the body gets too long."""

    def finish(self, trailers: Fields | None = None) -> bytes:
        """Return the end of the body. Raises ValueError if the body is too short.

        Only a chunked body has trailers; for others they are dropped (RFC 9110 6.5.1).
        """


def body_reader(body: Body, limits: MessageLimits, status: int = 400) -> BodyReader:
    """Return a reader for a body with this framing; `status`: that of its BadMessage."""
    if body is None:
        return ChunkedReader(limits, status)
    return UntilCloseReader() if body == UNTIL_CLOSE else LengthReader(body, status)


def body_writer(body: Body) -> BodyWriter:
    """Return a writer for a body with this framing."""
    if body is None:
        return ChunkedWriter()
    return UntilCloseWriter() if body == UNTIL_CLOSE else LengthWriter(body)


# -- reading -----------------------------------------------------------------------------------


class LengthReader:
    """Reads as many bytes as Content-Length announces (RFC 9112 6.2)."""

    __slots__ = ("_left", "_status", "over", "rest", "trailers")

    def __init__(self, length: int, status: int) -> None:
        self._left = length
        self._status = status
        self.over = length == 0
        self.rest = b""
        self.trailers = Fields()

    def feed(self, data: bytes) -> bytes:
        """See BodyReader."""
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return data
        self._left = 0
        self.over = True
        if len(data) == left:
            return data
        self.rest += data[left:]
        return data[:left]

    def finish(self) -> None:
        """See BodyReader."""
        if self._left:
            why = f"connection closed inside the body: {self._left} bytes are missing"
            raise BadMessage(self._status, why, "RFC 9112 8")


class UntilCloseReader:
    """Reads everything until the server ends the connection (RFC 9112 6.3, rule 8)."""

    __slots__ = ("over", "rest", "trailers")

    def __init__(self) -> None:
        self.over = False
        self.rest = b""
        self.trailers = Fields()

    def feed(self, data: bytes) -> bytes:
        """See BodyReader."""
        return data

    def finish(self) -> None:
        """See BodyReader."""
        self.over = True


_VALUE = rb"(?:" + TOKEN + rb"++|" + QUOTED + rb")"
_EXTENSION = rb"[\t ]*+;[\t ]*+" + TOKEN + rb"++(?:[\t ]*+=[\t ]*+" + _VALUE + rb")?+"
_chunk = re.compile(rb"([0-9A-Fa-f]{1,16}+)(?:" + _EXTENSION + rb")*+\r\n").fullmatch
"""The size line of a chunk (RFC 9112 7.1). Extensions are for one hop only, and are dropped."""


plain_line = re.compile(rb"([1-9A-Fa-f][0-9A-Fa-f]{0,7}+)\r\n").match
"""A size line as almost all are. Sizes of more than 8 digits are rewritten, as some readers have
32 bits only."""


class ChunkedReader:
    """Reads chunks, each after its size line, and the trailer section (RFC 9112 7.1)."""

    __slots__ = ("_left", "_limits", "_pending", "_status", "_trailing", "over", "rest", "trailers")

    def __init__(self, limits: MessageLimits, status: int) -> None:
        self._limits = limits
        self._status = status
        self._left = 0
        """Bytes of the current chunk that are missing, including the CRLF after it."""
        self._pending = bytearray()
        """A part of a size line, or of the trailer section."""
        self._trailing = False
        self.over = False
        self.rest = b""
        self.trailers = Fields()

    def feed(self, data: bytes) -> bytes:
        """See BodyReader."""
        if self._trailing:
            self._feed_trailers(data)
            return b""
        at, end, left = 0, len(data), self._left
        body: list[bytes] = []
        while at < end:
            if left > 2:
                piece = data[at : at + left - 2]
                body.append(piece)
                at += len(piece)
                left -= len(piece)
            elif left == 2 and data.startswith(CRLF, at):
                at += 2
                left = 0
            elif left:
                self._expect_crlf(data, at, left)
                at += 1
                left -= 1
            elif not self._pending and (line := plain_line(data, at)) is not None:
                at, left = line.end(), int(line[1], 16) + 2
            else:
                at, left = self._chunk(data, at)
                if left == 2:  # the last chunk ends with the trailer section, not with a CRLF
                    self._trailing = True
                    self._feed_trailers(data[at:])
                    left = 0
                    break
        self._left = left
        return body[0] if len(body) == 1 else b"".join(body)

    def finish(self) -> None:
        """See BodyReader."""
        if not self.over:
            raise BadMessage(
                self._status,
                "connection closed inside the body: the last chunk is missing",
                "RFC 9112 8",
            )

    def _expect_crlf(self, data: bytes, at: int, left: int) -> None:
        """Check the byte at `at` of the CRLF after a chunk's data; `left`: its missing bytes."""
        if data[at] != CRLF[-left]:
            why = f"{excerpt(data[at : at + left])} in place of the CRLF behind a chunk"
            raise BadMessage(self._status, why, "RFC 9112 7.1", at=at, message=data)

    def _chunk(self, data: bytes, at: int) -> tuple[int, int]:
        """Read a size line; return where the data begins, and its size plus that of its CRLF.

        The size is 0 while the line is not complete.
        """
        pending, limit = self._pending, self._limits.chunk_line
        behind = data.find(b"\n", at, at + limit + 2) + 1
        pending += data[at : behind or at + limit + 2]
        if len(pending) > limit + 2 or (not behind and len(pending) > limit + 1):
            why = f"size line of a chunk longer than {limit} bytes"
            raise BadMessage(self._status, why, "RFC 9112 7.1.1", message=bytes(pending))
        if not behind:
            return len(data), 0
        match = _chunk(pending)
        if match is None or (size := int(match[1], 16)) > LONGEST:
            line = bytes(pending)
            why = f"{excerpt(line)} is not the size line of a chunk"
            raise BadMessage(self._status, why, "RFC 9112 7.1", at=0, message=line)
        pending.clear()
        return behind, size + 2

    def _feed_trailers(self, data: bytes) -> None:
        pending, limit = self._pending, self._limits.trailers
        seen = len(pending)
        pending += data
        if pending.startswith(CRLF):
            end = 0
        else:
            end = pending.find(b"\r\n\r\n", max(0, seen - 3)) + 2
            if end < 2:
                if len(pending) > limit + 1:
                    raise too_long("trailer section", limit, self._status)
                if CONTROL_CHARACTER(pending, max(0, seen - 1)):
                    raise control_character_error(bytes(pending), self._status)
                return
        self.trailers = read_trailers(bytes(pending[:end]), self._limits, self._status)
        self.rest = bytes(pending[end + 2 :])
        self.over = True
        pending.clear()


# -- writing -----------------------------------------------------------------------------------


class LengthWriter:
    """Writes exactly as many bytes as Content-Length announces."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def frame(self, data: bytes) -> bytes:
        """See BodyWriter."""
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"body {-self._left} bytes longer than its Content-Length")
        return data

    def finish(self, trailers: Fields | None = None) -> bytes:
        """See BodyWriter."""
        if self._left:
            raise ValueError(f"body {self._left} bytes shorter than its Content-Length")
        return b""


class UntilCloseWriter:
    """Writes a body that ends with the connection."""

    __slots__ = ()

    def frame(self, data: bytes) -> bytes:
        """See BodyWriter."""
        return data

    def finish(self, trailers: Fields | None = None) -> bytes:
        """See BodyWriter."""
        return b""


class ChunkedWriter:
    """Writes each piece as a chunk."""

    __slots__ = ()

    def frame(self, data: bytes) -> bytes:
        """See BodyWriter."""
        # An empty chunk would be the last one.
        return b"%x\r\n%b\r\n" % (len(data), data) if data else b""

    def finish(self, trailers: Fields | None = None) -> bytes:
        """See BodyWriter."""
        return b"0\r\n%b\r\n" % (trailers.raw if trailers is not None else b"")
