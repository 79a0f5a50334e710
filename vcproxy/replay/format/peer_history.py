"""PeerHistory and RunHistory: what each peer of a recorded run did, and after how many bytes.

A peer is the other end of a VC: a client, or a connection of a server. A server connection that was
kept and reused counts as several peers: one for each conversation that used it, and one for each
idle period between them. Tested in tests/replay/test_what_if.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from zlib import crc32

from vcproxy.engine.address import Address
from vcproxy.engine.peer_certificate import PeerCertificate
from vcproxy.replay.format import entries as e
from vcproxy.replay.format.values import DataclassValue, FailureValue

if TYPE_CHECKING:
    from vcproxy.replay.format.reader import RecordingLog


class StreamEnd(Enum):
    """How a peer ended its stream."""

    END = "end"
    RESET = "reset"


class PeerAction(NamedTuple):
    """Data that a peer sent, or the end of its stream."""

    at: float
    """When the data reached the proxy, in seconds since the recording began."""
    received: int
    """Bytes that the proxy had sent to the peer by then."""
    action: bytes | StreamEnd


class Handshake(NamedTuple):
    """The result of a TLS handshake. See `vcproxy.drivers.sim.link.HandshakeResult`."""

    sni: str | None = None
    alpn: str | None = None
    peer: str | None = None
    certificate: PeerCertificate | None = None


@dataclass(slots=True)
class PeerHistory:
    """What one peer did."""

    number: int
    """The number of its VC; below 0 where that VC had an earlier history."""
    client: int
    """The client of the conversation: a client's own number; 0: none."""
    address: str
    """A client's address; of a server's connection, the requested address."""
    listener: int = 0
    """The listener that accepted a client."""
    began: float = 0.0
    message_oriented: bool = False
    """Whether the peer sends datagrams, not a stream."""
    secure: bool = False
    handshake: Handshake | None = None
    presented: PeerCertificate | None = None
    """The certificate of a client, before its handshake is done."""
    refusals: list[FailureValue] = field(default_factory=list)
    """Why attempts to connect to this server failed, in order."""
    connected: bool = False
    """Whether there was a connection."""
    local: str = ""
    peer: str = ""
    actions: list[PeerAction] = field(default_factory=list)
    received: list[tuple[int, int]] = field(default_factory=list)
    """The size and CRC-32 of each block that the proxy sent to it, in order."""
    total: int = 0
    """The sum of these sizes."""
    requester: str = ""
    """The class that requested a server's connection. See ResolvedEntry."""

    def add_received(self, size: int, digest: int) -> None:
        """Add data that the proxy sent to the peer."""
        self.received.append((size, digest))
        self.total += size


class RunHistory:
    """The histories of all peers of a recorded run, and all other input, in memory."""

    def __init__(self, log: RecordingLog) -> None:
        """Read a log. Raises LogError."""
        self.header = log.header
        self.serve: e.ServeEntry | None = None
        """The first configuration; those of reloads are ignored."""
        self.reloads = 0
        self.peers: dict[int, PeerHistory] = {}
        """The peers by number."""
        self._current: dict[int, PeerHistory] = {}  # the current history of each VC
        self.names: dict[str, list[str]] = {}
        """The hosts that each name resolved to; empty: unknown name."""
        self.answers: dict[str, deque[e.CalledEntry]] = {}
        """The results of calls, in order, by the text of the call."""
        self.signals: list[tuple[float, e.SignalledEntry]] = []
        self.changes: list[tuple[float, e.ChangedEntry]] = []
        self.sources: dict[int, list[tuple[float, DataclassValue]]] = {}
        """What happened at each source, and when, by its number."""
        self.seconds: list[tuple[float, int]] = []
        """The times of day that the driver reported, and when."""
        self.end = 0.0
        """When the recording ended, in seconds since it began."""
        self.complete = "redacted" not in log.header.marks
        """Whether the digests in `received` are complete and of the real data."""
        begun: float | None = None
        for _, entry in log.steps():
            if isinstance(entry, e.ClockEntry):
                begun = entry.now if begun is None else begun
                self.end = entry.now - begun
            else:
                self._add(entry)

    @property
    def listener_names(self) -> dict[int, str]:
        """The names of listeners, by their numbers."""
        listening = () if self.serve is None else self.serve.listening
        return {number: name for number, name, _, _ in listening}

    def conversations(self) -> dict[int, list[PeerHistory]]:
        """Return the peers, grouped by the number of their client; 0: without a client."""
        found: dict[int, list[PeerHistory]] = {}
        for peer in self.peers.values():
            found.setdefault(peer.client if peer.client in self.peers else 0, []).append(peer)
        return found

    def _add(self, entry: e.Entry) -> None:
        match entry:
            case e.ServeEntry():
                if self.serve is None:
                    self.serve = entry
                else:
                    self.reloads += 1
            case e.AcceptedEntry(listener, address, secure, message_oriented, vc):
                peer = PeerHistory(
                    vc, vc, address, listener, self.end, message_oriented, secure, connected=True
                )
                self.peers[vc] = self._current[vc] = peer
            case e.ResolvedEntry(vc, addresses, _, client, target, requester):
                requested = Address.parse(target)
                peer = PeerHistory(
                    vc,
                    client,
                    target,
                    began=self.end,
                    message_oriented=requested.message_oriented,
                    requester=requester,
                )
                self.peers[vc] = self._current[vc] = peer
                self.names[requested.host] = [Address.parse(found).host for found in addresses]
            case e.CalledEntry(call=call):
                self.answers.setdefault(call, deque()).append(entry)
            case e.TimeOfDayEntry(seconds):
                self.seconds.append((self.end, seconds))
            case e.HappenedEntry(source, DataclassValue() as event):
                self.sources.setdefault(source, []).append((self.end, event))
            case e.SignalledEntry():
                self.signals.append((self.end, entry))
            case e.ChangedEntry():
                self.changes.append((self.end, entry))
            case e.MovedEntry(moves):
                for vc, client in moves:
                    if vc in self._current:
                        self._move(vc, client)
            case e.SpreadEntry():
                self.complete = False  # the entry does not tell which VCs got the data
            case _:
                known = self._current.get(e.vc_of(entry) or 0)
                if known is not None:
                    self._add_to(known, entry)

    def _move(self, vc: int, client: int) -> None:
        """Begin a new history for a server connection that has moved to another conversation."""
        peer = self._current[vc] = replace(
            self._current[vc],
            number=-1 - len(self.peers),
            client=client,
            began=self.end,
            refusals=[],
            actions=[],
            received=[],
            total=0,
        )
        self.peers[peer.number] = peer

    def _add_to(self, peer: PeerHistory, entry: Any) -> None:
        match entry:
            case e.IntroducedEntry():
                peer.actions.append(PeerAction(self.end, 0, entry.data))
            case e.PresentedEntry():
                peer.presented = PeerCertificate(*cast("tuple[Any, ...]", entry.certificate))
            case e.EstablishedEntry():
                peer.handshake = Handshake(*entry[1:], peer.presented)
            case e.RefusedEntry():
                peer.refusals.append(entry.error)
            case e.ConnectedEntry():
                peer.connected, peer.local, peer.peer = True, entry.local, entry.peer
            case e.SentEntry() if entry.size:
                peer.add_received(entry.size, entry.digest)
            case e.ReceivedEntry() | e.PassedEntry() | e.SpreadReadEntry():
                peer.actions.append(PeerAction(self.end, peer.total, entry.data))
                if isinstance(entry, e.SpreadReadEntry):
                    self.complete = False
                elif (
                    isinstance(entry, e.PassedEntry) and entry.taken and entry.sink in self._current
                ):
                    sink = self._current[entry.sink]
                    sink.add_received(entry.taken, crc32(entry.data[: entry.taken]))
            case e.EndedEntry(_, None):
                peer.actions.append(PeerAction(self.end, peer.total, StreamEnd.END))
            case e.EndedEntry() | e.FailedEntry():
                peer.actions.append(PeerAction(self.end, peer.total, StreamEnd.RESET))
