"""SharedAnswers: requests that are equal get one answer of the server.

The first one is sent, on behalf of all that follow before the last part of its answer: by a request
of their own, the carrier, so that any of them may leave. With `seconds`, the answer is kept, too.

A request that shares nothing may change what the others ask for. From when it is submitted until it
is answered nothing is shared, and what was asked or answered before is not shared any more: so a
client never gets an answer from before such a request that it has sent, or seen the answer of.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import replace

from vcproxy.messages.split_request import PartArrived, Requester, SplitRequest
from vcproxy.messages.split_rules import Part

LONGEST = 64 << 10
"""Bytes of the longest answer that is shared: the default limit of a message."""
MOST_PARTS = 100
"""The most parts of an answer that is shared."""
MOST_BYTES = 1 << 20
"""Bytes of all answers that are kept: the newest ones."""
MOST_ANSWERS = 10_000
"""How many answers are kept: each costs about 500 bytes besides its own."""

Deliveries = list[tuple[Requester, Hashable, object]]
"""Events for requesters, in the form of the engine's queue."""


class SharedAnswers:
    """The requests whose answers are shared, and the answers that are kept."""

    __slots__ = ("_bytes", "_carriers", "_changing", "_kept", "_parts", "_seconds", "given")

    def __init__(self, seconds: float, changing: Iterable[SplitRequest] = ()) -> None:
        """`seconds`: how long an answer is kept; `changing`: requests that share nothing."""
        self._seconds = seconds
        self._carriers: dict[Hashable, SplitRequest] = {}
        """The requests at the server that others may join, by what they share."""
        self._parts: dict[SplitRequest, list[Part]] = {}
        """The parts that have arrived for a carrier that others may join."""
        self._kept: OrderedDict[Hashable, tuple[float, list[Part]]] = OrderedDict()
        """Answers, each with the time of its end, the oldest first."""
        self._bytes = 0
        self._changing = dict.fromkeys(changing)
        self.given = 0
        """How many requests were answered by the answer to another one."""

    def submitted(self, request: SplitRequest, now: float) -> SplitRequest | Deliveries:
        """Return the request that is to be sent for this one: itself, or a carrier. If none is, as
        another one asks the same, return the events of the parts that have arrived for that."""
        shares = request.shares
        if shares is None:
            self._changing[request] = None
            self._forget()
            return request
        if self._changing:
            return request
        self._expire(now)
        kept = self._kept.get(shares)
        carrier = self._carriers.get(shares)
        if kept is None and carrier is None:
            return self._carry(request)
        self.given += 1
        if kept is not None:
            return deliveries(request, kept[1])
        assert carrier is not None
        assert carrier.carried is not None
        carrier.carried[request] = None
        request.carrier = carrier
        return deliveries(request, self._parts[carrier])

    def _carry(self, request: SplitRequest) -> SplitRequest:
        carrier = request.carrier = replace(request, carried={request: None})
        self._carriers[request.shares] = carrier
        self._parts[carrier] = []
        return carrier

    def arrived(self, carrier: SplitRequest, part: Part, now: float) -> Deliveries:
        """Return the events of a part for all requests that are carried."""
        parts = self._parts.get(carrier)
        if parts is not None:
            parts.append(part)
            size = size_of(parts)
            too_long = size > LONGEST or len(parts) > MOST_PARTS
            if part.last and self._seconds and not too_long:
                self._keep(carrier.shares, parts, size, now)
            if part.last or too_long:
                self._remove(carrier)
        assert carrier.carried is not None
        return [(each.requester, PartArrived, PartArrived(each, part)) for each in carrier.carried]

    def ended(self, request: SplitRequest) -> None:
        """Forget a request that is answered, or that no longer waits for an answer."""
        self._changing.pop(request, None)
        self._remove(request)

    def _remove(self, carrier: SplitRequest) -> None:
        """Let no more requests join a carrier."""
        if self._parts.pop(carrier, None) is not None:
            del self._carriers[carrier.shares]

    def _forget(self) -> None:
        self._carriers.clear()
        self._parts.clear()
        self._kept.clear()
        self._bytes = 0

    def _keep(self, shares: Hashable, parts: list[Part], size: int, now: float) -> None:
        self._kept[shares] = now + self._seconds, parts
        self._bytes += size
        while self._bytes > MOST_BYTES or len(self._kept) > MOST_ANSWERS:
            self._drop_oldest()

    def _expire(self, now: float) -> None:
        kept = self._kept
        while kept and next(iter(kept.values()))[0] <= now:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, (_, parts) = self._kept.popitem(last=False)
        self._bytes -= size_of(parts)


def deliveries(request: SplitRequest, parts: Iterable[Part]) -> Deliveries:
    """Return the events of parts for a request."""
    return [(request.requester, PartArrived, PartArrived(request, part)) for part in parts]


def size_of(parts: Iterable[Part]) -> int:
    """Return the bytes of parts."""
    return sum(len(part.data) for part in parts)
