"""PendingRequests: matching of parts with requests, the next requests to send, and failed
servers."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.engine import Engine
from vcproxy.engine.mutex import Mutex
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.messages.pending_requests import MAX_ABANDONED, UNANSWERED, PendingRequests
from vcproxy.messages.split_request import PartArrived, Requester, SplitRequest
from vcproxy.messages.split_rules import Part


class Client(Machine):
    HERE = State(initial=True)


def requester(engine: Engine) -> Requester:
    return Requester(Client(engine, Mutex()), "PART", None, 0.0, 0.0)


@pytest.fixture
def requesters() -> list[Requester]:
    with Simulation(1) as sim:
        engine = sim.driver().engine
        return [requester(engine) for _ in range(3)]


def request(requester: Requester, key: Hashable = None, submitted_at: float = 0.0) -> SplitRequest:
    return SplitRequest(requester, key, b"message", b"message\n", submitted_at, submitted_at + 5.0)


def send(pending: PendingRequests, *requests: SplitRequest) -> list[bool]:
    """Add requests; mark those as sent for which `add` returns True."""
    for each in requests:
        each.sent = pending.add(each)
    return [each.sent for each in requests]


def test_of_an_equal_key_only_the_oldest_is_sent(requesters: list[Requester]) -> None:
    pending = PendingRequests("drop")
    first, second, other = (request(each, key) for each, key in zip(requesters, "aab", strict=True))
    assert send(pending, first, second, other) == [True, False, True]
    assigned = pending.assign([Part("a", b"1", last=False), Part("a", b"2"), Part("c", b"3")])
    assert assigned.events == [
        (requesters[0], PartArrived, PartArrived(first, Part("a", b"1", last=False))),
        (requesters[0], PartArrived, PartArrived(first, Part("a", b"2"))),
    ]
    assert assigned.to_send == [second]
    assert assigned.unmatched == 1
    assert pending.unanswered == [second, other]


def test_without_keys_requests_are_answered_in_order(requesters: list[Requester]) -> None:
    pending = PendingRequests("drop")
    requests = [request(each) for each in requesters]
    assert send(pending, *requests) == [True] * 3
    assigned = pending.assign([Part(None, b"1"), Part(None, b"2")])
    assert [event[0] for event in assigned.events] == requesters[:2]
    assert pending.unanswered == requests[2:]


def test_the_answer_to_an_abandoned_request_is_late(requesters: list[Requester]) -> None:
    pending = PendingRequests("drop")
    first, second = request(requesters[0], "a"), request(requesters[1], "a")
    send(pending, first, second)
    assert not pending.abandon(first), "it was sent, and stays"
    assigned = pending.assign([Part("a", b"1")])
    assert (assigned.late, assigned.events, assigned.to_send) == (1, [], [second])
    assert pending.abandoned == 0
    assert not pending.open.keys() - {second}


def test_an_abandoned_request_that_was_not_sent_is_removed(requesters: list[Requester]) -> None:
    pending = PendingRequests("drop")
    first, second = request(requesters[0], "a"), request(requesters[1], "a")
    send(pending, first, second)
    assert pending.abandon(second)
    assert pending.assign([Part("a", b"1")]).to_send == []
    assert not pending.by_key


def test_with_reconnect_one_requester_uses_a_connection_without_keys(
    requesters: list[Requester],
) -> None:
    pending = PendingRequests("reconnect")
    first, second, third = (request(each) for each in (requesters[0], requesters[1], requesters[0]))
    assert send(pending, first, second, third) == [True, False, False]
    assert list(pending.exclusive.waiting) == [second, third]
    assert pending.unanswered == [first]
    excessive = pending.assign([Part(None, b"1"), Part(None, b"2")])
    assert (excessive.events, excessive.unmatched) == ([], 1)


@pytest.mark.parametrize(
    ("received_at", "failure"),
    [(0.0, "timed out: the server has sent nothing for 5.0 s"), (1.0, "")],
)
def test_a_server_has_failed_that_sends_nothing(
    requesters: list[Requester], received_at: float, failure: str
) -> None:
    pending = PendingRequests("drop")
    send(pending, request(requesters[0]))
    assert pending.expired(4.9) == []
    assert pending.failure(pending.expired(5.0), received_at, 5.0) == failure


def test_a_server_has_failed_if_a_request_expires_behind_another(
    requesters: list[Requester],
) -> None:
    pending = PendingRequests("drop")
    send(pending, request(requesters[0], "a"), request(requesters[1], "a", submitted_at=2.0))
    assert pending.failure(pending.expired(6.0), 1.0, 6.0) == ""
    assert pending.failure(pending.expired(7.0), 1.0, 7.0) == UNANSWERED


def test_the_limit_of_abandoned_requests(requesters: list[Requester]) -> None:
    pending = PendingRequests("drop")
    requests = [request(requesters[0]) for _ in range(MAX_ABANDONED + 1)]
    send(pending, *requests)
    for each in requests[1:]:
        pending.abandon(each)
    assert not pending.has_too_many_abandoned
    pending.abandon(requests[0])
    assert pending.has_too_many_abandoned
