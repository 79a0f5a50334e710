"""RecordedConversation: the actions of the peers of a recorded conversation, and the data received.

Tested in tests/replay/log/test_to_test.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from vcproxy.replay.format.entries import CalledEntry, EstablishedEntry
from vcproxy.replay.format.peer_history import Handshake
from vcproxy.replay.format.values import DataclassValue
from vcproxy.replay.log.conversations import ConversationEvent

LARGEST = 8 << 20
"""Maximum bytes that the peers of a test send: a larger test would not be readable."""


class NotRepeatable(Exception):
    """A conversation cannot become a test; the text is the reason."""


class TranscriptLine(NamedTuple):
    """A line of a transcript: one action or observation of a peer."""

    peer: str
    verb: Literal[
        "sends", "ends", "resets", "receives", "receives end", "is reset", "is connected", "waits"
    ]
    data: bytes = b""
    seconds: float = 0.0


@dataclass
class RecordedConversation:
    """A recorded conversation: the actions of its peers, and the data that they received."""

    actions: list[tuple[float, TranscriptLine | None]] = field(default_factory=list)
    """The actions of the peers, with their times. None: a peer received something then."""
    received: dict[str, bytearray] = field(default_factory=dict)
    """The bytes that each peer received."""
    failed: set[str] = field(default_factory=set)
    """The peers whose connection failed: the last data sent to them may not have arrived."""
    ended: dict[str, str] = field(default_factory=dict)
    """How the stream to each peer ended: "end" or "reset". Peers with an open stream are absent."""
    targets: dict[str, str] = field(default_factory=dict)
    """The address of each server, by the peer, once it is connected."""
    refusing: dict[str, None] = field(default_factory=dict)
    calls: dict[int, object] = field(default_factory=dict)
    """The results of the plugin's calls, by the number of the call."""
    sent: int = 0
    """Bytes sent by all peers."""
    requested: int = 0
    """The number of server connections requested or reused."""
    number: int = 0
    """The number of the conversation."""
    last: float = 0.0
    listener: str = ""
    """The name of the listener."""
    client: str = ""
    began: float = 0.0
    open: bool = False
    """Whether the conversation is still open at the end of the log."""
    handshake: Handshake | None = None
    """The TLS handshake of the client, if it used TLS."""
    shares: bool = False
    """Whether a pooled server connection was reused, or one was put into the pool. In a test every
    connection is new, and may go to any server."""
    reused: set[str] = field(default_factory=set)
    """The servers reached over a pooled connection."""
    names: dict[str, str] = field(default_factory=dict)
    """The names of the peers in the test: each connection to a server gets a new name."""

    @classmethod
    def of(cls, events: Iterable[ConversationEvent]) -> RecordedConversation:
        """Build it from the events of a conversation. Raises NotRepeatable."""
        recorded = cls()
        requested: dict[str, str] = {}
        for each in events:
            conversation = each.conversation
            if conversation.message_oriented:
                raise NotRepeatable("it consists of datagrams; only streams can become a test")
            recorded.last = each.source.at
            recorded._add(each, requested)
            if recorded.sent > LARGEST:
                raise NotRepeatable(f"its peers send more than {LARGEST >> 20} MiB")
            recorded.number = conversation.number
            recorded.listener, recorded.client = conversation.listener, conversation.client
            recorded.began = conversation.began
            recorded.open = not conversation.end
        recorded._remove_stale()
        if not recorded.client and not recorded.listener:
            raise NotRepeatable("it has no client: it was started by a program of the proxy")
        return recorded

    def _remove_stale(self) -> None:
        """Remove pooled connections that were closed before the server sent data.

        The request was repeated on another connection; in a test there are no pooled connections.
        """
        sending = {line.peer for _, line in self.actions if line and line.verb == "sends"}
        ending = {line.peer for _, line in self.actions if line and line.verb != "sends"}
        for peer in (self.reused & ending) - sending:
            self.actions = [
                (at, line) for at, line in self.actions if line is None or line.peer != peer
            ]
            for known in (self.received, self.ended, self.targets):
                known.pop(peer, None)

    def named(
        self, addresses: list[str], servers: tuple[str, ...], names: dict[str, str]
    ) -> tuple[str, ...]:
        """Map the addresses of an upstream to servers in `names`; return the servers needed."""
        if self.shares and not self.refusing:
            names |= dict.fromkeys(addresses, servers[0])
            return servers[:1]
        names |= dict(zip(addresses, servers, strict=True))
        return servers

    def _add(self, event: ConversationEvent, requested: dict[str, str]) -> None:
        if event.verb in ("requested", "reused"):
            self.requested += 1
            name = f"server{self.requested}" if self.requested > 1 else "server"
            self.names[event.peer] = name
        peer, at = self.names.get(event.peer, event.peer), event.source.at
        entry = event.source.entry
        match event.verb:
            case "handshake" if peer == "client" and isinstance(entry, EstablishedEntry):
                self.handshake = Handshake(*entry[1:])
            case "kept":
                self.shares = True
            case "reused":
                self.shares = True
                self.reused.add(peer)
                self.targets[peer] = event.text
            case "sends":
                assert event.data is not None
                self.sent += event.size
                last = self.actions[-1][1] if self.actions else None
                if last is not None and (last.peer, last.verb) == (peer, "sends"):
                    more = last._replace(data=last.data + event.data)
                    self.actions[-1] = self.actions[-1][0], more
                else:
                    self.actions.append((at, TranscriptLine(peer, "sends", event.data)))
            case "ends":
                self.actions.append((at, TranscriptLine(peer, "ends")))
            case "fails":
                self.actions.append((at, TranscriptLine(peer, "resets")))
                self.failed.add(peer)
            case "receives":
                if event.data is None:
                    raise NotRepeatable("the log is redacted: it does not contain what was sent")
                self.received.setdefault(peer, bytearray()).extend(event.data)
                self.actions.append((at, None))
            case "receives end" | "closed":
                self.ended.setdefault(peer, "end")
                self.actions.append((at, None))
            case "reset":
                self.ended[peer] = "reset"
                self.actions.append((at, None))
            case "fans out":
                raise NotRepeatable("its data was also sent to other conversations")
            case "happened":
                raise NotRepeatable("it has events of sources, such as child processes")
            case "requested":
                requested[peer] = event.text
            case "connected":
                self.targets[peer] = requested[peer]
                self.actions.append((at, None))
            case "refused":
                self.refusing[requested[peer]] = None
            case "calls":
                number = int(event.text.split()[0])
                self.calls[number] = LookupError("the recording has no result of this call")
            case "returned":
                assert isinstance(entry, CalledEntry)
                value = entry.value
                if isinstance(value, DataclassValue):
                    value = value.rebuild()
                self.calls[entry.number] = entry.error.to_exception() if entry.error else value
