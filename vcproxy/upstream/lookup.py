"""NameWatch: ask again and again which addresses a server's name has.

    ASKING --Resolved, ERROR--> RESTING --AGAIN--> ASKING     any --STOP--> STOPPED

A name that cannot be resolved for a while changes nothing: its servers are mostly still there.
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

AGAIN, STOP = "AGAIN", "STOP"
"""Tags: the answer may be another one by now; nobody wants to know any more."""


class NameWatch(Machine):
    """Looks up one name.

    Args:
        engine: where it runs.
        address: whose host is looked up, at once and from then on.
        interval: seconds between two look-ups, and for each.
        found: told what they have found, each time.
    """

    __slots__ = ("_address", "_found", "_interval", "_said", "_timer", "_vc")

    LOOKING = State()
    ASKING = State(parent=LOOKING, initial=True)
    RESTING = State(parent=LOOKING)
    STOPPED = State(final=True)

    LOOKING.goes(STOP, STOPPED)
    RESTING.goes(AGAIN, ASKING)

    def __init__(
        self,
        engine: Engine,
        address: Address,
        interval: float,
        found: Callable[[tuple[Address, ...]], None],
    ) -> None:
        super().__init__(engine, Mutex(), name=f"lookup {address}")
        self._address = address
        self._interval = interval
        self._found = found
        self._said = ""
        self._vc: NetVConnection | None = None
        self._timer: Action | None = None

    @ASKING.enter
    def asking(self) -> None:
        """Ask."""
        self._vc = self.engine.resolve(self, self._address, timeout=self._interval)

    @ASKING.on(Resolved, to=RESTING)
    def resolved(self, resolved: Resolved) -> None:
        """Tell what was found, if that is anything."""
        self._said = ""
        if resolved.addresses:
            self._found(resolved.addresses)

    @ASKING.on(Event.ERROR, to=RESTING)
    def failed(self, vc: NetVConnection) -> None:
        """Say so, once for each reason."""
        if self._said != str(vc.error):
            self._said = str(vc.error)
            self.engine.log("warning", f"{self.name}: {self._said}; its servers stay")

    @RESTING.on(Resolved, Event.ERROR)
    def too_late(self, _: object) -> None:
        """That was on its way when the look-up was over."""

    @RESTING.enter
    def resting(self) -> None:
        """Wait for the next time."""
        self._close()
        self._timer = self.engine.schedule_in(self._interval, self, AGAIN, None)

    def finished(self) -> None:
        """Nothing stays behind."""
        self._close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._vc is not None:
            self._vc.do_io_close()
            self._vc = None
