"""The mailbox: each accepted message is delivered once and in order, or its sender is informed."""

from __future__ import annotations

import pytest

from tests.bus.network import Faults, Network
from vcproxy.bus.profile import PATIENT, README, WINK, Profile


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
