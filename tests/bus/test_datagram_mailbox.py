"""A mailbox on an engine, with hand-fed datagrams."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.engine.world import EventRecorder, World
from vcproxy.bus.datagram_mailbox import DatagramMailbox
from vcproxy.bus.letter import Letter
from vcproxy.bus.peer import Peer
from vcproxy.engine.commands import OpenSource, SendDatagram
from vcproxy.engine.datagrams import Arrived, BindFailed, Bound

OWN, PEER, GROUP = ("127.0.0.1", 4000), ("127.0.0.1", 5000), ("239.1.2.3", 6000)


class Bench:
    """A mailbox, its owner, and what it has sent."""

    def __init__(self, allows: Callable[[Peer], bool] | None = None) -> None:
        self.world = World()
        self.owner = EventRecorder(self.world.engine)
        with self.owner.mutex.hold(self.world.engine):
            self.mailbox = DatagramMailbox(
                self.owner, ("127.0.0.1", 0), groups=(GROUP,), allows=allows
            )
        self.world.settle()
        (opened,) = self.world.commands
        assert isinstance(opened, OpenSource)
        self.source = opened.source
        self.happened(Bound("", OWN))
        self.sent()

    def happened(self, event: object) -> None:
        self.world.engine.happened(self.source, event)
        self.world.settle()

    def arrives(self, data: bytes, source: Peer = PEER, group: str = "") -> None:
        self.happened(Arrived("", data, source, group))

    def send(self, to: Peer, text: str) -> int:
        with self.owner.mutex.hold(self.world.engine):
            token = self.mailbox.send(to, text)
        self.world.settle()
        return token

    def sent(self) -> list[tuple[bytes, Peer]]:
        """Return and remove the datagrams sent."""
        commands = self.world.commands
        sent = [(c.data, c.to) for c in commands if isinstance(c, SendDatagram)]
        commands.clear()
        return sent


@pytest.fixture
def bench() -> Bench:
    return Bench()


def number(count: int) -> bytes:
    return count.to_bytes(8, "little")


def test_the_outcome_of_binding_is_passed_on(bench: Bench) -> None:
    assert bench.owner.data == [Bound("", OWN)]
    assert bench.mailbox.address == OWN
    bench.happened(BindFailed("", "the address is in use"))
    assert bench.owner.data[1:] == [BindFailed("", "the address is in use")]


def test_a_letter_is_acknowledged_and_answered(bench: Bench) -> None:
    bench.owner.on[Letter] = lambda: bench.mailbox.send(PEER, "you too")
    bench.arrives(number(0) + b"hello world\n")
    assert bench.owner.data[1:] == [Letter(PEER, "hello world", OWN)]
    assert bench.sent() == [(number(0) + b"ack", PEER), (number(0) + b"you too", PEER)]


def test_a_sender_that_is_not_allowed_gets_no_answer() -> None:
    bench = Bench(allows=lambda sender: sender == PEER)
    stranger = ("10.0.0.7", 5000)

    bench.arrives(number(0) + b"stop 5000", stranger)
    bench.arrives(b"raw", stranger, group=GROUP[0])
    assert bench.sent() == []

    bench.arrives(number(0) + b"list")
    assert bench.sent() == [(number(0) + b"ack", PEER)]
    assert [event for event in bench.owner.data if isinstance(event, Letter)] == [
        Letter(PEER, "list", OWN)
    ]
