"""NameLookup: resolve a server's name at intervals.

    RESOLVING --Resolved, ERROR--> WAITING --NEXT--> RESOLVING     each --STOP--> STOPPED

When a name cannot be resolved its servers stay in use: usually they are still there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.outgoing import Resolved
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action

NEXT, STOP = "NEXT", "STOP"
"""Tags: start the next look-up; end the machine."""


class NameLookup(Machine):
    """Resolves one name.

    Args:
        engine: the engine it runs on.
        address: the address with the name, resolved now and at intervals.
        interval: seconds between two look-ups, and the limit for each.
        resolved: called with the addresses of each successful look-up.
    """

    __slots__ = ("_address", "_interval", "_last_error", "_on_resolved", "_timer", "_vc")

    LOOKING_UP = State()
    RESOLVING = State(parent=LOOKING_UP, initial=True)
    WAITING = State(parent=LOOKING_UP)
    STOPPED = State(final=True)

    LOOKING_UP.goes(STOP, STOPPED)
    WAITING.goes(NEXT, RESOLVING)

    def __init__(
        self,
        engine: Engine,
        address: Address,
        interval: float,
        resolved: Callable[[tuple[Address, ...]], None],
    ) -> None:
        super().__init__(engine, Mutex(), name=f"lookup {address}")
        self._address = address
        self._interval = interval
        self._on_resolved = resolved
        self._last_error = ""
        self._vc: NetVConnection | None = None
        self._timer: Action | None = None

    @RESOLVING.enter
    def resolving(self) -> None:
        """Start a look-up."""
        self._vc = self.engine.resolve(self, self._address, timeout=self._interval)

    @RESOLVING.on(Resolved, to=WAITING)
    def resolved(self, resolved: Resolved) -> None:
        """Report the addresses, if there are any."""
        self._last_error = ""
        if resolved.addresses:
            self._on_resolved(resolved.addresses)

    @RESOLVING.on(Event.ERROR, to=WAITING)
    def failed(self, vc: NetVConnection) -> None:
        """Log the error, unless it is the same as before."""
        if self._last_error != str(vc.error):
            self._last_error = str(vc.error)
            self.engine.log("warning", f"{self.name} failed: {self._last_error}; its servers stay")

    @WAITING.on(Resolved, Event.ERROR)
    def too_late(self, _: object) -> None:
        """Ignore an event that was queued before the look-up ended."""

    @WAITING.enter
    def waiting(self) -> None:
        """Wait for the next look-up."""
        self._close()
        self._timer = self.engine.schedule_in(self._interval, self, NEXT, None)

    def finished(self) -> None:
        """Cancel the look-up and the timer."""
        self._close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._vc is not None:
            self._vc.do_io_close()
            self._vc = None
