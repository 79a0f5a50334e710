"""Outgoing: how a VC is connected, from a name to an established connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.address import Address
from vcproxy.engine.commands import Connect, Resolve, Subscribe
from vcproxy.engine.event import Event
from vcproxy.engine.failures import Exhausted, ResolvedTooLate, all_failed
from vcproxy.engine.tcp import TCP, TcpOptions

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.port import Port
    from vcproxy.engine.scheduler import Action


ROOM_S = 0.02
"""How long to wait for the descriptor of a connection that was closed to make room."""

LEAST_WAIT_S = 0.001
"""The shortest time to wait: rounding may leave almost nothing until the time limit."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The event that answers `engine.resolve`: the addresses of a name."""

    addresses: tuple[Address, ...]


class ConnectObserver(Protocol):
    """Follows a VC from connect to close, also after its opener has closed it."""

    def connect_finished(self, vc: NetVConnection, event: Event) -> None:
        """Called just before CONNECTED or ERROR is delivered to the opener."""

    def vc_gone(self, vc: NetVConnection) -> None:
        """Called when the descriptor of the VC, if it had one, is closed."""


_NONE: Mapping[Address, float] = {}  # shared by all connections that are not being opened

ATTEMPT_DELAY_S = 0.25
"""Seconds after which a second attempt begins, while the first continues (RFC 8305, 5)."""


NOWHERE = Address("tcp")
"""The target of a VC for which `start` was not called."""


class Outgoing:
    """Connects one VC; `start` sets its target.

    All addresses of the target's name are tried side by side, by RFC 8305: attempts begin one after
    the other, `ATTEMPT_DELAY_S` apart or as soon as one has failed; the first connection is used.

    The driver's obligations: `resolved()` answers Resolve; `connected()` or `refused()` answers
    each `attempt`, Connect or Subscribe, with its address. With `connected()` all other attempts
    for the same VC are cancelled.
    """

    __slots__ = (
        "_attempt",
        "_candidates",
        "_failures",
        "_notification",
        "_opener",
        "_resolved",
        "_trying",
        "_until",
        "created_at",
        "introduction",
        "observer",
        "origin",
        "server_name",
        "target",
        "tcp",
        "tls",
        "vc",
    )

    def __init__(self, vc: NetVConnection, opener: Continuation) -> None:
        self.vc = vc
        self.target = NOWHERE
        self.tls: object = None
        """What the driver needs for a TLS handshake; None: no TLS."""
        self.tcp = TCP
        """Options of its socket."""
        self.introduction = b""
        """What the driver sends before anything else, also before a TLS handshake, in one piece:
        a PROXY header."""
        self.origin: NetVConnection | None = None
        """The client that it announces; None: no single one."""
        self.server_name = ""
        """The name that TLS sends and verifies."""
        self.created_at = vc.engine.now
        self.observer: ConnectObserver | None = None
        self._opener: Continuation | None = opener
        self._notification: Action | None = None
        self._attempt: type[Connect | Subscribe] | None = None
        self._candidates: Sequence[Address] = ()
        self._trying: Mapping[Address, float] = _NONE  # when each attempt began
        self._failures: tuple[Exception, ...] = ()
        self._resolved = False
        self._until = 0.0
        vc.outgoing = self

    @property
    def opener_name(self) -> str:
        """The class name of the continuation that connects; "" once it has been notified."""
        return "" if self._opener is None else type(self._opener).__name__

    def start(
        self,
        target: Address,
        *,
        tls: object = None,
        tcp: TcpOptions = TCP,
        server_name: str = "",
        introduction: bytes = b"",
        timeout: float = 0.0,
        attempt: type[Connect | Subscribe] | None = Connect,
    ) -> None:
        """Begin: see `Engine.connect`. With `attempt` None only the addresses are looked up."""
        vc = self.vc
        self.target = target
        self.tls = tls
        self.tcp = tcp
        self.introduction = introduction
        self.server_name = server_name or target.host
        self._attempt = attempt
        self._until = vc.engine.now + timeout if timeout else 0.0
        vc.started_at = vc.engine.now
        vc.name = target.text
        vc.message_oriented = target.message_oriented
        if target.numeric and not vc.engine.resolves_all:
            self.resolved((target,))
        else:
            vc.wait_at_most(timeout)
            vc.engine.command(Resolve(self, target))

    def resolved(self, addresses: Sequence[Address], error: Exception | None = None) -> None:
        """Answer Resolve: the addresses to try in this order, or the reason why there are none."""
        if self.vc.closed:
            return
        self._resolved = True
        if error is not None:
            self.vc.fail(error)
        elif self._attempt is None:
            self._found(Resolved(tuple(addresses)))
        else:
            self._candidates = (
                self.vc.engine.address_history.ordered(addresses)
                if len(addresses) > 1
                else list(addresses)
            )
            self._try_next()

    def refused(self, address: Address, error: Exception) -> None:
        """Result of Connect: the address failed; try the next. See `failures`."""
        engine = self.vc.engine
        if self.vc.closed:
            return
        late = self._late(address)
        trying = self._trying.items()
        self._trying = {each: since for each, since in trying if each != address}
        if isinstance(error, Exhausted) and engine.shortage.make_room():
            self._candidates = [address, *self._candidates]
            self.vc.wait_at_most(ROOM_S)
            return
        if late:
            engine.address_history.silent(address)
        self._failures += (error,)
        self._try_next()

    def connected(self, address: Address, port: Port, local: Callable[[], str], peer: str) -> None:
        """Answer Connect: there is a connection. With TLS the handshake follows.

        `local` returns the local address as text. Only a recording needs it.
        """
        vc = self.vc
        vc.port = port
        vc.peer = peer
        self._end_attempts(address)
        if self.tls is None:
            vc.establish()
        else:
            vc.count_tls(True)
            self._wait()  # no other address is tried, even if the handshake fails

    def expired(self) -> None:
        """Begin the next attempt, or fail if the time limit is reached."""
        late = self._until and self._until - self.vc.engine.now < LEAST_WAIT_S
        if self._candidates and not late:
            self._try_next()
        elif not self._resolved and not self.target.numeric:
            self.vc.fail(ResolvedTooLate(f"no address of {self.target.host} in time"))
        else:
            reason = "connection timed out"
            several = len(self._trying) + len(self._failures) > 1
            silent = [f"{each}: {reason}" for each in self._trying if several] or [reason]
            self._end_attempts(None)
            self.vc.fail(TimeoutError("; ".join([*map(str, self._failures), *silent])))

    def notify(self, event: Event) -> None:
        """Deliver CONNECTED or ERROR to the opener, once."""
        if self._opener is not None:
            if self.observer is not None:
                self.observer.connect_finished(self.vc, event)
            self._notification = self.vc.engine.schedule(self._opener, event, self.vc)
            self._opener = None

    def closed(self) -> None:
        """Handle the close of the VC: deliver no more events, not even those already queued."""
        self._opener = None
        if self._notification is not None:
            self._notification.cancel()
            self._notification = None

    def _found(self, found: Resolved) -> None:
        self.vc.wait_at_most(0)
        if self._opener is not None:
            self._notification = self.vc.engine.schedule(self._opener, Resolved, found)
            self._opener = None

    def _try_next(self) -> None:
        if self._candidates:
            assert self._attempt is not None
            address, *self._candidates = self._candidates
            self._trying = {**self._trying, address: self.vc.engine.now}
            self.vc.engine.command(self._attempt(self, address))
        if self._trying:
            self._wait()
        else:
            self.vc.fail(all_failed(self._failures))

    def _wait(self) -> None:
        """Set the timer: for the next attempt, or for the time limit."""
        now = self.vc.engine.now
        when = now + ATTEMPT_DELAY_S if self._candidates else 0.0
        if self._until:
            latest = max(self._until, now + LEAST_WAIT_S)
            when = min(when, latest) if when else latest
        self.vc.wait_until(when)

    def _end_attempts(self, address: Address | None) -> None:
        """End all attempts: `address` is connected; None: none was in time."""
        reach = self.vc.engine.address_history
        for each in self._trying:
            if each is address or each == address:
                reach.answered(each)
            elif self._late(each):
                reach.silent(each)
        self._trying = _NONE
        self._candidates = ()

    def _late(self, address: Address) -> bool:
        """Whether an attempt has taken longer than ATTEMPT_DELAY_S."""
        since = self._trying.get(address)
        return since is not None and self.vc.engine.now - since >= ATTEMPT_DELAY_S
