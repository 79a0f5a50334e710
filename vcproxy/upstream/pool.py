"""ConnectionPool: connections to an upstream's servers that nobody uses, kept for the next request.

They are in a conversation of their own, where a server that says or ends something meanwhile is
heard: such a connection is of no use, and closed. The one that was used last is used next, so that
those that a quiet time does not need grow old. None is kept until its server would close it: see
Keeping.
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
    from vcproxy.upstream.settings import Pooling

SWEEP = "SWEEP"
"""Tag: some may have been idle for too long."""

NEVER = float("inf")


class ConnectionPool(Continuation):
    """The idle connections of one upstream: each is in the `idle` of its server, too."""

    __slots__ = ("_sweeps", "_sweeps_at", "_terms", "servers")

    def __init__(self, engine: Engine, terms: Pooling) -> None:
        super().__init__(engine, Mutex())
        self._terms = terms
        self._sweeps: Action | None = None
        self._sweeps_at = NEVER
        self.servers: dict[NetVConnection, Server] = {}
        """Who each belongs to, the longest idle first; also of those that are reserved."""

    def give(self, server: Server, vc: NetVConnection) -> None:
        """Keep a connection, or close it: an old one, or where there are enough.

        The mutex of its conversation is held.
        """
        terms, now, outgoing = self._terms, self.engine.now, vc.outgoing
        assert outgoing is not None, f"{vc.name} is no connection to a server"
        old = terms.age and now - outgoing.created_at >= terms.age
        if old or vc.error is not None or len(server.idle) >= terms.idle:
            _close(vc)
            return
        if vc.read_vio is not None and vc.read_vio.live:
            vc.hand_over(self)
        else:
            vc.do_io_read(self, None, self.engine.buffer().reader().buffer)
        self._add(server, vc)

    def take(self, server: Server, cont: Continuation) -> NetVConnection | None:
        """Give out the connection to a server that was used last, if there is one that is sound.

        It is handed over to `cont` with the operations that were going on when it was given.
        """
        mutex, engine, idle = self.mutex, self.engine, server.idle
        if not mutex.try_acquire(engine):
            return None  # a new connection is no worse than waiting for it
        found = None
        oldest = engine.now - self._limit(server)
        while found is None:
            # What was listed in this turn nobody has looked at: its server may have said too much.
            vc = next((vc for vc in reversed(idle) if vc.listed_in < engine.turns), None)
            if vc is None:
                break
            sound = idle[vc] > oldest and _quiet(vc)  # a timer may be late
            del self.servers[vc], idle[vc]
            if sound:
                vc.hand_over(cont)
                found = vc
            else:  # the server has spoken or ended, or may at any moment
                _close(vc)
        mutex.release(engine)
        return found

    def reserve(self, vc: NetVConnection) -> None:
        """Keep an idle connection for somebody: only `claim` gives it out."""
        del self.servers[vc].idle[vc]

    def claim(self, vc: NetVConnection, cont: Continuation) -> NetVConnection | None:
        """Give out one that is reserved, as `take` does; None: it is of no use any more."""
        mutex, engine = self.mutex, self.engine
        if vc not in self.servers or not mutex.try_acquire(engine):
            return None
        del self.servers[vc]
        quiet = _quiet(vc)
        if quiet:
            vc.hand_over(cont)
        else:
            _close(vc)
        mutex.release(engine)
        return vc if quiet else None

    def unreserve(self, vc: NetVConnection) -> None:
        """It is for whoever comes, if it is still of use."""
        server = self.servers.pop(vc, None)
        if server is not None:
            self._add(server, vc)

    def drop(self, server: Server, most: int | None = None) -> None:
        """Close a server's idle connections, the longest idle first: all, or so many."""
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
        _close(vc, OSError("descriptors are short"))  # at once: a server's end is not waited for
        self.mutex.release(self.engine)
        return True

    def drain(self) -> None:
        """The proxy is about to stop: nothing is kept for a next request."""
        for server in dict.fromkeys(self.servers.values()):
            self.drop(server)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Close those that are of no use any more."""
        if isinstance(data, VIO):
            assert isinstance(data.vc, NetVConnection)
            left_over = key in (Event.READ_READY, Event.WRITE_READY) and _quiet(data.vc)
            if not left_over:  # by its last user, who was told of it in another way
                server = self.servers.get(data.vc)
                if server is not None and key in (Event.EOS, Event.ERROR):
                    now = self.engine.now
                    server.keeping.ended(now - server.idle.get(data.vc, now), now)
                self._close(data.vc)
        self._sweep()

    def _limit(self, server: Server) -> float:
        """How long its connections may be idle."""
        limit = server.keeping.limit_s
        return self._terms.idle_time if limit is None else limit

    def _add(self, server: Server, vc: NetVConnection) -> None:
        now = self.engine.now
        server.idle[vc] = now
        self.servers[vc] = server
        until = now + self._limit(server)
        if until < self._sweeps_at:
            self._sweep_at(until)

    def _sweep(self) -> None:
        """Close those that have been idle for too long; look again when the next one will be."""
        now, soonest = self.engine.now, NEVER
        if self._sweeps is not None:
            self._sweeps.cancel()
            self._sweeps, self._sweeps_at = None, NEVER
        for server in dict.fromkeys(self.servers.values()):
            server.keeping.forget(now)
            limit = self._limit(server)
            for vc, since in list(server.idle.items()):
                if since + limit > now:
                    soonest = min(soonest, since + limit)
                    break
                self._close(vc)
        if soonest < NEVER:
            self._sweep_at(soonest)

    def _sweep_at(self, when: float) -> None:
        if self._sweeps is not None:
            self._sweeps.cancel()
        self._sweeps_at = when
        self._sweeps = self.engine.schedule_at(when, self, SWEEP, None)

    def _close(self, vc: NetVConnection) -> None:
        server = self.servers.pop(vc, None)
        if server is not None:
            server.idle.pop(vc, None)  # it may be reserved
            _close(vc)


def _quiet(vc: NetVConnection) -> bool:
    """Whether a server has said and ended nothing since its connection was given."""
    vio = vc.read_vio
    return vio is not None and not (vio.over or vio.pending or vio.buffer.held)


def _close(vc: NetVConnection, error: Exception | None = None) -> None:
    """Close a connection, with what its last user has left in its buffers."""
    for vio in (vc.read_vio, vc.write_vio):
        if vio is not None:
            for reader in list(vio.buffer.readers):
                reader.close()
    vc.do_io_close(error)
