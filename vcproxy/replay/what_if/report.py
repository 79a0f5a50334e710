"""Report: a comparison as text for a terminal. Tested in tests/replay/test_what_if.py."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from vcproxy.replay.what_if.comparison import ComparedConversation, PeerComparison, RunComparison
from vcproxy.replay.what_if.replayed_peer import PeerOutcome

EXCERPT = 24
"""Bytes of each side of a difference: both fit in one line of a terminal."""

MOST = 20
"""Conversations in a table: about a screen. Further ones are only counted."""

_LINES = 2000
"""Lines that are compared one by one: the time to find the difference is quadratic."""


def table(comparison: RunComparison) -> str:
    """Return a line for each peer of the conversations that differ."""
    all_of_them = [each for each in comparison.conversations if each.number or each.differs]
    differing = [each for each in all_of_them if each.differs]
    rows = [("conversation", "peer", "then", "now")]
    for conversation in differing[:MOST]:
        rows += _rows(conversation)
    lines = _aligned(rows) if differing else []
    if len(differing) > MOST:
        lines.append(f"... and {len(differing) - MOST} more")
    lines += [
        f"unknown call: {text}: the recording has no result of it, so it failed"
        for text in comparison.unknown
    ]
    if any(not each.repeated for each in differing):
        lines.append("~ in simulation, the recorded plugin differs from the recording as well")
    s = "" if len(all_of_them) == 1 else "s"
    verb = "differ" if len(differing) > 1 else "differs"
    count = len(differing) or "none"
    lines.append(f"{len(all_of_them)} conversation{s}, {count} of them {verb}")
    return "\n".join(lines)


def in_full(conversation: ComparedConversation) -> str:
    """Return all that the peers of a conversation received, by line, then (-) and now (+)."""
    lines = [f"conversation {conversation.number}: {conversation.name}"]
    for peer in conversation.peers:
        lines.append(f"{_name(peer)}: {_brief(peer.then)}; now {_now(peer)}")
        lines += [f"  {line}" for line in _difference(peer)]
    lines += [f"failed: {error}" for error in conversation.errors]
    return "\n".join(lines)


def _rows(conversation: ComparedConversation) -> Iterator[tuple[str, str, str, str]]:
    mark = "" if conversation.repeated else " ~"
    title = f"{conversation.number} {conversation.name}{mark}"
    for peer in conversation.peers:
        yield title, _name(peer), _brief(peer.then), _now(peer)
        title = ""
    for error in conversation.errors:
        yield title, "plugin", "", f"failed: {error}"
        title = ""


def _name(peer: PeerComparison) -> str:
    return "client" if peer.history.listener else peer.history.address


def _brief(outcome: PeerOutcome) -> str:
    if outcome.end == "not connected":
        return outcome.end
    return f"{len(outcome.received)} bytes, {outcome.end}"


def _now(peer: PeerComparison) -> str:
    then, now = peer.then, peer.now
    if then == now:
        return "equal"
    if then.received == now.received or "not connected" in (then.end, now.end):
        return _brief(now)
    at = peer.offset
    ends = "" if then.end == now.end else f", {now.end}"
    before, after = then.received[at : at + EXCERPT], now.received[at : at + EXCERPT]
    return f"at byte {at}: {before!r} becomes {after!r}{ends}"


def _aligned(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]


def _difference(peer: PeerComparison) -> Iterator[str]:
    then, now = (_lines(outcome.received) for outcome in (peer.then, peer.now))
    if max(len(then), len(now)) > _LINES:
        yield f"  too many lines to show; the first difference is at byte {peer.offset}"
        return
    for kind, a, b, c, d in SequenceMatcher(None, then, now, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (f"  {line}" for line in then[a:b])
        else:
            yield from (f"- {line}" for line in then[a:b])
            yield from (f"+ {line}" for line in now[c:d])


def _lines(data: bytes) -> list[str]:
    return [repr(line)[2:-1] for line in data.splitlines(keepends=True)]
