"""Conversations: what was said in each, by whom, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from vcproxy.replay.format import entries as e
from vcproxy.replay.format.values import FailureValue
from vcproxy.replay.log.index import LogIndex, Told

Verb = Literal[
    "connects", "secures", "asks", "connected", "refused", "says", "hears", "ends", "breaks",
    "hears the end", "closed", "reset", "spreads", "calls", "answered", "kept", "reused",
]  # fmt: skip
"""A client connects, a server is asked for and then connected or refused. What a peer says the
proxy receives, and what it hears the proxy has sent. A peer ends or breaks; the proxy has it hear
the end, or its connection closed or reset. A server's connection is kept for a
later request, anybody's, or was kept and is reused."""


class Happening(NamedTuple):
    """One thing that happened in a conversation."""

    told: Told
    """The entry that told of it."""
    conversation: Conversation
    who: str
    """The client, a server, or vcproxy itself."""
    verb: Verb
    text: str = ""
    """More about it, in words."""
    data: bytes | None = None
    """What was said or heard; None where the log does not have it."""
    size: int = 0
    """Bytes said or heard."""


@dataclass(slots=True)
class Conversation:
    """A client, and the servers that were connected to for it; or those of a program."""

    number: int
    """Of its first VC."""
    began: float
    """Seconds since the log began."""
    listener: str = ""
    client: str = ""
    """Its address; empty where there is no client."""
    servers: dict[str, str] = field(default_factory=dict)
    """The target of each, by who it is."""
    said: int = 0
    """Bytes that the client has said."""
    heard: int = 0
    """Bytes that the client has heard."""
    last: float = 0.0
    """When the last thing happened."""
    end: str = ""
    """How it ended; empty if it goes on where the log ends."""
    who: dict[int, str] = field(default_factory=dict)
    """Who is behind each VC that is or was in it."""
    opened: list[int] = field(default_factory=list)
    """The VCs that were opened in it."""
    kept: set[str] = field(default_factory=set)
    """The servers whose connections are kept, and may be used by others."""
    message_oriented: bool = False
    """Whether it is of datagrams."""
    serving: e.ServeEntry | None = None
    """The configuration that it began under; None: that of the header."""

    def reused(self, vc: int, target: str) -> str:
        """A connection that was kept is used in it; return who is behind it.

        To a client all connections that were kept are the same: it is one of its servers that are
        kept, or another one.
        """
        servers = [self.who.get(vc, ""), *self.servers]
        at_hand = (who for who in servers if who in self.kept and self.servers[who] == target)
        who = next(at_hand, f"server{len(self.servers) + 1}" if self.servers else "server")
        self.who[vc] = who
        self.servers[who] = target
        self.kept.discard(who)
        return who


class Conversations:
    """The conversations of a log, as they come up while it is read."""

    def __init__(self, telling: LogIndex) -> None:
        self.telling = telling
        self.all: dict[int, Conversation] = {}
        """By their numbers, in the order of their beginnings."""
        self.opened: dict[int, int] = {}
        """The conversation that each VC was opened in."""
        self._doors: dict[int, str] = {}
        self._targets: dict[int, str] = {}  # of servers' connections
        self._serving: e.ServeEntry | None = None

    def happenings(self) -> Iterator[Happening]:
        """Yield all that happened in all of them. Raises LogError."""
        for told in self.telling:
            entry = told.entry
            if isinstance(entry, e.ServeEntry):
                self._doors |= {number: name for number, name, *_ in entry.listening}
                self._serving = None if entry.configuration is None else entry
            elif isinstance(entry, e.CommandsEntry):
                for text in entry.texts or ():
                    yield from self._commanded(told, text)
            elif isinstance(entry, e.MovedEntry):
                for vc, client in entry.moves:
                    yield from self._moved(told, vc, client)
            elif told.conversation:
                yield from self._of(told)
            for vc, data in told.spread:
                yield self._hears(told, vc, data, len(data))

    def vcs(self) -> tuple[tuple[int, ...], ...]:
        """Which VCs were opened in each, as a header says it: the client's or 0, then servers'."""
        return tuple(
            tuple(talk.opened) if "client" in talk.who.values() else (0, *talk.opened)
            for talk in self.all.values()
        )

    def _conversation(self, number: int, at: float) -> Conversation:
        found = self.all.get(number)
        if found is None:
            found = self.all[number] = Conversation(number, at, serving=self._serving)
        found.last = at
        return found

    def _commanded(self, told: Told, text: str) -> Iterator[Happening]:
        number = self.telling.conversation_of_command(text)
        if not number:
            return
        talk = self._conversation(number, told.at)
        verb, vc, rest = self.telling.of_command(text)
        if verb == "Resolve":
            who = f"server{len(talk.servers) + 1}" if talk.servers else "server"
            talk.who[vc] = who
            talk.servers[who] = self._targets[vc] = rest
            self._opens(talk, vc)
            yield Happening(told, talk, who, "asks", rest)
        elif verb == "Call":
            yield Happening(told, talk, "vcproxy", "calls", text.removeprefix("Call "))
        elif verb in ("ShutdownWrite", "Close"):
            who = talk.who.get(vc, "server")
            last = who == "client" or "client" not in talk.who.values()
            how: Verb = "hears the end" if verb != "Close" else "reset" if rest else "closed"
            if last and not talk.end:
                talk.end = "vcproxy reset it" if how == "reset" else "vcproxy ended it"
            yield Happening(told, talk, who, how)

    def _opens(self, talk: Conversation, vc: int) -> None:
        talk.opened.append(vc)
        self.opened[vc] = talk.number

    def _moved(self, told: Told, vc: int, client: int) -> Iterator[Happening]:
        """A server's connection goes from one conversation to another, or is kept."""
        target = self._targets.get(vc, "")
        before = self.all.get(self.telling.conversation_of.get(vc, 0))
        if before is not None and vc in before.who:
            before.kept.add(before.who[vc])
            yield Happening(told, before, before.who[vc], "kept", target)
        if client:
            talk = self._conversation(client, told.at)
            yield Happening(told, talk, talk.reused(vc, target), "reused", target)

    def _of(self, told: Told) -> Iterator[Happening]:
        entry = told.entry
        talk = self._conversation(told.conversation, told.at)
        who = talk.who.get(told.vc, "vcproxy")
        match entry:
            case e.AcceptedEntry(listener, peer, _, whole):
                talk.listener, talk.client = self._doors.get(listener, f"{listener}"), peer
                talk.message_oriented = whole
                talk.who[told.vc] = "client"
                self._opens(talk, told.vc)
                yield Happening(told, talk, "client", "connects", f"{talk.listener} {peer}")
            case e.EstablishedEntry(_, sni, alpn, certificate):
                text = " ".join(filter(None, (sni, alpn, certificate)))
                yield Happening(told, talk, who, "secures", text)
            case e.ConnectedEntry(_, _, _, peer):
                talk.servers.setdefault(who, peer)
                yield Happening(told, talk, who, "connected", peer)
            case e.RefusedEntry(_, _, error) | e.ResolvedEntry(_, _, FailureValue() as error):
                yield Happening(told, talk, who, "refused", str(error))
            case e.ReceivedEntry(_, _, data):
                yield self._says(told, talk, who, data)
            case e.PassedEntry(_, sink, taken, _, data):
                yield self._says(told, talk, who, data)
                if taken:
                    yield self._hears(told, sink, data[:taken], taken)
            case e.SpreadReadEntry(_, _, _, data):
                yield self._says(told, talk, who, data)
                of = self.telling.conversation_of
                if not told.spread or any(of.get(vc) != talk.number for vc, _ in told.spread):
                    yield Happening(told, talk, who, "spreads", "", None, len(data))
            case e.SentEntry(vc, size, _, sent) if size:
                yield self._hears(told, vc, sent, size)
            case e.EndedEntry(_, None):
                talk.end = talk.end or f"the {who} ended"
                yield Happening(told, talk, who, "ends")
            case e.EndedEntry(_, error) | e.BrokeEntry(_, error) | e.FailedEntry(_, error):
                talk.end = talk.end or f"the {who} broke: {error}"
                yield Happening(told, talk, who, "breaks", str(error))
            case e.CalledEntry(number, value, failure):
                text = repr(value) if failure is None else f"{failure.name}: {failure}"
                yield Happening(told, talk, "vcproxy", "answered", f"{number} {text}")

    def _says(self, told: Told, talk: Conversation, who: str, data: bytes) -> Happening:
        if who == "client":
            talk.said += len(data)
        return Happening(told, talk, who, "says", "", data, len(data))

    def _hears(self, told: Told, vc: int, data: bytes | None, size: int) -> Happening:
        number = self.telling.conversation_of.get(vc, told.conversation)
        talk = self._conversation(number, told.at)
        who = talk.who.get(vc, "server")
        if who == "client":
            talk.heard += size
        return Happening(told, talk, who, "hears", "", data, size)


def of_one(telling: LogIndex, number: int, shown: Callable[[], None]) -> Iterator[Happening]:
    """Yield what happened in the conversation that a number means. Raises NoConversation, LogError.

    `shown` is called for each that happened anywhere. The log is read again if the number is that
    of a server's VC: what it belongs to is known then.
    """
    conversations = Conversations(telling)
    for each in conversations.happenings():
        shown()
        if each.conversation.number == number:
            yield each
    if number not in conversations.all:
        (first,) = chosen(conversations, [number])
        yield from of_one(telling, first, shown)


class NoConversation(Exception):
    """There is no conversation of that number; the text says which there are."""


def chosen(conversations: Conversations, numbers: list[int]) -> list[int]:
    """Which conversations are meant by the numbers of any of their VCs. Raises NoConversation.

    To be asked once the log has been read.
    """
    found: dict[int, None] = {}
    for number in numbers:
        known = conversations.opened.get(number, 0)
        if known not in conversations.all:
            raise NoConversation(_none(number, list(conversations.all)))
        found[known] = None
    return list(found)


def _none(number: int, known: list[int]) -> str:
    if not known:
        return f"there is no conversation {number}: there is none at all"
    nearest = min(known, key=lambda each: abs(each - number))
    count = "only one" if len(known) == 1 else f"{len(known)}, from {min(known)} to {max(known)}"
    return (
        f"there is no conversation {number}; did you mean {nearest}? There "
        f"{'is' if len(known) == 1 else 'are'} {count}: vcproxy log show LOG lists them"
    )
