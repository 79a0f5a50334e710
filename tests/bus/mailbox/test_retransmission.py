"""The queues of pending messages: what is due, and in which order."""

from __future__ import annotations

from vcproxy.bus.mailbox.correspondent import Correspondent, Pending
from vcproxy.bus.mailbox.profile import PATIENT, Profile
from vcproxy.bus.mailbox.retransmission import Retransmission

PEER = Correspondent(("127.0.0.1", 2))


def test_what_is_due_is_in_the_order_of_acceptance() -> None:
    retransmission = Retransmission(PATIENT)
    first = Pending(PEER, 0, b"first", 1, accepted=0.0)
    assert retransmission.add(first) == 0.05
    assert retransmission.take_due(0.06) == ([first], [])
    second = Pending(PEER, 1, b"second", 2, accepted=0.12)
    retransmission.add(second)
    assert retransmission.next_due() == 0.15
    assert retransmission.take_due(0.2) == ([first, second], [])
    assert len(retransmission) == 2


def test_what_is_given_up_is_not_sent_again() -> None:
    retransmission = Retransmission(Profile("short", sends=3, wait_s=0.1))
    late = Pending(PEER, 0, b"late", 1, accepted=0.0)
    retransmission.add(late)
    assert retransmission.take_due(0.9) == ([], [late])
    assert not retransmission
    assert retransmission.next_due() is None


def test_postponed_messages_keep_their_order() -> None:
    retransmission = Retransmission(Profile("short", sends=2, wait_s=1.0))
    messages = [Pending(PEER, n, b"", n, accepted=n / 2) for n in range(3)]
    for message in messages:
        retransmission.add(message)
    retransmission.postpone(100.0, now=100.6)
    assert [message.accepted for message in messages] == [100.0, 100.5, 100.6]
    assert retransmission.take_due(101.5) == (messages[:2], [])
