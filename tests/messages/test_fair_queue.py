"""FairQueue: requesters take turns."""

from __future__ import annotations

import pytest

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
