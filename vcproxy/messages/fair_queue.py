"""FairQueue: the requests that wait for their turn; their requesters take turns.

Tested in tests/messages/test_fair_queue.py.
"""

from __future__ import annotations

from collections import OrderedDict

from vcproxy.messages.split_request import Requester, SplitRequest


class FairQueue:
    """A queue for each requester. One with many requests delays only its own."""

    __slots__ = ("queues",)

    def __init__(self) -> None:
        self.queues: OrderedDict[Requester, list[SplitRequest]] = OrderedDict()
        """The requests of each requester that has some, the next one first: lists, because most
        have one request, and Splitter.window limits them."""

    def __bool__(self) -> bool:
        return bool(self.queues)

    def put(self, request: SplitRequest) -> None:
        """Add a request after the others of its requester."""
        queue = self.queues.get(request.requester)
        if queue is None:
            self.queues[request.requester] = [request]
        else:
            queue.append(request)

    def put_first(self, request: SplitRequest) -> None:
        """Add a request that is the next one: it has waited already."""
        requester = request.requester
        queue = self.queues.get(requester)
        if queue is None:
            queue = self.queues[requester] = []
        queue.insert(0, request)
        self.queues.move_to_end(requester, last=False)

    def take(self) -> SplitRequest:
        """Remove and return the next request. Raises KeyError if there is none."""
        requester, queue = self.queues.popitem(last=False)
        request = queue.pop(0)
        if queue:
            self.queues[requester] = queue
        return request

    def remove(self, request: SplitRequest) -> None:
        """Remove a request, if it is in the queue."""
        queue = self.queues.get(request.requester)
        if queue is not None and request in queue:
            queue.remove(request)
            if not queue:
                del self.queues[request.requester]
