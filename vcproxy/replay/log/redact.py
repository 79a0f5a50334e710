"""Redact: writes a log without the data that matches patterns. See redaction and sources.

Tested in tests/replay/log/test_redact.py.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from vcproxy.replay.format import entries as e
from vcproxy.replay.format.redaction import Search, mask, redacted_value
from vcproxy.replay.format.writer import Writer
from vcproxy.replay.log.annotated import AnnotatedLog, LogPass
from vcproxy.replay.log.sources import redacted_sources

Patterns: TypeAlias = Sequence[re.Pattern[bytes]]
Progress: TypeAlias = Callable[[], None]
Way: TypeAlias = tuple[int, bool]
"""A VC and a direction: False for data received from it, True for data sent to it."""


class Piece(NamedTuple):
    """The next bytes of a stream, from one entry."""

    way: Way
    size: int


def redact(
    reading: LogPass,
    patterns: Patterns,
    conversations: tuple[tuple[int, ...], ...],
    out: Path,
    progress: Progress,
) -> int:
    """Write a log with x in place of all matches: in data, results of calls, errors, names, the
    configuration and the plugins.

    Digests of the proxy's output are left out, because a digest of a short secret reveals it. The
    output of an AnnotatedLog is written in full, redacted. `conversations`: for the header.
    Returns the number of matches. Raises OSError.
    """
    full = isinstance(reading, AnnotatedLog) or reading.log.header.outputs == "full"
    spans: dict[Way, list[tuple[int, int]]] = defaultdict(list)
    for way, span in _search(reading, patterns, full, progress):
        spans[way].append(span)
    found = {way: deque(sorted(each)) for way, each in spans.items()}
    old = reading.log.header
    configuration, sources = redacted_sources(
        Path(old.file), old.configuration, old.sources, patterns
    )
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
            _mask(data, size, place[way], found.get(way, nothing))
            place[way] += size
        if isinstance(entry, e.ServeEntry) and entry.configuration is not None:
            text, sources = redacted_sources(
                Path(old.file), entry.configuration, entry.sources or {}, patterns
            )
            entry = entry._replace(configuration=text, sources=dict(sources))
        writer.add(_redacted(entry, bytes(data), patterns))
        progress()
    writer.close()
    return sum(map(len, spans.values()))


def _search(
    reading: LogPass, patterns: Patterns, full: bool, progress: Progress
) -> Iterator[tuple[Way, tuple[int, int]]]:
    """Yield the matches. For each stream and pattern, they are in order."""
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
        progress()
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


def _mask(data: bytearray, size: int, place: int, found: deque[tuple[int, int]]) -> None:
    """Mask the matches in `size` bytes of a stream, beginning at offset `place`."""
    for begin, end in found:
        if begin >= place + size:
            break
        if end > place:
            mask(data, max(begin - place, 0), min(end - place, size))
    while found and found[0][1] <= place:
        found.popleft()


def _redacted(entry: e.Entry, data: bytes, patterns: Patterns) -> e.Entry:
    """Return the entry with `data` as its content and its other text and bytes redacted."""
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
    """Return a command's text, redacted except for the verb and number, which tools need."""
    verb, *number, rest = text.split(" ", 2) if text.count(" ") > 1 else (text, "")
    return " ".join([verb, *number, str(redacted_value(patterns, rest))]).rstrip()
