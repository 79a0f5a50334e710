"""ConnectionPool: idle connections to an upstream's servers, kept for the next request.

The pool reads from them under a mutex of its own. A connection on which the server sends or ends
something is closed. The last used one is reused first, so that surplus ones reach the idle limit.
Each is closed before its server would close it: see KeepAlive. Tested in
tests/upstream/test_upstream.py and test_keep_alive.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import VIO

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.scheduler import Action
    from vcproxy.upstream.server import Server
    from vcproxy.upstream.settings import PoolSettings

SWEEP = "SWEEP"
"""Tag: some connections may have been idle for too long."""

NEVER = float("inf")


class ConnectionPool(Continuation):
    """The idle connections of one upstream; each is also in the `idle` of its server."""

    __slots__ = ("_sweep_at", "_sweep_timer", "owned", "servers", "settings")

    def __init__(self, engine: Engine, settings: PoolSettings, *, owned: bool = False) -> None:
        super().__init__(engine, Mutex())
        self.settings = settings
        self.owned = owned
        """Whether a connection is reused only for the client that it was made for."""
        self._sweep_timer: Action | None = None
        self._sweep_at = NEVER
        self.servers: dict[NetVConnection, Server] = {}
        """The server of each connection, the longest idle first; also of reserved ones."""

    def give(self, server: Server, vc: NetVConnection) -> None:
        """Keep a connection; close it instead if it is too old or the pool is full.

        The caller holds its mutex.
        """
        settings, now, outgoing = self.settings, self.engine.now, vc.outgoing
        assert outgoing is not None, f"{vc.name} is not a connection to a server"
        old = settings.age and now - outgoing.created_at >= settings.age
        if old or vc.error is not None or len(server.idle) >= settings.idle:
            _close(vc)
            return
        if vc.read_vio is not None and vc.read_vio.live:
            vc.hand_over(self)
        else:
            vc.do_io_read(self, None, self.engine.buffer().reader().buffer)
        self._add(server, vc)

    def take(
        self, server: Server, cont: Continuation, origin: NetVConnection | None = None
    ) -> NetVConnection | None:
        """Return the last used idle connection to a server, or None if there is none to reuse.

        `origin`: in an owned pool, the client that it must have been made for; None: no single one.
        It is handed over to `cont` with the operations that were in progress when it was given.
        """
        mutex, engine, idle, owned = self.mutex, self.engine, server.idle, self.owned
        if not mutex.try_acquire(engine):
            return None  # making a new connection takes no longer than waiting for the mutex
        found = None
        oldest = engine.now - self._limit(server)
        while found is None:
            # Skip connections that became ready in this turn: the server may have sent data or an
            # end.
            vc = next(
                (
                    vc
                    for vc in reversed(idle)
                    if vc.listed_in < engine.turns and (not owned or _made_for(vc) is origin)
                ),
                None,
            )
            if vc is None:
                break
            usable = idle[vc] > oldest and _unchanged(vc)  # a timer may be late
            del self.servers[vc], idle[vc]
            if usable:
                vc.hand_over(cont)
                found = vc
            else:  # the server has sent data or an end, or may close soon
                _close(vc)
        mutex.release(engine)
        return found

    def take_at_once(self, server: Server, cont: Continuation) -> NetVConnection | None:
        """Return the connection that `take` would return, if that is the most recently used one.

        None: `take` must decide; nothing has changed. The server must have an idle connection.
        """
        mutex, engine, idle = self.mutex, self.engine, server.idle
        vc = next(reversed(idle))
        reads, writes = vc.read_vio, vc.write_vio
        limit = server.keep_alive.limit_s
        if (
            not engine.direct  # a recording follows each hand_over()
            or mutex.owner is not None
            or vc.listed_in >= engine.turns
            or idle[vc] <= engine.now - (self.settings.idle_time if limit is None else limit)
            or reads is None
            or reads.over
            or reads.pending
            or reads.store.held  # type: ignore[union-attr]
            or writes is None
            or writes.over
            or (vc.answered_in != engine.turns and engine.reported(vc))
        ):
            return None
        del self.servers[vc], idle[vc]
        # hand_over() inlined. Only this engine uses the pool, so its mutex need not be taken.
        reads.cont = writes.cont = cont
        del mutex.vcs[vc]
        mutex = cont.mutex
        reads.mutex = writes.mutex = vc.mutex = mutex
        mutex.vcs[vc] = None
        return vc

    def give_at_once(self, server: Server, vc: NetVConnection) -> bool:
        """Keep a connection as `give` does; False: `give` must decide.

        The caller holds its mutex. The connection has its operations in progress.
        """
        settings, engine, idle = self.settings, self.engine, server.idle
        reads, writes = vc.read_vio, vc.write_vio
        now, age = engine.now, settings.age
        if (
            not engine.direct  # a recording follows each hand_over()
            or len(idle) >= settings.idle
            or vc.error is not None
            or vc.closed
            or (age and now - vc.outgoing.created_at >= age)  # type: ignore[union-attr]
            or reads is None
            or writes is None
        ):
            return False
        reads.cont = writes.cont = self  # hand_over() inlined
        del vc.mutex.vcs[vc]
        mutex = self.mutex
        reads.mutex = writes.mutex = vc.mutex = mutex
        mutex.vcs[vc] = None
        vc.answered_in = engine.turns
        idle[vc] = now  # _add() inlined
        self.servers[vc] = server
        limit = server.keep_alive.limit_s
        until = now + (settings.idle_time if limit is None else limit)
        if until < self._sweep_at:
            self._schedule_sweep(until)
        return True

    def reserve(self, vc: NetVConnection) -> None:
        """Reserve an idle connection: only `claim` returns it."""
        del self.servers[vc].idle[vc]

    def claim(self, vc: NetVConnection, cont: Continuation) -> NetVConnection | None:
        """Return a reserved connection, as `take` does; None if it cannot be used any more."""
        mutex, engine = self.mutex, self.engine
        if vc not in self.servers or not mutex.try_acquire(engine):
            return None
        del self.servers[vc]
        usable = _unchanged(vc)
        if usable:
            vc.hand_over(cont)
        else:
            _close(vc)
        mutex.release(engine)
        return vc if usable else None

    def unreserve(self, vc: NetVConnection) -> None:
        """End the reservation of a connection: `take` may return it again, if it is still open."""
        server = self.servers.pop(vc, None)
        if server is not None:
            self._add(server, vc)

    def drop(self, server: Server, most: int | None = None) -> None:
        """Close idle connections of a server, the longest idle first: all, or at most `most`."""
        if not self.mutex.try_acquire(self.engine):
            self.mutex.park(self.engine, lambda: self.drop(server, most))
            return
        for vc in list(server.idle)[:most]:
            self._close(vc)
        self._sweep()
        self.mutex.release(self.engine)

    def close_idle(self) -> bool:
        """Close the connection that has been idle longest, for its descriptor; return whether there
        was one. See DescriptorShortage.
        """
        vc = next(iter(self.servers), None)
        if vc is None or not self.mutex.try_acquire(self.engine):
            return False
        del self.servers[vc].idle[vc], self.servers[vc]
        # With an error the VC is closed at once, without waiting for the end of the server.
        _close(vc, OSError("no file descriptor is left"))
        self.mutex.release(self.engine)
        return True

    def drain(self) -> None:
        """Close all idle connections, because the proxy is about to stop."""
        for server in dict.fromkeys(self.servers.values()):
            self.drop(server)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Close connections that have changed or have been idle for too long."""
        if isinstance(data, VIO):
            assert isinstance(data.vc, NetVConnection)
            # An event for the last user may still be queued. It concerns only data that the user
            # has read.
            stale = key in (Event.READ_READY, Event.WRITE_READY) and _unchanged(data.vc)
            if not stale:
                server = self.servers.get(data.vc)
                if server is not None and key in (Event.EOS, Event.ERROR):
                    now = self.engine.now
                    server.keep_alive.closed_after(now - server.idle.get(data.vc, now), now)
                self._close(data.vc)
        self._sweep()

    def _limit(self, server: Server) -> float:
        """Return how long connections to a server may be idle, in seconds."""
        limit = server.keep_alive.limit_s
        return self.settings.idle_time if limit is None else limit

    def _add(self, server: Server, vc: NetVConnection) -> None:
        now = self.engine.now
        server.idle[vc] = now
        self.servers[vc] = server
        until = now + self._limit(server)
        if until < self._sweep_at:
            self._schedule_sweep(until)

    def _sweep(self) -> None:
        """Close connections that have been idle for too long; schedule the next sweep."""
        now, soonest = self.engine.now, NEVER
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer, self._sweep_at = None, NEVER
        for server in dict.fromkeys(self.servers.values()):
            server.keep_alive.forget(now)
            limit = self._limit(server)
            for vc, since in list(server.idle.items()):
                if since + limit > now:
                    soonest = min(soonest, since + limit)
                    break
                self._close(vc)
        if soonest < NEVER:
            self._schedule_sweep(soonest)

    def _schedule_sweep(self, when: float) -> None:
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._sweep_at = when
        self._sweep_timer = self.engine.schedule_at(when, self, SWEEP, None)

    def _close(self, vc: NetVConnection) -> None:
        server = self.servers.pop(vc, None)
        if server is not None:
            server.idle.pop(vc, None)  # a reserved connection is not in `idle`
            _close(vc)


def _unchanged(vc: NetVConnection) -> bool:
    """Return whether the connection has got no data and no end since it became idle."""
    vio = vc.read_vio
    return vio is not None and not (vio.over or vio.pending or vio.buffer.held)


def _made_for(vc: NetVConnection) -> NetVConnection | None:
    return None if vc.outgoing is None else vc.outgoing.origin


def _close(vc: NetVConnection, error: Exception | None = None) -> None:
    """Close a connection, and drop the data that its last user has left in its buffers."""
    for vio in (vc.read_vio, vc.write_vio):
        if vio is not None:
            for reader in vio.buffer.readers:
                reader.close()
    vc.do_io_close(error)
