"""Chunks that are checked and forwarded with their framing, without decoding.

Every size and every CRLF is checked, so the same input is refused as by ChunkedReader. A run of
small chunks with plain size lines is checked by one match and forwarded unchanged. A size line with
an extension or leading zeros is rewritten.
"""

from __future__ import annotations

import re

from vcproxy.http.message.body import ChunkedReader, plain_line
from vcproxy.http.message.fields import Fields


def _digit(value: int) -> bytes:
    lower = b"%x" % value
    return lower if value < 10 else b"[%b%b]" % (lower, lower.upper())


def _small_chunks() -> bytes:
    """Return a pattern for complete chunks of 1 to 255 bytes: a tree by the digits of the size.

    No two branches begin with the same byte, so matching takes linear time: 3 ns a byte for chunks
    of one byte (measured).
    """
    branches = []
    for high in range(1, 16):
        two = [_digit(low) + rb"\r\n.{%d}" % (16 * high + low) for low in range(16)]
        branches.append(_digit(high) + rb"(?:\r\n.{%d}|" % high + b"|".join(two) + b")")
    return rb"(?s:(?:(?:" + b"|".join(branches) + rb")\r\n)*)"


SMALL_LINE = 4
"""Bytes of the longest size line of such a chunk, CRLF included."""

_small = re.compile(_small_chunks()).match


class ChunkScanner(ChunkedReader):
    """A ChunkedReader whose `feed` returns chunks with their framing, except the last chunk."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """Return the chunks in `data`, or parts of them. Raises like ChunkedReader.feed."""
        if self._trailing:
            self._feed_trailers(data)
            return b""
        at, end, left = 0, len(data), self._left
        kept = 0  # data[kept:at] is forwarded unchanged
        out: list[bytes] = []
        while at < end:
            if left > 2:
                step = min(left - 2, end - at)
                at += step
                left -= step
            elif left:
                self._expect_crlf(data, at, left)
                at += 1
                left -= 1
            elif not self._pending and (line := plain_line(data, at)) is not None:
                start, behind = line.span()
                if behind - start <= SMALL_LINE:
                    at = _small(data, at).end()  # type: ignore[union-attr]
                if at == start:  # the chunk is larger, or not complete
                    at, left = behind, int(line[1], 16) + 2
            else:
                out.append(data[kept:at])
                at, left = self._chunk(data, at)
                kept = at
                if left > 2:
                    out.append(b"%x\r\n" % (left - 2))
                elif left:
                    self._trailing = True
                    self._feed_trailers(data[at:])
                    kept, left = end, 0
                    break
        self._left = left
        if not out:
            return data
        out.append(data[kept:])
        return b"".join(out)


class ChunkPasser:
    """The BodyWriter for a ChunkScanner, whose output is framed already."""

    __slots__ = ()

    def frame(self, data: bytes) -> bytes:
        """See BodyWriter."""
        return data

    def finish(self, trailers: Fields | None = None) -> bytes:
        """See BodyWriter."""
        return b"0\r\n%b\r\n" % (trailers.raw if trailers is not None else b"")
