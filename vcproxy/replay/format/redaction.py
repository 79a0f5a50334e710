"""Redaction: replaces each byte of all matches of the patterns with x.

Tested in tests/replay/log/test_redact.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vcproxy.replay.format.values import DataclassValue, FailureValue, Value

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block

WINDOW = 64 * 1024
"""Bytes of a stream that are searched together: the longest possible match. Of a longer one, only
the first part is found."""

BEHIND = 256
"""Bytes kept in front of the window: a pattern may look at what precedes a match."""


def redacted(patterns: Sequence[re.Pattern[bytes]], data: Block) -> bytes:
    """Return the bytes with x in place of all matches."""
    out = bytearray(data)
    for pattern in patterns:
        for match in pattern.finditer(data):
            mask(out, *match.span())
    return bytes(out)


def redacted_value(patterns: Sequence[re.Pattern[bytes]], value: Value) -> Value:
    """Return plain data with x in place of all matches in its text and bytes."""

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
        case DataclassValue(module, name, parts):
            return DataclassValue(module, name, all_of(parts))
        case tuple():
            return all_of(value)
        case list():
            return list(all_of(tuple(value)))
        case dict():
            both = zip(all_of(tuple(value)), all_of(tuple(value.values())), strict=True)
            return dict(both)
    return value


def mask(out: bytearray, begin: int, end: int) -> None:
    """Replace bytes by x."""
    out[begin:end] = b"x" * (end - begin)


class Search:
    """Finds the matches of a pattern in a stream that arrives in pieces, as if in one piece."""

    __slots__ = ("_at", "_base", "_pattern", "_seen", "_window")

    def __init__(self, pattern: re.Pattern[bytes], window: int = WINDOW) -> None:
        self._pattern = pattern
        self._window = window
        self._seen = bytearray()  # data to search, after up to BEHIND bytes of context
        self._base = 0  # where in the stream _seen begins
        self._at = 0  # where in _seen the next match may begin

    def feed(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Add data; yield the begin and end of each match that is final."""
        self._seen += data
        # Pieces are collected before a search, because each search scans the whole window again.
        if len(self._seen) - self._at >= 2 * self._window:
            yield from self._search(len(self._seen) - self._window)

    def close(self) -> Iterator[tuple[int, int]]:
        """End the stream; yield the remaining matches."""
        yield from self._search(len(self._seen) + 1)

    def _search(self, before: int) -> Iterator[tuple[int, int]]:
        """Yield the matches that begin before this index of _seen, then discard searched data."""
        for match in self._pattern.finditer(self._seen, self._at):
            if match.start() >= before:
                break
            self._at = match.end()
            if match.end() > match.start():
                yield self._base + match.start(), self._base + match.end()
        self._at = max(self._at, before)
        gone = max(self._at - BEHIND, 0)
        self._seen = self._seen[gone:]  # a new object: matches still refer to the old one
        self._base += gone
        self._at -= gone
