"""Show: a log as a list of conversations, one of them as a timeline or as a sequence diagram.

Tested in tests/replay/log/test_show.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from vcproxy.engine.units import show_duration
from vcproxy.replay.format import entries as e
from vcproxy.replay.log.annotated import AnnotatedEntry
from vcproxy.replay.log.conversations import PROXY, ConversationEvent, Conversations, shown_event
from vcproxy.replay.log.span import Span

EXCERPT = 60
"""Bytes of data shown in a timeline: the rest of a line."""

LABEL = 40
"""Bytes of data shown in a diagram: an arrow between two lifelines."""

ARROWS = 200
"""Arrows of a diagram: a longer one is not readable any more."""

_DATA = ("sends", "receives", "fans out")


def listing(conversations: Conversations, span: Span) -> Iterator[str]:
    """Yield a line for each conversation that was open during a span."""
    rows = [
        ("number", "listener", "client", "servers", "began", "for", "sent", "received", "end"),
    ]
    rows += [
        (
            str(each.number),
            each.listener or "-",
            each.client or "-",
            " ".join(dict.fromkeys(each.servers.values())) or "-",
            _time(each.began),
            _time(each.last - each.began),
            str(each.sent),
            str(each.received),
            each.end or "open",
        )
        for each in conversations.all.values()
        if span.overlaps(each.began, each.last)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def timeline(events: Iterable[ConversationEvent]) -> Iterator[str]:
    """Yield a line for each event."""
    for each in events:
        text = each.text
        if each.verb in _DATA:
            shown = "" if each.data is None else f" {excerpt(each.data, EXCERPT)}"
            text = f"{each.size}{shown}"
        time, step = _time(each.source.at), each.source.step
        yield f"{time:>12}  step {step:<7}  {each.peer:<8} {each.verb} {text}".rstrip()


def mermaid(events: Iterable[ConversationEvent]) -> Iterator[str]:
    """Yield a sequence diagram of a conversation, in Mermaid. Events beyond ARROWS are counted."""
    events = iter(events)
    drawn = [each for each in islice(events, ARROWS) if each.verb in _ARROWS]
    left = sum(each.verb in _ARROWS for each in events)
    peers = dict.fromkeys(each.peer for each in drawn)
    yield "sequenceDiagram"
    if "client" in peers:
        yield "    participant client"
    yield f"    participant {PROXY}"
    for peer in peers:
        if peer not in ("client", PROXY):
            yield f"    participant {peer}"
    for each in drawn:
        yield f"    {_ARROWS[each.verb](each.peer)}: {_label(each)}"
    if left:
        yield f"    Note over {PROXY}: and {left} more"


def source_events(annotated: Iterable[AnnotatedEntry], span: Span) -> Iterator[str]:
    """Yield a line for each command to a source and for each event of one."""
    for each in annotated:
        entry = each.entry
        lines: list[str] = []
        if isinstance(entry, e.CommandsEntry):
            texts = [text.split(" ", 2) for text in entry.texts or ()]
            lines = [f"{to:<4} {verb} {' '.join(rest)}" for verb, to, *rest in _to_sources(texts)]
        elif isinstance(entry, e.HappenedEntry):
            lines = [f"{entry.source:<4} happened {shown_event(entry.event)}"]
        if lines and span.overlaps(each.at, each.at):
            for line in lines:
                yield f"{_time(each.at):>12}  step {each.step:<7}  {line}".rstrip()


def _to_sources(texts: Iterable[list[str]]) -> Iterator[list[str]]:
    """Yield the commands, divided into words, that are for sources."""
    return (words for words in texts if words[0] in _SOURCE_COMMANDS)


_SOURCE_COMMANDS = (
    "OpenSource", "CloseSource", "DisableSource", "EnableSource", "SignalChild", "SendDatagram",
    "SendBusReply", "WatchPath", "UnwatchPath", "WatchContent",
)  # fmt: skip


def excerpt(data: bytes, most: int) -> str:
    """Return the beginning of the data, escaped, on one line."""
    shown = repr(data[:most])
    return f"{shown} and {len(data) - most} more" if len(data) > most else shown


def _to_proxy(arrow: str) -> Callable[[str], str]:
    return lambda peer: f"{peer}{arrow}{PROXY}"


def _from_proxy(arrow: str) -> Callable[[str], str]:
    return lambda peer: f"{PROXY}{arrow}{peer}"


_ARROWS: dict[str, Callable[[str], str]] = {
    "connects": _to_proxy("->>"),
    "requested": _from_proxy("->>"),
    "connected": _to_proxy("-->>"),
    "refused": _to_proxy("--x"),
    "sends": _to_proxy("->>"),
    "receives": _from_proxy("->>"),
    "fans out": _to_proxy("->>"),
    "ends": _to_proxy("-)"),
    "fails": _to_proxy("-x"),
    "receives end": _from_proxy("-)"),
    "closed": _from_proxy("-)"),
    "reset": _from_proxy("-x"),
    "kept": _from_proxy("--)"),
    "reused": _from_proxy("->>"),
    "calls": lambda peer: f"Note over {peer}",
    "returned": lambda peer: f"Note over {peer}",
    "happened": lambda peer: f"Note over {peer}",
}


_ENTITIES = {ord("#"): "#35;", ord(";"): "#59;"}
"""In Mermaid, ";" ends a line and "#" begins an entity."""


def _label(each: ConversationEvent) -> str:
    if each.verb in _DATA:
        text = f"{each.size} bytes" if each.data is None else excerpt(each.data, LABEL)
    else:
        text = f"{each.verb} {each.text[:LABEL]}".rstrip()
    return text.translate(_ENTITIES)


def _time(seconds: float) -> str:
    return show_duration(round(seconds, 6)) if seconds else "0s"
