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

    __slots__ = ("_action", "_cont", "_deadline_s", "_fires_s", "_key")

    def __init__(self, cont: Continuation, key: Hashable) -> None:
        self._cont = cont
        self._key = key
        self._action: Action | None = None
        self._fires_s = self._deadline_s = NEVER

    def set(self, seconds: float) -> None:
        """Set the deadline to `seconds` from now; 0: no deadline."""
        self._deadline_s = self._cont.engine.now + seconds if seconds else NEVER
        if self._deadline_s < self._fires_s:
            self.cancel()
            self._start_timer()

    def early(self) -> bool:
        """Return whether the deadline has not passed yet; if so, restart the timer. Call it when
        `key` is delivered."""
        self._action, self._fires_s = None, NEVER
        if self._deadline_s <= self._cont.engine.now:
            return False
        if self._deadline_s < NEVER:
            self._start_timer()
        return True

    def cancel(self) -> None:
        """Stop the timer."""
        if self._action is not None:
            self._action.cancel()

    def _start_timer(self) -> None:
        self._fires_s = self._deadline_s
        self._action = self._cont.engine.schedule_at(self._fires_s, self._cont, self._key, None)
