"""A network between mailboxes, in virtual time: by seed it loses, duplicates and reorders."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from vcproxy.bus.mailbox.codec import NUMBERED, Codec
from vcproxy.bus.mailbox.mailbox import Delivered, GivenUp, Mailbox, MailboxFull
from vcproxy.bus.mailbox.peer import Peer
from vcproxy.bus.mailbox.profile import Profile


@dataclass
class Faults:
    """What the network does to a datagram. The rates are probabilities, times are in seconds."""

    loss: float = 0.0
    duplicates: float = 0.0
    reordering: float = 0.0
    """How often a datagram is delayed twice the jitter, so that later ones overtake it."""
    latency_s: float = 0.001
    jitter_s: float = 0.0


STATED = Faults(loss=0.2, duplicates=0.1, reordering=0.2, latency_s=0.01, jitter_s=0.05)
"""The network that the figures of `make bench` are stated for."""


class Host:
    """One process with a mailbox, and what its author saw."""

    def __init__(self, network: Network, peer: Peer, profile: Profile, codec: Codec) -> None:
        self.network = network
        self.peer = peer
        self.mailbox = Mailbox(profile, codec)
        self.delivered: list[Delivered] = []
        self.given_up: list[GivenUp] = []
        self.sends: list[tuple[float, bytes]] = []
        """When each datagram was sent, and the datagram."""

    def send(self, to: Host | Peer, text: str) -> int:
        peer = to.peer if isinstance(to, Host) else to
        token = self.mailbox.send(peer, text.encode(), self.network.now)
        self.flush()
        return token

    def flush(self) -> None:
        """Hand the mailbox's results to the network and the author."""
        for datagram, to in self.mailbox.take_outgoing():
            self.sends.append((round(self.network.now, 6), datagram))
            self.network.carry(datagram, self.peer, to)
        self.delivered += self.mailbox.take_delivered()
        self.given_up += self.mailbox.take_given_up()

    def texts(self, source: Host | None = None) -> list[str]:
        """Return the texts that were delivered, from one host or all."""
        return [
            message.decode() for peer, message in self.delivered if source in (None, self._at(peer))
        ]

    def _at(self, peer: Peer) -> Host | None:
        return self.network.hosts.get(peer)


class Network:
    """Hosts by address. Virtual time: `run` jumps from one arrival or deadline to the next."""

    def __init__(self, seed: int = 0, faults: Faults | None = None) -> None:
        self.random = Random(seed)
        self.faults = faults or Faults()
        self.now = 0.0
        self.hosts: dict[Peer, Host] = {}
        self._carried = 0
        self._arrivals: list[tuple[float, int, bytes, Peer, Peer]] = []

    def host(
        self, port: int, profile: Profile, codec: Codec = NUMBERED, ip: str = "127.0.0.1"
    ) -> Host:
        """Return a new host; it replaces one at the same address, whose memory is lost."""
        host = self.hosts[ip, port] = Host(self, (ip, port), profile, codec)
        return host

    def carry(self, datagram: bytes, source: Peer, to: Peer) -> None:
        """Let a datagram arrive later: never, once or twice."""
        random, faults = self.random, self.faults
        for _ in range(1 + (random.random() < faults.duplicates)):
            if random.random() < faults.loss:
                continue
            delay = faults.latency_s + random.uniform(0, faults.jitter_s)
            if random.random() < faults.reordering:
                delay += 2 * faults.jitter_s
            self._carried += 1
            heapq.heappush(self._arrivals, (self.now + delay, self._carried, datagram, source, to))

    def run(self, until: float, each: Callable[[], None] | None = None) -> None:
        """Run to a time; `each` is called after each event."""
        while True:
            times = [host.mailbox.deadline for host in self.hosts.values()]
            due = [time for time in times if time is not None]
            due += [self._arrivals[0][0]] if self._arrivals else []
            if not due or min(due) > until:
                self.now = until
                return
            self.now = max(min(due), self.now)
            while self._arrivals and self._arrivals[0][0] <= self.now:
                _, _, datagram, source, to = heapq.heappop(self._arrivals)
                if to in self.hosts:
                    self.hosts[to].mailbox.received(datagram, source, self.now)
                    self.hosts[to].flush()
            for host in list(self.hosts.values()):
                deadline = host.mailbox.deadline
                if deadline is not None and deadline <= self.now:
                    host.mailbox.elapsed(self.now)
                    host.flush()
            if each is not None:
                each()


@dataclass
class Peak:
    """The most messages that were stored at one time."""

    pending: int = 0
    """By the sender, without acknowledgement."""
    held: int = 0
    """By the receiver, until earlier ones arrive."""


def pour(sender: Host, receiver: Host, texts: Iterable[str]) -> Peak:
    """Send texts as fast as the window allows, and run until the fate of each is decided."""
    network, left, peak = sender.network, deque(texts), Peak()

    def fill() -> None:
        try:
            while left:
                sender.mailbox.send(receiver.peer, left[0].encode(), network.now)
                left.popleft()
        except MailboxFull:
            pass
        sender.flush()
        peak.pending = max(peak.pending, sender.mailbox.pending)
        peak.held = max(peak.held, receiver.mailbox.held)

    fill()
    network.run(until=network.now + 1e6, each=fill)
    return peak
