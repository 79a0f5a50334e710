"""Cut: some conversations of a log as a log of their own."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path

from vcproxy.drivers.recording import entries as e
from vcproxy.drivers.recording.writer import Writer
from vcproxy.logs.conversations import Conversations, chosen
from vcproxy.logs.span import Span
from vcproxy.logs.telling import Telling, Told

Shown = Callable[[], None]

WHOLE = frozenset({e.Clock, e.TimeOfDay, e.Serve, e.Signalled, e.Stopped})
"""What belongs to the run as a whole, and so to each conversation."""


def choose(conversations: Conversations, numbers: list[int], span: Span) -> Conversations:
    """Of a log that has been read, keep what is asked for, by number, and by when it was going on.

    Raises NoConversation.
    """
    every = conversations.all
    wanted = chosen(conversations, numbers) if numbers else list(every)
    kept = Conversations(conversations.telling)
    kept.all = {
        number: every[number]
        for number in sorted(wanted)
        if span.meets(every[number].began, every[number].last)
    }
    return kept


def cut(kept: Conversations, out: Path, shown: Shown) -> None:
    """Write a log of the conversations that are kept, whole, with what was sent to them in full.

    The log is read again. Raises OSError.
    """
    telling = kept.telling
    header = telling.log.header
    vcs = kept.vcs()
    writer = Writer(out, replace(header.marked("cut"), outputs="full", conversations=vcs))
    frame = -1
    clock: Told | None = None
    for told in telling:
        if told.frame != frame:
            writer.cut()
            frame, clock = told.frame, None
        if isinstance(told.entry, e.Clock):
            clock = told
            continue
        entry = _kept(told, telling, kept.all)
        if entry is not None:
            if clock is not None:
                writer.add(clock.entry)
                clock = None
            writer.add(entry)
        shown()
    writer.close()


def _kept(told: Told, telling: Telling, kept: Container[int]) -> e.Entry | None:
    """What is left of an entry, if anything is."""
    entry = told.entry
    if isinstance(entry, e.Commands):
        texts = [
            text for text in entry.texts or () if telling.conversation_of_command(text) in kept
        ]
        return e.Commands(0, tuple(texts)) if texts else None
    if type(entry) in WHOLE or told.conversation in kept:
        return entry
    if isinstance(entry, e.Called) and not told.conversation:
        return entry  # a log that was cut before does not say for whom it was
    return None
