"""Cut: writes some conversations of a log to a new log.

A server connection that was used for several clients is part of each of their conversations. In a
cut log, it becomes a separate connection for each client: it begins when the client's conversation
gets it, and contains only the bytes of that client. Tested in tests/replay/log/test_cut.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

from vcproxy.replay.format import entries as e
from vcproxy.replay.format.writer import Writer
from vcproxy.replay.log.annotated import AnnotatedEntry
from vcproxy.replay.log.conversations import Conversations, chosen
from vcproxy.replay.log.span import Span

Progress = Callable[[], None]
"""Called for each entry, to update a progress bar."""

RUN_WIDE = frozenset(
    {
        e.ClockEntry,
        e.TimeOfDayEntry,
        e.ServeEntry,
        e.SignalledEntry,
        e.ChangedEntry,
        e.StoppedEntry,
    }
)
"""Entries that belong to all conversations."""


def choose(conversations: Conversations, numbers: list[int], span: Span) -> Conversations:
    """Select conversations of a log that has been read: by number, and by the time they were open.

    Raises NoConversation.
    """
    every = conversations.all
    wanted = chosen(conversations, numbers) if numbers else list(every)
    kept = Conversations(conversations.annotated)
    kept.opened = conversations.opened
    kept.all = {
        number: every[number]
        for number in sorted(wanted)
        if span.overlaps(every[number].began, every[number].last)
    }
    return kept


def cut(kept: Conversations, out: Path, progress: Progress) -> None:
    """Write a log of the selected conversations, with full outputs.

    The log is read again. Raises OSError.
    """
    annotated = kept.annotated
    header = annotated.log.header
    selection = ConversationFilter(kept)
    vcs = selection.vcs()
    writer = Writer(out, replace(header.marked("cut"), outputs="full", conversations=vcs))
    frame = -1
    clock: e.Entry | None = None
    for source in annotated:
        if source.frame != frame:
            writer.cut()
            frame = source.frame
        if isinstance(source.entry, e.ClockEntry):
            clock = source.entry
            continue
        for entry in selection.kept(source):
            if clock is not None:
                writer.add(clock)
                clock = None
            writer.add(entry)
        progress()
    writer.close()


@dataclass(slots=True)
class Connection:
    """The entries with which a server's connection began."""

    resolved: e.ResolvedEntry
    connected: e.ConnectedEntry | None = None
    established: e.EstablishedEntry | None = None


class ConversationFilter:
    """Selects the entries of some conversations, and renumbers their VCs."""

    def __init__(self, kept: Conversations) -> None:
        self._annotated = kept.annotated
        self._conversations = kept.all
        self._numbers = {number: dict[int, int]() for number in kept.all}
        """The numbers of the VCs in the new log, for each conversation."""
        self._begun = set(kept.opened)
        self._connections: dict[int, Connection] = {}
        last = max(kept.opened, default=0)
        for number, each in kept.all.items():
            named = {each.peers[vc]: vc for vc in each.opened}
            for vc, name in each.peers.items():
                if name not in named:
                    named[name] = last = last + 1
                self._numbers[number][vc] = named[name]

    def vcs(self) -> tuple[tuple[int, ...], ...]:
        """See Header.conversations."""
        return tuple(
            (*([] if "client" in each.peers.values() else [0]), *dict.fromkeys(numbers.values()))
            for each, numbers in zip(
                self._conversations.values(), self._numbers.values(), strict=True
            )
        )

    def kept(self, source: AnnotatedEntry) -> Iterator[e.Entry]:
        """Yield the parts of an entry that belong to the selection, as entries of the new log."""
        entry = source.entry
        self._note_connection(entry)
        if isinstance(entry, e.CommandsEntry):
            texts = tuple(self._texts(entry))
            if texts:
                yield e.CommandsEntry(0, texts)
        elif isinstance(entry, e.MovedEntry):
            for vc, client in entry.moves:
                yield from self._moved(vc, client)
        elif source.conversation in self._conversations:
            if isinstance(entry, e.SpreadReadEntry) and source.spread:
                entry = e.ReceivedEntry(entry.vc, False, entry.data)
            yield self._renumbered(entry, self._numbers[source.conversation])
        elif type(entry) in RUN_WIDE or (
            isinstance(entry, e.CalledEntry | e.HappenedEntry) and not source.conversation
        ):
            # No conversation is known for a call if the log was cut before, and for the sources of
            # a program without clients there is none.
            yield entry
        for vc, data in source.spread:
            numbers = self._numbers.get(self._annotated.conversation_of.get(vc, 0))
            if numbers is not None:
                yield self._renumbered(e.SentEntry(vc, len(data), crc32(data), data), numbers)

    def _note_connection(self, entry: e.Entry) -> None:
        match entry:
            case e.ResolvedEntry():
                self._connections[entry.vc] = Connection(entry)
            case e.ConnectedEntry() if entry.vc in self._connections:
                self._connections[entry.vc].connected = entry
            case e.EstablishedEntry() if entry.vc in self._connections:
                self._connections[entry.vc].established = entry

    def _texts(self, entry: e.CommandsEntry) -> Iterator[str]:
        annotated = self._annotated
        for text in entry.texts or ():
            numbers = self._numbers.get(annotated.conversation_of_command(text))
            if numbers is not None:
                _, vc, _ = annotated.of_command(text)
                yield annotated.with_number(text, numbers.get(vc, vc))

    def _renumbered(self, entry: e.Entry, numbers: dict[int, int]) -> e.Entry:
        if isinstance(entry, e.PassedEntry):
            entry = entry._replace(sink=numbers.get(entry.sink, entry.sink))
        vc = e.vc_of(entry)
        return entry if vc is None else entry._replace(vc=numbers.get(vc, vc))  # type: ignore[call-arg]

    def _moved(self, vc: int, client: int) -> Iterator[e.Entry]:
        before = self._annotated.conversation_of.get(vc, 0)
        if before in self._conversations and before != client:
            yield e.MovedEntry(((self._numbers[before][vc], 0),))
        if client in self._conversations:
            number = self._numbers[client][vc]
            if number in self._begun:
                yield e.MovedEntry(((number, client),))
            else:
                self._begun.add(number)
                yield from self._beginning(number, client, self._connections[vc])

    def _beginning(self, number: int, client: int, was: Connection) -> Iterator[e.Entry]:
        """Yield the entries that present a reused connection as a new one of this client."""
        resolved, connected, established = was.resolved, was.connected, was.established
        yield e.CommandsEntry(0, (f"Resolve {number} {resolved.target}",))
        yield resolved._replace(vc=number, client=client, requester="")
        if connected is not None:
            yield connected._replace(vc=number)
        if established is not None:
            yield established._replace(vc=number)
