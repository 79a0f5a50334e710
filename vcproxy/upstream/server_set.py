"""ServerSet: the servers of an upstream, which of them are up, and which one is next.

Tested in tests/upstream/test_upstream.py, test_health_check.py, test_lookup.py and
test_server_states.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.upstream.balance import BALANCES
from vcproxy.upstream.ejection import Ejection
from vcproxy.upstream.health_check import STOP, HealthCheck
from vcproxy.upstream.lookup import NameLookup
from vcproxy.upstream.server import MAX_WEIGHT, STATES, Server

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.net import NetVConnection
    from vcproxy.upstream.server import ServerState
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
        "_balance", "_changed", "_checks", "_engine", "_gone", "_lookups", "_name",
        "_on_backups", "_open", "_resolved_to", "_retry_balance", "_settings", "all", "ejection",
        "repeatable", "sole", "up", "warming",
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
        """The servers that may be picked: those that are up, or else backup servers."""
        self._on_backups = False
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
        self.repeatable = self._balance.repeatable and settings.announcement is None
        """Whether `pick` changes nothing: see Balance. Never where connections belong to clients:
        `Upstream.take` must find the one of its client."""
        self._open = True
        self._arrange()
        if settings.check or settings.resolve:
            engine.inbox.post(self._start)  # on the engine's own thread

    def keep_settings(self, servers: Iterable[Server]) -> None:
        """Give the same servers of a new configuration what was set for those of this one."""
        before = {server.name: server for server in self._resolved_to}
        for server in servers:
            if server.name in before:
                server.keep_settings(before[server.name])

    # -- picking -----------------------------------------------------------------------------

    def pick(
        self,
        servers: Sequence[Server],
        key: str,
        *,
        again: bool,
        preferred: Server | None = None,
    ) -> Server:
        """Return the next server among these, of which there is at least one. See Balance.

        `preferred`: this one, if it is among them.
        `again`: another server has failed before. Retries are balanced separately: a retry that
        used up a turn would lead the next client to the failing server again.
        """
        if preferred is not None and preferred in servers:
            return preferred
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
        text = f"{server.name} is {state}: {why}; {self._count()}"
        self._engine.log(level, f"upstream {self._name}: {text}")

    def _start_warming(self, server: Server) -> None:
        server.up_since = self._engine.now
        if self._settings.slow_start:
            self.warming[server] = None

    def _refresh(self) -> None:
        self._update_up()
        self._changed()

    def _update_up(self) -> None:
        """Update `up`. If all healthy servers are ejected, they are used nevertheless."""
        healthy = [server for server in self.all if server.serves and server.healthy]
        self.up = self._preferred([server for server in healthy if server.up])
        self.up = self.up or self._preferred(healthy)
        on_backups = bool(self.up) and self.up[0].backup
        if on_backups is not self._on_backups:
            self._on_backups = on_backups
            self._log_backups()
        chosen = self._settings.announcement is not None  # connections belong to clients
        only = len(self.all) == 1 and self.up and not (self.warming or chosen)
        self.sole = self.up[0] if only else None

    def _preferred(self, servers: Sequence[Server]) -> Sequence[Server]:
        """Return those of these servers that are used: backup servers only if there are no others,
        and of them only the first, unless `all_backups` is set; as in HAProxy."""
        others = [server for server in servers if not server.backup]
        return others or (servers if self._settings.all_backups else servers[:1])

    def eligible(
        self, tried: Collection[Server], preferred: Server | None = None
    ) -> Sequence[Server]:
        """Return the servers that an attempt may use, after these have failed.

        Only the `preferred` one if it `keeps` its clients. Else those in `up`; then backup servers,
        although others count as up still.
        """
        if preferred is not None and self._keeps(preferred) and preferred not in tried:
            return (preferred,)
        if not tried:
            return self.up
        up = [server for server in self.up if server not in tried]
        rest = [each for each in self.all if each.serves and each.up and each not in tried]
        return up or self._preferred(rest)

    def _keeps(self, server: Server) -> bool:
        """Return whether a server gets its clients' requests; it may be of another upstream."""
        return server.keeps and server in self.all

    def others_up(self, server: Server) -> bool:
        """Return whether another server is up that could be used instead of this one."""
        return any(each.up and each.serves for each in self.all if each is not server)

    def why_none(self, tried: Collection[Server]) -> str:
        """Return why no server can be used, after these have failed."""
        if tried:
            return "all that are up were tried"
        if any(server.serves for server in self.all):
            return "none of its servers is up"
        return "all its servers are drained or in maintenance"

    def _count(self) -> str:
        up = sum(server.up and server.serves for server in self.all)
        return f"{up} of {len(self.all)} servers are up"

    def _log_backups(self) -> None:
        if all(server.backup for server in self.all):
            return
        if self._on_backups:
            names = ", ".join(server.name for server in self.up)
            text = f"no other server is up: backup servers are used: {names}"
            self._engine.log("warning", f"upstream {self._name}: {text}")
        else:
            self._engine.log("info", f"upstream {self._name}: backup servers are not used any more")

    # -- what an operator decides --------------------------------------------------------------

    def set_server(self, name: str, state: ServerState | None, weight: int | None) -> None:
        """See Upstream.set_server."""
        servers = self._find(name)
        if state is not None and state not in STATES:
            raise ValueError(f'there is no state "{state}": write "ready", "drain" or "maint"')
        if weight is not None and not 0 <= weight <= MAX_WEIGHT:
            raise ValueError(f"the weight must be 0 to {MAX_WEIGHT}, not {weight}")
        if weight is not None and weight > 1 and self._settings.balance == "round_robin":
            text = f'upstream {self._name} has balance = "round_robin"'
            raise ValueError(f"weight {weight} has no effect: {text}, where a weight is 0 or 1")
        for server in servers:
            self._set(server, state or server.state, server.weight if weight is None else weight)
        if weight is not None:
            self._balance.arrange(self.all)
            self._retry_balance.arrange(self.all)
        self._update_checks(doubtful=True)
        self._refresh()
        server = servers[0]
        text = f"{server.name} is set to {server.state}, weight {server.weight}; {self._count()}"
        self._engine.log("info", f"upstream {self._name}: {text}")

    def _find(self, name: str) -> list[Server]:
        """Return the servers with a name: a configured one comes with all its addresses."""
        found: dict[Server, None] = {}
        for named, resolved in self._resolved_to.items():
            if name in (named.name, str(named.address)):
                found.update(dict.fromkeys((named, *resolved)))
            else:
                found.update(dict.fromkeys(each for each in resolved if each.name == name))
        if not found:
            names = ", ".join(server.name for server in self.all)
            raise LookupError(f'upstream {self._name} has no server "{name}"; it has {names}')
        return list(found)

    def _set(self, server: Server, state: ServerState, weight: int) -> None:
        """Change one server."""
        served, returns = server.serves, server.state == "maint" and state != "maint"
        server.set(state, weight)
        if state == "ready":
            self.ejection.pardon(server)
        if returns and server.position >= 0:
            server.healthy = True
            self._start_warming(server)
        if server not in self.warming:
            server.share = weight
        if served and not server.serves:
            self._gone(server)

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

    def _update_checks(self, *, doubtful: bool = False) -> None:
        """Start the checks of new servers; stop those of servers removed or in maintenance.

        `doubtful`: see HealthCheck, for servers that are not checked yet.
        """
        settings = self._settings.check
        if settings is None or not self._open:
            return
        checked = [server for server in self.all if server.state != "maint"]
        for server in [each for each in self._checks if each not in checked]:
            self._engine.schedule(self._checks.pop(server), STOP, None)
        for server in checked:
            if server not in self._checks:
                check = HealthCheck(
                    self._engine, server, settings, self._state_changed, doubtful=doubtful
                )
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
                server = Server(
                    address, named.tls, named.weight, named.address.host,
                    backup=named.backup, state=named.state,
                )  # fmt: skip
                if not first:
                    self._start_warming(server)
            found.append(server)
        self._resolved_to[named] = found
        self._arrange()
        for server in before.values():
            server.position = -1
            server.serves = False
            self.warming.pop(server, None)
            self._gone(server)
        self._update_checks()
        hosts = ", ".join(server.address.host for server in found)
        self._engine.log("info", f"upstream {self._name}: {named.name} resolves to {hosts}")
