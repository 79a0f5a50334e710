"""Upstream: connections to servers that do the same work, with limits, a queue and a pool.

There is one for each [upstream.NAME] and engine; the sessions of all listeners share it, and it
runs on that engine's thread only. A connection counts from its request until its descriptor is
closed, so that its room is free again whatever happens to the session that requested it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.upstream.pool import ConnectionPool
from vcproxy.upstream.queue import ConnectRequest, Queue
from vcproxy.upstream.server_set import ServerSet
from vcproxy.upstream.settings import UpstreamSettings

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.upstream.server import Server, ServerState


class NoServer(ConnectionError):
    """No server is up, or all that are up were tried."""


class Upstream:
    """Servers that do the same work.

    Args:
        engine: the engine of the connections.
        name: its name in logs.
        servers: at least one; no other upstream uses them.
        settings: how they are balanced, limited and checked.
    """

    __slots__ = (
        "_connected_to", "_open", "_reserved", "_servers", "engine", "name", "pool", "queue",
        "settings",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        name: str,
        servers: Iterable[Server],
        settings: UpstreamSettings | None = None,
    ) -> None:
        self.engine = engine
        self.name = name
        self.settings = settings = settings or UpstreamSettings()
        self.pool = ConnectionPool(engine, settings.pool, owned=settings.announcement is not None)
        engine.shortage.pools[self.pool] = None
        self.queue = Queue(engine, settings.queue)
        self._servers = ServerSet(
            engine, name, servers, settings, gone=self.pool.drop, changed=self._serve_queue
        )
        self._connected_to: dict[NetVConnection, Server] = {}
        self._reserved: dict[NetVConnection, NetVConnection] = {}  # keyed by the VC that waited
        self._open = True

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {len(self._servers.up)} of {len(self.servers)} up>"

    @property
    def servers(self) -> Sequence[Server]:
        """The servers in use, up or not."""
        return self._servers.all

    @property
    def connected(self) -> Sequence[tuple[NetVConnection, Server]]:
        """The connections that are being made, in use or idle, with their servers; a copy."""
        return list(self._connected_to.items())

    # -- connections -------------------------------------------------------------------------

    def connect(
        self,
        cont: Continuation,
        *,
        key: str | None = None,
        client: str = "",
        origin: NetVConnection | None = None,
        tried: Collection[Server] = (),
        timeout: float = 0.0,
        reuse: bool = False,
        preferred: Server | None = None,
    ) -> NetVConnection:
        """Connect to the next server; while none has room, wait in the queue. See Engine.connect.

        CONNECTED or ERROR follows. The error of the VC is NoServer, QueueFull, QueueTimeout or that
        of the connection.

        Args:
            cont: receives the event.
            key: connections with equal keys go to one server, if the policy uses keys; the client's
                address if left out.
            client, origin: the client's address; the client to announce, None: no single one.
            tried: servers that must not be used again.
            timeout: seconds for connecting, without the time in the queue; 0: no limit.
            reuse: while it waits, an idle connection may be used instead. Then CONNECTED comes with
                a VC that is not `open`, and `claim` returns that connection.
            preferred: the server to use, or wait for, as long as it `keeps` its clients.
        """
        outgoing = self.engine.outgoing(cont, self.name)
        outgoing.observer = self
        outgoing.origin = origin if self.pool.owned else None
        request = ConnectRequest(outgoing, key or client, tried, timeout, reuse, preferred)
        if not self._admit(request):
            servers = self._servers.eligible(tried, preferred)
            if servers:
                self._make_room(servers)
                self.queue.add(request)
            else:
                outgoing.vc.fail(NoServer(self._servers.why_none(tried)))
        return outgoing.vc

    def take(
        self,
        cont: Continuation,
        *,
        key: str | None = None,
        client: str = "",
        origin: NetVConnection | None = None,
        tried: Collection[Server] = (),
        preferred: Server | None = None,
    ) -> NetVConnection | None:
        """Return an idle connection to the next server; None if it has none.

        It is handed over to `cont` in the state in which it was given back. See `connect`.
        """
        servers = self._servers.eligible(tried, preferred)
        most = self.settings.max_connections
        if most:
            servers = [each for each in servers if each.idle or each.connections < most]
        if not servers:
            return None
        again, key = bool(tried), key or client
        server = self._servers.pick(servers, key, again=again, preferred=preferred)
        if not server.idle or server.ejections:
            return None
        vc = self.pool.take(server, cont, origin)
        if vc is not None and server is not preferred:
            self._servers.picked(server, servers, again=again)
        return vc

    def take_at_once(self, cont: Continuation, key: str) -> NetVConnection | None:
        """Return the connection that `take` would return, if `take` has nothing else to do.

        None: `take` must decide; nothing has changed. `key`: the `key` of `take`, or its `client`.
        """
        servers = self._servers
        server = servers.sole
        if server is not None:
            if not server.idle or server.ejections:
                return None
            return self.pool.take_at_once(server, cont)  # with one server no policy counts turns
        up = servers.up
        if servers.warming or not (up and servers.repeatable):
            return None
        most = self.settings.max_connections
        if most:
            up = [each for each in up if each.idle or each.connections < most]
            if not up:
                return None
        server = servers.pick(up, key, again=False)
        if not server.idle or server.ejections:
            return None
        vc = self.pool.take_at_once(server, cont)
        if vc is not None:
            servers.picked(server, up, again=False)
        return vc

    def answered(self, vc: NetVConnection) -> None:
        """Record that a request was answered, and give its connection back: the same as
        `succeeded(vc)` and `give(vc)`. The caller holds its mutex."""
        server = self._connected_to.get(vc)
        if (
            server is not None
            and self._open
            and server.serves
            and not (server.ejections or server.trial or self.queue.waiting)
            and self.pool.give_at_once(server, vc)
        ):
            server.failures = 0
            server.answered += 1
            return
        self.succeeded(vc)
        self.give(vc)

    def claim(self, cont: Continuation, waited: NetVConnection) -> NetVConnection | None:
        """Return the idle connection that is reserved for a VC that waited: see `connect`.

        It is handed over to `cont` in the state in which it was given back. None: its server has
        closed it since.
        """
        reserved = self._reserved.pop(waited)
        vc = self.pool.claim(reserved, cont)
        if vc is None:
            self._release(reserved)
        return vc

    def give(self, vc: NetVConnection) -> None:
        """Give back a connection that can be reused: it is kept for the next request, or closed.

        The caller holds its mutex. The first request in the queue gets it, or its room.
        """
        server = self._connected_to.get(vc)
        if self._open and not vc.closed and server is not None and server.serves:
            waiting = self.queue.first if self.queue.waiting else None
            if not server.ejections and (waiting is None or self._suits(server, waiting)):
                self.pool.give(server, vc)
                if waiting is not None:
                    self._offer(server, vc)
                return
        vc.do_io_close()

    def keep_alive_announced(self, vc: NetVConnection, timeout_s: float) -> None:
        """Use the keep-alive time that a server has announced (`Keep-Alive: timeout=5`)."""
        if (server := self._connected_to.get(vc)) is not None:
            server.keep_alive.announced(timeout_s)

    def closed_early(self, vc: NetVConnection, idle_s: float) -> None:
        """Note that a server closed a connection as it was reused, after `idle_s` idle seconds."""
        if (server := self._connected_to.get(vc)) is not None:
            server.keep_alive.closed_after(idle_s, self.engine.now)

    def server_of(self, vc: NetVConnection) -> Server | None:
        """Return the server that a VC connects to; None if it waits in the queue, or is gone."""
        return self._connected_to.get(vc)

    def has_another(self, tried: Collection[Server]) -> bool:
        """Return whether another server may be tried after these have failed."""
        return len(tried) <= self.settings.retries and bool(self._servers.eligible(tried))

    # -- results -----------------------------------------------------------------------------

    def succeeded(self, vc: NetVConnection) -> None:
        """Record that a request on this connection was answered."""
        if (server := self._connected_to.get(vc)) is not None:
            server.answered += 1
            server.failures = 0
            self._servers.ejection.passed(server, vc, "requests")

    def failed(self, vc: NetVConnection, why: object) -> None:
        """Record that a request on this connection failed: several in a row eject the server.

        Connections that could not be made are counted without this call.
        """
        if (server := self._connected_to.get(vc)) is not None:
            server.request_failures += 1
            server.failures += 1
            self._failed(server, vc, server.failures, "requests", why)

    def set_server(
        self, name: str, *, state: ServerState | None = None, weight: int | None = None
    ) -> None:
        """Change the state, or the weight (0 to 256), of a server: see ServerState. None: as it is.

        `name`: the address as configured, which with `resolve` stands for all its addresses, or
        `Server.name`. One that is set to "ready" counts as up. A reload keeps what was set, unless
        its file has changed for this server. Raises LookupError (no such server), ValueError.
        """
        self._servers.set_server(name, state, weight)

    def keep_settings(self, servers: Iterable[Server]) -> None:
        """See ServerSet.keep_settings."""
        self._servers.keep_settings(servers)

    def set_tls(self, tls: object) -> None:
        """Replace the TLS context of servers on tls://."""
        self._servers.set_tls(tls)

    def close(self) -> None:
        """Stop health checks and look-ups, and close idle connections.

        Sessions that use it continue, and may still connect.
        """
        self._open = False
        self.engine.shortage.pools.pop(self.pool, None)
        self._servers.close()
        for server in self.servers:
            self.pool.drop(server)

    # -- what the engine calls ---------------------------------------------------------------

    def connect_finished(self, vc: NetVConnection, event: Event) -> None:
        """See ConnectObserver."""
        server = self._connected_to.get(vc)
        if server is None:
            return
        if event is Event.CONNECTED:
            server.refusals = 0
            self._servers.ejection.passed(server, vc, "connections")
        else:
            server.connect_failures += 1
            server.refusals += 1
            self._failed(server, vc, server.refusals, "connections", vc.error)

    def vc_gone(self, vc: NetVConnection) -> None:
        """Free the room of a closed VC for the queue. See ConnectObserver."""
        server = self._connected_to.pop(vc, None)
        if server is None:
            self.queue.remove(vc)
            reserved = self._reserved.pop(vc, None)
            if reserved is not None:
                self._release(reserved)
            return
        server.connections -= 1
        server.bytes_read += vc.read_before  # all: the VC is gone
        server.bytes_written += vc.written_before
        server.idle.pop(vc, None)
        self._servers.ejection.vc_gone(server, vc)
        self._serve_queue()

    # -- inside ------------------------------------------------------------------------------

    def _failed(
        self, server: Server, vc: NetVConnection, failures: int, what: str, why: object
    ) -> None:
        ejection = self._servers.ejection
        if not ejection.trial_failed(server, vc, why):
            ejection.failed(server, failures, what, why, last=not self._servers.others_up(server))

    def _suits(self, server: Server, request: ConnectRequest) -> bool:
        reuse = request.reuse and not self.pool.owned
        return reuse and server in self._servers.eligible(request.tried, request.preferred)

    def _offer(self, server: Server, vc: NetVConnection) -> None:
        """Reserve a connection in the pool for the first request in the queue, if it suits."""
        request = self.queue.first
        if request is not None and vc in server.idle and self._suits(server, request):
            self.pool.reserve(vc)
            self._reserved[request.outgoing.vc] = vc
            if server is not request.preferred:
                self._servers.picked(server, self._servers.up, again=False)
            self.queue.remove(request.outgoing.vc)
            request.outgoing.notify(Event.CONNECTED)

    def _release(self, vc: NetVConnection) -> None:
        """End a reservation: the next request in the queue may use the connection."""
        server = self._connected_to.get(vc)
        if server is None:
            return
        self.pool.unreserve(vc)
        self._offer(server, vc)
        if not self._open or not server.serves:
            self.pool.drop(server)
        elif vc in server.idle and self.queue.first is not None:  # waits for a new connection
            self.pool.drop(server, 1)

    def _serve_queue(self) -> None:
        if self.queue.waiting:
            self.queue.serve(self._has_room, self._admit)

    def _has_room(self) -> bool:
        most = self.settings.max_connections
        servers = self.servers if self.queue.preferring else self._servers.up  # or drained ones
        return any(not most or server.connections < most for server in servers)

    def _admit(self, request: ConnectRequest) -> bool:
        """Connect to a server that has room; return whether there is one."""
        outgoing = request.outgoing
        if outgoing.vc.closed:  # vc_gone follows, and removes the request from the queue
            return True
        servers = self._servers.eligible(request.tried, request.preferred)
        most = self.settings.max_connections
        if most:
            servers = [server for server in servers if server.connections < most]
        if not servers:
            return False
        again, wanted = bool(request.tried), request.preferred
        server = self._servers.pick(servers, request.key, again=again, preferred=wanted)
        if server is not wanted:
            self._servers.picked(server, servers, again=again)
        server.connections += 1
        server.connects += 1
        self._connected_to[outgoing.vc] = server
        self._servers.connecting(server, outgoing.vc)
        announcement = self.settings.announcement
        outgoing.start(
            server.address,
            tls=server.tls,
            tcp=self.settings.tcp,
            server_name=server.host,
            introduction=b"" if announcement is None else announcement.header(outgoing.origin),
            timeout=request.timeout,
        )
        return True

    def _make_room(self, servers: Sequence[Server]) -> None:
        """Close an idle connection of one of these servers: a request needs its room."""
        for server in servers:
            if server.idle:
                self.pool.drop(server, 1)
                return
