"""The mailbox: each accepted message is delivered once and in order, or its sender is informed."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from tests.bus.mailbox.network import Faults, Network
from vcproxy.bus.mailbox.codec import LEGACY, NUMBERS
from vcproxy.bus.mailbox.inbound import HELD_BYTES
from vcproxy.bus.mailbox.mailbox import PEERS, Mailbox, MailboxFull
from vcproxy.bus.mailbox.peer import Peer
from vcproxy.bus.mailbox.profile import PATIENT, README, WINK, Profile


def test_a_message_is_delivered_and_acknowledged() -> None:
    network = Network()
    alice, bob = network.host(1, WINK), network.host(2, WINK)
    alice.send(bob, "start echo/Echo :0")
    network.run(until=60)
    assert alice.sends == [(0.0, bytes(8) + b"start echo/Echo :0")]
    assert bob.sends == [(0.001, bytes(8) + b"ack")]
    assert bob.texts() == ["start echo/Echo :0"]
    assert alice.mailbox.flushed
    assert alice.mailbox.deadline is None
    assert alice.given_up == []


@pytest.mark.parametrize(
    ("profile", "times", "end"),
    [
        (WINK, [0, 2, 4, 6, 8], 10),
        (README, [0, 10, 20, 30], 40),
        (
            PATIENT,
            [0, 0.05, 0.15, 0.35, 0.75, 1.55, *(round(3.15 + 3.2 * n, 2) for n in range(14))],
            47.95,
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Profile) else "",
)
def test_the_times_of_each_profile(profile: Profile, times: list[float], end: float) -> None:
    network = Network()
    alice = network.host(1, profile)
    token = alice.send(("127.0.0.1", 2), "hello")
    network.run(until=end - 0.001)
    assert [time for time, _ in alice.sends] == times
    assert not alice.mailbox.flushed
    network.run(until=end)
    assert alice.given_up == [(("127.0.0.1", 2), b"hello", token)]
    network.run(until=1000)
    assert len(alice.sends) == len(times)
    assert alice.mailbox.flushed


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("profile", [WINK, README, PATIENT], ids=lambda profile: profile.name)
def test_once_and_in_order_or_the_sender_is_informed(profile: Profile, seed: int) -> None:
    faults = Faults(loss=0.3, duplicates=0.2, reordering=0.2, jitter_s=0.05)
    network = Network(seed, faults)
    alice, bob = network.host(1, profile), network.host(2, profile)
    for number in range(200):
        alice.send(bob, f"{number:03}")
        network.run(until=network.now + network.random.expovariate(2.0))
    network.run(until=network.now + 2 * profile.gives_up_s)
    texts = bob.texts()
    assert texts == sorted(set(texts))
    informed = {given_up.message.decode() for given_up in alice.given_up}
    assert set(texts) | informed == {f"{number:03}" for number in range(200)}
    assert len(texts) > 180
    assert alice.mailbox.flushed


# -- acknowledgements ------------------------------------------------------------------------


def number(count: int) -> bytes:
    return count.to_bytes(8, "little")


def test_an_acknowledgement_counts_by_address_port_and_number() -> None:
    mailbox = Mailbox(WINK)
    mailbox.send(("127.0.0.1", 2), b"hello", 0.0)
    for source in (("127.0.0.1", 3), ("127.0.0.2", 2)):
        mailbox.received(number(0) + b"ack", source, 0.1)
    mailbox.received(number(1) + b"ack", ("127.0.0.1", 2), 0.1)
    assert mailbox.pending == 1
    assert mailbox.drops == {"an acknowledgement that nothing waits for": 3}
    mailbox.received(number(0) + b"ack", ("127.0.0.1", 2), 0.1)
    assert mailbox.flushed


def test_messages_wait_until_the_first_one_is_acknowledged() -> None:
    mailbox, peer = Mailbox(WINK), ("127.0.0.1", 2)
    for text in (b"a", b"b", b"c"):
        mailbox.send(peer, text, 0.0)
    assert mailbox.take_outgoing() == [(number(0) + b"a", peer)]
    mailbox.received(number(1) + b"ack", peer, 0.1)  # spoofed: b was not sent yet
    assert mailbox.pending == 3
    mailbox.elapsed(2.0)
    assert mailbox.take_outgoing() == [(number(0) + b"a", peer)]
    mailbox.received(number(0) + b"ack", peer, 2.1)
    assert mailbox.take_outgoing() == [(number(1) + b"b", peer), (number(2) + b"c", peer)]


def test_the_fate_of_waiting_messages_is_decided_in_the_same_time() -> None:
    mailbox, peer = Mailbox(WINK), ("127.0.0.1", 2)
    for text in (b"a", b"b", b"c"):
        mailbox.send(peer, text, 0.0)
    for now in (2.0, 4.0, 6.0, 8.0, 10.0):
        assert mailbox.deadline == now
        assert mailbox.take_given_up() == []
        mailbox.elapsed(now)
    assert [given_up.message for given_up in mailbox.take_given_up()] == [b"a", b"b", b"c"]
    assert mailbox.flushed


def test_a_message_that_cannot_be_sent_is_refused_and_takes_no_number() -> None:
    mailbox, peer = Mailbox(WINK), ("127.0.0.1", 2)
    for message in (b"ack", b"ack\n", bytes(65_500)):
        with pytest.raises(ValueError, match="a message"):
            mailbox.send(peer, message, 0.0)
    assert mailbox.flushed
    mailbox.send(peer, bytes(65_499), 0.0)
    assert mailbox.take_outgoing() == [(bytes(65_507), peer)]


def test_numbers_wrap() -> None:
    network = Network(seed=3, faults=Faults(loss=0.2, reordering=0.3, jitter_s=0.05))
    alice, bob = network.host(1, PATIENT), network.host(2, PATIENT)
    alice.mailbox._first_number = NUMBERS - 50
    texts = [f"{count:03}" for count in range(200)]
    for text in texts:
        alice.send(bob, text)
    network.run(until=200)
    assert bob.texts() == texts
    assert alice.given_up == []


# -- peers -----------------------------------------------------------------------------------


def test_messages_wait_for_a_process_that_is_replaced() -> None:
    """The live upgrade of one machine: its neighbours do not notice."""
    network = Network()
    parent, child = network.host(1, PATIENT), network.host(2, PATIENT)
    parent.send(child, "to the old one")
    child.send(parent, "started a/A")
    child.send(parent, "pulsed a/A")
    network.run(until=1)
    del network.hosts[child.peer]
    for count in range(10):
        parent.send(child, f"message {count}")
        network.run(until=network.now + 1)
    child = network.host(2, PATIENT)
    child.send(parent, "started a/A")
    network.run(until=network.now + 0.1)
    assert child.texts() == [f"message {count}" for count in range(10)]
    assert parent.texts() == ["started a/A", "pulsed a/A", "started a/A"]
    assert parent.given_up == []


@pytest.mark.parametrize("away_s", [0.3, 1.0, 2.1, 2.5, 4.0, 4.15, 7.0])
def test_a_stream_waits_for_a_process_that_is_replaced(away_s: float) -> None:
    """No message is lost or overtaken between the old process and the new one, which begins with
    the first number that it receives."""
    network = Network()
    sender, machine = network.host(1, WINK), network.host(2, WINK)
    received: list[str] = []

    def send(seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            sender.send(machine, f"{len(sent)}")
            sent.append(f"{len(sent)}")
            network.run(until=network.now + 0.02)

    sent: list[str] = []
    send(1)
    received += machine.texts()
    del network.hosts[machine.peer]
    send(away_s)
    machine = network.host(2, WINK)
    send(3)
    network.run(until=network.now + 10)
    received += machine.texts()
    assert sender.given_up == []
    assert received == sent


def test_an_answer_is_no_longer_than_what_was_asked() -> None:
    """By an address that may be forged: one of another host that has acknowledged nothing."""
    mailbox, stranger = Mailbox(WINK), ("10.0.0.7", 5000)
    mailbox.received(number(0) + b"on", stranger, 0.0)
    assert mailbox.take_outgoing() == []
    mailbox.received(number(1) + b"off", stranger, 0.0)
    assert mailbox.take_outgoing() == [(number(1) + b"ack", stranger)]
    assert not mailbox.has_acknowledged(stranger)
    mailbox.send(stranger, b"hello", 0.0)
    mailbox.take_outgoing()
    mailbox.received(number(0) + b"ack", stranger, 0.1)
    assert mailbox.has_acknowledged(stranger)
    mailbox.received(number(0) + b"on", stranger, 0.2)
    assert [message for _, message in mailbox.take_delivered()] == [b"on", b"off"]


def test_short_messages_of_this_host_are_acknowledged() -> None:
    mailbox = Mailbox(WINK)
    mailbox.received(number(0), ("127.0.0.3", 5000), 0.0)
    assert mailbox.take_outgoing() == [(number(0) + b"ack", ("127.0.0.3", 5000))]
    assert mailbox.take_delivered() == [(("127.0.0.3", 5000), b"")]


def test_a_flood_from_unknown_peers_is_bounded_and_harms_no_pending_message() -> None:
    mailbox, friend = Mailbox(WINK), ("127.0.0.1", 2)
    mailbox.send(friend, b"hello", 0.0)
    for count in range(3 * PEERS):
        stranger = (f"10.{count >> 16}.{count >> 8 & 255}.{count & 255}", 5000)
        mailbox.received(number(7) + b"flood", stranger, 0.0)
    assert len(mailbox._correspondents) == PEERS
    asked = len(number(7) + b"flood")
    assert all(len(datagram) <= asked for datagram, _ in mailbox.take_outgoing())
    mailbox.received(number(0) + b"ack", friend, 0.1)
    assert mailbox.flushed


def test_a_flood_of_numbers_ahead_is_bounded() -> None:
    mailbox = Mailbox(WINK)
    for count in range(2000):
        stranger = ("10.0.0.7", 1 + count % 5)
        mailbox.received(number(2 * count) + bytes(60_000), stranger, 0.0)
    assert mailbox.held * 60_000 <= HELD_BYTES
    mailbox.take_outgoing(), mailbox.take_delivered()
    while mailbox.deadline is not None:
        mailbox.elapsed(mailbox.deadline)
    assert mailbox.held == 0
    assert mailbox._room.left == HELD_BYTES


def test_no_more_peers_than_the_limit_have_pending_messages() -> None:
    mailbox = Mailbox(WINK)
    for count in range(PEERS):
        mailbox.send(("10.0.0.7", count), b"hello", 0.0)
    with pytest.raises(MailboxFull, match="messages to 4096 peers are not acknowledged"):
        mailbox.send(("10.0.0.8", 1), b"hello", 0.0)
    mailbox.received(number(0) + b"hello", ("10.0.0.8", 1), 0.0)
    assert mailbox.take_delivered() == []
    assert mailbox.drops == {"messages to 4096 peers are not acknowledged": 1}


def test_a_peer_that_was_forgotten_is_not_sent_old_numbers_again() -> None:
    mailbox, friend = Mailbox(WINK), ("127.0.0.1", 2)
    for count in range(5):
        mailbox.send(friend, b"hello", 0.0)
        mailbox.received(number(count) + b"ack", friend, 0.0)
    for count in range(PEERS):
        mailbox.received(number(0) + b"flood", ("10.0.0.7", count), 0.0)
    mailbox.take_outgoing()
    mailbox.send(friend, b"hello", 1.0)
    assert mailbox.take_outgoing() == [(number(5) + b"hello", friend)]


def test_replayed_datagrams_are_not_delivered_again() -> None:
    """After more than a minute, number 0 would be that of a new process: see Inbound."""
    network = Network()
    alice, bob = network.host(1, WINK), network.host(2, WINK)
    for count in range(20):
        alice.send(bob, f"message {count}")
        network.run(until=network.now + 1)
    for wait in (0.0, 5.0, 20.0):
        network.run(until=network.now + wait)
        for _, datagram in list(alice.sends):
            network.carry(datagram, alice.peer, bob.peer)
    network.run(until=network.now + 100)
    assert bob.texts() == [f"message {count}" for count in range(20)]


# -- other rules -----------------------------------------------------------------------------


def test_a_stopped_process_loses_no_sends() -> None:
    """Time for which the process did not run is not counted, or nothing would be sent again."""
    mailbox, peer = Mailbox(WINK), ("127.0.0.1", 2)
    mailbox.send(peer, b"hello", 0.0)
    times, now = [0.0], 100.0  # instead of 2.0
    mailbox.take_outgoing()
    while not mailbox.take_given_up():
        mailbox.elapsed(now)
        times += [now] * len(mailbox.take_outgoing())
        assert mailbox.deadline is not None or mailbox.flushed
        now = mailbox.deadline or now
    assert times == [0, 100, 102, 104, 106]
    assert now == 108


def test_legacy_messages_are_sent_once_and_nothing_is_remembered() -> None:
    mailbox, peer = Mailbox(WINK, LEGACY), ("127.0.0.1", 2)
    mailbox.send(peer, b"pulsed", 0.0)
    assert mailbox.take_outgoing() == [(b"pulsed\0", peer)]
    assert mailbox.flushed
    assert mailbox.deadline is None
    for _ in range(2):
        mailbox.received(b"ack\0", peer, 0.0)
    assert mailbox.take_delivered() == [(peer, b"ack")] * 2
    assert mailbox.take_outgoing() == []
    assert mailbox._correspondents == {}


@pytest.mark.parametrize("datagram", [b"", b"1234567", b"\n", b"\0\0\0", b"ack", b"\xff" * 7])
def test_malformed_datagrams_have_no_answer(datagram: bytes) -> None:
    reasons: list[str] = []
    mailbox = Mailbox(WINK, malformed=reasons.append)
    mailbox.received(datagram, ("127.0.0.1", 2), 0.0)
    assert reasons == [f"it is malformed: {len(datagram)} bytes, and the number alone has 8"]
    assert mailbox.drops == {"malformed": 1}
    assert mailbox.take_outgoing() == []
    assert mailbox.take_delivered() == []
    assert mailbox._correspondents == {}


def test_a_round_trip_takes_few_calls() -> None:
    """A message, its acknowledgement, an answer and its acknowledgement. A figure above the ceiling
    is a regression: see docs/bench."""
    alice, bob = ("127.0.0.1", 1), ("127.0.0.1", 2)
    mailboxes = {alice: Mailbox(WINK), bob: Mailbox(WINK)}

    def settle(peer: Peer) -> None:
        for datagram, to in mailboxes[peer].take_outgoing():
            mailboxes[to].received(datagram, peer, 0.0)

    def trip() -> None:
        mailboxes[alice].send(bob, b"hello", 0.0)
        settle(alice)
        for source, message in mailboxes[bob].take_delivered():
            mailboxes[bob].send(source, message, 0.0)
        settle(bob)
        assert mailboxes[alice].take_delivered() == [(bob, b"hello")]
        settle(alice)

    for _ in range(3):
        trip()
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and "vcproxy" in frame.f_code.co_filename

    sys.setprofile(count)
    trip()
    sys.setprofile(None)
    assert 0 < calls <= 25
