"""Correspondent: one peer of a mailbox: the numbers sent to it, and those received from it.

Until a peer has acknowledged a message, one message only is in flight to it: the peer's first
number from us begins its sequence, so a later one must not overtake it. The others wait. The same
after the peer has started again, and, for what was not sent yet, after a message was given up or
while the peer is silent: all three may mean that a new process is on its port, or soon will be, and
its sequence begins with what it receives first.

Tested in tests/bus/mailbox/test_mailbox.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vcproxy.bus.mailbox.codec import NUMBERS

if TYPE_CHECKING:
    from vcproxy.bus.mailbox.inbound import Inbound
    from vcproxy.bus.mailbox.peer import Peer

QUIET_S: Final = 0.25
"""A peer that has acknowledged nothing for so long, although something was sent to it, may be
upgraded just now. Longer than a round trip on the Internet, and shorter than the start of a Python
process: what is sent from then on would reach the new process before the repetitions of what was
sent before."""


class Pending:
    """A message that was accepted and is not acknowledged yet."""

    __slots__ = ("accepted", "correspondent", "message", "number", "queue", "sent", "token")

    queue: dict[int, Pending]
    """The queue of Retransmission that it is in, by token."""

    def __init__(
        self, correspondent: Correspondent, number: int, message: bytes, token: int, accepted: float
    ) -> None:
        self.correspondent = correspondent
        self.number = number
        self.message = message
        self.token = token
        self.accepted = accepted
        """When it was accepted, in seconds."""
        self.sent = False
        """Whether it was sent to the process that is on the peer's port now."""


class Correspondent:
    """One peer: what is pending to it, and the sequence received from it."""

    __slots__ = ("answered", "confirmed", "inbound", "next_number", "peer", "pending")

    def __init__(self, peer: Peer, next_number: int = 0) -> None:
        self.peer = peer
        self.next_number = next_number
        self.pending: dict[int, Pending] = {}
        """By number, in the order of acceptance."""
        self.confirmed = False
        """Whether it has acknowledged a message since it started, and since one was given up or it
        was silent."""
        self.answered = 0.0
        """When it acknowledged a message last, in seconds."""
        self.inbound: Inbound | None = None
        """None: nothing was received yet."""

    @property
    def idle(self) -> bool:
        """Whether nothing is pending to it or held from it."""
        return not self.pending and (self.inbound is None or not self.inbound.held)

    def span(self) -> int:
        """Return how many numbers there are from the oldest pending one to the next one."""
        oldest = next(iter(self.pending), self.next_number)
        return (self.next_number - oldest) % NUMBERS

    def in_flight(self, pending: Pending) -> bool:
        """Return whether a pending message that is due may be sent."""
        return self.confirmed or pending.sent or next(iter(self.pending)) == pending.number

    def unsent(self) -> list[Pending]:
        """Return what may be sent now and was not."""
        if self.confirmed:
            return [pending for pending in self.pending.values() if not pending.sent]
        oldest = next(iter(self.pending.values()), None)
        return [] if oldest is None or oldest.sent else [oldest]

    def oldest(self) -> Pending:
        """Return the oldest pending message. There is one."""
        return next(iter(self.pending.values()))

    def silent(self, now: float) -> bool:
        """Return whether it has acknowledged nothing for QUIET_S although something is pending."""
        return min(now - self.answered, now - self.oldest().accepted) > QUIET_S

    def started_again(self) -> None:
        """Note a new process on the peer's port, which has received nothing of what is pending."""
        self.confirmed = False
        for pending in self.pending.values():
            pending.sent = False
