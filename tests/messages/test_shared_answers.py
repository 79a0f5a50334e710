"""SharedAnswers: one answer for equal requests, never one from before what may change it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vcproxy.engine.scheduler import Action
from vcproxy.messages.shared_answers import (
    LONGEST,
    MOST_ANSWERS,
    MOST_BYTES,
    MOST_PARTS,
    SharedAnswers,
)
from vcproxy.messages.split_request import PartArrived, Requester, SplitRequest
from vcproxy.messages.split_rules import Part


def requester() -> Requester:
    return Action(None, "PART", None, 0.0, 0.0)  # type: ignore[arg-type]  # nothing is delivered


def request(shares: object = "a", by: Requester | None = None) -> SplitRequest:
    made = SplitRequest(by or requester(), 1, b"", b"", 0.0, 0.0, 0.0)
    made.shares = shares
    return made


def submit(shared: SharedAnswers, request: SplitRequest, now: float = 0.0) -> SplitRequest:
    """Submit a request that must be sent; return the one that is sent."""
    sent = shared.submitted(request, now)
    assert isinstance(sent, SplitRequest)
    return sent


ANSWER = Part(1, b"answer")


def parts_of(shared: SharedAnswers, request: SplitRequest, now: float = 0.0) -> list[Part]:
    """Submit a request that must not be sent; return the parts that have arrived for it."""
    events = shared.submitted(request, now)
    assert isinstance(events, list)
    assert all(each[:2] == (request.requester, PartArrived) for each in events)
    arrived = [each[2] for each in events]
    assert all(isinstance(each, PartArrived) and each.request is request for each in arrived)
    return [each.part for each in arrived if isinstance(each, PartArrived)]


def test_one_that_joins_gets_the_parts_that_it_has_missed() -> None:
    shared = SharedAnswers(0.0)
    first, second = request(), request()
    carrier = submit(shared, first)
    beginning = Part(1, b"one", last=False)
    assert shared.arrived(carrier, beginning, 0.0) == [
        (first.requester, PartArrived, PartArrived(first, beginning))
    ]
    assert parts_of(shared, second) == [beginning]
    assert shared.arrived(carrier, ANSWER, 0.0) == [
        (each.requester, PartArrived, PartArrived(each, ANSWER)) for each in (first, second)
    ]
    assert submit(shared, request()).carried is not None, "a new one: no answer is kept"


def test_an_answer_is_kept_for_its_time() -> None:
    shared = SharedAnswers(2.0)
    shared.arrived(submit(shared, request(), 1.0), ANSWER, 10.0)
    assert parts_of(shared, request(), 11.9) == [ANSWER]
    submit(shared, request("b"), 11.9)
    submit(shared, request(), 12.0)


def test_what_may_change_the_answers_ends_their_sharing() -> None:
    """From when it is submitted until it has ended; and what was asked before is not shared."""
    shared = SharedAnswers(60.0)
    kept, before = submit(shared, request("kept")), submit(shared, request("before"))
    shared.arrived(kept, ANSWER, 0.0)
    change = request(None)
    assert submit(shared, change) is change
    for shares in ("kept", "before"):
        alone = request(shares)
        assert submit(shared, alone) is alone, "it is sent for itself, and no one can join it"
    shared.ended(change)
    shared.arrived(before, ANSWER, 0.0)
    for shares in ("kept", "before"):
        assert submit(shared, request(shares)).carried is not None


def test_requests_that_were_pending_before_may_change_the_answers() -> None:
    change = request(None)
    shared = SharedAnswers(60.0, [change])
    alone = request()
    assert submit(shared, alone) is alone
    shared.ended(change)
    assert submit(shared, request()).carried is not None


def test_a_carrier_that_fails_is_joined_no_more() -> None:
    shared = SharedAnswers(60.0)
    shared.ended(submit(shared, request()))
    assert submit(shared, request()).carried is not None


def test_what_is_kept_is_bounded() -> None:
    shared = SharedAnswers(60.0)
    large = Part(1, b"x" * LONGEST)
    for number in range(MOST_BYTES // LONGEST + 1):
        shared.arrived(submit(shared, request(number)), large, 0.0)
    submit(shared, request(0))
    assert parts_of(shared, request(1)) == [large]
    for number in range(MOST_ANSWERS + 1):
        shared.arrived(submit(shared, request(("small", number))), ANSWER, 0.0)
    submit(shared, request(("small", 0)))
    assert parts_of(shared, request(("small", 1))) == [ANSWER]


def test_a_long_answer_is_not_shared_from_then_on() -> None:
    for part, times in ((Part(1, b"x" * LONGEST, last=False), 2), (Part(1, b"", False), 101)):
        assert times <= MOST_PARTS + 1
        shared = SharedAnswers(60.0)
        first, second = request(), request()
        carrier = submit(shared, first)
        for _ in range(times - 1):
            shared.arrived(carrier, part, 0.0)
        assert parts_of(shared, second) == [part] * (times - 1)
        assert len(shared.arrived(carrier, part, 0.0)) == 2, "those that have joined get the rest"
        submit(shared, request())
        shared.arrived(carrier, ANSWER, 0.0)
        assert isinstance(shared.submitted(request(), 0.0), list), "they wait for the second"


@given(
    st.lists(
        st.tuples(st.sampled_from(["read", "write", "read done", "write done", "wait"]),
                  st.integers(0, 1)),
        max_size=40,
    )
)  # fmt: skip
def test_a_read_never_gets_a_value_from_before_a_write(steps: list[tuple[str, int]]) -> None:
    """A device with one number, which each write changes when it is answered; reads return what it
    was when they were sent. A read must not get less than what was the last write answered before.
    """
    shared, now, value = SharedAnswers(2.0), 0.0, 0
    reads: list[tuple[SplitRequest, int]] = []
    writes: list[SplitRequest] = []
    least: dict[SplitRequest, int] = {}
    for step, which in steps:
        if step == "wait":
            now += 1.0
        elif step == "write":
            writes.append(submit(shared, request(None), now))
        elif step == "write done" and writes:
            shared.ended(writes.pop(which % len(writes)))
            value += 1
        elif step == "read":
            asked = request()
            least[asked] = value
            sent = shared.submitted(asked, now)
            if isinstance(sent, SplitRequest):
                reads.append((sent, value))
            for _, _, arrived in sent if isinstance(sent, list) else ():
                assert isinstance(arrived, PartArrived)
                assert int(arrived.part.data) >= value
        elif step == "read done" and reads:
            sent, was = reads.pop(which % len(reads))
            part = Part(1, b"%d" % was)
            if sent.carried is None:
                assert was >= least[sent]
            else:
                for _, _, arrived in shared.arrived(sent, part, now):
                    assert isinstance(arrived, PartArrived)
                    assert was >= least[arrived.request]
            shared.ended(sent)
