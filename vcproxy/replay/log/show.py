"""Show: a log as a list of conversations, one of them as a timeline or as a sequence chart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from vcproxy.engine.units import show_duration
from vcproxy.replay.log.conversations import Conversations, Happening
from vcproxy.replay.log.span import Span

EXCERPT = 60
"""Bytes of a message that a timeline shows: the rest of a line."""

LABEL = 40
"""Those that a chart does: an arrow between two lifelines."""

ARROWS = 200
"""Of a chart: more is no picture any more."""


def listing(conversations: Conversations, span: Span) -> Iterator[str]:
    """A line for each conversation that was going on in a span."""
    rows = [("number", "listener", "client", "servers", "began", "for", "said", "heard", "end")]
    rows += [
        (
            str(talk.number),
            talk.listener or "-",
            talk.client or "-",
            " ".join(dict.fromkeys(talk.servers.values())) or "-",
            _time(talk.began),
            _time(talk.last - talk.began),
            str(talk.said),
            str(talk.heard),
            talk.end or "goes on",
        )
        for talk in conversations.all.values()
        if span.meets(talk.began, talk.last)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def timeline(happenings: Iterable[Happening]) -> Iterator[str]:
    """A line for each thing that happened."""
    for each in happenings:
        what = each.text
        if each.verb in ("says", "hears", "spreads"):
            shown = "" if each.data is None else f" {excerpt(each.data, EXCERPT)}"
            what = f"{each.size}{shown}"
        line = (
            f"{_time(each.told.at):>12}  step {each.told.step:<7}  {each.who:<8} {each.verb} {what}"
        )
        yield line.rstrip()


def mermaid(happenings: Iterable[Happening]) -> Iterator[str]:
    """A sequence chart of one conversation, in Mermaid. What is beyond ARROWS is counted."""
    happenings = iter(happenings)
    drawn = [each for each in islice(happenings, ARROWS) if each.verb in _ARROWS]
    left = sum(each.verb in _ARROWS for each in happenings)
    yield "sequenceDiagram"
    for who in dict.fromkeys(each.who for each in drawn if each.who != "vcproxy"):
        if who == "client":
            yield "    participant client"
    yield "    participant vcproxy"
    for who in dict.fromkeys(each.who for each in drawn):
        if who not in ("client", "vcproxy"):
            yield f"    participant {who}"
    for each in drawn:
        yield f"    {_ARROWS[each.verb](each.who)}: {_label(each)}"
    if left:
        yield f"    Note over vcproxy: and {left} more"


def excerpt(data: bytes, most: int) -> str:
    """The beginning of some bytes, escaped, on one line."""
    shown = repr(data[:most])
    return f"{shown} and {len(data) - most} more" if len(data) > most else shown


def _to(arrow: str) -> Callable[[str], str]:
    return lambda who: f"{who}{arrow}vcproxy"


def _from(arrow: str) -> Callable[[str], str]:
    return lambda who: f"vcproxy{arrow}{who}"


_ARROWS: dict[str, Callable[[str], str]] = {
    "connects": _to("->>"),
    "asks": _from("->>"),
    "connected": _to("-->>"),
    "refused": _to("--x"),
    "says": _to("->>"),
    "hears": _from("->>"),
    "spreads": _to("->>"),
    "ends": _to("-)"),
    "breaks": _to("-x"),
    "hears the end": _from("-)"),
    "closed": _from("-)"),
    "reset": _from("-x"),
    "kept": _from("--)"),
    "reused": _from("->>"),
    "calls": lambda who: f"Note over {who}",
    "answered": lambda who: f"Note over {who}",
}


_ENTITIES = {ord("#"): "#35;", ord(";"): "#59;"}
"""Mermaid takes them for the end of the line, or for an entity."""


def _label(each: Happening) -> str:
    if each.verb in ("says", "hears", "spreads"):
        text = f"{each.size} bytes" if each.data is None else excerpt(each.data, LABEL)
    else:
        text = f"{each.verb} {each.text[:LABEL]}".rstrip()
    return text.translate(_ENTITIES)


def _time(seconds: float) -> str:
    return show_duration(round(seconds, 6)) if seconds else "0s"
