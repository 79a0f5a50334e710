"""Messages of the bus to sessions and a program, under random faults and interleavings.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

import re
from random import Random

import pytest

from vcproxy.api import BusMessage, Message, ReceivedMessage, Session, State, on_message
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.testing import SimulatedProxy

SEEDS = list(seeds(100))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]


class News(Session):
    """Passes on what it is sent, until its client says so."""

    READING = State(initial=True)
    DONE = State(final=True)

    @READING.on(Message, to=DONE)
    def leaves(self, message: Message) -> None: ...

    @on_message("NEWS<number>")
    def news(self, received: ReceivedMessage) -> None:
        self.answer(f"{received.captured['number']}\n".encode())
        received.reply("SENT", number=received.captured["number"])


def check(seed: int) -> None:
    """Each session gets each message that is sent while it is open, once and in order; so does its
    client what the session answers, and the sender the replies."""
    random = Random(seed)
    with SimulatedProxy(News, seed=seed, faults=NetworkFaults.all()) as proxy:
        clients: list[Peer] = []
        replies: list[list[BusMessage]] = []
        for _ in range(random.randint(5, 40)):
            action = random.random()
            if action < 0.2 and len(clients) < 10:
                clients.append(proxy.client())
            elif action < 0.3 and clients:
                random.choice(clients).send(b"enough\n")
            elif action < 0.5:
                proxy.elapse(random.uniform(0, 0.5))
            else:
                replies.append(proxy.bus.send(f"NEWS{len(replies) + 1}"))
        proxy.elapse(60)
        got = [[int(n) for n in re.findall(r"'NEWS(\d+)'", shown(each))] for each in proxy.sessions]
        for numbers in (*got, *(complete_lines(client) for client in clients)):
            assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True
        for number, those in enumerate(replies, 1):
            assert [each.to_text() for each in those] == [f"SENT number={number}"] * sum(
                numbers.count(number) for numbers in got
            )


def shown(session: Session) -> str:
    """The history of a session."""
    return " ".join(map(str, session.history()))


def complete_lines(client: Peer) -> list[int]:
    """The numbers that a client has received, without a line that was cut by a reset."""
    return [int(line) for line in client.received.splitlines(keepends=True) if line[-1:] == b"\n"]


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}...")
def test_messages(batch: list[int]) -> None:
    for seed in batch:
        check(seed)
