"""Mailboxes on a network that loses, duplicates and reorders: nothing accepted is lost unnoticed.

Each message is delivered once and in order, or its sender is informed. Virtual time; a seed repeats
a run.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bus.mailbox.network import STATED, Faults, Host, Network, pour
from vcproxy.bus.mailbox.correspondent import Pending
from vcproxy.bus.mailbox.inbound import HELD_BYTES
from vcproxy.bus.mailbox.mailbox import Mailbox
from vcproxy.bus.mailbox.profile import PATIENT, README, WINK, Profile

PROFILES = [WINK, README, PATIENT]


def check(sender: Host, receiver: Host, sent: list[str]) -> None:
    """Fail unless each text was delivered once and in order, or is known to be given up."""
    texts = receiver.texts(sender)
    order = {text: place for place, text in enumerate(sent)}
    places = [order[text] for text in texts]
    assert places == sorted(set(places)), "delivered twice, or in another order"
    informed = {g.message.decode() for g in sender.given_up if g.to == receiver.peer}
    assert set(texts) | informed == set(sent), "lost, and the sender is not informed"


def settle(network: Network, profile: Profile) -> None:
    network.run(until=network.now + 3 * profile.gives_up_s)
    for host in network.hosts.values():
        assert host.mailbox.flushed
        assert host.mailbox.held == 0
        assert host.mailbox.deadline is None


def test_patient_delivers_20_000_messages_once_and_in_order() -> None:
    network = Network(seed=14, faults=replace(STATED))
    alice, bob = network.host(1, PATIENT), network.host(2, PATIENT)
    messages = [f"message {number}" for number in range(20_000)]
    peak = pour(alice, bob, messages)
    assert bob.texts() == messages
    assert alice.given_up == []
    assert peak.pending <= PATIENT.window
    assert peak.held < PATIENT.window
    settle(network, PATIENT)


@pytest.mark.parametrize("profile", [WINK, README], ids=lambda profile: profile.name)
def test_wink_and_readme_deliver_once_or_inform_the_sender(profile: Profile) -> None:
    network = Network(seed=14, faults=replace(STATED))
    alice, bob = network.host(1, profile), network.host(2, profile)
    messages = [f"message {number}" for number in range(20_000)]
    pour(alice, bob, messages)
    settle(network, profile)
    check(alice, bob, messages)
    assert len(bob.delivered) > 19_000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    profiles=st.tuples(*[st.sampled_from(PROFILES)] * 3),
    seed=st.integers(0, 2**32),
    faults=st.builds(
        Faults,
        loss=st.floats(0, 0.9),
        duplicates=st.floats(0, 0.5),
        reordering=st.floats(0, 0.5),
        latency_s=st.floats(0, 0.05),
        jitter_s=st.floats(0, 0.2),
    ),
    pauses=st.lists(st.sampled_from([0.0, 0.001, 0.05, 0.5, 5.0]), min_size=1, max_size=8),
)
def test_three_hosts_on_any_network(
    profiles: tuple[Profile, ...], seed: int, faults: Faults, pauses: list[float]
) -> None:
    network = Network(seed, faults)
    hosts = [network.host(port, profile) for port, profile in enumerate(profiles, 1)]
    pairs = [(a, b) for a in hosts for b in hosts]
    sent: dict[tuple[int, int], list[str]] = {(a.peer[1], b.peer[1]): [] for a, b in pairs}
    for number in range(120):
        sender, receiver = network.random.choice(pairs)
        text = f"{number} of {sender.peer[1]}"
        sender.send(receiver, text)
        sent[sender.peer[1], receiver.peer[1]].append(text)
        network.run(until=network.now + network.random.choice(pauses))
    settle(network, PATIENT)
    for sender, receiver in pairs:
        check(sender, receiver, sent[sender.peer[1], receiver.peer[1]])


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_after_a_long_partition_the_numbers_are_joined_again(profile: Profile) -> None:
    network = Network(seed=1)
    alice, bob = network.host(1, profile), network.host(2, profile)
    messages = [f"message {number}" for number in range(profile.window + 500)]
    alice.send(bob, messages[0])
    network.run(until=1)
    network.faults.loss = 1.0
    for message in messages[1:-10]:
        alice.send(bob, message)
        network.run(until=network.now + 1)
    network.run(until=network.now + 2 * profile.gives_up_s)
    network.faults.loss = 0.0
    for message in messages[-10:]:
        alice.send(bob, message)
        network.run(until=network.now + 1)
    settle(network, profile)
    check(alice, bob, messages)
    assert bob.texts() == [messages[0], *messages[-10:]]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_peer_that_starts_again_on_its_port(profile: Profile, seed: int) -> None:
    """What a killed process had received is its own; what it had not is sent to the next one.

    A new process starts after what the old one has sent has left the network.
    """
    print(f"seed {seed}")
    network = Network(seed, Faults(loss=0.2, duplicates=0.1, reordering=0.2, jitter_s=0.05))
    random = network.random
    parent = network.host(1, profile)
    to_child: list[str] = []
    lives: list[tuple[Host, list[str]]] = []
    for life in range(5):
        child = network.host(2, profile)
        said = ["started a/A"]
        child.send(parent, "started a/A")
        lives.append((child, said))
        for number in range(random.randrange(40)):
            if random.random() < 0.5:
                said.append(f"{number} of life {life}")
                child.send(parent, said[-1])
            else:
                to_child.append(f"{number} to life {life}")
                parent.send(child, to_child[-1])
            network.run(until=network.now + random.choice([0.0, 0.01, 0.3, 3.0]))
        if life < 4:
            del network.hosts[child.peer]
            network.run(until=network.now + random.choice([0.3, 1.0, 5.0]))
    settle(network, profile)

    texts = parent.texts()
    for child, said in lives:
        own = [text for text in texts if text in said and text != "started a/A"]
        assert own == [text for text in said if text in own], "twice, or in another order"
        delivered = child.texts()
        order = [to_child.index(text) for text in delivered]
        assert order == sorted(set(order)), "one process got a message twice, or in another order"
    last, said = lives[-1]
    informed = {given_up.message.decode() for given_up in last.given_up}
    assert set(said) <= {*texts, *informed}, "lost, and the sender is not informed"
    held = {
        message.decode()
        for child, _ in lives
        if (known := child.mailbox._correspondents.get(parent.peer)) and known.inbound
        for message, _ in known.inbound._held.values()
    }
    received = {text for child, _ in lives for text in child.texts()}
    informed = {given_up.message.decode() for given_up in parent.given_up}
    assert set(to_child) == received | held | informed, "lost, and the parent is not informed"
    # A process of which nothing else was received cannot be told from the next one.
    alone = sum(1 for _, said in lives[:-1] if not set(said[1:]) & set(texts))
    unacknowledged = sum(1 for child, _ in lives if 0 in pending(child, parent))
    given_up = sum(1 for child, _ in lives for given_up in child.given_up if given_up.token == 1)
    least = len(lives) - unacknowledged - given_up - alone
    assert least <= texts.count("started a/A") <= len(lives)


def pending(sender: Host, receiver: Host) -> dict[int, Pending]:
    return sender.mailbox._correspondents[receiver.peer].pending


NUMBERS_NEAR = st.one_of(
    st.integers(0, 12),
    st.sampled_from([1023, 1024, 1025, 5000, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]),
)
TEXTS = st.sampled_from(
    [b"", b"ack", b"ack\n", b"on", b"started a/A", b"register a/A 7", b"x" * 60]
)
STEPS = st.one_of(
    st.tuples(st.just("arrive"), st.integers(1, 3), NUMBERS_NEAR, TEXTS),
    st.tuples(st.just("raw"), st.integers(1, 3), st.binary(max_size=20)),
    st.tuples(st.just("send"), st.integers(1, 3)),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.01, 0.5, 1.5, 12.0, 70.0])),
    st.tuples(st.just("forget"), st.integers(1, 3)),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PROFILES), st.lists(STEPS, max_size=60))
def test_whatever_arrives_all_comes_to_rest(
    profile: Profile, script: list[tuple[object, ...]]
) -> None:
    """Any datagrams, forged ones too: no failure, nothing is stored for ever, each message that was
    sent is acknowledged or given up, and a number is never acknowledged and held without end."""
    mailbox, now = Mailbox(profile), 0.0
    sent, given_up, acknowledged = 0, 0, 0

    def rest(until: float) -> float:
        while mailbox.deadline is not None and mailbox.deadline <= until:
            due = mailbox.deadline
            mailbox.elapsed(due)
            assert mailbox.deadline is None or mailbox.deadline > due
        return until

    for what, *details in script:
        match what, details:
            case "arrive", [int(port), int(count), bytes(text)]:
                before = mailbox.pending
                mailbox.received(count.to_bytes(8, "little") + text, ("127.0.0.1", port), now)
                acknowledged += before - mailbox.pending
            case "raw", [int(port), bytes(datagram)]:
                before = mailbox.pending
                mailbox.received(datagram, ("127.0.0.1", port), now)
                acknowledged += before - mailbox.pending
            case "send", [int(port)]:
                mailbox.send(("127.0.0.1", port), b"message %d" % sent, now)
                sent += 1
            case "pass", [float(seconds)]:
                now = rest(now + seconds)
            case "forget", [int(port)]:
                mailbox.forget(("127.0.0.1", port))
        given_up += len(mailbox.take_given_up())
        assert sent == given_up + acknowledged + mailbox.pending
    rest(now + 10 * profile.gives_up_s)
    assert mailbox.deadline is None
    assert mailbox.flushed
    assert mailbox.held == 0
    assert sent == given_up + len(mailbox.take_given_up()) + acknowledged
    assert mailbox._room.left == HELD_BYTES
