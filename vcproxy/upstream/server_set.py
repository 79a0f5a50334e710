"""ServerSet: which servers an upstream has, which of them are up, and whose turn it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.upstream.balance import BALANCES
from vcproxy.upstream.check import STOP, Check
from vcproxy.upstream.ejection import Ejection
from vcproxy.upstream.lookup import NameWatch
from vcproxy.upstream.server import Server

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.net import NetVConnection
    from vcproxy.upstream.settings import UpstreamSettings

COLD = 0.01
"""What a server gets at once of its share, and is never below: a share of nothing is none."""


class ServerSet:
    """The servers of one upstream.

    Args:
        engine: where checks and look-ups run; they begin in its next turn.
        name: the upstream's, for logs.
        servers: at least one, as they were given; a name's addresses take their place when found.
        terms: how they are balanced and watched.
        lost: told of each server that is not to be used any more.
        changed: told when others are up than before.
    """

    __slots__ = (
        "_changed", "_checks", "_engine", "_found", "_lookups", "_lost", "_name", "_open",
        "_retries", "_terms", "_turns", "_warming", "all", "ejection", "up",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        name: str,
        servers: Iterable[Server],
        terms: UpstreamSettings,
        *,
        lost: Callable[[Server], None],
        changed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._name = name
        self._terms = terms
        self._lost = lost
        self._changed = changed
        self.all: Sequence[Server] = ()
        """Those in use, up or not."""
        self.up: Sequence[Server] = ()
        """Those that may be chosen."""
        self._turns = BALANCES[terms.balance](engine.random)
        self._retries = BALANCES[terms.balance](engine.random)
        self.ejection = Ejection(engine, terms.eject, self._turned, self._refresh)
        """Who is left alone for what it did to clients."""
        self._checks: dict[Server, Check] = {}
        self._lookups: list[NameWatch] = []
        self._found = {server: [server] for server in servers}  # by the server that was given
        self._warming: dict[Server, None] = {}  # those that do not have their full share yet
        self._open = True
        self._arrange()
        if terms.check or terms.resolve:
            engine.inbox.post(self._start)  # on the engine's own thread

    # -- turns -------------------------------------------------------------------------------

    def pick(self, servers: Sequence[Server], key: str, *, again: bool) -> Server:
        """Say whose turn it is among these, of which there is one. See Balance.

        `again`: where another server has failed. Such turns are counted for themselves: a retry
        that took the next turn would send the next client to the server that fails.
        """
        if self._warming:
            servers = self._warm_up(servers)
        return (self._retries if again else self._turns).pick(servers, key)

    def picked(self, server: Server, servers: Sequence[Server], *, again: bool) -> None:
        """It has got what it was picked for. See Balance."""
        (self._retries if again else self._turns).picked(server, servers)

    def goes(self, server: Server, vc: NetVConnection) -> None:
        """A connection to a server is about to be made."""
        if self.ejection.tries(server, vc):
            self._see()

    def _warm_up(self, servers: Sequence[Server]) -> Sequence[Server]:
        """Raise the shares of those that came up a moment ago, whose caches are cold; and leave
        them out by chance, less and less often, if the policy does not go by shares.
        """
        now, span, random = self._engine.now, self._terms.slow_start, self._engine.random.random
        for server in list(self._warming):
            warmth = (now - server.up_since) / span
            server.share = server.weight * min(max(warmth, COLD), 1)
            if warmth >= 1:
                server.share = server.weight
                del self._warming[server]
        if self._turns.weighs:
            return servers
        warm = [
            server
            for server in servers
            if server not in self._warming or random() * server.weight < server.share
        ]
        return warm or servers

    # -- who is up ---------------------------------------------------------------------------

    def _turned(self, server: Server, why: str) -> None:
        """A server has come up or gone down: that is logged."""
        if server.up:
            self._warm(server)
        else:
            self._lost(server)
        self._refresh()
        level: Level = "info" if server.up else "warning"
        state = "up" if server.up else "down"
        count = f"{len(self.up)} of {len(self.all)} are up"
        self._engine.log(level, f"upstream {self._name}: {server.name} is {state}: {why}; {count}")

    def _warm(self, server: Server) -> None:
        server.up_since = self._engine.now
        if self._terms.slow_start:
            self._warming[server] = None

    def _refresh(self) -> None:
        self._see()
        self._changed()

    def _see(self) -> None:
        """See who is up. Where all that are healthy have been ejected they are better than none."""
        healthy = [server for server in self.all if server.healthy]
        self.up = [server for server in healthy if server.up] or healthy

    def _arrange(self) -> None:
        """Use the servers that were found."""
        self.all = [server for found in self._found.values() for server in found]
        for position, server in enumerate(self.all):
            server.position = position
        self._turns.arrange(self.all)
        self._retries.arrange(self.all)
        self._refresh()

    def trust(self, tls: object) -> None:
        """Speak TLS by this from now on, where it is spoken."""
        for server in (*self._found, *self.all):
            if server.tls is not None:
                server.tls = tls

    # -- checks and look-ups -----------------------------------------------------------------

    def close(self) -> None:
        """Watch nobody any more."""
        self._open = False
        for machine in (*self._lookups, *self._checks.values()):
            self._engine.schedule(machine, STOP, None)
        self._lookups.clear()
        self._checks.clear()

    def _start(self) -> None:
        if not self._open:
            return
        self._check()
        if self._terms.resolve:
            for server in self._found:
                if not server.address.numeric:
                    found = partial(self._resolved, server)
                    lookup = NameWatch(self._engine, server.address, self._terms.resolve, found)
                    self._lookups.append(lookup)
                    with lookup.mutex.hold(self._engine):
                        lookup.start()

    def _check(self) -> None:
        """Check those servers that there are."""
        terms = self._terms.check
        if terms is None or not self._open:
            return
        for server in [each for each in self._checks if each not in self.all]:
            self._engine.schedule(self._checks.pop(server), STOP, None)
        for server in self.all:
            if server not in self._checks:
                check = Check(self._engine, server, terms, self._turned)
                self._checks[server] = check
                with check.mutex.hold(self._engine):
                    check.start()

    def _resolved(self, named: Server, addresses: tuple[Address, ...]) -> None:
        """A name has these addresses: each is a server."""
        before = {server.address: server for server in self._found[named]}
        if set(addresses) == before.keys():
            return
        first = named.address in before
        found = []
        for address in sorted(set(addresses), key=str):  # resolvers shuffle them
            server = before.pop(address, None)
            if server is None:
                server = Server(address, named.tls, named.weight, named.address.host)
                if not first:
                    self._warm(server)
            found.append(server)
        self._found[named] = found
        self._arrange()
        for server in before.values():
            server.position = -1
            self._warming.pop(server, None)
            self._lost(server)
        self._check()
        names = ", ".join(server.address.host for server in found)
        self._engine.log("info", f"upstream {self._name}: {named.name} is at {names}")
