"""Redaction: what must not be in a log, by pattern, made as many x."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vcproxy.replay.format.values import FailureValue, RecordType, Value

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block

WINDOW = 64 * 1024
"""Bytes of a stream that are looked at together: no match may be longer. A longer one is found up
to there, as one that has begun."""

BEHIND = 256
"""Bytes before them that stay in sight, for what a pattern says of what stands before."""


def redacted(patterns: Sequence[re.Pattern[bytes]], data: Block) -> bytes:
    """The same bytes with x for all that matches."""
    out = bytearray(data)
    for pattern in patterns:
        for match in pattern.finditer(data):
            blot(out, *match.span())
    return bytes(out)


def redacted_value(patterns: Sequence[re.Pattern[bytes]], value: Value) -> Value:
    """Plain data with x for all that matches in its text and bytes."""

    def all_of(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(redacted_value(patterns, each) for each in values)

    match value:
        case bytes():
            return redacted(patterns, value)
        case str():
            data = redacted(patterns, value.encode(errors="surrogatepass"))
            return data.decode(errors="replace")
        case FailureValue(module, name, parts):
            return FailureValue(module, name, all_of(parts))
        case RecordType(module, name, parts):
            return RecordType(module, name, all_of(parts))
        case tuple():
            return all_of(value)
        case list():
            return list(all_of(tuple(value)))
        case dict():
            both = zip(all_of(tuple(value)), all_of(tuple(value.values())), strict=True)
            return dict(both)
    return value


def blot(out: bytearray, begin: int, end: int) -> None:
    """Put x in place of some bytes."""
    out[begin:end] = b"x" * (end - begin)


class Search:
    """Finds what matches a pattern in a stream that comes in pieces, as if it came in one."""

    __slots__ = ("_at", "_base", "_pattern", "_seen", "_window")

    def __init__(self, pattern: re.Pattern[bytes], window: int = WINDOW) -> None:
        self._pattern = pattern
        self._window = window
        self._seen = bytearray()  # what is still looked at, with BEHIND before it
        self._base = 0  # where in the stream that begins
        self._at = 0  # where in it the next match may begin

    def feed(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where matches begin and end, of those that no more data can change."""
        self._seen += data
        # not for each piece: all that is in the window is searched again
        if len(self._seen) - self._at >= 2 * self._window:
            yield from self._search(len(self._seen) - self._window)

    def close(self) -> Iterator[tuple[int, int]]:
        """Yield the rest: no more data comes."""
        yield from self._search(len(self._seen) + 1)

    def _search(self, before: int) -> Iterator[tuple[int, int]]:
        """Yield the matches that begin before a place, and forget what stands there."""
        for match in self._pattern.finditer(self._seen, self._at):
            if match.start() >= before:
                break
            self._at = match.end()
            if match.end() > match.start():
                yield self._base + match.start(), self._base + match.end()
        self._at = max(self._at, before)
        gone = max(self._at - BEHIND, 0)
        self._seen = self._seen[gone:]  # a new one: a match holds on to the old
        self._base += gone
        self._at -= gone
