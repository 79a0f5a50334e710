"""ReconnectingConnection: one connection to an address, opened again when it is lost.

    CONNECTING --CONNECTED--> UP --the owner has lost it--> WAITING --its time is up--> CONNECTING
        +--- ERROR: refused, or no answer in time --------------^

Delays grow as Backoff says. Nothing is kept for a link that is not up, and nothing is owed to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.units import show_duration
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.upstream.backoff import Backoff

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action

LOST, AGAIN = "LOST", "AGAIN"
"""Tags: the owner gives the connection back; it is time for the next try."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A link has a connection. It is the owner's until `link.lost()` or `link.stop()`."""

    link: ReconnectingConnection
    vc: NetVConnection

    @property
    def name(self) -> str:
        """The link's, for histories."""
        return self.link.name


class ReconnectingConnection(Machine):
    """Connects to `target` for `owner`, under its mutex, and tells it each time with Reconnected.

    Args:
        name: who this is, in logs; the target's address, if left out.
        tls: what the driver needs to speak TLS, where the target is tls://.
        hears: it is a source: of udp:// and nats:// it hears what is sent there.
        connect_s: seconds for a connection, its handshake included; 0: no limit.
        backoff: the delays between tries.
    """

    __slots__ = (
        "_backoff", "_connect_s", "_hears", "_notice", "_owner", "_said", "_tls", "_up_at", "_vc",
        "_why", "reconnects", "target",
    )  # fmt: skip

    CONNECTING = State(initial=True)
    UP, WAITING = State(), State()

    WAITING.goes(AGAIN, CONNECTING)

    def __init__(
        self,
        owner: Continuation,
        target: Address,
        *,
        name: str = "",
        tls: object = None,
        hears: bool = False,
        connect_s: float = 0.0,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name or str(target))
        self.target = target
        self.reconnects = 0
        """How often it was up again after it had been lost."""
        self._owner = owner
        self._tls = tls if target.secure else None
        self._hears = hears
        self._connect_s = connect_s
        self._backoff = backoff or Backoff(self.engine.random)
        self._vc: NetVConnection | None = None
        self._up_at: float | None = None
        self._why = ""
        self._said: tuple[str, float] | None = None  # the last log line: why, and what delay
        self._notice: Action | None = None  # what is scheduled: Reconnected, LOST or AGAIN

    # -- for owners --------------------------------------------------------------------------

    def lost(self, why: str, error: Exception | None = None) -> None:
        """Give the connection back: it is closed, with the error if there is one, and made again.

        `why` is for the log. Without a connection there is nothing to lose.
        """
        if self.state is not self.UP or self._vc is None:
            return
        self._close(error)
        assert self._up_at is not None
        if self._backoff.lasted(self.engine.now - self._up_at):
            self._said = None
        self._why = f"{why}: {error}" if error else why
        self._notice = self.engine.schedule(self, LOST, None)

    def stop(self) -> None:
        """End, in whatever state: its connection is closed, and the owner is told no more."""
        self.abandon()

    # -- keeping it open ---------------------------------------------------------------------

    @CONNECTING.enter
    def connecting(self) -> None:
        """Try."""
        if self._hears and self.target.message_oriented:
            self._vc = self.engine.subscribe(self, self.target, timeout=self._connect_s)
        else:
            self._vc = self.engine.connect(
                self, self.target, tls=self._tls, timeout=self._connect_s
            )

    @CONNECTING.on(Event.ERROR, to=WAITING)
    def refused(self, vc: NetVConnection) -> None:
        """Nobody is there, or nobody who can be spoken to."""
        self._why = str(vc.error)
        self._close()

    @CONNECTING.on(Event.CONNECTED, to=UP)
    def connected(self, vc: NetVConnection) -> None:
        """Hand it over."""
        if self._up_at is not None:
            self.reconnects += 1
        self._up_at = self.engine.now
        self._notice = self.engine.schedule(self._owner, Reconnected, Reconnected(self, vc))

    UP.goes(LOST, WAITING)

    @WAITING.enter
    def waiting(self) -> None:
        """Say why and how long; not the same twice, for a long outage must not fill the log."""
        said = self._why, self._backoff.delay_s
        delay_s = self._backoff.next_s()
        if said != self._said:
            self._said = said
            again = show_duration(round(delay_s, 2))
            self.engine.log("info", f"{self.name}: {self._why}; trying again in {again}")
        self._notice = self.engine.schedule_in(delay_s, self, AGAIN, None)

    # -- the end -----------------------------------------------------------------------------

    def finished(self) -> None:
        """Nothing stays behind."""
        if self._notice is not None:
            self._notice.cancel()
        self._close()

    def _close(self, error: Exception | None = None) -> None:
        if self._vc is not None:
            self._vc.do_io_close(error)
            self._vc = None
