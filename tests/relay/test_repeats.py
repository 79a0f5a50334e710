"""Repeats: messages that another producer has sent a short time ago."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vcproxy.relay.repeats import Repeats


def test_a_message_of_another_producer_is_a_repeat_for_a_while() -> None:
    repeats = Repeats(5.0).repeats
    assert not repeats(b"m", "a", 0.0)
    assert repeats(b"m", "b", 4.9)
    assert repeats(b"m", "c", 5.0)
    assert not repeats(b"m", "b", 5.1)
    assert repeats(b"m", "a", 5.2)


def test_a_producer_may_repeat_itself() -> None:
    repeats = Repeats(5.0).repeats
    for now in (0.0, 4.0, 8.0):
        assert not repeats(b"m", "a", now)
    assert repeats(b"m", "b", 12.0), "the time begins again"


def test_the_number_of_messages_is_limited() -> None:
    repeats = Repeats(5.0, most=2)
    for message in (b"1", b"2", b"3"):
        assert not repeats.repeats(message, "a", 0.0)
    assert not repeats.repeats(b"1", "b", 0.0), "the oldest one is forgotten"
    assert repeats.repeats(b"3", "b", 0.0)
    assert len(repeats._seen) == 2


@given(
    st.lists(
        st.tuples(st.sampled_from([b"x", b"y", b"z"]), st.sampled_from("ab"), st.integers(0, 9))
    )
)
def test_it_finds_what_a_list_of_all_messages_would(sent: list[tuple[bytes, str, int]]) -> None:
    repeats = Repeats(5.0)
    relayed: list[tuple[bytes, str, int]] = []
    now = 0
    for message, producer, pause in sent:
        now += pause
        last = next((each for each in reversed(relayed) if each[0] == message), None)
        repeated = last is not None and now - last[2] <= 5 and last[1] != producer
        assert repeats.repeats(message, producer, now) == repeated
        if not repeated:
            relayed.append((message, producer, now))
