"""ConnectionHealth: whether a server connection can still be used after requests have expired.

Tested in tests/messages/test_pending_requests.py, test_splitter.py and test_devices.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from vcproxy.messages.late_answers import given_up_at
from vcproxy.messages.pending_requests import PendingRequests
from vcproxy.messages.split_request import SplitRequest

UNANSWERED = "the server leaves requests unanswered"
AMBIGUOUS = "timed out: a late answer could be taken for that of another request"


class ConnectionHealth:
    """When a server last sent anything, and how many requests have expired since."""

    __slots__ = ("_limit", "_received_at", "_silent")

    def __init__(self, limit: int) -> None:
        """`limit`: how many requests in a row show that the connection has failed."""
        self._limit = limit
        self._silent = 0
        self._received_at = 0.0

    def received(self, now: float) -> None:
        """Note that the server has sent something, or was connected."""
        self._received_at = now
        self._silent = 0

    def failure(self, pending: PendingRequests, expired: Sequence[SplitRequest], now: float) -> str:
        """Return why the connection must be closed after these requests have expired; "": it stays
        open."""
        since, sent = self._received_at, [each for each in expired if each.sent]
        silent = sum(each.sent_at >= since for each in sent)
        self._silent += silent
        if silent and self._silent >= self._limit:
            return f"timed out: the server has sent nothing for {now - since:.1f} s"
        if any(is_ambiguous(pending, each) for each in sent):
            return AMBIGUOUS
        return UNANSWERED if any(is_stuck(pending, each) for each in expired) else ""


def is_ambiguous(pending: PendingRequests, request: SplitRequest) -> bool:
    """Return whether a late answer to a request may be taken for that to the next one.

    Without keys it always may. With keys that repeat, the next request with the key would have to
    wait for it; if requests are sent one at a time, closing the connection costs nothing else. On a
    line it would not help: see LateAnswers.
    """
    repeats = pending.limit == 1 and request.fresh_id is None and not pending.late.on_line
    return request.key is None or repeats


def is_stuck(pending: PendingRequests, request: SplitRequest) -> bool:
    """Return whether a request waits for another one of its key that is past its deadline."""
    queue = None if request.sent else pending.by_key.get(request.key)
    if queue is None or request.key is None or queue[0] is request or pending.late.on_line:
        return False
    return queue[0] not in pending.sent and request in queue


def free_at_of(pending: PendingRequests) -> float:
    """Return when a line can be closed and opened again, because no late answer can come any more;
    0: now, or it is no line."""
    if not pending.late.on_line:
        return 0.0
    sent = (queue[0] for queue in pending.by_key.values() if queue[0].copies)
    return max((given_up_at(each) for each in sent), default=0.0)
