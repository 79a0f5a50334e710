"""ExclusiveUse: one requester at a time uses a connection whose replies are matched by order alone.

Without keys, an extra reply cannot be detected: it would answer the next request, and each later
reply would answer the request after its own. With orphans = "reconnect", only one requester at a
time therefore uses such a connection. Requests of others wait, and are sent on a new connection.
Tested in tests/messages/test_pending_requests.py and test_splitter.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from vcproxy.messages.split_request import Requester, SplitRequest
from vcproxy.messages.split_rules import Orphans, Part


class ExclusiveUse:
    """Which requester uses one connection, and which requests wait for the next connection."""

    __slots__ = ("applies", "holder", "waiting")

    def __init__(self, orphans: Orphans) -> None:
        self.applies = orphans == "reconnect"
        """Whether requests may have to wait at all."""
        self.holder: Requester | None = None
        """The requester that uses the connection; None: no request without a key was added yet."""
        self.waiting: dict[SplitRequest, None] = {}
        """Requests for the next connection, the oldest first."""

    def excess(self, parts: Sequence[Part], waiting: int) -> int:
        """Return by how many the answers exceed the requests that wait for one without a key; 0 if
        requests have keys."""
        if self.holder is None:
            return 0
        return max(sum(part.last for part in parts if part.key is None) - waiting, 0)

    def holds_back(self, request: SplitRequest) -> bool:
        """Return whether a request must wait for the next connection; if so, store it."""
        requester = request.requester
        if not self.waiting:
            if request.abandoned or request.key is not None or not self.applies:
                return False
            if self.holder is None or self.holder is requester:
                self.holder = requester
                return False
        self.waiting[request] = None
        return True
