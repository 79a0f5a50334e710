"""OutgoingVConnection: a connection that was asked for, from the name to the first byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vcproxy.engine.commands import Connect
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import Port


class OutgoingVConnection(NetVConnection):
    """A VC to `target`. All addresses of its name are tried, in turn.

    The driver's obligations, beside those of NetVConnection: `resolved()` answers Resolve,
    `connected()` or `refused()` answers Connect.
    """

    __slots__ = ("_candidates", "_opener", "_refusals", "_tls", "server_name", "target")

    def __init__(
        self, engine: Engine, opener: Continuation, target: Address, tls: object, server_name: str
    ) -> None:
        super().__init__(engine, opener.mutex, str(target))
        self.target = target
        self.server_name = server_name
        """The name that TLS sends and verifies."""
        self._opener: Continuation | None = opener
        self._tls = tls
        self._candidates: list[Address] = []
        self._refusals: list[str] = []

    def resolved(self, addresses: Sequence[Address], error: Exception | None = None) -> None:
        """Answer Resolve: the addresses to try in turn, or why there are none."""
        if self.closed:
            return
        if error is not None:
            self.failed(error)
            return
        self._candidates = list(addresses)
        self._try_next()

    def refused(self, error: Exception) -> None:
        """Answer Connect: this address did not work; the next one is tried."""
        if not self.closed:
            self._refusals.append(str(error))
            self._try_next()

    def connected(self, port: Port, local: str, peer: str) -> None:
        """Answer Connect: there is a connection. With TLS the handshake follows."""
        self.port = port
        self.local, self.peer = local, peer
        if self._tls is None:
            self.established()

    def _try_next(self) -> None:
        if self._candidates:
            address = self._candidates.pop(0)
            self.engine.command(Connect(self, address, self._tls, self.server_name))
        else:
            reasons = "; ".join(dict.fromkeys(self._refusals)) or "it has no address"
            self.failed(ConnectionError(reasons))

    def _introduce(self) -> None:
        self._tell_opener(Event.CONNECTED)
        self.look_again(True)
        self.look_again(False)

    def _not_made(self, error: Exception) -> None:
        self._tell_opener(Event.ERROR)

    def _too_late(self) -> Exception:
        return TimeoutError("no connection in time")

    def _tell_opener(self, event: Event) -> None:
        if self._opener is not None:
            self.engine.schedule(self._opener, event, self)
            self._opener = None
