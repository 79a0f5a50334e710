"""Deadline: one timer for all the deadlines of a conversation, of which one counts at a time."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.scheduler import Action

NEVER = float("inf")


class Deadline:
    """Delivers `key` to `cont` once its time is up; and, seldom, when it is not: see `early`.

    A deadline is set for each request, and hardly ever passes: the timer is only touched where it
    would ring too late.
    """

    __slots__ = ("_action", "_cont", "_key", "_rings_s", "_until_s")

    def __init__(self, cont: Continuation, key: Hashable) -> None:
        self._cont = cont
        self._key = key
        self._action: Action | None = None
        self._rings_s = self._until_s = NEVER

    def set(self, seconds: float) -> None:
        """The time is up in so many seconds; 0: never."""
        self._until_s = self._cont.engine.now + seconds if seconds else NEVER
        if self._until_s < self._rings_s:
            self.cancel()
            self._arm()

    def early(self) -> bool:
        """It has rung: whether there is time left. Then it will ring again."""
        self._action, self._rings_s = None, NEVER
        if self._until_s <= self._cont.engine.now:
            return False
        if self._until_s < NEVER:
            self._arm()
        return True

    def cancel(self) -> None:
        """Ring no more."""
        if self._action is not None:
            self._action.cancel()

    def _arm(self) -> None:
        self._rings_s = self._until_s
        self._action = self._cont.engine.schedule_at(self._rings_s, self._cont, self._key, None)
