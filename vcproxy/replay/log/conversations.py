"""Conversations: the events of each conversation in a log, its peers and how it ended.

Tested in tests/replay/log/test_show.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from vcproxy.proxy_protocol.parser import InvalidHeader, parse
from vcproxy.replay.format import entries as e
from vcproxy.replay.format.values import DataclassValue, FailureValue
from vcproxy.replay.log.annotated import AnnotatedEntry, AnnotatedLog

Verb = Literal[
    "connects", "announced", "handshake", "requested", "connected", "refused", "sends", "receives",
    "ends", "fails", "receives end", "closed", "reset", "fans out", "calls", "returned", "kept",
    "reused", "happened",
]  # fmt: skip
"""What happened to a peer, seen from the peer. A client connects, and may be announced by a PROXY
header; a server's connection is
requested and then connected or refused. A peer sends and receives data; its stream ends or fails;
it receives the end, or the proxy closes or resets its connection. A server's connection is kept
for later requests of any client, or is reused after that. The proxy calls a function, which
returns; something happened at a source, such as a child process; it fans a peer's data out to other
conversations."""

PROXY = "vcproxy"
"""The peer name of the proxy itself."""


class ConversationEvent(NamedTuple):
    """An event in a conversation."""

    source: AnnotatedEntry
    """The entry of the log."""
    conversation: Conversation
    peer: str
    """The name of the peer: "client", "server", "server2" ..., or PROXY."""
    verb: Verb
    text: str = ""
    """Details, as text."""
    data: bytes | None = None
    """What was sent or received; None if the log does not contain it."""
    size: int = 0
    """Bytes sent or received."""


@dataclass(slots=True)
class Conversation:
    """A client and its server connections; or the shared connections of a program."""

    number: int
    """The number of its first VC."""
    began: float
    """Seconds since the log began."""
    listener: str = ""
    client: str = ""
    """The address of the client; empty if there is no client."""
    servers: dict[str, str] = field(default_factory=dict)
    """The target of each server, by peer name."""
    sent: int = 0
    """Bytes that the client has sent."""
    received: int = 0
    """Bytes that the client has received."""
    last: float = 0.0
    """The time of the last event."""
    end: str = ""
    """How the conversation ended; empty if it is open at the end of the log."""
    peers: dict[int, str] = field(default_factory=dict)
    """The peer name of each VC that is or was in the conversation."""
    opened: list[int] = field(default_factory=list)
    """The VCs that were created in it."""
    kept: set[str] = field(default_factory=set)
    """The servers whose connections are kept now, free for other conversations."""
    message_oriented: bool = False
    """Whether its client sends datagrams."""
    serving: e.ServeEntry | None = None
    """The configuration that it began with; None: that of the header."""

    def reuse(self, vc: int, target: str) -> str:
        """Add a connection that was kept; return its peer name.

        All kept connections to a server are equivalent for the client: the name is that of one of
        its own servers that is kept, or a new one.
        """
        names = [self.peers.get(vc, ""), *self.servers]
        free = (name for name in names if name in self.kept and self.servers[name] == target)
        name = next(free, self.next_server())
        self.peers[vc] = name
        self.servers[name] = target
        self.kept.discard(name)
        return name

    def next_server(self) -> str:
        """Return the peer name for one more server."""
        return f"server{len(self.servers) + 1}" if self.servers else "server"


class Conversations:
    """The conversations of a log, collected while it is read."""

    def __init__(self, annotated: AnnotatedLog) -> None:
        self.annotated = annotated
        self.all: dict[int, Conversation] = {}
        """The conversations by number, in the order in which they began."""
        self.opened: dict[int, int] = {}
        """The conversation that each VC was created in."""
        self._listeners: dict[int, str] = {}
        self._targets: dict[int, str] = {}  # the targets of server connections
        self._serving: e.ServeEntry | None = None

    def events(self) -> Iterator[ConversationEvent]:
        """Yield the events of all conversations. Raises LogError."""
        for source in self.annotated:
            entry = source.entry
            if isinstance(entry, e.ServeEntry):
                self._listeners |= {number: name for number, name, *_ in entry.listening}
                self._serving = None if entry.configuration is None else entry
            elif isinstance(entry, e.CommandsEntry):
                for text in entry.texts or ():
                    yield from self._command(source, text)
            elif isinstance(entry, e.MovedEntry):
                for vc, client in entry.moves:
                    yield from self._move(source, vc, client)
            elif source.conversation:
                yield from self._entry(source)
            for vc, data in source.spread:
                yield self._receives(source, vc, data, len(data))

    def vcs(self) -> tuple[tuple[int, ...], ...]:
        """Return the VCs created in each conversation. See Header.conversations."""
        return tuple(
            tuple(each.opened) if "client" in each.peers.values() else (0, *each.opened)
            for each in self.all.values()
        )

    def _conversation(self, number: int, at: float) -> Conversation:
        found = self.all.get(number)
        if found is None:
            found = self.all[number] = Conversation(number, at, serving=self._serving)
        found.last = at
        return found

    def _command(self, source: AnnotatedEntry, text: str) -> Iterator[ConversationEvent]:
        number = self.annotated.conversation_of_command(text)
        if not number:
            return
        conversation = self._conversation(number, source.at)
        verb, vc, rest = self.annotated.of_command(text)
        if verb == "Resolve":
            name = conversation.next_server()
            conversation.peers[vc] = name
            conversation.servers[name] = self._targets[vc] = rest
            self._open(conversation, vc)
            yield ConversationEvent(source, conversation, name, "requested", rest)
        elif verb == "Call":
            call = text.removeprefix("Call ")
            yield ConversationEvent(source, conversation, PROXY, "calls", call)
        elif verb in ("ShutdownWrite", "Close"):
            name = conversation.peers.get(vc, "server")
            last = name == "client" or "client" not in conversation.peers.values()
            how: Verb = "receives end" if verb != "Close" else "reset" if rest else "closed"
            if last and not conversation.end:
                conversation.end = "reset by vcproxy" if how == "reset" else "ended by vcproxy"
            yield ConversationEvent(source, conversation, name, how)

    def _open(self, conversation: Conversation, vc: int) -> None:
        conversation.opened.append(vc)
        self.opened[vc] = conversation.number

    def _move(self, source: AnnotatedEntry, vc: int, client: int) -> Iterator[ConversationEvent]:
        """Move a server connection to another conversation, or mark it as kept."""
        target = self._targets.get(vc, "")
        before = self.all.get(self.annotated.conversation_of.get(vc, 0))
        if before is not None and vc in before.peers:
            before.kept.add(before.peers[vc])
            yield ConversationEvent(source, before, before.peers[vc], "kept", target)
        if client:
            after = self._conversation(client, source.at)
            yield ConversationEvent(source, after, after.reuse(vc, target), "reused", target)

    def _entry(self, source: AnnotatedEntry) -> Iterator[ConversationEvent]:
        entry = source.entry
        conversation = self._conversation(source.conversation, source.at)
        peer = conversation.peers.get(source.vc, PROXY)

        def event(verb: Verb, text: str = "", name: str = peer) -> ConversationEvent:
            return ConversationEvent(source, conversation, name, verb, text)

        match entry:
            case e.AcceptedEntry(listener, address, _, message_oriented):
                conversation.listener = self._listeners.get(listener, f"{listener}")
                conversation.client = address
                conversation.message_oriented = message_oriented
                conversation.peers[source.vc] = "client"
                self._open(conversation, source.vc)
                yield event("connects", f"{conversation.listener} {address}", "client")
            case e.EstablishedEntry(_, sni, alpn, certificate):
                yield event("handshake", " ".join(filter(None, (sni, alpn, certificate))))
            case e.ConnectedEntry(_, _, _, address):
                conversation.servers.setdefault(peer, address)
                yield event("connected", address)
            case e.RefusedEntry(_, _, error) | e.ResolvedEntry(_, _, FailureValue() as error):
                yield event("refused", str(error))
            case e.IntroducedEntry(_, data):
                conversation.client, text = _announced(data, conversation.client)
                yield event("announced", text)
            case e.ReceivedEntry(_, _, data):
                yield self._sends(source, conversation, peer, data)
            case e.PassedEntry(_, sink, taken, _, data):
                yield self._sends(source, conversation, peer, data)
                if taken:
                    yield self._receives(source, sink, data[:taken], taken)
            case e.SpreadReadEntry(_, _, _, data):
                yield self._sends(source, conversation, peer, data)
                of = self.annotated.conversation_of
                inside = all(of.get(vc) == conversation.number for vc, _ in source.spread)
                if not (source.spread and inside):
                    yield event("fans out")._replace(size=len(data))
            case e.SentEntry(vc, size, _, sent) if size:
                yield self._receives(source, vc, sent, size)
            case e.EndedEntry(_, None):
                conversation.end = conversation.end or f"ended by the {peer}"
                yield event("ends")
            case e.EndedEntry(_, error) | e.BrokeEntry(_, error) | e.FailedEntry(_, error):
                conversation.end = conversation.end or f"{peer} failed: {error}"
                yield event("fails", str(error))
            case e.CalledEntry(number, value, failure):
                result = repr(value) if failure is None else f"{failure.name}: {failure}"
                yield event("returned", f"{number} {result}", PROXY)
            case e.HappenedEntry(number, happened):
                yield event("happened", f"{number} {shown_event(happened)}", PROXY)

    def _sends(
        self, source: AnnotatedEntry, conversation: Conversation, peer: str, data: bytes
    ) -> ConversationEvent:
        if peer == "client":
            conversation.sent += len(data)
        return ConversationEvent(source, conversation, peer, "sends", "", data, len(data))

    def _receives(
        self, source: AnnotatedEntry, vc: int, data: bytes | None, size: int
    ) -> ConversationEvent:
        number = self.annotated.conversation_of.get(vc, source.conversation)
        conversation = self._conversation(number, source.at)
        peer = conversation.peers.get(vc, "server")
        if peer == "client":
            conversation.received += size
        return ConversationEvent(source, conversation, peer, "receives", "", data, size)


def shown_event(event: object) -> str:
    """Return the event of a source as text: its class and its values."""
    return event.show() if isinstance(event, DataclassValue) else repr(event)


def of_one(
    annotated: AnnotatedLog, number: int, progress: Callable[[], None]
) -> Iterator[ConversationEvent]:
    """Yield the events of the conversation with a VC of this number.

    `progress` is called for each event of any conversation. If the number is that of a server's
    VC, the log is read a second time, because its conversation is only known at the end.
    Raises NoConversation, LogError.
    """
    conversations = Conversations(annotated)
    for event in conversations.events():
        progress()
        if event.conversation.number == number:
            yield event
    if number not in conversations.all:
        (first,) = chosen(conversations, [number])
        yield from of_one(annotated, first, progress)


class NoConversation(Exception):
    """There is no conversation with that number. The text describes those that exist."""


def chosen(conversations: Conversations, numbers: list[int]) -> list[int]:
    """Return the numbers of the conversations that contain these VCs. Read the log before.

    Raises NoConversation.
    """
    found: dict[int, None] = {}
    for number in numbers:
        known = conversations.opened.get(number, 0)
        if known not in conversations.all:
            raise NoConversation(_missing(number, list(conversations.all)))
        found[known] = None
    return list(found)


def _missing(number: int, known: list[int]) -> str:
    if not known:
        return f"there is no conversation {number}: the log contains none"
    nearest = min(known, key=lambda each: abs(each - number))
    count = "only one" if len(known) == 1 else f"{len(known)}, from {min(known)} to {max(known)}"
    return (
        f"there is no conversation {number}; did you mean {nearest}? There "
        f"{'is' if len(known) == 1 else 'are'} {count}: vcproxy log show LOG lists them"
    )


def _announced(data: bytes, peer: str) -> tuple[str, str]:
    """Return the address of a client after its PROXY header, and what the header says."""
    try:
        parsed = parse(data)
    except InvalidHeader as error:
        return peer, f"by no valid header: {error}"
    if parsed is None or not parsed.header.has_addresses:
        return peer, "without an address"
    header = parsed.header
    return header.peer, f"{header.peer} at {header.target}"
