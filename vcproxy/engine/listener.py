"""Listener: who is made for a connection that comes in, and how many there may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vcproxy.engine.commands import ResumeAccept
from vcproxy.engine.tcp import TCP, TcpOptions

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection

FULL_WARNING_S = 60.0
"""A listener that is full says so at most this often: it may be full for hours."""


def _closed(client: NetVConnection) -> None:
    client.do_io_close()


@dataclass(slots=True, eq=False)
class Listener:
    """One named listener, at one or more addresses. Its connections may go to several engines,
    unless it is pinned.

    The driver's obligations: call `admits()` before each accept and stop accepting when it returns
    False, until ResumeAccept (datagrams from new sources are dropped meanwhile); call
    `count_accepted()` for each accept, on the thread of `engine`, before `engine.accepted`; report
    a failed accept by `engine.accept_failed`, and one of which no VC was made by `dropped()`.
    """

    name: str
    acceptor: Callable[[NetVConnection], Continuation | None]
    """Called with each VC that is established, under its mutex: returns the continuation that is
    to get ACCEPT, or None if the VC is seen to. It may be exchanged while running."""
    engine: Engine
    """The engine whose driver accepts."""
    tls: object = None
    """What the driver needs for handshakes on its tls addresses. It may be exchanged too."""
    tcp: TcpOptions = TCP
    """What is set on its connections. For another one, the driver must be told: see Host.renew."""
    handshake_s: float = 10.0
    """Seconds for a TLS handshake, 0 for no limit."""
    max_connections: int = 10_000
    max_per_client: int = 0
    """Connections of one IP address, 0 for no limit: more are closed before their handshake, or
    given to `refuser`."""
    refuser: Callable[[NetVConnection], Continuation | None] = _closed
    """Called as the acceptor is, with each VC in excess."""
    pinned: bool = False
    """Whether all its connections stay on `engine`."""
    _clients: dict[Engine, dict[str, int]] = field(default_factory=dict)
    _came: int = 0
    _went: dict[Engine, int] = field(default_factory=dict)
    _paused: bool = False
    _said: dict[str, float] = field(default_factory=dict)  # when it was warned last, of what

    @property
    def open(self) -> int:
        """Connections accepted and not yet gone."""
        return self._came - sum(list(self._went.values()))

    def admits(self) -> bool:
        """Whether one more may be accepted; if not, ResumeAccept comes when one may."""
        self._paused = True  # before the count: who goes from now on sees it
        self._paused = self.open >= self.max_connections
        return not self._paused

    def warn_full(self) -> None:
        """Somebody has to wait, for it is full: that is logged, now and then."""
        full = f"{self.max_connections} connections: more wait until some have gone"
        self._warn(self.engine, "all", full)

    def _warn(self, engine: Engine, what: str, text: str) -> None:
        if engine.now >= self._said.get(what, -FULL_WARNING_S) + FULL_WARNING_S:
            self._said[what] = engine.now
            engine.log("warning", f"{self.name}: {text}")

    def count_accepted(self) -> None:
        """The driver of `engine` has accepted a connection, for whichever engine."""
        self._came += 1

    def vc_made(self, vc: NetVConnection) -> None:
        """A VC was made of one that came: it is in excess if its client has enough."""
        client, most = vc.peer_address, self.max_per_client
        if not client:
            return
        if most and sum(own.get(client, 0) for own in list(self._clients.values())) >= most:
            vc.excess = True
            self._warn(vc.engine, "client", f"{client} has {most} connections: more are refused")
            return
        own = self._clients.setdefault(vc.engine, {})
        own[client] = own.get(client, 0) + 1

    def vc_gone(self, vc: NetVConnection) -> None:
        """Such a VC is gone."""
        client = vc.peer_address
        if client and not vc.excess:
            own = self._clients[vc.engine]
            own[client] -= 1
            if not own[client]:
                del own[client]
        self.count_closed(vc.engine)

    def count_closed(self, engine: Engine) -> None:
        """A connection of that engine's is gone. Each engine keeps a count of its own."""
        self._went[engine] = self._went.get(engine, 0) + 1
        if self._paused:
            self.engine.inbox.post(self.resume)

    def dropped(self, engine: Engine) -> None:
        """What came for that engine could not be kept: no VC was made for it."""
        self.count_closed(engine)

    def resume(self) -> None:
        """Accept again, if it had paused and there is room: owed by who raises max_connections."""
        if self._paused and self.open < self.max_connections:
            self._paused = False
            self.engine.command(ResumeAccept(self))
