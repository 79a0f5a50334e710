"""FairQueue: requesters take turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.engine.scheduler import Action
from vcproxy.messages.fair_queue import FairQueue
from vcproxy.messages.split_request import Requester, SplitRequest


def requester() -> Requester:
    return Action(None, "PART", None, 0.0, 0.0)  # type: ignore[arg-type]  # nothing is delivered


def request(requester: Requester) -> SplitRequest:
    return SplitRequest(requester, None, b"", b"", 0.0, 0.0, 0.0)


def test_requesters_take_turns_and_each_keeps_its_order() -> None:
    queue, one, two = FairQueue(), requester(), requester()
    first, second, third, other = (request(each) for each in (one, one, one, two))
    for each in (first, second, third, other):
        queue.put(each)
    assert [queue.take() for _ in range(4)] == [first, other, second, third]
    assert not queue
    with pytest.raises(KeyError):
        queue.take()


def test_one_that_has_waited_already_is_the_next() -> None:
    queue, one, two = FairQueue(), requester(), requester()
    first, second, other = request(one), request(one), request(two)
    for each in (other, second):
        queue.put(each)
    queue.put_first(first)
    assert [queue.take() for _ in range(3)] == [first, other, second]
    queue.put_first(first)
    assert queue.take() is first


def test_a_request_may_leave() -> None:
    queue, one, two = FairQueue(), requester(), requester()
    first, second, other = request(one), request(one), request(two)
    for each in (first, second):
        queue.put(each)
    for each in (other, first):
        queue.remove(each)
    assert queue.take() is second
    queue.remove(second)
    assert not queue


@given(st.lists(st.integers(-3, 4), max_size=60))
def test_a_request_waits_for_one_of_each_other_requester_at_most(steps: list[int]) -> None:
    """From when it is the first of its own. Below 0: the next one is taken."""
    queue, requesters = FairQueue(), [requester() for _ in range(5)]
    waiting: dict[Requester, list[SplitRequest]] = {each: [] for each in requesters}
    passed = dict.fromkeys(requesters, 0)
    for step in steps:
        if step >= 0:
            made = request(requesters[step])
            waiting[made.requester].append(made)
            queue.put(made)
        elif queue:
            taken = queue.take()
            assert taken is waiting[taken.requester].pop(0)
            passed[taken.requester] = 0
            for each in requesters:
                if each is not taken.requester and waiting[each]:
                    passed[each] += 1
                    assert passed[each] < len(requesters)
    assert bool(queue) == any(waiting.values())
