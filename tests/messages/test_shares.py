"""Shares: in one turn an engine processes a limited number of messages of each connection, so that
other connections get their share. No message is lost, and the end comes after the last one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.sessions.world import World, silent
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.machine.state import State
from vcproxy.messages.split_rules import Part
from vcproxy.messages.splitter import Splitter
from vcproxy.messages.validator import Validator
from vcproxy.messages.verdict import Accept, Reject, Resend, Verdict
from vcproxy.relay.options import RelayOptions
from vcproxy.relay.producer import BATCH
from vcproxy.relay.relay import Relay
from vcproxy.sessions.message_reader import Message
from vcproxy.sessions.session import Session
from vcproxy.sessions.streams import TURN_LIMIT
from vcproxy.testing.proxy import SimulatedProxy

MANY = 10_000
SENT = b"".join(b"%d\n" % number for number in range(MANY))

done: Counter[tuple[int, str]] = Counter()
"""How many messages were processed, by the engine's turn and the connection."""


@pytest.fixture(autouse=True)
def reset_counts() -> Iterator[None]:
    done.clear()
    yield
    done.clear()


def processed(engine: Engine, connection: str) -> None:
    """Count a message."""
    done[engine.turns, connection] += 1


class Checking(Validator):
    def check(self, message: bytes) -> Verdict:
        processed(self.engine, self.name)
        return Accept() if self.service.options else Resend(message + b"\n")


class Keyed(Splitter):
    def key(self, request: bytes) -> Reject | Resend:
        processed(self.engine, self.name)
        return Resend(request + b"\n")


class Reading(Session):
    TALKING = State(initial=True)
    DONE = State(final=True)
    TALKING.goes("never", DONE)

    needs_upstream = False

    @TALKING.on(Message)
    def repeat(self, message: Message) -> None:
        processed(self.engine, self.name)
        self.answer(message.data + b"\n")


@pytest.mark.parametrize("plugin", [Checking, Keyed, Reading])
def test_messages_of_clients(plugin: type[Session]) -> None:
    with Simulation(1) as sim:
        world = World(sim, plugin, silent)
        clients = [world.client(SENT) for _ in range(3)]
        for client in clients:
            client.end()
        sim.run(until=lambda: all(client.ended for client in clients))
        assert [bytes(client.received) for client in clients] == [SENT] * 3
        # Reading gets READ_READY, and WRITE_READY for answers
        events = 2 if plugin is Reading else 1
        assert max(done.values()) <= events * TURN_LIMIT
        assert sum(done.values()) == 3 * MANY
        for client in clients:
            client.close()
        world.settle()


def test_accepted_messages_are_forwarded_and_then_the_end() -> None:
    with Simulation(1) as sim:
        world = World(sim, Checking, silent, options=True)
        client = world.client(SENT)
        client.end()
        sim.run(until=lambda: world.at_server == SENT and client.ended)
        assert max(done.values()) <= TURN_LIMIT


class Parts(Splitter):
    window = MANY

    @classmethod
    def split(cls, reply: bytes, options: Engine) -> Iterator[Part]:
        processed(options, "server")
        yield Part(None, reply)


def test_replies_take_a_bounded_share_of_a_turn() -> None:
    def repeat(peer: Peer, data: bytes) -> None:
        peer.send(data)

    with Simulation(1) as sim:
        world = World(sim, Parts, repeat)
        world.service.options = world.engine
        client = world.client(SENT)
        sim.run(until=lambda: client.received == SENT)
        assert max(done.values()) <= TURN_LIMIT
        assert sum(done.values()) == MANY


class Edited(Relay):
    def edit(self, message: bytes) -> bytes:
        processed(self.engine, "producer")
        return message


def test_messages_of_producers() -> None:
    options = RelayOptions(subscribers=(Address("tcp", "here", 1),), framing="lines")
    with SimulatedProxy(Edited, (), options=options) as proxy:
        proxy.elapse(0.1)
        subscriber = proxy.client("subscribers")
        proxy.elapse(0.1)
        producer = proxy.client()
        producer.send(SENT)
        producer.end()
        proxy.elapse(5)
        assert bytes(subscriber.received) == SENT
        assert max(done.values()) <= 4 * BATCH
