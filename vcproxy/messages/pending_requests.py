"""PendingRequests: the requests of one server connection: those at the server, and those that wait.

It chooses the next to be sent, matches parts of replies with requests, and detects a server that
does not answer. A value: it does no I/O.

    unsent --take--> sent --the last part of the answer--> gone
       |               |---its client leaves, or it is too late--> abandoned: the answer is dropped
       |               +---it may be sent again------------------> unsent
       +--its client leaves, or it is too late--> gone
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from vcproxy.messages.exclusive_use import ExclusiveUse
from vcproxy.messages.fair_queue import FairQueue
from vcproxy.messages.fresh_ids import FreshIds
from vcproxy.messages.late_answers import LateAnswers
from vcproxy.messages.outcomes import Assigned, Lost, failures
from vcproxy.messages.split_request import OrphanArrived, PartArrived, Requester, SplitRequest
from vcproxy.messages.split_rules import DAMAGED, Orphans, Part, SplitRules
from vcproxy.messages.unanswered import Unanswered

if TYPE_CHECKING:
    from vcproxy.messages.shared_answers import Deliveries, SharedAnswers

MAX_ABANDONED = 1000
"""Requests at the server that were abandoned and not answered yet. Clients that leave cause some; a
working server answers them soon. With more, the connection is closed."""


class PendingRequests:
    """Requests not answered yet. One abandoned after it was sent stays until it is answered."""

    __slots__ = (
        "_on_line", "_orphans", "_shares_s", "abandoned", "by_key", "connected", "exclusive",
        "fresh_ids", "late", "limit", "sent", "shared", "unsent", "unsent_bytes", "waiting",
    )  # fmt: skip

    def __init__(self, rules: SplitRules) -> None:
        self.limit = rules.in_flight
        """The most requests at the server; 0: there is no limit."""
        self._on_line = self.limit == 1 and rules.noisy
        self._shares_s = rules.shares_s
        self._orphans: Orphans = rules.orphans
        self.fresh_ids = FreshIds()
        """The ids of all these requests."""
        self.shared: SharedAnswers | None = None
        """Set when a request shares its answer."""
        self._clear()

    def _clear(self) -> None:
        self.connected = False
        """Whether requests can be sent."""
        self.by_key: dict[Hashable, deque[SplitRequest]] = {}
        """Requests by key, the oldest first. Only the oldest of a key has been sent, and the others
        are blocked; with the key None, all have been sent."""
        self.waiting = FairQueue()
        """Requests that are sent as soon as the limit allows it."""
        self.unsent: dict[SplitRequest, None] = {}
        """All requests that are not at the server: waiting, blocked, or for the next connection."""
        self.unsent_bytes = 0
        """Their bytes."""
        self.sent: dict[SplitRequest, None] = {}
        """Requests at the server that are not past their deadline, in the order of sending."""
        self.abandoned = 0
        """How many requests at the server have no requester any more."""
        self.exclusive = ExclusiveUse(self._orphans)
        self.late = LateAnswers(self._on_line)

    @property
    def open(self) -> int:
        """How many requests are neither answered nor past their deadline."""
        return len(self.unsent) + len(self.sent)

    @property
    def at_limit(self) -> bool:
        """Whether as many requests are at the server as may be."""
        return 0 < self.limit <= len(self.sent)

    # -- sending -----------------------------------------------------------------------------

    def add(self, request: SplitRequest, now: float) -> bool:
        """Add a request; return whether it is to be sent now, and its time begins."""
        if request.fresh_id is not None:
            self.fresh_ids.use(request.fresh_id)
        exclusive = self.exclusive
        if exclusive.applies and exclusive.holds_back(request):
            self._hold(request)
            return False
        if self.limit or not self.connected:
            self.waiting.put(request)
            self._hold(request)
            return False
        key = request.key
        queue = self.by_key.get(key)
        if queue is None:
            self.by_key[key] = deque((request,))
        else:
            queue.append(request)
            if key is not None:
                self._hold(request)
                return False
        self._note_sent(request, now)
        return True

    def share(self, request: SplitRequest, now: float) -> SplitRequest | Deliveries:
        """Return the request to be added for this one, or what it gets of another's answer."""
        if self.shared is None:
            from vcproxy.messages.shared_answers import SharedAnswers  # most plugins share none

            self.shared = SharedAnswers(self._shares_s, (*self.sent, *self.unsent))
        return self.shared.submitted(request, now)

    def take(self, now: float) -> SplitRequest | None:
        """Return the next request to be sent, whose time begins. None: there is none now."""
        waiting, limit = self.waiting, self.limit
        queues = waiting.queues  # `while waiting` would be a call for each request
        while queues and not (limit and len(self.sent) >= limit):
            request = waiting.take()
            key = request.key
            queue = self.by_key.get(key)
            if queue is None:
                self.by_key[key] = deque((request,))
            elif queue[0] is not request:  # else it was blocked, or is sent again
                queue.append(request)
                if key is not None:
                    continue
            self._release(request)
            self._note_sent(request, now)
            return request
        return None

    def _note_sent(self, request: SplitRequest, now: float) -> None:
        self.sent[request] = None
        request.sent = True
        request.sent_at = now
        request.deadline = now + request.timeout_s
        request.attempts -= 1
        request.copies += 1

    def _hold(self, request: SplitRequest) -> None:
        self.unsent[request] = None
        self.unsent_bytes += len(request.encoded)

    def _release(self, request: SplitRequest) -> None:
        del self.unsent[request]
        self.unsent_bytes -= len(request.encoded)

    # -- answers -----------------------------------------------------------------------------

    def assign(
        self,
        parts: Sequence[Part],
        now: float,
        receivers: Callable[[], Iterable[Requester]] = tuple,
    ) -> Assigned:
        """Match parts with requests, and remove the requests that are answered.

        `receivers` returns the requesters that get the parts without a key that no request waits
        for. Without keys, if there are more answers than requests, no part is assigned: it cannot
        be determined which parts are answers. See ExclusiveUse.
        """
        assigned = Assigned(receivers)
        excess = self.exclusive.excess(parts, len(self.by_key.get(None, ())))
        if excess:
            assigned.unmatched = excess
            return assigned
        for part in parts:
            queue = self.by_key.get(part.key)
            if queue is None or not queue[0].copies:  # an answer again: the next one is not sent
                self._note_orphan(part, assigned, now)
                continue
            request = queue[0]
            if request.abandoned:
                assigned.late += 1
            elif request.carried is not None:
                request.answered = True
                assert self.shared is not None
                assigned.events += self.shared.arrived(request, part, now)
            else:
                request.answered = True
                answer = PartArrived(request, part)
                assigned.events.append((request.requester, PartArrived, answer))
            if part.last:
                self._complete(request, queue)
        return assigned

    def _note_orphan(self, part: Part, assigned: Assigned, now: float) -> None:
        if part.key is DAMAGED:
            assigned.damaged.append(part.data.decode())
            self._damage(assigned, now)
            return
        assigned.unmatched += 1
        if part.key is None:  # else it answers a request that has gone: of one client
            arrived = OrphanArrived(part)
            assigned.events += [(each, OrphanArrived, arrived) for each in assigned.receivers()]

    def _damage(self, assigned: Assigned, now: float) -> None:
        """A reply is damaged: the request that it answers fails, or is sent again.

        If it cannot be determined which one that is, a request will time out. After noise the
        reply is still to come: if the request were sent again, it would get two, and the next
        request the second one.
        """
        queue = self.by_key.get(None)
        if queue is None and self.limit == 1 and self.sent:
            queue = self.by_key[next(iter(self.sent)).key]
        if queue is None or self._on_line:
            assigned.unmatched += self.exclusive.applies
            return
        request = queue[0]
        if request.abandoned:
            assigned.late += 1
        elif request.may_repeat:
            request.copies -= 1
            if not request.copies:
                self._remove_first(request, queue)
                if request.fresh_id is not None:
                    self.fresh_ids.use(request.fresh_id)
            self._repeat(request, now)
            assigned.lost.repeated.append(request)
            return
        else:
            assigned.lost.failed.extend(failures(request, Unanswered.DAMAGED))
            request.answered = True
        self._complete(request, queue)

    def _complete(self, request: SplitRequest, queue: deque[SplitRequest]) -> None:
        """Remove an answered request. The next one of its key may be sent."""
        self.sent.pop(request, None)
        copies = request.copies = request.copies - 1
        if self.shared is not None:
            self.shared.ended(request)
        if not request.sent:  # it was to be sent again
            self._release(request)
            self.waiting.remove(request)
        if copies:  # the answers to its other copies are dropped
            if not request.abandoned:
                self.abandoned += 1
                queue[0] = request.ghost()
            self.late.expect(queue[0])
            return
        if request.abandoned:
            self.abandoned -= 1
            self.late.arrived(request)
        self._remove_first(request, queue)

    def _remove_first(self, request: SplitRequest, queue: deque[SplitRequest]) -> None:
        queue.popleft()
        if request.fresh_id is not None:
            self.fresh_ids.free(request.fresh_id)
        if not queue:
            del self.by_key[request.key]
        elif request.key is not None:
            self.waiting.put_first(queue[0])

    # -- requests that are not answered ------------------------------------------------------

    def leave(self, request: SplitRequest) -> None:
        """Abandon a request whose requester has left, unless others wait for the same answer."""
        carrier = request.carrier
        if carrier is not None:
            assert carrier.carried is not None
            carrier.carried.pop(request, None)
            if carrier.carried:
                return
            request = carrier
        if request in self.sent or request in self.unsent:
            self.abandon(request)

    def abandon(self, request: SplitRequest) -> None:
        """Mark a request as abandoned, so that its answer is dropped.

        One that was never sent is removed. A sent one stays until the server answers it: see
        ConnectionHealth.
        """
        request.abandoned = True
        if self.shared is not None:
            self.shared.ended(request)
        if not request.sent:
            self._withdraw(request)
        if request.copies:
            self.abandoned += 1
            self.late.expect(request)
        else:
            self.fresh_ids.free(request.fresh_id)

    def _withdraw(self, request: SplitRequest) -> None:
        """Remove a request from those that are to be sent."""
        self._release(request)
        self.waiting.remove(request)
        self.exclusive.waiting.pop(request, None)
        queue = self.by_key.get(request.key)
        if request.copies:
            request.sent = True  # its earlier copies are at the server
            return
        if queue is None or request not in queue:
            return
        was_first = queue[0] is request
        queue.remove(request)
        if not queue:
            del self.by_key[request.key]
        elif was_first:
            self.waiting.put_first(queue[0])

    def repeat(self, request: SplitRequest, deadline: float) -> None:
        """Put a request that was sent first among those to be sent, until `deadline`."""
        self.sent.pop(request, None)
        request.sent = False
        request.deadline = deadline
        self._hold(request)
        self.waiting.put_first(request)

    def expired(self, now: float) -> list[SplitRequest]:
        """Return the requests whose deadline has passed, and give up late answers."""
        for request in self.late.given_up(now):
            self.abandoned -= 1
            self._remove_first(request, self.by_key[request.key])
        late = list(takewhile(lambda request: request.deadline <= now, self.sent))
        late += takewhile(lambda request: request.deadline <= now, self.unsent)
        return late

    @property
    def next_deadline(self) -> float:
        """When the first deadline passes; infinite: no request is open."""
        sent, unsent = next(iter(self.sent), None), next(iter(self.unsent), None)
        if sent is None or unsent is None:
            first = sent or unsent
            return self.late.end if first is None else min(first.deadline, self.late.end)
        return min(sent.deadline, unsent.deadline, self.late.end)

    @property
    def is_clogged(self) -> bool:
        """Whether more than MAX_ABANDONED sent requests were abandoned and are not answered, or
        they alone use all ids."""
        return self.abandoned > MAX_ABANDONED or (self.fresh_ids.full and not self.open)

    def overdue(self, expired: Sequence[SplitRequest], now: float, closes: bool) -> Lost:
        """Abandon these requests, whose deadline has passed, or put them back to be sent again.

        `closes`: the connection is closed after this; see `lost`.
        """
        lost = Lost([], [])
        for request in expired:
            if request.abandoned:
                del self.sent[request]
            elif request.sent and request.may_repeat:
                lost.repeated.append(request)
                if not closes:
                    self._repeat(request, now)
            else:
                self.sent.pop(request, None)
                why = Unanswered.NO_ANSWER if request.was_sent else Unanswered.NOT_SENT
                lost.failed.extend(failures(request, why))
                self.abandon(request)
        return lost

    def _repeat(self, request: SplitRequest, now: float) -> None:
        """Put a request that was sent first among those to be sent."""
        self.sent.pop(request, None)
        request.sent = False
        request.deadline = now + request.queue_timeout_s
        self._hold(request)
        self.waiting.put_first(request)

    def lost(self, now: float, why: Unanswered) -> Lost:
        """The connection has ended: requests at the server fail, or are sent again on the next one.
        Those that were not sent are kept, unless none could be connected."""
        lost = Lost([], [])
        for request in [each for each in self.sent if not each.abandoned]:
            if request.may_repeat:
                lost.repeated.append(request)
            else:
                lost.failed.extend(failures(request, why))
                self.abandon(request)
        if why is Unanswered.NO_SERVER:
            for request in list(self.unsent):
                seen = Unanswered.CONNECTION_LOST if request.was_sent else why
                lost.failed.extend(failures(request, seen))
                self.abandon(request)
        self.start_over(now, lost.repeated)
        return lost

    def start_over(self, now: float, repeated: Sequence[SplitRequest] = ()) -> None:
        """Begin with the next connection, for what was not sent and what is `repeated`."""
        kept = (*repeated, *self.unsent)
        self._clear()
        self.fresh_ids.keep(each.fresh_id for each in kept)
        for request in kept:
            if request.sent:
                request.sent = False
                request.deadline = now + request.queue_timeout_s
            request.copies = 0
            self.add(request, now)
