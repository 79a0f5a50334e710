"""Redact: a log without what must not be in it. See redaction."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from vcproxy.drivers.recording import entries as e
from vcproxy.drivers.recording.redaction import Search, blot, redacted
from vcproxy.drivers.recording.values import Failure, Record, Value
from vcproxy.drivers.recording.writer import Writer
from vcproxy.logs.telling import Reading, Telling

Patterns: TypeAlias = Sequence[re.Pattern[bytes]]
Shown: TypeAlias = Callable[[], None]
Way: TypeAlias = tuple[int, bool]
"""What came in on a VC, or with True what went out."""


class Piece(NamedTuple):
    """A part of an entry's data that is the next of a stream."""

    way: Way
    size: int


def redact(
    reading: Reading,
    patterns: Patterns,
    conversations: tuple[tuple[int, ...], ...],
    out: Path,
    shown: Shown,
) -> int:
    """Write a log with x for what matches, in what was said and in what calls have answered.

    Digests of what the proxy sent are left out: they would tell short secrets. What a Telling has
    told stands there in full, redacted. `conversations`: what the header says of them.
    Returns how many matches there were. Raises OSError.
    """
    full = isinstance(reading, Telling) or reading.log.header.outputs == "full"
    spans: dict[Way, list[tuple[int, int]]] = defaultdict(list)
    for way, span in _search(reading, patterns, full, shown):
        spans[way].append(span)
    found = {way: deque(sorted(each)) for way, each in spans.items()}
    header = reading.log.header.marked("redacted")
    outputs: Literal["full", "digest"] = "full" if full else "digest"
    writer = Writer(out, replace(header, outputs=outputs, conversations=conversations))
    place: dict[Way, int] = defaultdict(int)
    nothing: deque[tuple[int, int]] = deque()
    number = 0
    for _, frame, _, entry, *_ in reading:
        if frame != number:
            writer.cut()
            number = frame
        data = bytearray(getattr(entry, "data", None) or b"")
        for way, size in _pieces(entry, full):
            _blot(data, size, place[way], found.get(way, nothing))
            place[way] += size
        writer.add(_without(entry, bytes(data), patterns))
        shown()
    writer.close()
    return sum(map(len, spans.values()))


def _search(
    reading: Reading, patterns: Patterns, full: bool, shown: Shown
) -> Iterator[tuple[Way, tuple[int, int]]]:
    """Yield what matches, in each stream in order for each pattern."""
    searches: dict[Way, list[Search]] = defaultdict(lambda: [Search(each) for each in patterns])

    def close(*ways: Way) -> Iterator[tuple[Way, tuple[int, int]]]:
        for way in ways:
            for search in searches.pop(way, ()):
                yield from ((way, span) for span in search.close())

    for _, _, _, entry, *_ in reading:
        for way, size in _pieces(entry, full):
            data: bytes = entry.data[:size]  # type: ignore[union-attr, index]
            for search in searches[way]:
                yield from ((way, span) for span in search.feed(data))
        if isinstance(entry, e.Gone):
            yield from close((entry.vc, False), (entry.vc, True))
        shown()
    yield from close(*searches)


def _pieces(entry: e.Entry, full: bool) -> Iterator[Piece]:
    match entry:
        case e.Received(vc, _, data) | e.SpreadRead(vc, _, _, data):
            yield Piece((vc, False), len(data))
        case e.Passed(vc, sink, taken, _, data):
            yield Piece((vc, False), len(data))
            if full:
                yield Piece((sink, True), taken)
        case e.Sent(vc, _, _, bytes() as data):
            yield Piece((vc, True), len(data))


def _blot(data: bytearray, size: int, place: int, found: deque[tuple[int, int]]) -> None:
    """Blot what was found in so many bytes from a place in the stream on."""
    for begin, end in found:
        if begin >= place + size:
            break
        if end > place:
            blot(data, max(begin - place, 0), min(end - place, size))
    while found and found[0][1] <= place:
        found.popleft()


def _without(entry: e.Entry, data: bytes, patterns: Patterns) -> e.Entry:
    match entry:
        case e.Received() | e.Passed() | e.SpreadRead():
            return entry._replace(data=data)
        case e.Sent():
            return entry._replace(digest=0, data=None if entry.data is None else data)
        case e.Spread():
            return entry._replace(digest=0)
        case e.Called(_, value, error, asked):
            if error is not None:
                error = Failure(error.module, error.name, _all(error.arguments, patterns))
            return entry._replace(
                value=_plain(value, patterns), error=error, asked=str(_plain(asked, patterns))
            )
        case e.Commands(_, texts):
            return e.Commands(0, texts and tuple(_command(text, patterns) for text in texts))
    return entry


def _command(text: str, patterns: Patterns) -> str:
    verb, number, *rest = text.split(" ", 2)
    if verb != "Call":
        return text
    return " ".join([verb, number, *(str(_plain(each, patterns)) for each in rest)])


def _plain(value: Value, patterns: Patterns) -> Value:
    """Plain data with x for all that matches in its text and bytes."""
    match value:
        case bytes():
            return redacted(patterns, value)
        case str():
            return redacted(patterns, value.encode(errors="surrogatepass")).decode(errors="replace")
        case Failure(module, name, parts):
            return Failure(module, name, _all(parts, patterns))
        case Record(module, name, parts):
            return Record(module, name, _all(parts, patterns))
        case tuple():
            return _all(value, patterns)
        case list():
            return list(_all(tuple(value), patterns))
        case dict():
            return {_plain(k, patterns): _plain(v, patterns) for k, v in value.items()}
    return value


def _all(values: tuple[Value, ...], patterns: Patterns) -> tuple[Value, ...]:
    return tuple(_plain(each, patterns) for each in values)
