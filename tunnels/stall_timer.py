"""StallTimer: ends a sink or source that makes no progress for a given time.

After a source has ended or failed, the bytes it sent before still go to the sink, as long as the
sink makes progress. This timer limits the time without progress.

Tested in tests/tunnels/test_one_way.py and test_one_way_multi.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.continuation import OwnedCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.continuation import Continuation

FLUSH_S = 30.0
"""Seconds without progress that are allowed after a source has failed. A client that reads
10 KiB/s frees space in its kernel's buffers, which is progress, at least that often."""

ABORT_S = 1.0
"""Seconds without progress allowed to a server after its client has reset the connection."""

STALLED = "STALLED"
"""Tag: no progress for the allowed time."""


def flush_s(error: Exception | None, abort_s: float = ABORT_S) -> float:
    """Return the seconds without progress that are allowed after a source failed with `error`.

    `abort_s` if the peer has reset its connection, because it expects no more data; else FLUSH_S.
    """
    return abort_s if isinstance(error, ConnectionResetError) else FLUSH_S


class StallTimer:
    """Delivers STALLED to `owner` after each period without progress, until it is cancelled.

    It compares once a period, so a stall may last up to two periods before STALLED comes.

    Args:
        seconds: the period.
        progress: returns a value that differs after progress, such as a byte count.
        data: the data of the STALLED event.
    """

    __slots__ = ("_before", "_data", "_owner", "_progress", "_timer")

    def __init__(
        self,
        owner: Continuation,
        seconds: float,
        progress: Callable[[], object],
        data: object = None,
    ) -> None:
        self._owner, self._data = owner, data
        self._progress, self._before = progress, progress()
        check = OwnedCall(owner, self._check)
        self._timer = owner.engine.schedule_every(seconds, check, STALLED, None)

    def _check(self) -> None:
        before, self._before = self._before, self._progress()
        if self._before == before:
            self._owner.handle_event(STALLED, self._data)

    def cancel(self) -> None:
        """Stop the timer: no STALLED is delivered any more."""
        self._timer.cancel()
