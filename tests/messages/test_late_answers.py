"""LateAnswers apart from any connection. See tests/plugins/test_modbus.py for lines."""

from __future__ import annotations

from vcproxy.engine.scheduler import Action
from vcproxy.framing.modbus_rtu import modbus_rtu
from vcproxy.messages.late_answers import GIVEN_UP, INFINITE, LateAnswers
from vcproxy.messages.pending_requests import PendingRequests
from vcproxy.messages.split_request import SplitRequest
from vcproxy.messages.split_rules import Part, SplitRules


def request(sent_at: float) -> SplitRequest:
    """A request that was sent once, with 1 s for its answer."""
    ticket = Action(None, None, None, 0.0, 0.0)  # type: ignore[arg-type]
    made = SplitRequest(ticket, "key", b"", b"", sent_at, sent_at + 1.0, 1.0)
    made.sent_at, made.copies = sent_at, 1
    return made


def test_a_late_answer_is_expected_until_it_comes_or_is_given_up() -> None:
    late = LateAnswers(on_line=True)
    assert late.end == INFINITE
    first, second = request(0.0), request(2.0)
    late.expect(first)
    late.expect(second)
    assert late.end == GIVEN_UP
    assert late.given_up(GIVEN_UP - 0.1) == []
    assert late.given_up(GIVEN_UP) == [first]
    assert late.end == 2.0 + GIVEN_UP
    late.arrived(second)
    assert late.end == INFINITE
    late.arrived(first)


def test_only_on_a_line_and_only_of_what_was_sent() -> None:
    elsewhere, line, unsent = LateAnswers(on_line=False), LateAnswers(on_line=True), request(0.0)
    unsent.copies = 0
    elsewhere.expect(request(0.0))
    line.expect(unsent)
    assert elsewhere.end == line.end == INFINITE


def test_a_client_that_leaves_before_its_request_is_sent_again_blocks_no_other() -> None:
    rules = SplitRules(modbus_rtu("reply"), lambda reply: [Part("key", reply)], in_flight=1)
    pending = PendingRequests(rules)
    pending.connected = True
    leaving, other = request(0.0), request(0.0)
    for each in (leaving, other):
        each.copies, each.queue_timeout_s, each.deadline, each.attempts = 0, 60.0, 60.0, 2
        pending.add(each, 0.0)
    assert pending.take(0.0) is leaving
    pending.overdue(pending.expired(1.0), 1.0, closes=False)
    pending.leave(leaving)
    assert pending.take(1.0) is None
    assert pending.next_deadline == GIVEN_UP
    pending.expired(GIVEN_UP)
    assert pending.take(GIVEN_UP) is other
    assert (pending.abandoned, pending.open) == (0, 1)
