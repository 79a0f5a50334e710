"""Report: a comparison in words, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from vcproxy.replay.what_if.comparison import ComparedConversation, RunComparison, Seen
from vcproxy.replay.what_if.player import Outcome

EXCERPT = 24
"""Bytes of each side of a difference: both fit in a line of a terminal."""

MOST = 20
"""Conversations in a table: a screen. The others are counted."""

_LINES = 2000
"""Lines that are compared one by one: finding the shortest difference takes their square."""


def table(comparison: RunComparison) -> str:
    """What differs, a line for each peer."""
    all_of_them = [each for each in comparison.conversations if each.number or each.differs]
    differing = [each for each in all_of_them if each.differs]
    rows = [("conversation", "peer", "then", "now")]
    for conversation in differing[:MOST]:
        rows += _rows(conversation)
    lines = _aligned(rows) if differing else []
    if len(differing) > MOST:
        lines.append(f"... and {len(differing) - MOST} more")
    lines += [f"unknown: nobody asked {text} then" for text in comparison.unknown]
    if any(not each.repeated for each in differing):
        lines.append("~ the recorded plugin, too, does otherwise in simulation than it did then")
    s = "" if len(all_of_them) == 1 else "s"
    verb = "differ" if len(differing) > 1 else "differs"
    count = len(differing) or "none"
    lines.append(f"{len(all_of_them)} conversation{s}, {count} of them {verb}")
    return "\n".join(lines)


def in_full(conversation: ComparedConversation) -> str:
    """All that the peers of one conversation heard, line by line, then (-) and now (+)."""
    lines = [f"conversation {conversation.number}: {conversation.name}"]
    for seen in conversation.seen:
        lines.append(f"{_peer(seen)}: {_brief(seen.then)}; now {_now(seen)}")
        lines += [f"  {line}" for line in _difference(seen)]
    lines += [f"failed: {mishap}" for mishap in conversation.mishaps]
    return "\n".join(lines)


def _rows(conversation: ComparedConversation) -> Iterator[tuple[str, str, str, str]]:
    mark = "" if conversation.repeated else " ~"
    title = f"{conversation.number} {conversation.name}{mark}"
    for seen in conversation.seen:
        yield title, _peer(seen), _brief(seen.then), _now(seen)
        title = ""
    for mishap in conversation.mishaps:
        yield title, "plugin", "", f"failed: {mishap}"
        title = ""


def _peer(seen: Seen) -> str:
    return "client" if seen.part.listener else seen.part.place


def _brief(outcome: Outcome) -> str:
    if outcome.end == "not connected":
        return outcome.end
    return f"{len(outcome.heard)} bytes, {outcome.end}"


def _now(seen: Seen) -> str:
    then, now = seen.then, seen.now
    if then == now:
        return "equal"
    if then.heard == now.heard or "not connected" in (then.end, now.end):
        return _brief(now)
    at = seen.offset
    ends = "" if then.end == now.end else f", {now.end}"
    was, here = then.heard[at : at + EXCERPT], now.heard[at : at + EXCERPT]
    return f"at byte {at}: {was!r} is {here!r}{ends}"


def _aligned(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]


def _difference(seen: Seen) -> Iterator[str]:
    then, now = (_lines(outcome.heard) for outcome in (seen.then, seen.now))
    if max(len(then), len(now)) > _LINES:
        at = seen.offset
        yield f"  too much to be shown; the first difference is at byte {at}"
        return
    for kind, a, b, c, d in SequenceMatcher(None, then, now, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (f"  {line}" for line in then[a:b])
        else:
            yield from (f"- {line}" for line in then[a:b])
            yield from (f"+ {line}" for line in now[c:d])


def _lines(data: bytes) -> list[str]:
    return [repr(line)[2:-1] for line in data.splitlines(keepends=True)]
