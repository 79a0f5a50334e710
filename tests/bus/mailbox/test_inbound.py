"""The sequence received from one peer: what is delivered, held, acknowledged and ignored."""

from __future__ import annotations

from vcproxy.bus.mailbox.codec import NUMBERS
from vcproxy.bus.mailbox.inbound import HeldBytes, Inbound
from vcproxy.bus.mailbox.profile import WINK

IGNORED = None
"""Not acknowledged: the sender sends it again, or gives it up."""


def sequence(number: int, message: bytes = b"first", now: float = 0.0, room: int = 1000) -> Inbound:
    return Inbound(WINK, HeldBytes(room), number, message, now)


def test_numbers_in_order_are_delivered_and_duplicates_are_acknowledged() -> None:
    inbound = sequence(7)
    assert inbound.receive(8, b"8", 0.1) == [b"8"]
    assert inbound.receive(8, b"8", 0.2) == []
    assert inbound.receive(7, b"7", 0.2) == []
    assert inbound.gap_closes is None


def test_later_numbers_are_held_until_the_gap_is_filled() -> None:
    inbound = sequence(0)
    assert inbound.receive(3, b"3", 1.0) == []
    assert inbound.receive(2, b"2", 1.1) == []
    assert inbound.receive(2, b"2", 1.2) == []
    assert inbound.gap_closes == 11.0
    assert inbound.receive(1, b"1", 1.3) == [b"1", b"2", b"3"]
    assert inbound.gap_closes is None


def test_a_gap_closes_and_what_arrives_for_it_later_is_not_acknowledged() -> None:
    inbound = sequence(0)
    assert inbound.receive(2, b"2", 1.0) == []
    assert inbound.receive(4, b"4", 2.0) == []
    assert inbound.gap_closes == 11.0
    assert inbound.close_gap() == [b"2"]
    assert inbound.gap_closes == 12.0
    assert inbound.receive(1, b"1", 11.5) is IGNORED
    assert inbound.receive(2, b"2", 11.5) == []
    assert inbound.receive(3, b"3", 11.6) == [b"3", b"4"]


def test_numbers_below_the_first_one_were_never_delivered_here() -> None:
    inbound = sequence(7)
    assert inbound.receive(6, b"6", 0.1) is IGNORED
    assert inbound.receive(7, b"7", 0.1) == []


def test_numbers_wrap() -> None:
    inbound = sequence(NUMBERS - 2)
    assert inbound.receive(0, b"0", 0.1) == []
    assert inbound.receive(NUMBERS - 1, b"last", 0.2) == [b"last", b"0"]
    assert inbound.receive(1, b"1", 0.3) == [b"1"]
    assert inbound.receive(NUMBERS - 1, b"last", 0.4) == []
    assert inbound.receive(NUMBERS - 3, b"?", 0.4) is IGNORED


def test_one_number_far_ahead_harms_nothing() -> None:
    inbound = sequence(0)
    assert inbound.receive(2**63 - 1, b"spoofed", 1.0) is IGNORED
    assert inbound.receive(1, b"1", 2.0) == [b"1"]
    assert inbound.gap_closes is None


def test_a_peer_whose_numbers_are_far_ahead_for_long_is_joined_again() -> None:
    """It has given up all that was between, for example while the network was divided."""
    inbound = sequence(0)
    assert inbound.receive(5000, b"5000", 1.0) is IGNORED
    assert inbound.gap_closes == 6.0
    assert inbound.close_gap() == []
    assert inbound.receive(5000, b"5000", 7.0) == [b"5000"]
    assert inbound.receive(5001, b"5001", 7.1) == [b"5001"]
    assert inbound.receive(4999, b"4999", 7.2) is IGNORED


def test_what_is_held_is_bounded_by_the_window_and_in_bytes() -> None:
    inbound = sequence(0, room=10)
    assert inbound.receive(WINK.window, b"", 1.0) == []
    assert inbound.receive(WINK.window + 1, b"", 1.0) is IGNORED
    assert inbound.receive(2, b"12345678901", 1.0) is IGNORED
    assert inbound.receive(2, b"1234567890", 1.0) == []
    assert inbound.receive(3, b"1", 1.0) is IGNORED
    assert inbound.receive(1, b"1", 1.0) == [b"1", b"1234567890"]
    assert inbound.receive(4, b"1234567890", 1.0) == []


def test_a_new_process_on_the_port_begins_again() -> None:
    inbound = sequence(0, b"started a/A")
    assert inbound.receive(1, b"pulsed a/A", 10.0) == [b"pulsed a/A"]
    assert inbound.receive(3, b"held", 11.0) == []
    assert inbound.receive(0, b"started a/A", 12.0) == [b"held", b"started a/A"]
    assert inbound.lives == 2
    assert inbound.receive(1, b"pulsed a/A", 22.0) == [b"pulsed a/A"]


def test_started_within_a_second_may_be_a_duplicate_of_the_network() -> None:
    inbound = sequence(0, b"started a/A")
    assert inbound.receive(1, b"exited a/A", 0.1) == [b"exited a/A"]
    assert inbound.receive(0, b"started a/A", 0.9) is IGNORED
    assert inbound.receive(0, b"started a/A", 2.9) == [b"started a/A"]


def test_started_is_a_duplicate_while_nothing_else_was_received() -> None:
    """Its acknowledgement was lost: it is sent again until it is given up, not longer."""
    inbound = sequence(0, b"started a/A")
    assert inbound.receive(0, b"started a/A", 8.0) == []
    assert inbound.receive(0, b"started a/A", 11.0) == [b"started a/A"]


def test_any_other_first_message_is_from_a_new_process_if_its_text_differs() -> None:
    inbound = sequence(0, b"on")
    assert inbound.receive(1, b"off", 1.0) == [b"off"]
    assert inbound.receive(0, b"on", 2.0) is IGNORED
    assert inbound.receive(0, b"hello", 3.0) == [b"hello"]
    assert inbound.receive(1, b"world", 3.1) == [b"world"]


def test_the_same_first_message_is_from_a_new_process_if_it_comes_much_later() -> None:
    """Clients send the same few requests, and the kernel assigns their ports again."""
    inbound = sequence(0, b"list")
    assert inbound.receive(0, b"list", 59.9) is IGNORED
    assert inbound.receive(0, b"list", 60.0) == [b"list"]
    assert inbound.receive(0, b"list", 61.0) == []


def test_started_that_is_still_in_the_network_when_the_next_message_arrives() -> None:
    """It was sent before the acknowledgement arrived, and the next message after that."""
    inbound = sequence(0, b"started a/A")
    assert inbound.receive(1, b"pulsed a/A", 5.0) == [b"pulsed a/A"]
    assert inbound.receive(0, b"started a/A", 5.9) is IGNORED
    assert inbound.receive(0, b"started a/A", 6.1) == [b"started a/A"]


def test_a_lower_number_is_no_duplicate_when_its_sender_must_have_given_it_up() -> None:
    """It is from a new process whose number 0 was lost; acknowledged, it would be lost too."""
    inbound = sequence(0)
    assert inbound.receive(1, b"1", 1.0) == [b"1"]
    assert inbound.receive(1, b"1", 11.0) == []
    assert inbound.receive(1, b"1", 11.1) is IGNORED


def test_a_gap_across_the_wrap_of_numbers() -> None:
    inbound = sequence(NUMBERS - 2)
    assert inbound.receive(1, b"1", 1.0) == []
    assert inbound.close_gap() == [b"1"]
    assert inbound.receive(NUMBERS - 1, b"?", 1.1) is IGNORED
    assert inbound.receive(0, b"?", 3.0) is IGNORED
    assert inbound.receive(2, b"2", 3.1) == [b"2"]
