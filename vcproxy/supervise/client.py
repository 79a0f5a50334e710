"""Client: one exchange with a machine server or a machine, from binding to its outcome.

It ends as soon as its exchange has: the original waits 2 s for its own threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vcproxy.bus.mailbox.codec import NUMBERED, Codec
from vcproxy.bus.mailbox.datagram_mailbox import DatagramMailbox, Flushed
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.mailbox import GivenUp, MailboxFull
from vcproxy.bus.mailbox.peer import Peer, show_peer
from vcproxy.bus.mailbox.profile import WINK, Profile
from vcproxy.engine.commands import Stop
from vcproxy.engine.sources.datagrams import BindFailed, Bound
from vcproxy.engine.sources.signals import Signal, Signals
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.supervise.exchange import FAILURE, Exchange, Outcome

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.mutex import Mutex

ENDS: Final = (2, 15)
"""SIGINT and SIGTERM."""

OVERDUE: Final = "OVERDUE"
"""The key of the event that the time for the reply is over."""


class Client(Machine):
    """One exchange. Its end is a Stop of its engine; `outcome` says how it has ended."""

    BINDING = State(initial=True)
    TALKING = State()
    ENDED = State(final=True)

    def __init__(
        self,
        engine: Engine,
        mutex: Mutex,
        exchange: Exchange,
        address: Peer,
        show: Callable[[str], None],
        *,
        groups: tuple[Peer, ...] = (),
        plain: bool = False,
        profile: Profile = WINK,
        codec: Codec = NUMBERED,
    ) -> None:
        """
        Args:
            exchange: what is sent, and what ends it.
            address: its own, where replies arrive.
            show: prints a line: `> RECEIVER TEXT` or `OWN < SENDER TEXT`, as the original's client.
            groups: multicast groups to receive from.
            plain: only what arrives is shown, and of it the text only.
        """
        super().__init__(engine, mutex, name="client")
        self.outcome = Outcome(FAILURE)
        self._exchange = exchange
        self._address = address
        self._show = show
        self._groups = groups
        self._plain = plain
        self._profile = profile
        self._codec = codec

    @BINDING.enter
    def bind(self) -> None:
        """Open the mailbox."""
        self._signals = Signals(self, ENDS)
        self._mailbox = DatagramMailbox(
            self, self._address, self._profile, self._codec, self._groups
        )

    @BINDING.on(BindFailed, to=ENDED)
    def bind_failed(self, failed: BindFailed) -> None:
        """End."""
        self.outcome = Outcome(FAILURE, failed.reason)

    @BINDING.on(Bound, to=(TALKING, ENDED))
    def bound(self, _: Bound) -> State:
        """Send the messages."""
        try:
            for text in self._exchange.messages:
                self._mailbox.send(self._exchange.to, text)
                if not self._plain:
                    self._show(f"> {show_peer(self._exchange.to)} {text}")
        except (MailboxFull, ValueError) as error:
            self.outcome = Outcome(FAILURE, str(error))
            return self.ENDED
        self._mailbox.flush()
        return self.TALKING

    @TALKING.on(Letter, to=(ENDED,))
    def received(self, letter: Letter) -> State | None:
        """Show a message."""
        text = letter.text.rstrip("\n")
        self._show(text if self._plain else f"{show_peer(letter.to)} < {letter.name} {text}")
        return self._end(self._exchange.received(letter))

    @TALKING.on(GivenUp, to=(ENDED,))
    def given_up(self, _: GivenUp) -> State | None:
        """A message has not arrived, as far as is known."""
        return self._end(self._exchange.given_up())

    @TALKING.on(Flushed, to=(ENDED,))
    def flushed(self, _: Flushed) -> State | None:
        """The messages have arrived; the time for the reply begins."""
        if self._exchange.limited:
            limit = self._profile.gives_up_s + self._exchange.extra_s
            self.engine.schedule_in(limit, self, OVERDUE, None)
        return self._end(self._exchange.acknowledged())

    @TALKING.on(OVERDUE, to=(ENDED,))
    def overdue(self, _: object) -> State | None:
        """No reply has come in time."""
        return self._end(self._exchange.overdue())

    @BINDING.on(Signal, to=(ENDED,))
    @TALKING.on(Signal, to=(ENDED,))
    def interrupted(self, _: Signal) -> State | None:
        """End before the end."""
        return self._end(self._exchange.interrupted())

    def _end(self, outcome: Outcome | None) -> State | None:
        if outcome is None:
            return None
        self.outcome = outcome
        return self.ENDED

    def finished(self) -> None:
        """Close everything and stop the engine."""
        self._mailbox.close()
        self._signals.close()
        self.engine.command(Stop())
