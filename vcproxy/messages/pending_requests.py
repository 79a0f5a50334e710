"""PendingRequests: the requests on one server connection, by key and by age.

It matches the parts of replies with requests, and detects a server that does not answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from itertools import takewhile

from vcproxy.messages.exclusive_use import ExclusiveUse
from vcproxy.messages.split_request import PartArrived, Requester, SplitRequest
from vcproxy.messages.split_rules import Orphans, Part

MAX_ABANDONED = 1000
"""Requests at the server that were abandoned and not answered yet. Clients that disconnect cause
some; a working server answers them soon. With more, the connection is closed."""

UNANSWERED = "the server leaves requests unanswered"


class Assigned:
    """The result of `assign`: how the parts were matched."""

    __slots__ = ("events", "late", "to_send", "unmatched")

    def __init__(self) -> None:
        self.events: list[tuple[Requester, Hashable, object]] = []
        """The events for requesters, in the form of the engine's queue."""
        self.to_send: list[SplitRequest] = []
        """Requests that waited for others with the same key, and are to be sent now."""
        self.late = 0
        """The number of parts that answer abandoned requests."""
        self.unmatched = 0
        """The number of parts that no request waits for."""


class PendingRequests:
    """Requests not answered yet. One abandoned after it was sent stays until it is answered."""

    __slots__ = ("abandoned", "by_key", "exclusive", "open")

    def __init__(self, orphans: Orphans, waiting: Iterable[SplitRequest] = ()) -> None:
        """`waiting`: requests that had to wait for this connection, the oldest first."""
        self.by_key: dict[Hashable, deque[SplitRequest]] = {}
        """Requests by key, the oldest first. Only the oldest of a key has been sent; with the key
        None, all have."""
        self.open: dict[SplitRequest, None] = dict.fromkeys(waiting)
        """Requests that are neither answered nor past their deadline, the oldest first."""
        self.abandoned = 0
        """How many requests at the server have no requester any more."""
        self.exclusive = ExclusiveUse(orphans)

    def add(self, request: SplitRequest) -> bool:
        """Add a request; return whether it is to be sent now."""
        self.open[request] = None
        if self.exclusive.holds_back(request):
            return False
        queue = self.by_key.get(request.key)
        if queue is None:
            queue = self.by_key[request.key] = deque()
        queue.append(request)
        return request.key is None or len(queue) == 1

    def to_send(self, key: Hashable) -> Iterable[SplitRequest]:
        """Return the requests of a key that a new connection is to send at once."""
        queue = self.by_key[key]
        return queue if key is None else (queue[0],)

    def assign(self, parts: Sequence[Part]) -> Assigned:
        """Match parts with requests, and remove the requests that are answered.

        Without keys, if there are more answers than requests, no part is assigned: it cannot be
        determined which parts are answers. See ExclusiveUse.
        """
        assigned = Assigned()
        excess = self._excess(parts)
        if excess:
            assigned.unmatched = excess
            return assigned
        for part in parts:
            queue = self.by_key.get(part.key)
            if queue is None:
                assigned.unmatched += 1
                continue
            request = queue[0]
            if request.requester is None:
                assigned.late += 1
            else:
                arrived = PartArrived(request, part)
                assigned.events.append((request.requester, PartArrived, arrived))
            if part.last:
                self._complete(request, queue, assigned)
        return assigned

    def _excess(self, parts: Sequence[Part]) -> int:
        """Return by how many the answers exceed the requests; 0 if requests have keys."""
        if self.exclusive.holder is None:
            return 0
        answers = sum(part.last for part in parts if part.key is None)
        return max(answers - len(self.by_key.get(None, ())), 0)

    def _complete(
        self, request: SplitRequest, queue: deque[SplitRequest], assigned: Assigned
    ) -> None:
        """Remove an answered request. The next with its key, if not None, is to be sent."""
        queue.popleft()
        self.open.pop(request, None)
        if request.requester is None:
            self.abandoned -= 1
        if not queue:
            del self.by_key[request.key]
        elif request.key is not None:
            assigned.to_send.append(queue[0])

    def abandon(self, request: SplitRequest) -> bool:
        """Mark a request as abandoned, so that its answer is dropped. Return whether it was unsent.

        An unsent request is removed. A sent one stays until the server answers it: see `failure`.
        """
        request.requester = None
        if request.sent:
            self.abandoned += 1
            return False
        del self.open[request]
        if request in self.exclusive.waiting:
            del self.exclusive.waiting[request]
            return True
        queue = self.by_key.get(request.key)
        if queue is not None and request in queue:
            queue.remove(request)
            if not queue:
                del self.by_key[request.key]
        return True

    def expired(self, now: float) -> list[SplitRequest]:
        """Return the requests whose deadline has passed."""
        return list(takewhile(lambda request: request.deadline <= now, self.open))

    def failure(self, expired: Sequence[SplitRequest], received_at: float, now: float) -> str:
        """Return why the connection must be closed for these expired requests; "": keep it open.

        `received_at`: when the server last sent anything.
        """
        at_server = [request for request in expired if request.sent]
        if any(request.submitted_at >= received_at for request in at_server):
            return f"timed out: the server has sent nothing for {now - received_at:.1f} s"
        waiting = self.exclusive.waiting
        blocked = [each for each in expired if not each.sent and each not in waiting]
        unsure = self.exclusive.holder is not None and at_server
        return UNANSWERED if blocked or unsure else ""

    @property
    def has_too_many_abandoned(self) -> bool:
        """Whether more than MAX_ABANDONED sent requests were abandoned and are not answered."""
        return self.abandoned > MAX_ABANDONED

    @property
    def unanswered(self) -> list[SplitRequest]:
        """Requests that fail if the connection is closed now."""
        waiting = self.exclusive.waiting
        return [each for each in self.open if each.requester is not None and each not in waiting]
