"""Stat: sizes and counts of a log. Tested in tests/replay/log/test_show.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from heapq import nlargest

from vcproxy.engine.units import show_duration, show_size
from vcproxy.replay.format import entries as e
from vcproxy.replay.format.values import DataclassValue
from vcproxy.replay.log.annotated import LogPass

LONGEST = 5
"""Longest turns that are listed: enough to see the unusual ones."""


def stat(reading: LogPass, progress: Callable[[], None]) -> Iterator[str]:
    """Yield the lines of the report. `progress` is called for each frame."""
    kinds: Counter[str] = Counter()
    received = sent = frames = steps = size = 0
    begin = now = 0.0
    turns: list[tuple[int, int]] = []
    for frame in reading.frames():
        frames += 1
        steps += len(frame.entries)
        size += frame.size
        turns = nlargest(LONGEST, [*turns, (frame.size, -frame.step)])
        for entry in frame.entries:
            kinds[e.call_name(entry)] += 1
            match entry:
                case e.ClockEntry(at):
                    begin, now = begin or at, at
                case e.ReceivedEntry() | e.SpreadReadEntry():
                    received += len(entry.data)
                case e.PassedEntry():
                    received += len(entry.data)
                    sent += entry.taken
                case e.HappenedEntry(_, DataclassValue(_, _, fields)):
                    received += sum(len(field) for field in fields if isinstance(field, bytes))
                case e.SentEntry() | e.SpreadEntry():
                    sent += entry.size or 0
        progress()
    log, header = reading.log, reading.log.header
    sources = ", ".join(header.sources) or "none"
    yield f"recorded with  vcproxy {header.vcproxy}, Python {header.python}"
    yield f"configuration  {header.file}"
    yield f"plugins        {sources}"
    yield f"seeds          {header.seed}, PYTHONHASHSEED {header.hash_seed}"
    yield f"outputs        {_OUTPUTS[header.outputs]}"
    yield f"marks          {', '.join(header.marks) or 'none'}"
    yield f"time           {show_duration(round(now - begin, 6))}"
    yield f"file           {_bytes(log.size)}, of which {_bytes(log.size - size)} are its header"
    yield f"turns          {frames}"
    yield f"steps          {steps}"
    yield f"received       {_bytes(received)}"
    yield f"sent           {_bytes(sent)}"
    if header.compress:
        yield f"compressed     {size / received:.1%} of what was received" if received else ""
    else:
        over = size - received
        share = f", {over / received:.1%} of what was received" if received else ""
        yield f"overhead       {_bytes(over)}, {over / max(frames, 1):.0f} a turn{share}"
    yield "entries"
    for kind, count in kinds.most_common():
        yield f"  {count:>10}  {kind}"
    yield "longest turns"
    for length, step in turns:
        yield f"  {_bytes(length):>10}  from step {-step}"


_OUTPUTS = {"digest": "as digests", "full": "in full"}


def _bytes(count: int) -> str:
    """Return a size, rounded if it is ten units or larger."""
    for unit in (1 << 30, 1 << 20, 1 << 10):
        if count >= 10 * unit:
            return show_size(count // unit * unit)
    return show_size(count)
