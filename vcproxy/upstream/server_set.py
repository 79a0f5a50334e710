"""ServerSet: the servers of an upstream, which of them are up, and which one is next.

Tested in tests/upstream/test_upstream.py, test_health_check.py and test_lookup.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.upstream.balance import BALANCES
from vcproxy.upstream.ejection import Ejection
from vcproxy.upstream.health_check import STOP, HealthCheck
from vcproxy.upstream.lookup import NameLookup
from vcproxy.upstream.server import Server

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.net import NetVConnection
    from vcproxy.upstream.settings import UpstreamSettings

MIN_WARMTH = 0.01
"""The fraction of its share that a server has at the start of its slow start: the minimum."""


class ServerSet:
    """The servers of one upstream.

    Args:
        engine: the engine that health checks and look-ups run on; they start in its next turn.
        name: the name of the upstream, for logs.
        servers: at least one, as configured. The addresses of a name replace it once resolved.
        settings: how they are balanced and checked.
        gone: called with each server that must not be used any more: it is down or removed.
        changed: called when other servers are up than before.
    """

    __slots__ = (
        "_balance", "_changed", "_checks", "_engine", "_gone", "_lookups", "_name", "_open",
        "_resolved_to", "_retry_balance", "_settings", "all", "ejection", "repeatable", "sole",
        "up", "warming",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        name: str,
        servers: Iterable[Server],
        settings: UpstreamSettings,
        *,
        gone: Callable[[Server], None],
        changed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._name = name
        self._settings = settings
        self._gone = gone
        self._changed = changed
        self.all: Sequence[Server] = ()
        """The servers in use, up or not."""
        self.up: Sequence[Server] = ()
        """The servers that may be picked."""
        self._balance = BALANCES[settings.balance](engine.random)
        self._retry_balance = BALANCES[settings.balance](engine.random)
        self.ejection = Ejection(engine, settings.eject, self._state_changed, self._refresh)
        self._checks: dict[Server, HealthCheck] = {}
        self._lookups: list[NameLookup] = []
        # keyed by the configured server
        self._resolved_to = {server: [server] for server in servers}
        self.warming: dict[Server, None] = {}
        """The servers in their slow start."""
        self.sole: Server | None = None
        """The only server, if it is up and no policy has to choose; None: see `up`."""
        self.repeatable = self._balance.repeatable
        """Whether `pick` changes nothing: see Balance."""
        self._open = True
        self._arrange()
        if settings.check or settings.resolve:
            engine.inbox.post(self._start)  # on the engine's own thread

    # -- picking -----------------------------------------------------------------------------

    def pick(self, servers: Sequence[Server], key: str, *, again: bool) -> Server:
        """Return the next server among these, of which there is at least one. See Balance.

        `again`: another server has failed before. Retries are balanced separately: a retry that
        used up a turn would lead the next client to the failing server again.
        """
        if self.warming:
            servers = self._warm_up(servers)
        return (self._retry_balance if again else self._balance).pick(servers, key)

    def picked(self, server: Server, servers: Sequence[Server], *, again: bool) -> None:
        """Record that a picked server is used. See Balance."""
        (self._retry_balance if again else self._balance).picked(server, servers)

    def connecting(self, server: Server, vc: NetVConnection) -> None:
        """Record that a VC is about to connect to a server; perhaps a trial after an ejection."""
        if self.ejection.begin_trial(server, vc):
            self._update_up()

    def _warm_up(self, servers: Sequence[Server]) -> Sequence[Server]:
        """Raise the shares of servers that have come up lately, whose caches are cold.

        For a policy without shares leave them out at random, less and less often.
        """
        now, span = self._engine.now, self._settings.slow_start
        random = self._engine.random.random
        for server in list(self.warming):
            warmth = (now - server.up_since) / span
            server.share = server.weight * min(max(warmth, MIN_WARMTH), 1)
            if warmth >= 1:
                server.share = server.weight
                del self.warming[server]
                self._update_up()
        if self._balance.uses_share:
            return servers
        warm = [
            server
            for server in servers
            if server not in self.warming or random() * server.weight < server.share
        ]
        return warm or servers

    # -- which are up ------------------------------------------------------------------------

    def _state_changed(self, server: Server, why: str) -> None:
        """Log that a server is up or down, and use or avoid it from now on."""
        if server.up:
            self._start_warming(server)
        else:
            self._gone(server)
        self._refresh()
        level: Level = "info" if server.up else "warning"
        state = "up" if server.up else "down"
        count = f"{len(self.up)} of {len(self.all)} servers are up"
        self._engine.log(level, f"upstream {self._name}: {server.name} is {state}: {why}; {count}")

    def _start_warming(self, server: Server) -> None:
        server.up_since = self._engine.now
        if self._settings.slow_start:
            self.warming[server] = None

    def _refresh(self) -> None:
        self._update_up()
        self._changed()

    def _update_up(self) -> None:
        """Update `up`. If all healthy servers are ejected, they are used nevertheless."""
        healthy = [server for server in self.all if server.healthy]
        self.up = [server for server in healthy if server.up] or healthy
        only = len(self.all) == 1 and self.up and not self.warming
        self.sole = self.up[0] if only else None

    def _arrange(self) -> None:
        """Update `all` from the resolved names."""
        self.all = [server for found in self._resolved_to.values() for server in found]
        for position, server in enumerate(self.all):
            server.position = position
        self._balance.arrange(self.all)
        self._retry_balance.arrange(self.all)
        self._refresh()

    def set_tls(self, tls: object) -> None:
        """Replace the TLS context of the servers that have one."""
        for server in (*self._resolved_to, *self.all):
            if server.tls is not None:
                server.tls = tls

    # -- health checks and look-ups ----------------------------------------------------------

    def close(self) -> None:
        """Stop all health checks and look-ups."""
        self._open = False
        for machine in (*self._lookups, *self._checks.values()):
            self._engine.schedule(machine, STOP, None)
        self._lookups.clear()
        self._checks.clear()

    def _start(self) -> None:
        if not self._open:
            return
        self._update_checks()
        interval = self._settings.resolve
        if interval:
            for server in self._resolved_to:
                if not server.address.numeric:
                    resolved = partial(self._resolved, server)
                    lookup = NameLookup(self._engine, server.address, interval, resolved)
                    self._lookups.append(lookup)
                    with lookup.mutex.hold(self._engine):
                        lookup.start()

    def _update_checks(self) -> None:
        """Start the checks of new servers, and stop those of removed ones."""
        settings = self._settings.check
        if settings is None or not self._open:
            return
        for server in [each for each in self._checks if each not in self.all]:
            self._engine.schedule(self._checks.pop(server), STOP, None)
        for server in self.all:
            if server not in self._checks:
                check = HealthCheck(self._engine, server, settings, self._state_changed)
                self._checks[server] = check
                with check.mutex.hold(self._engine):
                    check.start()

    def _resolved(self, named: Server, addresses: tuple[Address, ...]) -> None:
        """Use the addresses of a name: each one is a server."""
        before = {server.address: server for server in self._resolved_to[named]}
        if set(addresses) == before.keys():
            return
        first = named.address in before
        found = []
        for address in sorted(set(addresses), key=str):  # resolvers return them in any order
            server = before.pop(address, None)
            if server is None:
                server = Server(address, named.tls, named.weight, named.address.host)
                if not first:
                    self._start_warming(server)
            found.append(server)
        self._resolved_to[named] = found
        self._arrange()
        for server in before.values():
            server.position = -1
            self.warming.pop(server, None)
            self._gone(server)
        self._update_checks()
        hosts = ", ".join(server.address.host for server in found)
        self._engine.log("info", f"upstream {self._name}: {named.name} resolves to {hosts}")
