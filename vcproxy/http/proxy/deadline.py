"""Deadline: one timer for all deadlines of a conversation. Only one is set at a time.

Tested in tests/http/proxy/test_times.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.scheduler import Action

NEVER = float("inf")


class Deadline:
    """Delivers `key` to `cont` when the deadline has passed; sometimes earlier: see `early`.

    A deadline is set for each request and rarely passes. So the timer is moved only if it would
    fire too late; one that fires too early is started again.
    """

    __slots__ = ("_action", "_cont", "_key", "fires_s", "when_s")

    def __init__(self, cont: Continuation, key: Hashable) -> None:
        self._cont = cont
        self._key = key
        self._action: Action | None = None
        self.when_s = NEVER
        """When the deadline passes, in the engine's time. Others may set it, to a time not before
        `fires_s`."""
        self.fires_s = NEVER
        """When the timer fires."""

    def set(self, seconds: float) -> None:
        """Set the deadline to `seconds` from now; 0: no deadline."""
        self.set_at(self._cont.engine.now + seconds if seconds else NEVER)

    def set_at(self, when_s: float) -> None:
        """Set the deadline to a time; NEVER: no deadline."""
        self.when_s = when_s
        if when_s < self.fires_s:
            self.cancel()
            self._start_timer()

    def early(self) -> bool:
        """Return whether the deadline has not passed yet; if so, restart the timer. Call it when
        `key` is delivered."""
        self._action, self.fires_s = None, NEVER
        if self.when_s <= self._cont.engine.now:
            return False
        if self.when_s < NEVER:
            self._start_timer()
        return True

    def cancel(self) -> None:
        """Stop the timer."""
        if self._action is not None:
            self._action.cancel()

    def _start_timer(self) -> None:
        self.fires_s = self.when_s
        self._action = self._cont.engine.schedule_at(self.fires_s, self._cont, self._key, None)
