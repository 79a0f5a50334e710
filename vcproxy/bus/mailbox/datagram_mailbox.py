"""DatagramMailbox: a mailbox at a UDP socket of an engine.

Events, delivered to its continuation under its mutex, with the class as the key:

=============  =========================================================================
Bound          the socket is bound; `address` has its actual port
BindFailed     it cannot be bound, for `reason`; the last event
Letter         a message from a peer, or to a group
GivenUp        a message was never acknowledged; `text` and `to` are those of `send`
Flushed        the answer to `flush()`: nothing waits for an acknowledgement any more
=============  =========================================================================

Text is UTF-8; other bytes are surrogate escapes (PEP 383) in it. What is sent to a multicast group
(224.0.0.0 to 239.255.255.255) is the text alone, without number and acknowledgement (wink.md 2).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.bus.mailbox.codec import NUMBERED
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.mailbox import GivenUp, Mailbox
from vcproxy.bus.mailbox.peer import is_group, show_peer
from vcproxy.bus.mailbox.profile import WINK
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.drop_counter import DropCounter
from vcproxy.engine.event import Event
from vcproxy.engine.sources.datagrams import Arrived, BindFailed, Bound, Datagrams

if TYPE_CHECKING:
    from vcproxy.bus.mailbox.codec import Codec
    from vcproxy.bus.mailbox.peer import Peer
    from vcproxy.bus.mailbox.profile import Profile
    from vcproxy.engine.scheduler import Action


@dataclass(frozen=True, slots=True)
class Flushed:
    """No message of a mailbox waits for an acknowledgement."""

    name: str


class DatagramMailbox(Continuation):
    """Binds a socket, and exchanges messages with the mailboxes of peers.

    Args:
        owner: receives the events.
        address: where to bind; port 0 is any free port.
        profile, codec: see Mailbox.
        groups: multicast groups to receive from, each at its own port.
        name: the name in events and in the log; by default the address.
        allows: returns whether a sender's datagrams are taken; None: all are. Those of others are
            dropped without an answer.

    Malformed datagrams are counted and logged, at most once a second for each reason.
    """

    __slots__ = ("_allows", "_datagrams", "_drops", "_flushing", "_groups", "_owner", "_timer",
                 "address", "mailbox", "name")  # fmt: skip

    def __init__(
        self,
        owner: Continuation,
        address: Peer,
        profile: Profile = WINK,
        codec: Codec = NUMBERED,
        groups: tuple[Peer, ...] = (),
        name: str = "",
        allows: Callable[[Peer], bool] | None = None,
    ) -> None:
        super().__init__(owner.engine, owner.mutex)
        self._allows = allows
        self.address = address
        """The address; its actual port from Bound on."""
        self.name = name or show_peer(address)
        self._drops = DropCounter(self.engine, self.name)
        self.mailbox = Mailbox(profile, codec, self._drops.drop)
        self._owner: Continuation | None = owner
        self._groups = {group[0]: group for group in groups}
        self._flushing = False
        self._timer: Action | None = None
        self._datagrams = Datagrams(self, self.name, address, groups)

    def __repr__(self) -> str:
        return f"<DatagramMailbox {self.name} of {self._owner!r}>"

    def crashed(self, error: Exception) -> str:
        """Return the owner's text: it has failed, or this mailbox with it."""
        return "" if self._owner is None else self._owner.crashed(error)

    # -- for the owner -----------------------------------------------------------------------

    def send(self, to: Peer, text: str) -> int:
        """Send a message to a peer, or to a multicast group; return its token (0: to a group).

        Raises ValueError for a message that cannot be sent, and MailboxFull: see Mailbox. After
        `close()` it has no effect.
        """
        message = text.encode("utf-8", "surrogateescape")
        if to[0][:1] == "2" and is_group(to):
            self._datagrams.send(message, to)
            return 0
        token = self.mailbox.send(to, message, self.engine.now)
        self._put()
        return token

    def flush(self) -> None:
        """Deliver Flushed once nothing waits for an acknowledgement: at most `gives_up_s` later."""
        self._flushing = True
        self._wake_at(self.engine.now)

    def refuse(self) -> None:
        """Accept no more messages; what was held for earlier ones is delivered. See Mailbox."""
        self.mailbox.refuse()
        self.engine.schedule(self, Letter, None)

    def forget(self, peer: Peer) -> None:
        """Forget the numbers of a peer whose process has ended without a message: see Mailbox."""
        self.mailbox.forget(peer)
        self._wake_at(self.engine.now)

    def close(self) -> None:
        """Close the socket. Nothing is delivered any more; what is pending is not sent again."""
        self._owner = None
        self._datagrams.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- events ------------------------------------------------------------------------------

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle a datagram, the end of a wait, letters to deliver, or the outcome of binding."""
        if type(data) is Arrived:
            if self._allows is not None and not self._allows(data.source):
                self._drops.drop("its sender is not in an allowed network")
            elif data.group:
                self._arrived_for_group(data)
            else:
                self.mailbox.received(data.data, data.source, self.engine.now)
                self._settle()
        elif key is Letter:
            self._settle()
        elif key is Event.TIMEOUT:
            self._timer = None
            self.mailbox.elapsed(self.engine.now)
            self._settle()
        elif isinstance(data, Bound | BindFailed):
            if isinstance(data, Bound):
                self.address = data.address
            self._deliver(key, data)

    def _arrived_for_group(self, datagram: Arrived) -> None:
        if not self.mailbox.refuses:
            text = datagram.data.rstrip(b"\n").decode("utf-8", "surrogateescape")
            self._deliver(Letter, Letter(datagram.source, text, self._groups[datagram.group]))

    def _settle(self) -> None:
        """Send and deliver what the mailbox has."""
        mailbox = self.mailbox
        if mailbox.outgoing or self._timer is None:  # a timer comes before a new gap closes
            self._put()
        if mailbox.delivered:
            for source, message in mailbox.take_delivered():
                if self._owner is not None:  # it may close this mailbox
                    text = message.decode("utf-8", "surrogateescape")
                    self._owner.handle_event(Letter, Letter(source, text, self.address))
        if mailbox.given_up:
            for given_up in mailbox.take_given_up():
                self._deliver(GivenUp, given_up)
        if self._flushing and mailbox.flushed:
            self._flushing = False
            self._deliver(Flushed, Flushed(self.name))

    def _put(self) -> None:
        """Send what the mailbox has, and wake up at its deadline."""
        mailbox = self.mailbox
        if mailbox.outgoing:
            for datagram, to in mailbox.take_outgoing():
                self._datagrams.send(datagram, to)
        deadline, timer = mailbox.deadline, self._timer
        if deadline is not None and (timer is None or deadline < timer.when):
            self._wake_at(deadline)

    def _deliver(self, key: Hashable, event: object) -> None:
        """Call the owner, unless it has closed this mailbox."""
        if self._owner is not None:
            self._owner.handle_event(key, event)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            if self._timer.when <= when:
                return
            self._timer.cancel()
        if self._owner is not None:
            self._timer = self.engine.schedule_at(when, self, Event.TIMEOUT, None)
