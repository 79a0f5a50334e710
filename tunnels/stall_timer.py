"""StallTimer: a sink that is owed the last of something must take some of it every so often.

Whatever ends a source, what it had sent before reaches the sink: for as long as the sink takes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.continuation import OwnedCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.continuation import Continuation

FLUSH_S = 30.0
"""Once its source has broken, a sink may take nothing for so long: a client that takes 10 KiB/s
makes room in its system's buffers, and so progress, at least that often."""

ABORT_S = 1.0
"""A server that takes nothing for so long holds up no client that has reset its connection."""

STALLED = "STALLED"
"""Tag: the sink has taken nothing for as long as it may."""


def flush_s(error: Exception | None, abort_s: float = ABORT_S) -> float:
    """How long a sink may take nothing of a source that broke so: who resets waits for nothing."""
    return abort_s if isinstance(error, ConnectionResetError) else FLUSH_S


class StallTimer:
    """Delivers STALLED to `owner` whenever nothing was taken for so long, until it is cancelled.

    It looks every so often: nothing may have been taken for up to twice as long.

    Args:
        taken: what has been taken so far; it differs when there is more.
        data: what comes with STALLED.
    """

    __slots__ = ("_before", "_data", "_owner", "_taken", "_timer")

    def __init__(
        self,
        owner: Continuation,
        seconds: float,
        taken: Callable[[], object],
        data: object = None,
    ) -> None:
        self._owner, self._data = owner, data
        self._taken, self._before = taken, taken()
        look = OwnedCall(owner, self._look)
        self._timer = owner.engine.schedule_every(seconds, look, STALLED, None)

    def _look(self) -> None:
        before, self._before = self._before, self._taken()
        if self._before == before:
            self._owner.handle_event(STALLED, self._data)

    def cancel(self) -> None:
        """Deliver nothing any more."""
        self._timer.cancel()
