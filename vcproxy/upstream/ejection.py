"""Ejection: stops using a server for a time after several failed connections or requests in a row.
    up --several failures--> ejected --its time is over--> may be tried --picked--> on trial
     ^                         ^                              ^                       |
     |                         +------------ failed ----------|-----------------------+
     |                                                        +-- closed, or too slow-+
     +--------------------------------------- succeeded ------------------------------+

Only connections of clients try a server; nothing is sent for this purpose alone. After the time is
over one connection tries the server, and other connections go to other servers until its outcome is
known: a server that stays down costs one client each time, and the times double. The last server
that is up is never ejected, because the cause may be the clients or the network: a server that
fails often is better than none.

Tested in tests/upstream/test_upstream.py.
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
    from vcproxy.upstream.settings import EjectSettings

TIME_OVER, TRIAL_TIMED_OUT = "TIME_OVER", "TRIAL_TIMED_OUT"
"""Tags: an ejection is over; a trial has had no outcome for too long."""

MAX_S = 300.0
"""The longest time that a server is ejected, as in Envoy, unless a longer one is configured."""


class Ejection(Continuation):
    """Ejects servers, starts their trials, and ends their ejections.

    Args:
        engine: the engine its timers run on.
        settings: how many failures it takes, and for how long.
        changed: called with each server that was ejected or is up again, and the reason.
        may_be_tried: called when a server may be tried.
    """

    __slots__ = ("_changed", "_may_be_tried", "_settings")

    def __init__(
        self,
        engine: Engine,
        settings: EjectSettings,
        changed: Callable[[Server, str], None],
        may_be_tried: Callable[[], None],
    ) -> None:
        super().__init__(engine, Mutex())
        self._settings = settings
        self._changed = changed
        self._may_be_tried = may_be_tried

    def failed(self, server: Server, failures: int, what: str, why: object, *, last: bool) -> None:
        """Eject a server if it has failed often enough.

        Args:
            server: the server.
            failures: how many in a row.
            what: of what: "connections" or "requests".
            why: the reason of the last one.
            last: no other server is up.
        """
        settings = self._settings
        if settings.failures and failures >= settings.failures and server.up and not last:
            server.suspect = what
            self._eject(server, f"{failures} {what} in a row failed, the last: {why}")

    def begin_trial(self, server: Server, vc: NetVConnection) -> bool:
        """Note that a VC connects to a server; return whether it is a trial.

        It is one if the server's last ejection is over and no trial has succeeded since.
        """
        if not (server.ejections and server.up):
            return False
        server.trial = vc
        self.engine.schedule_in(self._settings.time, self, TRIAL_TIMED_OUT, (server, vc))
        return True

    def trial_failed(self, server: Server, vc: NetVConnection, why: object) -> bool:
        """Eject a server again if this failed VC was its trial; return whether it was."""
        if server.trial is not vc:
            return False
        server.trial = None
        self._eject(server, f"it was tried again and failed: {why}")
        return True

    def passed(self, server: Server, vc: NetVConnection, what: str) -> None:
        """End an ejection if this VC was the trial and what had failed before has succeeded.

        `what`: "connections" when connected, "requests" when a request was answered.
        """
        if server.trial is vc and what in (server.suspect, "requests"):
            server.trial = None
            server.ejections = 0
            self._changed(server, "it was tried again and works")

    def pardon(self, server: Server) -> None:
        """Forget the failures of a server, and end its ejection without a trial."""
        server.ejected = False
        server.ejections = server.refusals = server.failures = 0
        server.trial = None

    def vc_gone(self, server: Server, vc: NetVConnection) -> None:
        """Allow another trial if this closed VC was one without an outcome."""
        if server.trial is vc:
            server.trial = None
            self._may_be_tried()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle the end of an ejection or the timeout of a trial: another trial may start."""
        if key == TIME_OVER:
            assert isinstance(data, Server)
            if not data.ejected or self.engine.now < data.ejected_until:  # it was ended by `pardon`
                return
            data.ejected = False
            data.refusals = data.failures = 0
            self._may_be_tried()
        else:
            assert isinstance(data, tuple)
            self.vc_gone(*data)

    def _eject(self, server: Server, why: str) -> None:
        settings = self._settings
        seconds = min(settings.time * 2**server.ejections, max(MAX_S, settings.time))
        server.ejected = True
        server.ejections += 1
        server.times_ejected += 1
        server.ejected_until = self.engine.now + seconds
        self.engine.schedule_at(server.ejected_until, self, TIME_OVER, server)
        self._changed(server, f"{why}; it is tried again in {show_duration(seconds)}")
