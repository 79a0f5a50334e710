"""Choices: which replies the client gets, and when."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.mirror.choice import ConnectionChoice, MessageChoice, Rule, every, first, majority


def choose(rule: Rule, servers: int = 3, *, unresolved: bytes | None = b"?") -> MessageChoice:
    return MessageChoice(servers, rule, timeout_s=5.0, limit=1000, unresolved=unresolved)


def feed(choice: MessageChoice, *replies: tuple[int, bytes], now: float = 0.0) -> list[bytes]:
    """Add the replies; return those that the client gets."""
    chosen: list[bytes] = []
    for server, reply in replies:
        choice.add_reply(server, reply, now)
        chosen += choice.take(now)
    return chosen


def test_first_chooses_the_earliest_reply_each_time() -> None:
    choice = choose(first)
    assert feed(choice, (1, b"b1"), (0, b"a1"), (0, b"a2"), (1, b"b2"), (2, b"c1")) == [
        b"b1",
        b"a2",
    ]
    assert feed(choice, (2, b"c2"), (2, b"c3")) == [b"c3"]


def test_every_waits_for_all_and_keeps_their_order() -> None:
    choice = choose(every)
    assert feed(choice, (2, b"c"), (0, b"a")) == []
    assert feed(choice, (1, b"b")) == [b"a", b"b", b"c"]


def test_every_leaves_out_servers_that_have_ended_or_are_late() -> None:
    choice = choose(every)
    choice.server_ended(1, ConnectionError())
    assert feed(choice, (2, b"c"), (0, b"a")) == [b"a", b"c"]
    assert feed(choice, (0, b"a2"), now=10.0) == []
    assert choice.deadline == 15.0
    assert choice.take(15.0) == [b"a2"]
    assert choice.deadline is None
    assert feed(choice, (2, b"too late"), (0, b"a3"), (2, b"c3"), now=16.0) == [b"a3", b"c3"]


def test_a_majority_is_more_than_half_of_all_servers() -> None:
    choice = choose(majority)
    assert feed(choice, (0, b"x"), (1, b"y")) == []
    assert feed(choice, (2, b"y")) == [b"y"]
    assert feed(choice, (0, b"x"), (1, b"y"), (2, b"z")) == [b"?"]
    choice.server_ended(1, None)
    choice.server_ended(2, None)
    assert feed(choice, (0, b"alone")) == [b"?"]
    assert choice.undecided == 2


def test_without_a_majority_and_an_unresolved_reply_take_raises() -> None:
    choice = choose(majority, 2, unresolved=None)
    choice.add_reply(0, b"x", 0.0)
    choice.add_reply(1, b"y", 0.0)
    with pytest.raises(ConnectionError, match="no quorum"):
        choice.take(0.0)


def test_it_is_over_when_all_replies_of_the_primary_are_decided() -> None:
    choice = choose(every, 2)
    choice.add_reply(0, b"a", 0.0)
    choice.server_ended(0, None)
    assert not choice.over
    assert feed(choice, (1, b"b"), (1, b"more")) == [b"a", b"b"]
    assert choice.over


def test_a_server_that_is_too_far_ahead_is_full() -> None:
    choice = choose(every, 2)
    choice.add_reply(0, bytes(1000), 0.0)
    assert choice.full(0)
    assert not choice.full(1)
    feed(choice, (1, b""))
    assert not choice.full(0)


@pytest.mark.parametrize("rule", [first, every, majority])
@given(
    streams=st.lists(st.lists(st.sampled_from([b"x", b"y"]), max_size=6), min_size=1, max_size=4),
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_matters_only_for_first(
    rule: Rule, streams: list[list[bytes]], random: Random
) -> None:
    choice = choose(rule, len(streams))
    order = [server for server, replies in enumerate(streams) for _ in replies]
    random.shuffle(order)
    left = [iter(each) for each in streams]
    chosen = feed(choice, *[(server, next(left[server])) for server in order])
    for server in reversed(range(len(streams))):
        choice.server_ended(server, None)
        chosen += choice.take(0.0)
    assert choice.over
    primary = len(streams[0])
    places = [[each[n] for each in streams if n < len(each)] for n in range(primary)]
    if rule is every:
        assert chosen[: sum(map(len, places))] == [one for place in places for one in place]
    elif rule is majority:
        best = [max(b"xy", key=lambda b: place.count(bytes([b]))) for place in places]
        votes = [place.count(bytes([b])) for b, place in zip(best, places, strict=True)]
        expected = [
            bytes([b]) if 2 * count > len(streams) else b"?"
            for b, count in zip(best, votes, strict=True)
        ]
        assert chosen[:primary] == expected
    else:
        assert all(one in place for one, place in zip(chosen, places, strict=False))


def test_without_a_framing_the_client_gets_the_first_servers_bytes() -> None:
    choice = ConnectionChoice()
    choice.add_reply(1, b"a", 0.0)
    choice.add_reply(0, b"b", 0.0)
    choice.add_reply(1, b"c", 0.0)
    assert choice.take(0.0) == [b"a", b"c"]
    choice.server_ended(0, None)
    assert not choice.over
    choice.server_ended(1, None)
    assert choice.over


def test_a_failure_of_the_chosen_server_is_an_error() -> None:
    choice = ConnectionChoice()
    choice.server_ended(1, ConnectionError("gone"))
    choice.add_reply(2, b"a", 0.0)
    with pytest.raises(ConnectionError, match="gone"):
        choice.server_ended(2, ConnectionError("gone"))
