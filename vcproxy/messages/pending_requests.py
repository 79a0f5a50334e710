"""PendingRequests: which client waits for which part of a server's replies, on one connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from vcproxy.messages.turn import Turn

if TYPE_CHECKING:
    from vcproxy.messages.sharing import Part, SplitRequest

GIVEN_UP = 1000
"""Requests given up and not answered yet: sources that leave cause some, a server that is well
answers them soon."""

UNANSWERED = "the server leaves requests unanswered"


class PendingRequests:
    """What was asked, by key and by age. What is given up at the server keeps its place there."""

    __slots__ = ("by_key", "given_up", "open", "turn")

    def __init__(self, held: Iterable[SplitRequest] = ()) -> None:
        """`held`: what could not be asked of the connection before."""
        self.by_key: dict[Hashable, deque[SplitRequest]] = {}
        """Of one key the oldest is at the server; of the key None all are."""
        self.open: dict[SplitRequest, None] = dict.fromkeys(held)
        """Those whose time is not up, and that are not answered: the oldest first."""
        self.given_up = 0
        """How many at the server are owed to nobody any more."""
        self.turn = Turn()

    def place(self, request: SplitRequest) -> bool:
        """Put a request in its place; whether that is at the server."""
        self.open[request] = None
        if self.turn.holds_back(request):
            return False
        queue = self.by_key.get(request.key)
        if queue is None:
            queue = self.by_key[request.key] = deque()
        queue.append(request)
        return request.key is None or len(queue) == 1

    def due(self, key: Hashable) -> Iterable[SplitRequest]:
        """What of a key goes to the server, where none of it has gone."""
        queue = self.by_key[key]
        return queue if key is None else (queue[0],)

    def owed(self, part: Part) -> SplitRequest | None:
        """The request that a part is for; None: nobody asked for it."""
        queue = self.by_key.get(part.key)
        return None if queue is None else queue[0]

    def excess(self, parts: Sequence[Part]) -> int:
        """How many of them are too many, where order alone tells them apart: see Turn."""
        if self.turn.holder is None:
            return 0
        answers = sum(part.last for part in parts if part.key is None)
        return max(answers - len(self.by_key.get(None, ())), 0)

    def finish(self, request: SplitRequest) -> Iterable[SplitRequest]:
        """The oldest of its key has been answered: return what goes to the server now."""
        queue = self.by_key[request.key]
        queue.popleft()
        self.open.pop(request, None)
        if request.source is None:
            self.given_up -= 1
        if not queue:
            del self.by_key[request.key]
            return ()
        return () if request.key is None else (queue[0],)

    def give_up(self, request: SplitRequest) -> bool:
        """Nobody is owed its answer any more; whether it has not been sent, and is forgotten.

        One at the server is watched until its time is up: see `distrusted`.
        """
        request.source = None
        if request.sent:
            self.given_up += 1
            return False
        del self.open[request]
        if request in self.turn.held:
            del self.turn.held[request]
            return True
        queue = self.by_key.get(request.key)
        if queue is not None and request in queue:
            queue.remove(request)
            if not queue:
                del self.by_key[request.key]
        return True

    def late(self, now: float) -> list[SplitRequest]:
        """Those whose time is up."""
        return list(takewhile(lambda request: request.until <= now, self.open))

    def distrusted(self, late: Sequence[SplitRequest], heard_at: float, now: float) -> str:
        """Why the server is given up whose answers to these have not come in time, if it is.

        `heard_at`: when it has sent something last.
        """
        at_server = [request for request in late if request.sent]
        if any(request.asked_at >= heard_at for request in at_server):
            silent = f"{now - heard_at:.1f} s"
            return f"timed out: the server has sent nothing for {silent}, and was asked"
        waiting = [each for each in late if not each.sent and each not in self.turn.held]
        unsure = self.turn.holder is not None and at_server
        return UNANSWERED if waiting or unsure else ""

    @property
    def overdrawn(self) -> bool:
        """Whether the server leaves too many unanswered."""
        return self.given_up > GIVEN_UP

    @property
    def unanswered(self) -> list[SplitRequest]:
        """Those that are lost with the connection, and owed to somebody."""
        held = self.turn.held
        return [each for each in self.open if each.source is not None and each not in held]
