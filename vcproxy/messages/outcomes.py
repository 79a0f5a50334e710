"""Assigned and Lost: what has become of requests, when replies have arrived, or did not. Values.

Tested in tests/messages/test_pending_requests.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from vcproxy.messages.split_request import Requester, RequestFailed, SplitRequest
from vcproxy.messages.unanswered import Unanswered


class Lost(NamedTuple):
    """Requests that have failed, and requests that are sent again."""

    failed: list[RequestFailed]
    """The events for the requesters whose requests have failed."""
    repeated: list[SplitRequest]
    """The requests that are sent again."""


def failures(request: SplitRequest, why: Unanswered) -> list[RequestFailed]:
    """Return the events for all requesters of a request that fails."""
    carried = (request,) if request.carried is None else request.carried
    return [RequestFailed(each, why) for each in carried]


class Assigned:
    """The result of `assign`: how the parts were matched."""

    __slots__ = ("damaged", "events", "late", "lost", "receivers", "unmatched")

    def __init__(self, receivers: Callable[[], Iterable[Requester]]) -> None:
        self.receivers = receivers
        """Returns the requesters that get parts without a key that no request waits for."""
        self.events: list[tuple[Requester, Hashable, object]] = []
        """The events for requesters, in the form of the engine's queue."""
        self.late = 0
        """The number of parts that answer abandoned requests."""
        self.unmatched = 0
        """The number of parts that no request waits for."""
        self.damaged: list[str] = []
        """What is wrong with each damaged reply."""
        self.lost = Lost([], [])
        """Requests whose answer was damaged."""
