"""Cut: some conversations of a log as a log of their own.

A server's connection that served several clients is in each of their conversations: there it is a
connection of its own, which begins when this client gets it, and has that client's bytes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

from vcproxy.replay.format import entries as e
from vcproxy.replay.format.writer import Writer
from vcproxy.replay.log.conversations import Conversations, chosen
from vcproxy.replay.log.index import Told
from vcproxy.replay.log.span import Span

Shown = Callable[[], None]

WHOLE = frozenset({e.ClockEntry, e.TimeOfDayEntry, e.ServeEntry, e.SignalledEntry, e.StoppedEntry})
"""What belongs to the run as a whole, and so to each conversation."""


def choose(conversations: Conversations, numbers: list[int], span: Span) -> Conversations:
    """Of a log that has been read, keep what is asked for, by number, and by when it was going on.

    Raises NoConversation.
    """
    every = conversations.all
    wanted = chosen(conversations, numbers) if numbers else list(every)
    kept = Conversations(conversations.telling)
    kept.opened = conversations.opened
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
    scissors = Scissors(kept)
    vcs = scissors.vcs()
    writer = Writer(out, replace(header.marked("cut"), outputs="full", conversations=vcs))
    frame = -1
    clock: e.Entry | None = None
    for told in telling:
        if told.frame != frame:
            writer.cut()
            frame = told.frame
        if isinstance(told.entry, e.ClockEntry):
            clock = told.entry
            continue
        for entry in scissors.kept(told):
            if clock is not None:
                writer.add(clock)
                clock = None
            writer.add(entry)
        shown()
    writer.close()


@dataclass(slots=True)
class Connection:
    """How a server's connection came to be."""

    resolved: e.ResolvedEntry
    connected: e.ConnectedEntry | None = None
    established: e.EstablishedEntry | None = None


class Scissors:
    """Takes what belongs to some conversations out of a log, entry by entry."""

    def __init__(self, kept: Conversations) -> None:
        self._telling = kept.telling
        self._talks = kept.all
        self._numbers = {number: dict[int, int]() for number in kept.all}
        """Of each conversation: the numbers that its VCs have in the log that is written."""
        self._begun = set(kept.opened)
        self._connections: dict[int, Connection] = {}
        last = max(kept.opened, default=0)
        for number, talk in kept.all.items():
            named = {talk.who[vc]: vc for vc in talk.opened}
            for vc, who in talk.who.items():
                if who not in named:
                    named[who] = last = last + 1
                self._numbers[number][vc] = named[who]

    def vcs(self) -> tuple[tuple[int, ...], ...]:
        """See Header.conversations."""
        return tuple(
            (*([] if "client" in talk.who.values() else [0]), *dict.fromkeys(numbers.values()))
            for talk, numbers in zip(self._talks.values(), self._numbers.values(), strict=True)
        )

    def kept(self, told: Told) -> Iterator[e.Entry]:
        """Yield what is left of an entry, if anything is, as it stands in the cut log."""
        entry = told.entry
        self._learn(entry)
        if isinstance(entry, e.CommandsEntry):
            texts = tuple(self._texts(entry))
            if texts:
                yield e.CommandsEntry(0, texts)
        elif isinstance(entry, e.MovedEntry):
            for vc, client in entry.moves:
                yield from self._moved(vc, client)
        elif told.conversation in self._talks:
            if isinstance(entry, e.SpreadReadEntry) and told.spread:
                entry = e.ReceivedEntry(entry.vc, False, entry.data)
            yield self._renumbered(entry, self._numbers[told.conversation])
        elif type(entry) in WHOLE or (isinstance(entry, e.CalledEntry) and not told.conversation):
            yield entry  # a log that was cut before does not say for whom a call was
        for vc, data in told.spread:
            numbers = self._numbers.get(self._telling.conversation_of.get(vc, 0))
            if numbers is not None:
                yield self._renumbered(e.SentEntry(vc, len(data), crc32(data), data), numbers)

    def _learn(self, entry: e.Entry) -> None:
        match entry:
            case e.ResolvedEntry():
                self._connections[entry.vc] = Connection(entry)
            case e.ConnectedEntry() if entry.vc in self._connections:
                self._connections[entry.vc].connected = entry
            case e.EstablishedEntry() if entry.vc in self._connections:
                self._connections[entry.vc].established = entry

    def _texts(self, entry: e.CommandsEntry) -> Iterator[str]:
        telling = self._telling
        for text in entry.texts or ():
            numbers = self._numbers.get(telling.conversation_of_command(text))
            if numbers is not None:
                _, vc, _ = telling.of_command(text)
                yield telling.with_number(text, numbers.get(vc, vc))

    def _renumbered(self, entry: e.Entry, numbers: dict[int, int]) -> e.Entry:
        if isinstance(entry, e.PassedEntry):
            entry = entry._replace(sink=numbers.get(entry.sink, entry.sink))
        vc = e.vc_of(entry)
        return entry if vc is None else entry._replace(vc=numbers.get(vc, vc))  # type: ignore[call-arg]

    def _moved(self, vc: int, client: int) -> Iterator[e.Entry]:
        before = self._telling.conversation_of.get(vc, 0)
        if before in self._talks and before != client:
            yield e.MovedEntry(((self._numbers[before][vc], 0),))
        if client in self._talks:
            number = self._numbers[client][vc]
            if number in self._begun:
                yield e.MovedEntry(((number, client),))
            else:
                self._begun.add(number)
                yield from self._beginning(number, client, self._connections[vc])

    def _beginning(self, number: int, client: int, was: Connection) -> Iterator[e.Entry]:
        """A connection that was kept begins for a client as a new one would."""
        resolved, connected, established = was.resolved, was.connected, was.established
        yield e.CommandsEntry(0, (f"Resolve {number} {resolved.target}",))
        yield resolved._replace(vc=number, client=client, asker="")
        if connected is not None:
            yield connected._replace(vc=number)
        if established is not None:
            yield established._replace(vc=number)
