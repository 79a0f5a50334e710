"""PendingRequests: matching of parts with requests, the next requests to send, and failed
servers."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.engine import Engine
from vcproxy.engine.mutex import Mutex
from vcproxy.framing.framing import lines
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.messages.connection_health import AMBIGUOUS, UNANSWERED, ConnectionHealth
from vcproxy.messages.outcomes import Lost
from vcproxy.messages.pending_requests import MAX_ABANDONED, PendingRequests
from vcproxy.messages.split_request import PartArrived, Requester, RequestFailed, SplitRequest
from vcproxy.messages.split_rules import DAMAGED, Orphans, Part, SplitRules
from vcproxy.messages.unanswered import Unanswered


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
    until = submitted_at + 5.0
    return SplitRequest(requester, key, b"message", b"message\n", submitted_at, until, 5.0, 5.0)


def pending_requests(orphans: Orphans = "drop", limit: int = 0) -> PendingRequests:
    rules = SplitRules(lines(), lambda reply: [Part(None, reply)], orphans, in_flight=limit)
    pending = PendingRequests(rules)
    pending.connected = True
    return pending


def send(pending: PendingRequests, *requests: SplitRequest) -> list[bool]:
    """Add requests, each at its time, and send those that can be sent; return which were sent."""
    for each in requests:
        pending.add(each, each.submitted_at)
    rest(pending)
    return [each.sent for each in requests]


def at_server(pending: PendingRequests) -> list[SplitRequest]:
    return [each for each in pending.sent if not each.abandoned]


def rest(pending: PendingRequests, now: float = 0.0) -> list[SplitRequest]:
    """Send what can be sent now, and return it."""
    return list(iter(lambda: pending.take(now), None))


def test_of_an_equal_key_only_the_oldest_is_sent(requesters: list[Requester]) -> None:
    pending = pending_requests()
    first, second, other = (request(each, key) for each, key in zip(requesters, "aab", strict=True))
    assert send(pending, first, second, other) == [True, False, True]
    assigned = pending.assign([Part("a", b"1", last=False), Part("a", b"2"), Part("c", b"3")], 0.0)
    assert assigned.events == [
        (requesters[0], PartArrived, PartArrived(first, Part("a", b"1", last=False))),
        (requesters[0], PartArrived, PartArrived(first, Part("a", b"2"))),
    ]
    assert assigned.unmatched == 1
    assert rest(pending) == [second]
    assert at_server(pending) == [other, second]


def test_without_keys_requests_are_answered_in_order(requesters: list[Requester]) -> None:
    pending = pending_requests()
    requests = [request(each) for each in requesters]
    assert send(pending, *requests) == [True] * 3
    assigned = pending.assign([Part(None, b"1"), Part(None, b"2")], 0.0)
    assert [event[0] for event in assigned.events] == requesters[:2]
    assert at_server(pending) == requests[2:]


def test_the_answer_to_an_abandoned_request_is_late(requesters: list[Requester]) -> None:
    pending = pending_requests()
    first, second = request(requesters[0], "a"), request(requesters[1], "a")
    send(pending, first, second)
    pending.abandon(first)
    assert pending.abandoned == 1, "it was sent, and stays"
    assigned = pending.assign([Part("a", b"1")], 0.0)
    assert (assigned.late, assigned.events, rest(pending)) == (1, [], [second])
    assert pending.abandoned == 0


def test_an_abandoned_request_that_was_not_sent_is_removed(requesters: list[Requester]) -> None:
    pending = pending_requests()
    first, second = request(requesters[0], "a"), request(requesters[1], "a")
    send(pending, first, second)
    pending.abandon(second)
    assert pending.unsent_bytes == 0
    pending.assign([Part("a", b"1")], 0.0)
    assert rest(pending) == []
    assert not pending.by_key


def test_if_the_first_of_a_key_is_abandoned_unsent_the_next_is_sent(
    requesters: list[Requester],
) -> None:
    pending = pending_requests(limit=2)
    first, second, third, other = (
        request(requesters[each], key) for each, key in ((0, "a"), (1, "a"), (2, "a"), (2, "b"))
    )
    assert send(pending, first, second, third, other) == [True, False, False, True]
    pending.assign([Part("a", b"1")], 0.0)
    pending.abandon(second)  # before it is taken
    assert rest(pending) == [third]


def test_with_a_limit_requesters_take_turns(requesters: list[Requester]) -> None:
    pending = pending_requests(limit=1)
    many = [request(requesters[0], n) for n in range(3)]
    few = [request(requesters[1], 3), request(requesters[2], 4)]
    assert send(pending, *many, *few) == [True, False, False, False, False]
    order = []
    for _ in range(4):
        [at_server] = pending.sent
        pending.assign([Part(at_server.key, b"")], 0.0)
        order += rest(pending)
    assert order == [*few, *many[1:]]


def test_one_that_is_too_late_makes_room_and_its_answer_is_dropped(
    requesters: list[Requester],
) -> None:
    pending = pending_requests(limit=1)
    first, second = request(requesters[0], "a"), request(requesters[1], "b")
    send(pending, first, second)
    assert pending.expired(5.0) == [first, second]
    assert pending.overdue([first], 5.0, closes=False).failed == [
        RequestFailed(first, Unanswered.NO_ANSWER)
    ]
    assert rest(pending, 5.0) == [second]
    assert (pending.next_deadline, pending.expired(9.9)) == (10.0, [])
    assigned = pending.assign([Part("a", b"1"), Part("b", b"2")], 0.0)
    assert (assigned.late, len(assigned.events), pending.open) == (1, 1, 0)


def test_the_answer_to_the_first_copy_answers_the_request(requesters: list[Requester]) -> None:
    """Also if it arrives before the second copy is sent; the answers to the others are late."""
    for sent_again in (False, True):
        pending = pending_requests(limit=1)
        repeated, other = request(requesters[0], "a"), request(requesters[1], "a")
        repeated.attempts = 2
        send(pending, repeated)
        assert pending.overdue([repeated], 5.0, closes=False).repeated == [repeated]
        assert (repeated.sent, pending.unsent_bytes) == (False, 8)
        if sent_again:
            assert rest(pending) == [repeated]
        [event] = pending.assign([Part("a", b"1")], 0.0).events
        assert event == (requesters[0], PartArrived, PartArrived(repeated, Part("a", b"1")))
        assert (pending.open, pending.unsent_bytes, pending.abandoned) == (0, 0, sent_again)
        send(pending, other)
        assert other.sent is not sent_again, "the key is in use until the second copy is answered"
        if sent_again:
            assert pending.assign([Part("a", b"1")], 0.0).late == 1
            assert rest(pending) == [other]
        assert pending.abandoned == 0


def test_a_request_to_be_sent_again_may_be_abandoned(requesters: list[Requester]) -> None:
    pending = pending_requests()
    repeated = request(requesters[0], "a")
    repeated.attempts = 2
    send(pending, repeated)
    pending.overdue([repeated], 5.0, closes=False)
    pending.abandon(repeated)
    assert (pending.open, pending.unsent_bytes, pending.abandoned) == (0, 0, 1)
    assert rest(pending) == []
    assert pending.assign([Part("a", b"1")], 0.0).late == 1
    assert (pending.abandoned, pending.by_key) == (0, {})


def test_with_reconnect_one_requester_uses_a_connection_without_keys(
    requesters: list[Requester],
) -> None:
    pending = pending_requests("reconnect")
    first, second, third = (request(each) for each in (requesters[0], requesters[1], requesters[0]))
    assert send(pending, first, second, third) == [True, False, False]
    assert list(pending.exclusive.waiting) == [second, third]
    assert at_server(pending) == [first]
    excessive = pending.assign([Part(None, b"1"), Part(None, b"2")], 0.0)
    assert (excessive.events, excessive.unmatched) == ([], 1)


def test_without_keys_a_request_that_is_too_late_ends_the_connection(
    requesters: list[Requester],
) -> None:
    pending = pending_requests()
    send(pending, request(requesters[0]), request(requesters[1], "a"))
    assert pending.expired(4.9) == []
    in_order, keyed = pending.expired(5.0)
    assert ConnectionHealth(9).failure(pending, [keyed], 0.0) == ""
    assert ConnectionHealth(9).failure(pending, [keyed, in_order], 0.0) == AMBIGUOUS


def test_a_server_has_failed_if_a_request_expires_behind_a_lost_one(
    requesters: list[Requester],
) -> None:
    pending = pending_requests()
    first, second = request(requesters[0], "a"), request(requesters[1], "a", submitted_at=2.0)
    send(pending, first, second)
    assert ConnectionHealth(9).failure(pending, [second], 0.0) == "", (
        "the first may still be answered"
    )
    pending.overdue([first], 5.0, closes=False)
    assert ConnectionHealth(9).failure(pending, pending.expired(6.0), 0.0) == ""
    assert ConnectionHealth(9).failure(pending, pending.expired(7.0), 0.0) == UNANSWERED


def test_the_limit_of_abandoned_requests(requesters: list[Requester]) -> None:
    pending = pending_requests()
    requests = [request(requesters[0]) for _ in range(MAX_ABANDONED + 1)]
    send(pending, *requests)
    for each in requests[1:]:
        pending.abandon(each)
    assert not pending.is_clogged
    pending.abandon(requests[0])
    assert pending.is_clogged


class Rules:
    """Random steps of requests, and what must hold after each."""

    def __init__(self, requesters: list[Requester], limit: int, keys: int, attempts: int) -> None:
        self.pending = pending_requests(limit=limit)
        self.requesters = requesters
        self.limit, self.keys, self.attempts = limit, keys, attempts
        self.now = 0.0
        self.alive: dict[SplitRequest, None] = {}
        """Requests whose requester waits for an end."""
        self.answers: list[Hashable] = []
        """Keys of what the server has received and not answered."""

    def step(self, what: int, which: int) -> None:
        pending = self.pending
        if what == 0:
            self.add(which)
        elif what == 1:
            self.answers += [each.key for each in rest(pending, self.now)]
        elif what == 2 and self.answers:
            self.answer(Part(self.answers.pop(which % len(self.answers)), b"", last=True))
        elif what == 3:
            self.answer(Part(which % self.keys, b"", last=bool(which % 2)))
        elif what == 4 and self.alive:
            leaving = list(self.alive)[which % len(self.alive)]
            pending.leave(leaving)
            del self.alive[leaving]
        elif what == 5:
            self.now += 2.0
            self.end(pending.overdue(pending.expired(self.now), self.now, closes=False))
        elif what == 6:
            self.answers.clear()
            self.end(pending.lost(self.now, Unanswered.CONNECTION_LOST))
            pending.connected = True
        elif what == 7:
            self.answer(Part(DAMAGED, b"noise"))

    def add(self, which: int) -> None:
        ids = self.pending.fresh_ids
        key: Hashable = which % self.keys
        made = request(self.requesters[which % 3], key, self.now)
        if which % 3 == 0 and not ids.full:
            made.fresh_id = ids.next(4)
            made.key = "id", made.fresh_id
        made.attempts = self.attempts
        self.alive[made] = None
        if self.pending.add(made, self.now):
            self.answers.append(made.key)

    def answer(self, part: Part) -> None:
        assigned = self.pending.assign([part], self.now)
        for _, kind, arrived in assigned.events:
            if kind is PartArrived:
                assert isinstance(arrived, PartArrived)
                assert arrived.request in self.alive, "each has one end"
                assert arrived.request.key == part.key
                if part.last:
                    del self.alive[arrived.request]
        self.end(assigned.lost)

    def end(self, lost: Lost) -> None:
        for failed in lost.failed:
            del self.alive[failed.request]
        assert all(each in self.alive for each in lost.repeated)

    def check(self) -> None:
        pending = self.pending
        assert pending.unsent_bytes == sum(len(each.encoded) for each in pending.unsent)
        assert not pending.limit or len(pending.sent) <= pending.limit
        known = {each for queue in pending.by_key.values() for each in queue}
        assert all(queue for queue in pending.by_key.values())
        assert pending.abandoned == sum(each.abandoned for each in known)
        assert all(each.copies or not each.abandoned for each in known)
        assert set(pending.sent) <= known
        known |= set(pending.unsent)
        assert set(self.alive) <= known
        assert {each for each in known if not each.abandoned} == set(self.alive)
        assert {each for each in pending.unsent if each.sent} == set()
        used = {each.fresh_id for each in known} - {None}
        assert pending.fresh_ids.used == used
        for queue in pending.by_key.values():
            for blocked in list(queue)[1:]:
                assert blocked.key is None or blocked in pending.unsent


@settings(deadline=None, max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 29)), min_size=20, max_size=60),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 3]),
)
def test_each_request_has_one_end_and_nothing_is_left_of_it(
    steps: list[tuple[int, int]], limit: int, keys: int, attempts: int
) -> None:
    with Simulation(1) as sim:
        engine = sim.driver().engine
        rules = Rules([requester(engine) for _ in range(3)], limit, keys, attempts)
    for what, which in steps:
        rules.step(what, which)
        rules.check()
    for each in list(rules.alive):
        rules.pending.leave(each)
        del rules.alive[each]
    rules.check()
    rules.end(rules.pending.lost(rules.now, Unanswered.CONNECTION_LOST))
    assert not rules.pending.open
    assert (rules.pending.by_key, rules.pending.abandoned) == ({}, 0)
