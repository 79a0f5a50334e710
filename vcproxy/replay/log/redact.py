"""Redact: a log without what must not be in it. See redaction."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from vcproxy.replay.format import entries as e
from vcproxy.replay.format.redaction import Search, blot, redacted_value
from vcproxy.replay.format.writer import Writer
from vcproxy.replay.log.index import LogIndex, LogPass
from vcproxy.replay.log.sources import safe

Patterns: TypeAlias = Sequence[re.Pattern[bytes]]
Shown: TypeAlias = Callable[[], None]
Way: TypeAlias = tuple[int, bool]
"""What came in on a VC, or with True what went out."""


class Piece(NamedTuple):
    """A part of an entry's data that is the next of a stream."""

    way: Way
    size: int


def redact(
    reading: LogPass,
    patterns: Patterns,
    conversations: tuple[tuple[int, ...], ...],
    out: Path,
    shown: Shown,
) -> int:
    """Write a log with x for what matches, in what was said, and in all else that is in the log:
    what calls have answered, errors, names, the configuration and the plugins.

    Digests of what the proxy sent are left out: they would tell short secrets. What a LogIndex has
    told stands there in full, redacted. `conversations`: what the header says of them.
    Returns how many matches there were. Raises OSError.
    """
    full = isinstance(reading, LogIndex) or reading.log.header.outputs == "full"
    spans: dict[Way, list[tuple[int, int]]] = defaultdict(list)
    for way, span in _search(reading, patterns, full, shown):
        spans[way].append(span)
    found = {way: deque(sorted(each)) for way, each in spans.items()}
    old = reading.log.header
    configuration, sources = safe(Path(old.file), old.configuration, old.sources, patterns)
    header = replace(
        old.marked("redacted"),
        configuration=configuration,
        sources=sources,
        outputs="full" if full else "digest",
        conversations=conversations,
    )
    writer = Writer(out, header)
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
        if isinstance(entry, e.ServeEntry) and entry.configuration is not None:
            text, sources = safe(Path(old.file), entry.configuration, entry.sources or {}, patterns)
            entry = entry._replace(configuration=text, sources=dict(sources))
        writer.add(_without(entry, bytes(data), patterns))
        shown()
    writer.close()
    return sum(map(len, spans.values()))


def _search(
    reading: LogPass, patterns: Patterns, full: bool, shown: Shown
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
        if isinstance(entry, e.GoneEntry):
            yield from close((entry.vc, False), (entry.vc, True))
        shown()
    yield from close(*searches)


def _pieces(entry: e.Entry, full: bool) -> Iterator[Piece]:
    match entry:
        case e.ReceivedEntry(vc, _, data) | e.SpreadReadEntry(vc, _, _, data):
            yield Piece((vc, False), len(data))
        case e.PassedEntry(vc, sink, taken, _, data):
            yield Piece((vc, False), len(data))
            if full:
                yield Piece((sink, True), taken)
        case e.SentEntry(vc, _, _, bytes() as data):
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
    """The entry with the data given, and x for what matches in all else that is text or bytes."""
    match entry:
        case e.ReceivedEntry() | e.PassedEntry() | e.SpreadReadEntry():
            return entry._replace(data=data)
        case e.SentEntry():
            return entry._replace(digest=0, data=None if entry.data is None else data)
        case e.SpreadEntry():
            return entry._replace(digest=0)
        case e.ServeEntry(listening=listening):
            return entry._replace(listening=cast(Any, redacted_value(patterns, listening)))
        case e.CommandsEntry(_, texts):
            return e.CommandsEntry(0, texts and tuple(_command(text, patterns) for text in texts))
    return type(entry)._make(redacted_value(patterns, value) for value in entry)


def _command(text: str, patterns: Patterns) -> str:
    """A command's text; its verb and number stay, for they say what it is about."""
    verb, *number, rest = text.split(" ", 2) if text.count(" ") > 1 else (text, "")
    return " ".join([verb, *number, str(redacted_value(patterns, rest))]).rstrip()
