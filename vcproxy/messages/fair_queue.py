"""FairQueue: the requests that wait for their turn; their requesters take turns.

Tested in tests/messages/test_fair_queue.py.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from vcproxy.messages.split_request import Requester, SplitRequest


class FairQueue:
    """A queue for each requester. One with many requests delays only its own."""

    __slots__ = ("_queues",)

    def __init__(self) -> None:
        self._queues: OrderedDict[Requester, deque[SplitRequest]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, request: SplitRequest) -> None:
        """Add a request after the others of its requester."""
        queue = self._queues.get(request.requester)
        if queue is None:
            queue = self._queues[request.requester] = deque()
        queue.append(request)

    def put_first(self, request: SplitRequest) -> None:
        """Add a request that is the next one: it has waited already."""
        requester = request.requester
        queue = self._queues.get(requester)
        if queue is None:
            queue = self._queues[requester] = deque()
        queue.appendleft(request)
        self._queues.move_to_end(requester, last=False)

    def take(self) -> SplitRequest:
        """Remove and return the next request. Raises KeyError if there is none."""
        requester, queue = self._queues.popitem(last=False)
        request = queue.popleft()
        if queue:
            self._queues[requester] = queue
        return request

    def remove(self, request: SplitRequest) -> None:
        """Remove a request, if it is in the queue."""
        queue = self._queues.get(request.requester)
        if queue is not None and request in queue:
            queue.remove(request)
            if not queue:
                del self._queues[request.requester]
