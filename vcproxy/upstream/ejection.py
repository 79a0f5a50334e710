"""Ejection: a server that fails clients, several in a row, is left alone for a while.

    up --several failures--> ejected --its time is over--> may be tried --picked--> on trial
     ^                         ^                              ^                       |
     |                         +------------ it failed -------|-----------------------+
     |                                                        +-- closed, or too slow-+
     +--------------------------------------- it went well ---------------------------+

Nobody is asked but by what clients want anyway. When the time is over one connection tries the
server, and others pass it over until that has an outcome: a server that stays dead costs one client
each time, and the times double. The last server that is up is never ejected, for it may well be the
clients' fault, or the network's between us: a server that fails often is better than none at all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.units import show_duration
from vcproxy.upstream.server import Server

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.upstream.settings import Ejecting

BACK, SLOW = "BACK", "SLOW"
"""Tags: a server's time is over; a trial has lasted too long to wait for."""

LONGEST_S = 300.0
"""The longest time a server is left alone, as Envoy's, unless a longer one is configured."""


class Ejection(Continuation):
    """Ejects servers, has them tried, and lets them back.

    Args:
        engine: where its timers run.
        terms: how many failures it takes, and for how long.
        turned: called with each server that was ejected or is back, and why.
        changed: called when a server may be tried.
    """

    __slots__ = ("_changed", "_terms", "_turned")

    def __init__(
        self,
        engine: Engine,
        terms: Ejecting,
        turned: Callable[[Server, str], None],
        changed: Callable[[], None],
    ) -> None:
        super().__init__(engine, Mutex())
        self._terms = terms
        self._turned = turned
        self._changed = changed

    def failed(self, server: Server, failures: int, what: str, why: object, *, last: bool) -> None:
        """Count a failure: so many of something in a row, and why this one. `last`: no other server
        is up.
        """
        terms = self._terms
        if terms.failures and failures >= terms.failures and server.up and not last:
            server.suspect = what
            self._eject(server, f"{failures} {what} in a row have failed, the last: {why}")

    def tries(self, server: Server, vc: NetVConnection) -> bool:
        """A connection goes to a server; return whether it is a trial: the server is ejected no
        more but not yet trusted.
        """
        if not (server.ejections and server.up):
            return False
        server.trial = vc
        self.engine.schedule_in(self._terms.time, self, SLOW, (server, vc))
        return True

    def ended(self, server: Server, vc: NetVConnection, why: object) -> bool:
        """A connection or its request has failed; return whether that was a trial."""
        if server.trial is not vc:
            return False
        server.trial = None
        self._eject(server, f"it was tried again and failed: {why}")
        return True

    def passed(self, server: Server, vc: NetVConnection, what: str) -> None:
        """A connection was made (`what` is "connections"), or a request was answered."""
        if server.trial is vc and what in (server.suspect, "requests"):
            server.trial = None
            server.ejections = 0
            self._turned(server, "it was tried again and works")

    def went(self, server: Server, vc: NetVConnection) -> None:
        """A connection is gone: a trial without an outcome proves nothing."""
        if server.trial is vc:
            server.trial = None
            self._changed()

    def handle_event(self, key: Hashable, data: object) -> None:
        """A server's time is over, or that of its trial: one connection may try it."""
        if key == BACK:
            assert isinstance(data, Server)
            data.ejected = False
            data.refusals = data.failures = 0
            self._changed()
        else:
            assert isinstance(data, tuple)
            self.went(*data)

    def _eject(self, server: Server, why: str) -> None:
        terms = self._terms
        seconds = min(terms.time * 2**server.ejections, max(LONGEST_S, terms.time))
        server.ejected = True
        server.ejections += 1
        self.engine.schedule_in(seconds, self, BACK, server)
        self._turned(server, f"{why}; it is tried again in {show_duration(seconds)}")
