"""ReconnectingConnection: one connection to an address, opened again whenever it is lost.

    CONNECTING --CONNECTED--> UP --lost() by the owner--> WAITING --RETRY--> CONNECTING
        | +--- ERROR: refused, or timed out -----------------^ ^
        +-- with an opening --> OPENING --not sent-------------+
                                   +----sent--> UP

The delays are those of Backoff or Pauses. While it is not up, no data is kept for it. Several
addresses are tried in turn: the next one after each failure and each loss, with a delay when each
has failed once, and after a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vio import VIO
    from vcproxy.upstream.pauses import Pauses

OPENING_TIME = "10s"
"""For the opening to be taken: it is short, so a peer that reads takes it at once."""

LOST, RETRY = "LOST", "RETRY"
"""Tags: the owner has given the connection back; start the next attempt."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """Event: a connection is up. Its VC is the owner's until `connection.lost()` or `stop()`."""

    connection: ReconnectingConnection
    vc: NetVConnection

    @property
    def name(self) -> str:
        """The name of the connection, for histories of machines."""
        return self.connection.name


class ReconnectingConnection(Machine):
    """Connects to `target`, and sends `owner` Reconnected each time. It uses the owner's mutex.

    Args:
        owner: receives Reconnected.
        target: the address to connect to, or several.
        name: its name in logs; the addresses if left out.
        tls: the driver's TLS context, for a target on tls://.
        subscribe: receive from the target: of udp:// and nats:// subscribe to it instead of
            connecting.
        opening: bytes that are sent each time, before `owner` gets the connection: a login, or a
            subscription.
        connect_s: seconds for a connection, its handshake included; 0: no limit.
        backoff: the delays between attempts.
    """

    __slots__ = (
        "_backoff", "_connect_s", "_failures", "_logged", "_opening", "_owner", "_scheduled",
        "_subscribe", "_targets", "_tls", "_unsent", "_up_at", "_vc", "_why", "reconnects",
        "target",
    )  # fmt: skip

    CONNECTING = State(initial=True)
    OPENING = State(timeout=OPENING_TIME)
    UP, WAITING = State(), State()

    WAITING.goes(RETRY, CONNECTING)

    def __init__(
        self,
        owner: Continuation,
        target: Address | Sequence[Address],
        *,
        name: str = "",
        tls: object = None,
        subscribe: bool = False,
        opening: bytes = b"",
        connect_s: float = 0.0,
        backoff: Backoff | Pauses | None = None,
    ) -> None:
        self._targets = tuple(dict.fromkeys(target)) if isinstance(target, Sequence) else (target,)
        name = name or ", ".join(map(str, self._targets))
        super().__init__(owner.engine, owner.mutex, name=name)
        self.target = self._targets[0]
        """The address that it is connected to, or tries now or next."""
        self.reconnects = 0
        """How many times the connection has been up again after a loss."""
        self._owner = owner
        self._tls = tls
        self._subscribe = subscribe
        self._opening = opening
        self._unsent: Reader | None = None  # what is not sent of the opening
        self._connect_s = connect_s
        self._backoff = backoff or Backoff(self.engine.random)
        self._vc: NetVConnection | None = None
        self._up_at: float | None = None
        self._why = ""
        self._failures: list[str] = []  # of this round: one for each address that has failed
        self._logged: tuple[str, float] | None = None  # the last log line: reason and delay
        self._scheduled: Action | None = None  # the next event: Reconnected, LOST or RETRY

    # -- for owners --------------------------------------------------------------------------

    def lost(self, why: str, error: Exception | None = None) -> None:
        """Give the connection back: it is closed, with the error if there is one, and opened again.

        `why` is for the log. While it is not up the call has no effect.
        """
        if self.state is not self.UP or self._vc is None:
            return
        self._close(error)
        assert self._up_at is not None
        if self._backoff.lasted(self.engine.now - self._up_at):
            self._logged = None
        self._why = f"{why}: {error}" if error else why
        self._next_target()
        self._scheduled = self.engine.schedule(self, LOST, None)

    def stop(self) -> None:
        """End in any state: close the connection, and send the owner nothing more."""
        self.abandon()

    def release(self) -> None:
        """End while it is up, and leave the connection open: the owner must close it."""
        assert self.state is self.UP
        self._vc = None
        self.abandon()

    # -- keeping it open ---------------------------------------------------------------------

    @CONNECTING.enter
    def connecting(self) -> None:
        """Start an attempt."""
        if self._subscribe and self.target.subscribed:
            self._vc = self.engine.subscribe(self, self.target, timeout=self._connect_s)
        else:
            tls = self._tls if self.target.secure else None
            self._vc = self.engine.connect(self, self.target, tls=tls, timeout=self._connect_s)

    @CONNECTING.on(Event.ERROR, to=(CONNECTING, WAITING))
    def refused(self, vc: NetVConnection) -> State:
        """Note why no connection could be made; try the next address, if one is left."""
        return self._failed(str(vc.error))

    def _failed(self, why: str) -> State:
        self._failures.append(why)
        self._close()
        self._next_target()
        if len(self._failures) < len(self._targets):
            return self.CONNECTING
        self._why = "; ".join(self._failures)
        return self.WAITING

    @CONNECTING.on(Event.CONNECTED, to=(OPENING, UP))
    def connected(self, vc: NetVConnection) -> State:
        """Send the opening, if there is one."""
        return self.OPENING if self._opening else self.UP

    @OPENING.enter
    def send_opening(self) -> None:
        """Send the opening; what the peer sends meanwhile is left for the owner."""
        vc = self._vc
        assert vc is not None
        buffer = self.engine.buffer(message_oriented=vc.message_oriented)
        self._unsent = buffer.reader()
        buffer.write(self._opening)
        vc.do_io_read(self, 0, self.engine.no_buffer)
        vc.do_io_write(self, self._unsent.avail, self._unsent)

    @OPENING.on(Event.WRITE_READY)
    def partly_sent(self, _: VIO) -> None:
        """Do nothing: a part of the opening was sent."""

    OPENING.goes(Event.WRITE_COMPLETE, UP)

    @OPENING.on(Event.ERROR, Event.EOS, to=(CONNECTING, WAITING))
    def not_sent(self, vio: VIO) -> State:
        """Note that the connection has failed; try the next address, if one is left."""
        return self._failed(str(vio.error or "the connection was closed"))

    @OPENING.on(Event.TIMEOUT, to=(CONNECTING, WAITING))
    def not_taken(self, _: object) -> State:
        """Note that the peer has not read the opening; try the next address, if one is left."""
        return self._failed(f"it has not read what it was sent first within {OPENING_TIME}")

    @UP.enter
    def up(self) -> None:
        """Hand the connection over to the owner."""
        vc = self._vc
        assert vc is not None
        self._stop_opening()
        if self._up_at is not None:
            self.reconnects += 1
        self._up_at = self.engine.now
        self._scheduled = self.engine.schedule(self._owner, Reconnected, Reconnected(self, vc))

    UP.goes(LOST, WAITING)

    @WAITING.enter
    def waiting(self) -> None:
        """Log the reason and the delay, but not the same twice: an outage must not fill the log."""
        self._failures.clear()
        entry = self._why, self._backoff.delay_s
        delay_s = self._backoff.next_s()
        if entry != self._logged:
            self._logged = entry
            delay = show_duration(round(delay_s, 2))
            self.engine.log("info", f"{self.name}: {self._why}; trying again in {delay}")
        self._scheduled = self.engine.schedule_in(delay_s, self, RETRY, None)

    # -- the end -----------------------------------------------------------------------------

    def finished(self) -> None:
        """Cancel what is scheduled and close the connection."""
        if self._scheduled is not None:
            self._scheduled.cancel()
        self._close()

    def _next_target(self) -> None:
        at = self._targets.index(self.target)
        self.target = self._targets[(at + 1) % len(self._targets)]

    def _stop_opening(self) -> None:
        if self._unsent is not None:
            self._unsent.close()
            self._unsent = None

    def _close(self, error: Exception | None = None) -> None:
        self._stop_opening()
        if self._vc is not None:
            self._vc.do_io_close(error)
            self._vc = None
