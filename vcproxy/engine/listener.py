"""Listener: accepts connections at its addresses, and limits their number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

from vcproxy.admission.refusal import Refusal
from vcproxy.engine.address import address_of, unmapped
from vcproxy.engine.commands import ResumeAccept
from vcproxy.engine.tcp import TCP, TcpOptions

if TYPE_CHECKING:
    from vcproxy.admission.admission import Admission
    from vcproxy.engine.connection_record import ConnectionRecord
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.proxy_protocol.senders import TrustedSenders

FULL_WARNING_S = 60.0
"""The least time between two warnings of one kind: a limit may be reached for hours."""


_CLOSED: Callable[[ListenerCounts], int] = attrgetter("closed")


def _closed(client: NetVConnection) -> None:
    client.do_io_close()


@dataclass(slots=True, eq=False)
class ListenerCounts:
    """What has become of the connections of a listener on one engine, whose thread counts."""

    closed: int = 0
    """Connections that are closed, also those refused."""
    refused: int = 0
    """Connections that were closed instead of served: see Refusal."""
    refusals: dict[Refusal, int] = field(default_factory=dict)
    """Connections, datagrams and requests that were refused, by the reason."""
    failed: int = 0
    """Connections that failed before they could be used: TLS handshakes, PROXY headers."""
    accept_failures: int = 0
    """Failed accepts, for example because no file descriptor is left."""
    bytes_read: int = 0
    """Bytes that closed connections have read from their clients."""
    bytes_written: int = 0
    """Bytes that closed connections have written to their clients."""


@dataclass(slots=True, eq=False)
class Listener:
    """One named listener, at one or more addresses. Its connections are spread over the engines,
    unless it is pinned.

    The driver's obligations: call `admits()` before each accept and stop accepting when it returns
    False, until ResumeAccept (datagrams from new sources are dropped meanwhile); call
    `count_accepted()` for each accept, on the thread of `engine`, before `engine.accepted`; report
    a failed accept with `engine.accept_failed`, and an accepted connection without a VC with
    `dropped()`.
    """

    name: str
    acceptor: Callable[[NetVConnection], Continuation | None]
    """Called with each established VC, under its mutex. It returns the continuation that gets
    ACCEPT, or None if the VC is in use or closed already. It may be exchanged while running."""
    engine: Engine
    """The engine whose driver accepts."""
    tls: object = None
    """The driver's TLS context for the tls:// addresses of the listener. It may be exchanged
    too."""
    tcp: TcpOptions = TCP
    """Socket options of accepted connections. After a change call Host.renew, which tells the
    driver."""
    handshake_s: float = 10.0
    """Seconds for a TLS handshake, 0 for no limit."""
    max_connections: int = 10_000
    max_per_client: int = 0
    """Connections of one IP address, 0 for no limit."""
    admission: Admission | None = None
    """Which clients are served, and how often; None: all."""
    refuser: Callable[[NetVConnection], Continuation | None] = _closed
    """Called like `acceptor`, with each VC that is refused; with TLS it is closed before its
    handshake instead."""
    recorder: Callable[[NetVConnection], ConnectionRecord] | None = None
    """Makes the record of each VC in the access log; None: there is none."""
    senders: TrustedSenders | None = None
    """The peers whose connections begin with a PROXY header; None: no connection does."""
    notes_local: bool = False
    """Whether the driver passes the address that each client has connected to: a system call."""
    pinned: bool = False
    """Whether all connections of the listener are on `engine`."""
    _clients: dict[Engine, dict[str, int]] = field(default_factory=dict)
    accepted: int = 0
    """Connections accepted since the start. Read-only for others."""
    counts: dict[Engine, ListenerCounts] = field(default_factory=dict)
    """What has become of them. Read-only for others; any thread may read it."""
    _paused: bool = False
    _warned_at: dict[object, float] = field(default_factory=dict)
    """When a warning of a kind was logged: that the listener is full, or of a refusal."""

    @property
    def open(self) -> int:
        """Connections accepted and not yet closed."""
        return self.accepted - sum(map(_CLOSED, list(self.counts.values())))

    def admits(self) -> bool:
        """Whether one more connection may be accepted; if not, ResumeAccept follows when one
        may."""
        self._paused = True  # set before counting, for connections that close meanwhile
        self._paused = self.open >= self.max_connections
        return not self._paused

    def warn_full(self) -> None:
        """Log that a client waits because `max_connections` is reached, at intervals."""
        text = f"{self.max_connections} connections are open: more wait until some have closed"
        self._warn(self.engine, "full", text)

    def awaits_header(self, peer: str) -> bool:
        """Return whether a connection of this peer begins with a PROXY header, if it is served.

        The driver must ask before it reads from a stream. If so, it reads the header first, and no
        byte after it; then it calls `vc.introduced` or `vc.failed`.
        """
        senders = self.senders
        return senders is not None and (
            not senders.others_direct or senders.trusts(address_of(unmapped(peer)))
        )

    def warn_refused(self, engine: Engine, peer: str, error: Exception) -> None:
        """Log why a connection was refused for its PROXY header, at intervals."""
        self._warn(engine, type(error).__name__, f"{peer} is refused: {error}")

    def log_failed(self, engine: Engine, name: str, error: Exception) -> None:
        """Log that a connection has failed before it was established, as in its TLS handshake."""
        engine.log("info", f"{name}: {error}")

    def _warn(self, engine: Engine, kind: object, text: str) -> None:
        if self._warns(engine, kind):
            engine.log("warning", f"{self.name}: {text}")

    def _warns(self, engine: Engine, kind: object) -> bool:
        """Return whether a warning of a kind may be logged: at intervals of FULL_WARNING_S."""
        warns = engine.now >= self._warned_at.get(kind, -FULL_WARNING_S) + FULL_WARNING_S
        if warns:
            self._warned_at[kind] = engine.now
        return warns

    def count_accepted(self) -> None:
        """Count a connection that the driver of `engine` has accepted, for any engine."""
        self.accepted += 1

    def vc_made(self, vc: NetVConnection) -> None:
        """Set the `refusal` of a VC if it is refused; else count it for its client."""
        admission = self.admission
        if admission is not None and not vc.message_oriented:  # datagrams: see DatagramSessions
            refused = admission.refuses(vc.peer_address, vc.engine.now)
            if refused is not None:
                self._refuse(vc, *refused)
                return
        client, most = vc.peer_address, self.max_per_client
        if not client:
            return
        if most and sum(own.get(client, 0) for own in list(self._clients.values())) >= most:
            self._refuse(vc, Refusal.MAX_PER_CLIENT, f"the client has {most} connections already")
            return
        own = self._clients.get(vc.engine)
        if own is None:
            own = self._clients[vc.engine] = {}
        own[client] = own.get(client, 0) + 1

    def _refuse(self, vc: NetVConnection, refusal: Refusal, why: str) -> None:
        vc.refusal = refusal
        if vc.record is not None:
            vc.record.note("P", why, "H")  # a rule of the proxy, before the session
        self.counts_of(vc.engine).refused += 1
        self.count_refusal(vc.engine, refusal, vc.peer_address, why)

    def count_refusal(self, engine: Engine, refusal: Refusal, client: str, why: str) -> None:
        """Count what was refused to a client; log that at intervals."""
        refusals = self.counts_of(engine).refusals
        refusals[refusal] = refusals.get(refusal, 0) + 1
        if self._warns(engine, refusal):
            count = sum(each.refusals.get(refusal, 0) for each in list(self.counts.values()))
            text = f"{client or 'a client'} is refused: {why}; {count} refused so far"
            engine.log("warning", f"{self.name}: {text}")

    def vc_gone(self, vc: NetVConnection) -> None:
        """Uncount a VC whose descriptor is closed."""
        client = vc.peer_address
        if client and vc.refusal is None:
            own = self._clients[vc.engine]
            own[client] -= 1
            if not own[client]:
                del own[client]
        counts = self.counts.get(vc.engine) or self.counts_of(vc.engine)
        counts.bytes_read += vc.read_before  # all: the VC is gone
        counts.bytes_written += vc.written_before
        counts.closed += 1  # count_closed(), inlined for speed
        if self._paused:
            self.engine.inbox.post(self.resume)

    def counts_of(self, engine: Engine) -> ListenerCounts:
        """Return the counts of an engine, to change them on its thread."""
        counts = self.counts.get(engine)
        if counts is None:
            counts = self.counts[engine] = ListenerCounts()
        return counts

    def count_closed(self, engine: Engine) -> None:
        """Count a closed connection of an engine. Each engine has a count of its own."""
        self.counts_of(engine).closed += 1
        if self._paused:
            self.engine.inbox.post(self.resume)

    def dropped(self, engine: Engine) -> None:
        """Count a connection of an engine as closed, because no VC could be made for it."""
        self.count_closed(engine)

    def resume(self) -> None:
        """Accept again, if accepting has paused and the limit allows it.

        Must be called by code that raises `max_connections`.
        """
        if self._paused and self.open < self.max_connections:
            self._paused = False
            self.engine.command(ResumeAccept(self))
