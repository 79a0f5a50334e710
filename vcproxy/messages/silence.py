"""Silence: detects that a server answers nothing at all. A value.

Tested in tests/messages/test_splitter.py and test_devices.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from vcproxy.messages.split_request import SplitRequest


class Silence:
    """When a server last sent anything, and how many requests have expired since."""

    __slots__ = ("_count", "_limit", "_received_at")

    def __init__(self, limit: int) -> None:
        """`limit`: how many requests in a row show that the connection has failed."""
        self._limit = limit
        self._count = 0
        self._received_at = 0.0

    def ended(self, now: float) -> None:
        """Note that the server has sent something, or was connected."""
        self._received_at = now
        self._count = 0

    def failure(self, expired: Iterable[SplitRequest], now: float) -> str:
        """Return why the connection must be closed after these requests have expired; "": it stays
        open."""
        since = self._received_at
        silent = [each for each in expired if each.sent and each.sent_at >= since]
        self._count += len(silent)
        if silent and self._count >= self._limit:
            return f"timed out: the server has sent nothing for {now - since:.1f} s"
        return ""
