"""A mailbox on an engine, with hand-fed datagrams."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.engine.world import EventRecorder, World
from vcproxy.bus.mailbox.datagram_mailbox import DatagramMailbox, Flushed
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.mailbox import GivenUp, MailboxFull
from vcproxy.bus.mailbox.peer import Peer
from vcproxy.engine.commands import CloseSource, OpenSource, SendDatagram
from vcproxy.engine.sources.datagrams import Arrived, BindFailed, Bound

OWN, PEER, GROUP = ("127.0.0.1", 4000), ("127.0.0.1", 5000), ("239.1.2.3", 6000)


class Bench:
    """A mailbox, its owner, and what it has sent."""

    def __init__(
        self, allows: Callable[[Peer], bool] | None = None, *, direct: bool = True
    ) -> None:
        self.world = World()
        self.world.engine.direct = direct
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


@pytest.fixture(params=[True, False], ids=["direct", "queued"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(direct=request.param)


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


def test_other_bytes_than_utf8_pass_through(bench: Bench) -> None:
    bench.arrives(number(0) + b"\xff\xfe")
    letter = bench.owner.data[-1]
    assert isinstance(letter, Letter)
    bench.sent()
    bench.send(PEER, letter.text)
    assert bench.sent() == [(number(0) + b"\xff\xfe", PEER)]


def test_it_is_sent_again_until_it_is_given_up(bench: Bench) -> None:
    token = bench.send(PEER, "hello")
    times = []
    for _ in range(24):
        times += [bench.world.now] * len(bench.sent())
        bench.world.settle(0.5)
    assert times == [0, 2, 4, 6, 8]
    (given_up,) = bench.owner.data[1:]
    assert given_up == GivenUp(PEER, b"hello", token)
    assert isinstance(given_up, GivenUp)
    assert (given_up.text, given_up.name) == ("hello", "127.0.0.1:5000")
    assert bench.world.engine.next_deadline() is None


def test_an_acknowledged_message_causes_one_more_turn_at_most(bench: Bench) -> None:
    for count in range(100):
        bench.send(PEER, "hello")
        bench.arrives(number(count) + b"ack")
    assert len(bench.world.engine.timers) == 1
    bench.world.settle(2.0)
    assert len(bench.sent()) == 100
    assert bench.world.engine.next_deadline() is None


def test_a_full_mailbox_refuses(bench: Bench) -> None:
    for _ in range(1024):
        bench.send(PEER, "hello")
    with pytest.raises(MailboxFull, match="1024 messages to"):
        bench.send(PEER, "hello")
    assert len(bench.sent()) == 1  # the others wait until the peer has acknowledged the first one
    bench.arrives(number(0) + b"ack")
    assert len(bench.sent()) == 1023
    bench.send(PEER, "hello")


def test_to_a_group_the_text_is_sent_alone(bench: Bench) -> None:
    assert bench.send(GROUP, "news") == 0
    assert bench.sent() == [(b"news", GROUP)]
    bench.world.settle(60)
    assert bench.sent() == []


def test_what_arrives_for_a_group_is_not_acknowledged(bench: Bench) -> None:
    bench.arrives(b"news\n", PEER, GROUP[0])
    assert bench.owner.data[1:] == [Letter(PEER, "news", GROUP)]
    assert bench.sent() == []


def test_flushed_when_all_is_acknowledged(bench: Bench) -> None:
    bench.send(PEER, "exited a/A")
    with bench.owner.mutex.hold(bench.world.engine):
        bench.mailbox.flush()
    bench.world.settle()
    assert Flushed not in bench.owner.events
    bench.arrives(number(0) + b"ack")
    assert bench.owner.data[1:] == [Flushed("127.0.0.1:0")]
    bench.world.settle(60)
    assert bench.owner.events == [Bound, Flushed]


def test_flushed_at_once_when_nothing_is_pending(bench: Bench) -> None:
    with bench.owner.mutex.hold(bench.world.engine):
        bench.mailbox.flush()
        assert bench.owner.events == [Bound]
    bench.world.settle()
    assert bench.owner.events == [Bound, Flushed]


def test_nothing_happens_after_close(bench: Bench) -> None:
    bench.send(PEER, "hello")
    bench.sent()
    with bench.owner.mutex.hold(bench.world.engine):
        bench.mailbox.close()
        bench.mailbox.send(PEER, "hello")
        bench.mailbox.flush()
    bench.arrives(number(0) + b"hello")
    assert bench.world.commands == [CloseSource(bench.source)]
    bench.world.settle(60)
    assert bench.owner.events == [Bound]
    assert bench.sent() == []
    assert bench.world.engine.next_deadline() is None


def test_the_owner_may_close_it_while_letters_are_delivered(bench: Bench) -> None:
    bench.arrives(number(0) + b"a")
    bench.arrives(number(2) + b"c")
    bench.owner.on[Letter] = bench.mailbox.close
    bench.arrives(number(1) + b"b")
    assert [letter.text for letter in bench.owner.data[1:] if isinstance(letter, Letter)] == [
        "a",
        "b",
    ]


def test_malformed_datagrams_are_logged_once_a_second(bench: Bench) -> None:
    for _ in range(100):
        bench.arrives(b"GET / ")
    assert bench.world.log == [
        "warning: 127.0.0.1:0: a datagram was dropped: it is malformed: 6 bytes, and the number "
        "alone has 8"
    ]
    assert bench.sent() == []
    bench.world.settle(1.0)
    bench.arrives(b"GET / ")
    assert "100 datagrams were dropped" in bench.world.log[1]


def test_a_peer_is_forgotten_when_its_process_has_ended(bench: Bench) -> None:
    bench.arrives(number(0) + b"started a/A")
    with bench.owner.mutex.hold(bench.world.engine):
        bench.mailbox.forget(PEER)
    bench.arrives(number(0) + b"started a/A")
    texts = [letter.text for letter in bench.owner.data if isinstance(letter, Letter)]
    assert texts == ["started a/A", "started a/A"]


def test_the_owners_failure_is_logged_with_its_name(bench: Bench) -> None:
    bench.owner.on[Letter] = lambda: 1 // 0
    bench.arrives(number(0) + b"hello")
    assert bench.world.log == [
        "error: DatagramMailbox <DatagramMailbox 127.0.0.1:0 of <EventRecorder>> failed; "
        "its conversation is closed (integer division or modulo by zero)"
    ]
    assert bench.world.commands[-1] == CloseSource(bench.source)


def test_when_it_refuses_it_repeats_acknowledgements_and_gives_no_new_ones(bench: Bench) -> None:
    bench.arrives(bytes(8) + b"zero")
    bench.arrives(bytes([1, *bytes(7)]) + b"one")
    bench.sent()
    with bench.owner.mutex.hold(bench.world.engine):
        bench.mailbox.refuse()
    bench.arrives(bytes([1, *bytes(7)]) + b"one")
    bench.arrives(bytes(8) + b"zero")
    assert bench.sent() == [(bytes([1, *bytes(7)]) + b"ack", PEER), (bytes(8) + b"ack", PEER)]
    bench.arrives(bytes([2, *bytes(7)]) + b"two")
    bench.arrives(bytes(8) + b"another zero")
    bench.arrives(bytes(8) + b"zero", ("127.0.0.1", 5001))
    assert bench.sent() == []
    letters = [event for event in bench.owner.data if isinstance(event, Letter)]
    assert [letter.text for letter in letters] == ["zero", "one"]


def test_what_is_held_was_acknowledged_so_it_is_delivered_when_it_refuses(bench: Bench) -> None:
    bench.arrives(bytes(8) + b"zero")
    bench.arrives(bytes([3, *bytes(7)]) + b"three")
    bench.arrives(bytes([2, *bytes(7)]) + b"two")
    assert len(bench.sent()) == 3
    with bench.owner.mutex.hold(bench.world.engine):
        bench.mailbox.refuse()
    bench.world.settle()
    letters = [event for event in bench.owner.data if isinstance(event, Letter)]
    assert [letter.text for letter in letters] == ["zero", "two", "three"]
