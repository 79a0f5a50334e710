"""Mailbox: makes datagrams reliable: numbers, acknowledgements, retransmission (wink.md 1 and 2).

It does no I/O. Datagrams go in with the time, and results are taken out::

    token = mailbox.send(("127.0.0.1", 42000), b"register echo/Echo 17", now)
    mailbox.received(datagram, source, now)
    mailbox.elapsed(now)                        # at `mailbox.deadline`
    for datagram, peer in mailbox.take_outgoing(): ...
    for source, message in mailbox.take_delivered(): ...
    for peer, message, token in mailbox.take_given_up(): ...

A message that was accepted is delivered once and in order, or its sender gets GivenUp. Both may be
true: a message whose acknowledgements are all lost was delivered although it is given up.

Mended (known faults of the original, at the end of wink.md):

* an acknowledgement counts for the peer that it comes from, by address and port, and its number;
* messages that arrive in another order are delivered in order; the original lost them;
* a peer that started again on its port is recognised (Inbound); the original ignored it;
* its sender is informed of each message that is given up; the original wrote an error line;
* the last send is waited for as long as the others; the original gave up at once;
* a message "ack", or one that is too long, is refused; the original sent the one as an
  acknowledgement, and truncated the other;
* nothing is done while an acknowledgement is awaited; the original used all of a processor.

Tested in tests/bus/mailbox/test_mailbox.py and, for single rules, test_inbound.py there.

What it cannot repair alone: a process of the original that received higher numbers from an earlier
process on our port acknowledges ours and drops them.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from vcproxy.bus.mailbox.codec import ACK, NUMBERED, NUMBERS, Malformed
from vcproxy.bus.mailbox.correspondent import Correspondent, Pending
from vcproxy.bus.mailbox.inbound import HeldBytes, Inbound, is_first
from vcproxy.bus.mailbox.peer import Peer, show_peer
from vcproxy.bus.mailbox.profile import WINK
from vcproxy.bus.mailbox.retransmission import Retransmission

if TYPE_CHECKING:
    from vcproxy.bus.mailbox.codec import Codec
    from vcproxy.bus.mailbox.profile import Profile

PEERS: Final = 4_096
"""Limit of peers that a mailbox has numbers of: more than one machine has neighbours, and some
2 MiB if each of them is idle. The one that was idle longest is forgotten."""

LATE_S: Final = 1.0
"""A mailbox whose deadline passed this long ago was stopped together with its process. The time is
not counted: a message gets all its sends."""

ACK_BYTES: Final = 8 + len(ACK)
"""The length of an acknowledgement."""


Delivered: TypeAlias = tuple[Peer, bytes]
"""A message, and the peer that it is from."""


class GivenUp(NamedTuple):
    """A message that was never acknowledged. `token` is what `send` returned."""

    to: Peer
    message: bytes
    token: int

    @property
    def text(self) -> str:
        """The message as text."""
        return self.message.decode("utf-8", "surrogateescape")

    @property
    def name(self) -> str:
        """The peer, as the histories of machines show it."""
        return show_peer(self.to)


class MailboxFull(Exception):
    """A message was not accepted: too many to that peer are not acknowledged."""


class Mailbox:
    """The messages to and from all peers of one address.

    Args:
        profile: when messages are sent again and given up.
        codec: LEGACY has no numbers: messages are then sent once and not acknowledged.
        malformed: called with the reason for each malformed datagram.
    """

    def __init__(
        self,
        profile: Profile = WINK,
        codec: Codec = NUMBERED,
        malformed: Callable[[str], None] | None = None,
    ) -> None:
        self.profile = profile
        self.codec = codec
        self._decode = codec.decode
        self.deadline: float | None = None
        """When `elapsed` must be called; None: nothing is waited for. It may be earlier than
        needed, by what was acknowledged since; `elapsed` corrects it."""
        self.drops: Counter[str] = Counter()
        """Datagrams that were dropped without an answer, by reason."""
        self._malformed = malformed
        self._correspondents: OrderedDict[Peer, Correspondent] = OrderedDict()
        """The one that was idle longest first."""
        self._retransmission = Retransmission(profile)
        self._gaps: dict[Peer, Inbound] = {}
        """The sequences that may have a gap."""
        self._room = HeldBytes()
        self.refuses = False
        """Whether no more messages are accepted: see `refuse`."""
        self._tokens = 0
        self._first_number = 0
        self.outgoing: list[tuple[bytes, Peer]] = []
        """Datagrams to be sent, in order: see `take_outgoing`."""
        self.delivered: list[Delivered] = []
        """Messages from peers, in order: see `take_delivered`."""
        self.given_up: list[GivenUp] = []
        """Messages that were given up, in order: see `take_given_up`."""

    # -- sending -----------------------------------------------------------------------------

    def send(self, to: Peer, message: bytes, now: float) -> int:
        """Accept a message to a peer; return its token, which GivenUp repeats.

        Raises ValueError, with the reason, for a message that the codec cannot send, and
        MailboxFull if the oldest message to that peer that is not acknowledged is
        `profile.window` messages back.
        """
        token = self._tokens = self._tokens + 1
        if not self.codec.acknowledged:
            self.outgoing.append((self.codec.encode(0, message), to))
            return token
        correspondent = self._correspondents.get(to) or self._meet(to)
        if correspondent is None:
            raise MailboxFull(f"messages to {PEERS} peers are not acknowledged")
        self._correspondents.move_to_end(to)
        queued = correspondent.pending
        if queued and correspondent.span() >= self.profile.window:
            raise MailboxFull(
                f"{self.profile.window} messages to {show_peer(to)} are not acknowledged"
            )
        number = correspondent.next_number
        datagram = self.codec.encode(number, message)
        correspondent.next_number = (number + 1) % NUMBERS
        deadline = self.deadline
        if deadline is not None and now - deadline > LATE_S:
            self._note_stop(now)
        pending = Pending(correspondent, number, message, token, now)
        due = self._retransmission.add(pending)
        if deadline is None or due < deadline:
            self.deadline = due
        if correspondent.confirmed and queued and correspondent.silent(now):
            correspondent.confirmed = False
        if correspondent.confirmed or not queued:
            pending.sent = True
            self.outgoing.append((datagram, to))
        queued[number] = pending
        return token

    @property
    def flushed(self) -> bool:
        """Whether no message waits for an acknowledgement."""
        return not self._retransmission

    @property
    def pending(self) -> int:
        """How many messages wait for an acknowledgement, to all peers."""
        return len(self._retransmission)

    @property
    def held(self) -> int:
        """How many messages wait for earlier ones, from all peers."""
        return sum(inbound.held for inbound in self._gaps.values())

    def has_acknowledged(self, peer: Peer) -> bool:
        """Return whether a peer has acknowledged a message since it started, or since one to it was
        given up: then its address is not forged."""
        correspondent = self._correspondents.get(peer)
        return correspondent is not None and correspondent.confirmed

    def _put_unsent(self, correspondent: Correspondent) -> None:
        for pending in correspondent.unsent():
            self._put(pending)

    def _put(self, pending: Pending) -> None:
        """Send a pending message, for the first time or again."""
        pending.sent = True
        datagram = self.codec.encode(pending.number, pending.message)
        self.outgoing.append((datagram, pending.correspondent.peer))

    # -- receiving ---------------------------------------------------------------------------

    def received(self, datagram: bytes, source: Peer, now: float) -> None:
        """Take a datagram that has arrived from `source`.

        A malformed one, an acknowledgement that nothing waits for, and a message that cannot be
        delivered in order are dropped without an answer. A message of less than 3 bytes from
        another host is delivered, and acknowledged only if that peer has acknowledged a message:
        its address may be forged, and the acknowledgement is longer.
        """
        try:
            number, message = self._decode(datagram)
        except Malformed as error:
            self.drops["malformed"] += 1
            if self._malformed is not None:
                self._malformed(f"it is malformed: {error}")
            return
        if not self.codec.acknowledged:
            self.delivered.append((source, message))
            return
        correspondent = self._correspondents.get(source)
        if message == ACK:
            pending = None if correspondent is None else correspondent.pending.get(number)
            if correspondent is None or pending is None or not pending.sent:
                self.drops["an acknowledgement that nothing waits for"] += 1
                return
            del correspondent.pending[number]
            del pending.queue[pending.token]
            correspondent.answered = now
            if not correspondent.confirmed:
                correspondent.confirmed = True
                self._put_unsent(correspondent)
            return
        correspondent = correspondent or self._meet(source)
        if correspondent is None:
            self.drops[f"messages to {PEERS} peers are not acknowledged"] += 1
            return
        self._correspondents.move_to_end(source)
        if self._arrived(correspondent, number, message, now):
            # Off this host, an address that may be forged is sent no more than it has sent.
            if (
                len(datagram) >= ACK_BYTES
                or correspondent.confirmed
                or source[0].startswith("127.")
            ):
                self.outgoing.append((datagram[:8] + ACK, source))
        else:
            self.drops["its number cannot be delivered in order"] += 1

    def refuse(self) -> None:
        """Accept no more messages: they are not acknowledged, except repetitions of earlier ones.

        What is held is delivered: it was acknowledged. Later messages wait at their senders for the
        next process at this address, until they are given up.
        """
        self.refuses = True
        for peer, inbound in self._gaps.items():
            self._deliver(peer, inbound.close())
        self._gaps.clear()

    def _arrived(
        self, correspondent: Correspondent, number: int, message: bytes, now: float
    ) -> bool:
        """Take a message; return whether it is acknowledged."""
        inbound, peer = correspondent.inbound, correspondent.peer
        if self.refuses:
            return inbound is not None and inbound.is_repeated(number, message, now)
        if inbound is None:
            inbound = Inbound(self.profile, self._room, number, message, now)
            correspondent.inbound = inbound
            messages: list[bytes] | None = [message]
            begins = is_first(message)
        else:
            lives = inbound.lives
            messages = inbound.receive(number, message, now)
            begins = inbound.lives > lives
        if begins:
            correspondent.started_again()
            self._put_unsent(correspondent)
        if not messages:  # else a gap, if there is one, was noted before
            closes = inbound.gap_closes
            if closes is not None:
                self._gaps[peer] = inbound
                self._wake_at(closes)
        if messages is None:
            return False
        for each in messages:
            self.delivered.append((peer, each))
        return True

    # -- time --------------------------------------------------------------------------------

    def elapsed(self, now: float) -> None:
        """Send again, give up, and close gaps, as far as it is time; called at `deadline`."""
        self._note_stop(now)
        again, given_up = self._retransmission.take_due(now)
        for pending in given_up:
            correspondent = pending.correspondent
            del correspondent.pending[pending.number]
            correspondent.confirmed = False
            self.given_up.append(GivenUp(correspondent.peer, pending.message, pending.token))
        begun: set[Peer] = set()
        for pending in again:
            correspondent = pending.correspondent
            if correspondent.in_flight(pending):
                if correspondent.peer not in begun and correspondent.silent(now):
                    # A process that has just come to that port must begin with the oldest.
                    begun.add(correspondent.peer)
                    if correspondent.oldest() is not pending:
                        self._put(correspondent.oldest())
                self._put(pending)
        for pending in given_up:
            self._put_unsent(pending.correspondent)
        self._close_gaps(now)
        times = [inbound.gap_closes for inbound in self._gaps.values()]
        times.append(self._retransmission.next_due())
        self.deadline = min((time for time in times if time is not None), default=None)

    def _close_gaps(self, now: float) -> None:
        for peer, inbound in list(self._gaps.items()):
            closes = inbound.gap_closes
            while closes is not None and closes <= now:
                self._deliver(peer, inbound.close_gap())
                closes = inbound.gap_closes
            if closes is None:
                del self._gaps[peer]

    def _wake_at(self, when: float) -> None:
        if self.deadline is None or when < self.deadline:
            self.deadline = when

    def _note_stop(self, now: float) -> None:
        """Postpone what is pending if the deadline passed long ago."""
        if self.deadline is not None and now - self.deadline > LATE_S:
            self._retransmission.postpone(now - self.deadline, now)
            self.deadline = now

    # -- peers -------------------------------------------------------------------------------

    def forget(self, peer: Peer) -> None:
        """Forget what was received from a peer whose process has ended without a message.

        The next message from that address begins its sequence, whatever its number. What was held
        is delivered. What is pending to it stays.
        """
        correspondent = self._correspondents.get(peer)
        if correspondent is not None and correspondent.inbound is not None:
            self._deliver(peer, correspondent.inbound.close())
            correspondent.inbound = None
            correspondent.started_again()
            self._gaps.pop(peer, None)

    def _meet(self, peer: Peer) -> Correspondent | None:
        """Return a new correspondent, in place of the one that was idle longest if there are too
        many; None if each of them has messages that are pending or held."""
        if len(self._correspondents) >= PEERS:
            idle = next((c for c in self._correspondents.values() if c.idle), None)
            if idle is None:
                return None
            del self._correspondents[idle.peer]
            self._gaps.pop(idle.peer, None)
            # If it is met again, its numbers must not begin again: it would drop them.
            self._first_number = max(self._first_number, idle.next_number)
        correspondent = self._correspondents[peer] = Correspondent(peer, self._first_number)
        return correspondent

    # -- results -----------------------------------------------------------------------------

    def take_outgoing(self) -> list[tuple[bytes, Peer]]:
        """Return and remove the datagrams to be sent."""
        taken, self.outgoing = self.outgoing, []
        return taken

    def take_delivered(self) -> list[Delivered]:
        """Return and remove the messages from peers."""
        taken, self.delivered = self.delivered, []
        return taken

    def take_given_up(self) -> list[GivenUp]:
        """Return and remove the messages that were given up."""
        taken, self.given_up = self.given_up, []
        return taken

    def _deliver(self, peer: Peer, messages: list[bytes]) -> None:
        self.delivered += [(peer, message) for message in messages]
