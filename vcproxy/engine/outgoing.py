"""Outgoing: how a VC that was asked for comes to be, from a name to a connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.commands import Connect, Hear, Resolve
from vcproxy.engine.event import Event
from vcproxy.engine.failures import ResolvedTooLate, all_failed

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection, Port


@dataclass(frozen=True, slots=True)
class Resolved:
    """The event that answers `engine.resolve`: the addresses of a name."""

    addresses: tuple[Address, ...]


class Keeper(Protocol):
    """Who keeps count of a VC that was asked for, whatever becomes of those who asked."""

    def told(self, vc: NetVConnection, event: Event) -> None:
        """Its opener is about to be told CONNECTED or ERROR."""

    def went(self, vc: NetVConnection) -> None:
        """Its descriptor is closed, if it ever had one."""


class Outgoing:
    """The way to `target`, once `go` has said what that is: all addresses of its name are tried in
    turn, each with its share of the time that is left.

    The driver's obligations: `resolved()` answers Resolve; `connected()` or `refused()` answers
    the `attempt`, Connect or Hear.
    """

    __slots__ = (
        "_attempt",
        "_candidates",
        "_opener",
        "_refusals",
        "_trying",
        "_until",
        "asked_at",
        "keeper",
        "server_name",
        "target",
        "tls",
        "vc",
    )

    def __init__(self, vc: NetVConnection, opener: Continuation) -> None:
        self.vc = vc
        self.target: Address
        self.tls: object = None
        """Whatever the driver needs for a handshake; None: plain."""
        self.server_name = ""
        """The name that TLS sends and verifies."""
        self.asked_at = vc.engine.now
        self.keeper: Keeper | None = None
        self._opener: Continuation | None = opener
        self._attempt: type[Connect | Hear] | None = None
        self._candidates: list[Address] = []
        self._trying: Address | None = None
        self._refusals: list[Exception] = []
        self._until = 0.0
        vc.outgoing = self

    @property
    def asker(self) -> str:
        """The name of the class that asked; empty once that has had its answer."""
        return "" if self._opener is None else type(self._opener).__name__

    def go(
        self,
        target: Address,
        *,
        tls: object = None,
        server_name: str = "",
        timeout: float = 0.0,
        attempt: type[Connect | Hear] | None = Connect,
    ) -> None:
        """Begin: see `Engine.connect`. Without an `attempt` it ends with the addresses."""
        vc = self.vc
        self.target = target
        self.tls = tls
        self.server_name = server_name or target.host
        self._attempt = attempt
        self._until = vc.engine.now + timeout if timeout else 0.0
        vc.name = str(target)
        vc.whole = target.whole
        vc.wait_at_most(timeout)
        vc.engine.command(Resolve(self, target))

    def resolved(self, addresses: Sequence[Address], error: Exception | None = None) -> None:
        """Answer Resolve: the addresses to try in turn, or why there are none."""
        if self.vc.closed:
            return
        if error is not None:
            self.vc.fail(error)
        elif self._attempt is None:
            self._found(Resolved(tuple(addresses)))
        else:
            self._candidates = list(addresses)
            self._try_next()

    def refused(self, error: Exception) -> None:
        """Answer Connect: this address did not work; the next one is tried. See `failures`."""
        if not self.vc.closed:
            self._refusals.append(error)
            self._try_next()

    def connected(self, port: Port, local: str, peer: str) -> None:
        """Answer Connect: there is a connection. With TLS the handshake follows."""
        vc = self.vc
        vc.port = port
        vc.local, vc.peer = local, peer
        if self.tls is None:
            vc.establish()
        else:
            self._candidates = []  # what speaks TCP is the server, whatever its handshake says
            self._wait(1)

    def expired(self) -> None:
        """The time is up, for this address or for all."""
        if self._candidates:
            self.refused(TimeoutError(f"{self._trying}: connection timed out"))
        else:
            if self._trying is None and not self.target.numeric:
                self.vc.fail(ResolvedTooLate(f"no address of {self.target.host} in time"))
                return
            last = f"{self._trying}: " if self._refusals else ""
            reasons = [*map(str, self._refusals), f"{last}connection timed out"]
            self.vc.fail(TimeoutError("; ".join(reasons)))

    def tell(self, event: Event) -> None:
        """Tell the opener how it has ended: CONNECTED or ERROR, once."""
        if self._opener is not None:
            if self.keeper is not None:
                self.keeper.told(self.vc, event)
            self.vc.engine.schedule(self._opener, event, self.vc)
            self._opener = None

    def _found(self, found: Resolved) -> None:
        self.vc.wait_at_most(0)
        if self._opener is not None:
            self.vc.engine.schedule(self._opener, Resolved, found)
            self._opener = None

    def _try_next(self) -> None:
        if self._candidates:
            self._wait(len(self._candidates))
            self._trying = self._candidates.pop(0)
            assert self._attempt is not None
            self.vc.engine.command(self._attempt(self, self._trying))
        else:
            self.vc.fail(all_failed(self._refusals))

    def _wait(self, shares: int) -> None:
        """Give what comes next its share of the time that is left."""
        if self._until:
            left = max(self._until - self.vc.engine.now, 0.001)
            self.vc.wait_at_most(left / shares)
