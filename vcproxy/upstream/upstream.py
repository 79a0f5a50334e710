"""Upstream: servers that do the same work, and who of them gets what.

There is one for each [upstream.NAME] and engine; the sessions of all listeners share it, and it
runs on that engine's thread only. Connections are counted from asking to the closing of the
descriptor, so that room comes back whatever has become of the session that wanted it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.upstream.pool import ConnectionPool
from vcproxy.upstream.queue import Queue, Wanted
from vcproxy.upstream.server_set import ServerSet
from vcproxy.upstream.settings import UpstreamSettings

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.upstream.server import Server


class NoServer(ConnectionError):
    """No server is up, or none that was not tried."""


class Upstream:
    """Servers that do the same work.

    Args:
        engine: whose connections these are.
        name: what logs call it.
        servers: at least one; they are its own.
        terms: how they are balanced, limited, checked and kept busy.
    """

    __slots__ = (
        "_at", "_open", "_promised", "_roster", "engine", "name", "pool", "queue", "terms",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        name: str,
        servers: Iterable[Server],
        terms: UpstreamSettings | None = None,
    ) -> None:
        self.engine = engine
        self.name = name
        self.terms = terms = terms or UpstreamSettings()
        self.pool = ConnectionPool(engine, terms.pool)
        engine.shortage.pools[self.pool] = None
        self.queue = Queue(engine, terms.queue)
        self._roster = ServerSet(
            engine, name, servers, terms, lost=self.pool.drop, changed=self._serve_queue
        )
        self._at: dict[NetVConnection, Server] = {}
        self._promised: dict[NetVConnection, NetVConnection] = {}  # by what was asked for
        self._open = True

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {len(self._roster.up)} of {len(self.servers)} up>"

    @property
    def servers(self) -> Sequence[Server]:
        """All that are in use, up or not."""
        return self._roster.all

    # -- connections -------------------------------------------------------------------------

    def connect(
        self,
        cont: Continuation,
        *,
        key: str | None = None,
        client: str = "",
        tried: Collection[Server] = (),
        timeout: float = 0.0,
        kept: bool = False,
    ) -> NetVConnection:
        """Connect to the server whose turn it is, when one has room: see Engine.connect.

        Where none has any it waits in the queue. ERROR tells of NoServer, QueueFull, QueueTimeout,
        or of what befell the connection. `timeout` is for connecting only, in seconds.

        `key` says what belongs to one server, where that matters; the `client`'s address, if left
        out. Servers that were `tried` are passed over.

        `kept`: while it waits in the queue, a connection that has served before will do as well.
        Then CONNECTED comes with a VC that is not `open`, for which `claim` gives that connection.
        """
        outgoing = self.engine.outgoing(cont, self.name)
        outgoing.observer = self
        wanted = Wanted(outgoing, key or client, tried, timeout, kept)
        if not self._admit(wanted):
            servers = self._eligible(tried)
            if servers:
                self._make_room(servers)
                self.queue.join(wanted)
            else:
                why = "all that are up were tried" if tried else "none of its servers is up"
                outgoing.vc.fail(NoServer(why))
        return outgoing.vc

    def take(
        self,
        cont: Continuation,
        *,
        key: str | None = None,
        client: str = "",
        tried: Collection[Server] = (),
    ) -> NetVConnection | None:
        """Take an idle connection to the server whose turn it is; None: there is none to it.

        It is handed over to `cont` as it was given back. See `connect`.
        """
        servers = self._eligible(tried)
        most = self.terms.max_connections
        if most:
            servers = [each for each in servers if each.idle or each.connections < most]
        if not servers:
            return None
        again = bool(tried)
        server = self._roster.pick(servers, key or client, again=again)
        if not server.idle or server.ejections:
            return None
        vc = self.pool.take(server, cont)
        if vc is not None:
            self._roster.picked(server, servers, again=again)
        return vc

    def claim(self, cont: Continuation, asked: NetVConnection) -> NetVConnection | None:
        """Take the connection that has become free for one that waited: see `connect`.

        It is handed over to `cont` as it was given back. None: its server has ended it meanwhile.
        """
        kept = self._promised.pop(asked)
        vc = self.pool.claim(kept, cont)
        if vc is None:
            self._release(kept)
        return vc

    def give(self, vc: NetVConnection) -> None:
        """Give back a connection that is as good as new: it is kept for the next, or closed.

        Its mutex is held. Whoever comes first in the queue gets it, or else the room of it.
        """
        server = self._at.get(vc)
        if self._open and not vc.closed and server is not None and server.position >= 0:
            waits = self.queue.first if self.queue.waiting else None
            if not server.ejections and (waits is None or self._suits(server, waits)):
                self.pool.give(server, vc)
                if waits is not None:
                    self._offer(server, vc)
                return
        vc.do_io_close()

    def keeps(self, vc: NetVConnection, timeout_s: float) -> None:
        """A server has said how long it keeps its connections open (`Keep-Alive: timeout=5`)."""
        server = self._at.get(vc)
        if server is not None:
            server.keeping.says(timeout_s)

    def ended_early(self, vc: NetVConnection, idle_s: float) -> None:
        """A server ended a kept connection as it was used again, after it was idle for so long."""
        server = self._at.get(vc)
        if server is not None:
            server.keeping.ended(idle_s, self.engine.now)

    def server_of(self, vc: NetVConnection) -> Server | None:
        """Whose connection that is; None: it waits for one, or is gone."""
        return self._at.get(vc)

    def another(self, tried: Collection[Server]) -> bool:
        """Whether one more may be tried where these have failed."""
        return len(tried) <= self.terms.retries and bool(self._eligible(tried))

    # -- how servers fare --------------------------------------------------------------------

    def succeeded(self, vc: NetVConnection) -> None:
        """A request was answered as it should be."""
        server = self._at.get(vc)
        if server is not None:
            server.failures = 0
            self._roster.ejection.passed(server, vc, "requests")

    def failed(self, vc: NetVConnection, why: object) -> None:
        """A request was not: several in a row eject the server. Connections that could not be made
        are counted without that.
        """
        server = self._at.get(vc)
        if server is not None:
            server.failures += 1
            self._failed(server, vc, server.failures, "requests", why)

    def trust(self, tls: object) -> None:
        """Have what drivers need for TLS be another thing from now on, where it is spoken."""
        self._roster.trust(tls)

    def close(self) -> None:
        """Keep and watch nothing any more. What is in use lives on, and may still connect."""
        self._open = False
        self.engine.shortage.pools.pop(self.pool, None)
        self._roster.close()
        for server in self.servers:
            self.pool.drop(server)

    # -- what the engine calls ---------------------------------------------------------------

    def connect_finished(self, vc: NetVConnection, event: Event) -> None:
        """See ConnectObserver."""
        server = self._at.get(vc)
        if server is None:
            return
        if event is Event.CONNECTED:
            server.refusals = 0
            self._roster.ejection.passed(server, vc, "connections")
        else:
            server.refusals += 1
            self._failed(server, vc, server.refusals, "connections", vc.error)

    def vc_gone(self, vc: NetVConnection) -> None:
        """See ConnectObserver: there is room."""
        server = self._at.pop(vc, None)
        if server is None:
            self.queue.leave(vc)
            kept = self._promised.pop(vc, None)
            if kept is not None:  # and who waited for it has gone
                self._release(kept)
            return
        server.connections -= 1
        server.idle.pop(vc, None)
        self._roster.ejection.went(server, vc)
        self._serve_queue()

    # -- inside ------------------------------------------------------------------------------

    def _failed(
        self, server: Server, vc: NetVConnection, failures: int, what: str, why: object
    ) -> None:
        ejection = self._roster.ejection
        if not ejection.ended(server, vc, why):
            ejection.failed(server, failures, what, why, last=len(self._roster.up) < 2)

    def _eligible(self, tried: Collection[Server]) -> Sequence[Server]:
        return [each for each in self._roster.up if each not in tried] if tried else self._roster.up

    def _suits(self, server: Server, wanted: Wanted) -> bool:
        return wanted.kept and server in self._roster.up and server not in wanted.tried

    def _offer(self, server: Server, vc: NetVConnection) -> None:
        """A connection is in the pool: whoever waits for one is to claim it."""
        waits = self.queue.first
        if waits is not None and vc in server.idle and self._suits(server, waits):
            self.pool.reserve(vc)
            self._promised[waits.outgoing.vc] = vc
            self._roster.picked(server, self._roster.up, again=False)
            self.queue.leave(waits.outgoing.vc)
            waits.outgoing.notify(Event.CONNECTED)

    def _release(self, vc: NetVConnection) -> None:
        """One that was promised is for whoever comes next."""
        server = self._at.get(vc)
        if server is None:
            return
        self.pool.unreserve(vc)
        self._offer(server, vc)
        if not self._open or server.position < 0:
            self.pool.drop(server)
        elif vc in server.idle and self.queue.first is not None:  # who can only use its room
            self.pool.drop(server, 1)

    def _serve_queue(self) -> None:
        if self.queue.waiting:
            self.queue.serve(self._has_room, self._admit)

    def _has_room(self) -> bool:
        most = self.terms.max_connections
        return any(not most or server.connections < most for server in self._roster.up)

    def _admit(self, wanted: Wanted) -> bool:
        """Connect to a server that has room, if there is one."""
        outgoing = wanted.outgoing
        if outgoing.vc.closed:  # who wanted it has left the queue, and that is not known here yet
            return True
        servers = self._eligible(wanted.tried)
        most = self.terms.max_connections
        if most:
            servers = [server for server in servers if server.connections < most]
        if not servers:
            return False
        again = bool(wanted.tried)
        server = self._roster.pick(servers, wanted.key, again=again)
        self._roster.picked(server, servers, again=again)
        server.connections += 1
        self._at[outgoing.vc] = server
        self._roster.goes(server, outgoing.vc)
        outgoing.start(
            server.address,
            tls=server.tls,
            tcp=self.terms.tcp,
            server_name=server.host,
            timeout=wanted.timeout,
        )
        return True

    def _make_room(self, servers: Sequence[Server]) -> None:
        """Close an idle connection: somebody wants one, and may not have that."""
        for server in servers:
            if server.idle:
                self.pool.drop(server, 1)
                return
