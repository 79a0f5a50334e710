"""Channels: messages and descriptors, in order, without waiting for the peer."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator

import pytest

from vcproxy.workers.channel import MAX_DESCRIPTORS, Channel, close_all
from vcproxy.workers.messages import Message, Verb

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected ends."""
    ends = Channel.pair()
    yield ends
    for end in ends:
        end.close()


def test_messages_arrive_in_order_and_whole(pair: Pair) -> None:
    one, other = pair
    sent = [
        Message(Verb.PREPARE, 7),
        Message(Verb.REFUSED, 7, "why:\nnot \u00e4"),
        Message(Verb.DRAIN, signal=signal.SIGINT, pid=4711),
        Message(Verb.SOCKETS, 8, places=(("", "tcp://[::1]:80"), ("web", "tcp://a:0"))),
    ]
    assert other.receive_all() == []
    for message in sent:
        assert one.send(message)
    assert [message for message, _ in other.receive_all()] == sent
    assert not other.ended


def test_descriptors_come_with_their_message(pair: Pair) -> None:
    one, other = pair
    with socket.socket() as first, socket.socket() as second:
        one.send(Message(Verb.SOCKETS), [first.fileno()])
        one.send(Message(Verb.STOP))
        one.send(Message(Verb.SOCKETS), [first.fileno(), second.fileno()])
        received = [descriptors for _, descriptors in other.receive_all()]
        assert [len(descriptors) for descriptors in received] == [1, 0, 2]
        expected = [first, first, second]
        for descriptor, sock in zip([*received[0], *received[2]], expected, strict=True):
            assert os.path.sameopenfile(descriptor, sock.fileno())
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)


def test_the_most_descriptors_fit_into_one_message(pair: Pair) -> None:
    one, other = pair
    with socket.socket() as sock:
        places = tuple(("n" * 50, f"unix:{'p' * 107}") for _ in range(MAX_DESCRIPTORS))
        assert one.send(Message(Verb.SOCKETS, places=places), [sock.fileno()] * MAX_DESCRIPTORS)
    received = other.receive()
    assert received is not None
    message, descriptors = received
    assert message.places == places
    assert len(descriptors) == MAX_DESCRIPTORS
    close_all(descriptors)


def test_at_the_limit_of_descriptors_some_are_missing(pair: Pair) -> None:
    one, other = pair
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as sock:
        one.send(Message(Verb.SOCKETS), [sock.fileno()] * 3)
        lowest = os.dup(sock.fileno())
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, limits[1]))
        try:
            ((message, descriptors),) = other.receive_all()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert message.verb is Verb.SOCKETS
    assert descriptors == [lowest]
    close_all(descriptors)


def test_the_end_of_the_peer_is_noticed_after_its_messages(pair: Pair) -> None:
    one, other = pair
    one.send(Message(Verb.REFUSED))
    other.send(Message(Verb.STOP))  # never received
    one.close()
    assert [message.verb for message, _ in other.receive_all()] == [Verb.REFUSED]
    assert other.ended
    assert not other.send(Message(Verb.STOP))
    assert other.receive() is None


def test_a_peer_that_never_reads_is_not_waited_for(pair: Pair) -> None:
    one, _ = pair
    sent = 0
    while one.send(Message(Verb.REOPEN)):
        sent += 1
    assert sent > 50
