"""PeriodicCall: calls a function at the points of a grid in time, under the mutex of its owner.

It is what `every` makes of a method. Tested in tests/sessions/test_every.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import OwnedCall
from vcproxy.engine.event import Event
from vcproxy.engine.sources.ticks import Ticks

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation


class PeriodicCall(Ticks):
    """Calls `call` every `every_s` seconds, until its continuation ends: see Source and Ticks.

    An exception in it closes the conversation of the continuation.
    """

    __slots__ = ("_call", "_due_call")

    def __init__(
        self, cont: Continuation, name: str, every_s: float, call: Callable[[], object]
    ) -> None:
        self._call = call
        self._due_call = OwnedCall(cont, self._make_call)
        super().__init__(cont, name, every_s)

    def queue(self, event: object) -> None:
        """Queue the call in place of the tick."""
        self.engine.schedule(self._due_call, Event.TIMEOUT, None)

    def close(self) -> None:
        """See Source. Nothing is left to the garbage collector."""
        super().close()
        del self._call, self._due_call

    def _make_call(self) -> None:
        self.pending = False
        if self.live:  # not closed or disabled since it was due
            self._call()
