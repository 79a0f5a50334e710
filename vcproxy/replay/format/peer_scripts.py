"""PeerScripts: what each peer of a recorded run did, and how much it had heard when it did it.

A peer is whoever was at the other end of a VC: a client, or a connection of a server. A server's
connection that was kept and reused is several peers, one for each time that a conversation had it,
and for each time that it was kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from vcproxy.engine.address import Address
from vcproxy.replay.format import entries as e
from vcproxy.replay.format.values import FailureValue

if TYPE_CHECKING:
    from vcproxy.replay.format.reader import RecordingLog


class Deed(Enum):
    """What a peer does beside saying something."""

    END = "end"
    RESET = "reset"


class Act(NamedTuple):
    """Something that a peer does."""

    at: float
    """When it came to the proxy, in seconds since the recording began."""
    heard: int
    """Bytes that the peer had been sent by then."""
    does: bytes | Deed


class Handshake(NamedTuple):
    """What one has told. See `vcproxy.drivers.sim.link.HandshakeResult`."""

    sni: str | None = None
    alpn: str | None = None
    peer: str | None = None


@dataclass(slots=True)
class PeerScript:
    """What one peer did."""

    number: int
    """Of its VC; below 0 where that had another part before."""
    client: int
    """The client in whose conversation that was: a client's own number; 0: in none."""
    place: str
    """A client's address; of a server's connection, the address that was asked for."""
    listener: int = 0
    """Where a client came in."""
    began: float = 0.0
    message_oriented: bool = False
    """Whether it speaks in datagrams."""
    secure: bool = False
    handshake: Handshake | None = None
    refusals: list[FailureValue] = field(default_factory=list)
    """Of a server: why attempts failed, in their order."""
    connected: bool = False
    """Whether there was a connection."""
    local: str = ""
    peer: str = ""
    acts: list[Act] = field(default_factory=list)
    heard: list[tuple[int, int]] = field(default_factory=list)
    """Sizes and CRC-32 of what it was sent, one after another."""
    total: int = 0
    """The sum of these sizes."""
    asker: str = ""
    """Who asked for a server's connection. See Resolved."""

    def hear(self, size: int, digest: int) -> None:
        """It was sent something."""
        self.heard.append((size, digest))
        self.total += size


class PeerScripts:
    """All parts of a recorded run, and what else came from outside. It is in memory as a whole."""

    def __init__(self, log: RecordingLog) -> None:
        """Read a log. Raises LogError."""
        self.header = log.header
        self.serve: e.ServeEntry | None = None
        """The first; configurations that were loaded later are not looked at."""
        self.reloads = 0
        self.parts: dict[int, PeerScript] = {}
        """By their numbers."""
        self._present: dict[int, PeerScript] = {}  # of each VC, the part that is played now
        self.names: dict[str, list[str]] = {}
        """The hosts that each name stood for; none: it was not known."""
        self.answers: dict[str, deque[e.CalledEntry]] = {}
        """How calls were answered, by what they asked, in their order."""
        self.signals: list[tuple[float, e.SignalledEntry]] = []
        self.seconds: list[tuple[float, int]] = []
        """When the time of day was told, and what it was."""
        self.end = 0.0
        """When the recording ended, in seconds since it began."""
        self.known = "redacted" not in log.header.marks
        """Whether the digests in `heard` are complete, and of what was really said."""
        begun: float | None = None
        for _, entry in log.steps():
            if isinstance(entry, e.ClockEntry):
                begun = entry.now if begun is None else begun
                self.end = entry.now - begun
            else:
                self._take(entry)

    @property
    def listener_names(self) -> dict[int, str]:
        """The names of listeners, by their numbers."""
        listening = () if self.serve is None else self.serve.listening
        return {number: name for number, name, _, _ in listening}

    def conversations(self) -> dict[int, list[PeerScript]]:
        """The parts by their clients' numbers; those of no client are under 0."""
        found: dict[int, list[PeerScript]] = {}
        for part in self.parts.values():
            found.setdefault(part.client if part.client in self.parts else 0, []).append(part)
        return found

    def _take(self, entry: e.Entry) -> None:
        match entry:
            case e.ServeEntry():
                if self.serve is None:
                    self.serve = entry
                else:
                    self.reloads += 1
            case e.AcceptedEntry(listener, peer, secure, whole, vc):
                part = PeerScript(vc, vc, peer, listener, self.end, whole, secure, connected=True)
                self.parts[vc] = self._present[vc] = part
            case e.ResolvedEntry(vc, addresses, _, client, target, asker):
                asked = Address.parse(target)
                part = PeerScript(
                    vc,
                    client,
                    target,
                    began=self.end,
                    message_oriented=asked.message_oriented,
                    asker=asker,
                )
                self.parts[vc] = self._present[vc] = part
                self.names[asked.host] = [Address.parse(found).host for found in addresses]
            case e.CalledEntry(asked=asked_for):
                self.answers.setdefault(asked_for, deque()).append(entry)
            case e.TimeOfDayEntry(seconds):
                self.seconds.append((self.end, seconds))
            case e.SignalledEntry():
                self.signals.append((self.end, entry))
            case e.MovedEntry(moves):
                for vc, client in moves:
                    if vc in self._present:
                        self._moved(vc, client)
            case e.SpreadEntry():
                self.known = False  # it does not say who they are
            case _:
                part_of = self._present.get(e.vc_of(entry) or 0)
                if part_of is not None:
                    self._happened(part_of, entry)

    def _moved(self, vc: int, client: int) -> None:
        """A server's connection is another's from now on."""
        part = self._present[vc] = replace(
            self._present[vc],
            number=-1 - len(self.parts),
            client=client,
            began=self.end,
            refusals=[],
            acts=[],
            heard=[],
            total=0,
        )
        self.parts[part.number] = part

    def _happened(self, part: PeerScript, entry: Any) -> None:
        match entry:
            case e.EstablishedEntry():
                part.handshake = Handshake(*entry[1:])
            case e.RefusedEntry():
                part.refusals.append(entry.error)
            case e.ConnectedEntry():
                part.connected, part.local, part.peer = True, entry.local, entry.peer
            case e.SentEntry() if entry.size:
                part.hear(entry.size, entry.digest)
            case e.ReceivedEntry() | e.PassedEntry() | e.SpreadReadEntry():
                part.acts.append(Act(self.end, part.total, entry.data))
                if isinstance(entry, e.SpreadReadEntry):
                    self.known = False
                elif (
                    isinstance(entry, e.PassedEntry) and entry.taken and entry.sink in self._present
                ):
                    self._present[entry.sink].hear(entry.taken, crc32(entry.data[: entry.taken]))
            case e.EndedEntry(_, None):
                part.acts.append(Act(self.end, part.total, Deed.END))
            case e.EndedEntry() | e.FailedEntry():
                part.acts.append(Act(self.end, part.total, Deed.RESET))
