"""Ejection: a server that fails clients, several in a row, is left alone for a while.

This is passive: nobody is asked but by what clients want anyway. The last server that is up is
never ejected, for it may well be the clients' fault, or the network's between us: a server that
fails often is better than none at all, which is what ejecting it would come to.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.upstream.server import Server

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.upstream.terms import Ejecting

BACK = "BACK"
"""Tag: a server's time is over."""


class Ejection(Continuation):
    """Ejects servers and lets them back.

    Args:
        engine: where its timers run.
        terms: how many failures it takes, and for how long.
        changed: told of each server that was ejected or is back, and why.
    """

    __slots__ = ("_changed", "_terms")

    def __init__(
        self, engine: Engine, terms: Ejecting, changed: Callable[[Server, str], None]
    ) -> None:
        super().__init__(engine, Mutex())
        self._terms = terms
        self._changed = changed

    def consider(self, server: Server, failures: int, what: str, why: object) -> None:
        """Hear how many of something have failed in a row, and why the last one did."""
        terms = self._terms
        if terms.failures and failures >= terms.failures and server.up:
            server.ejected = True
            self.engine.schedule_in(terms.time, self, BACK, server)
            self._changed(server, f"{failures} {what} in a row have failed, the last: {why}")

    def handle_event(self, key: Hashable, data: object) -> None:
        """A server's time is over: one more failure is none in a row."""
        assert isinstance(data, Server)
        data.ejected = False
        data.refusals = data.failures = 0
        if data.healthy:
            self._changed(data, "it is tried again")
