"""Shares: a connection has some messages of a turn of the engine, all others have theirs before the
rest; nothing is lost by that, nor overtaken by an end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.sessions.world import World, silent
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.machine.state import State
from vcproxy.messages.reply_splitter import Part
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
SAID = b"".join(b"%d\n" % number for number in range(MANY))

done: Counter[tuple[int, str]] = Counter()
"""How many messages were looked at, by the engine's turn and whose they were."""


@pytest.fixture(autouse=True)
def none_yet() -> Iterator[None]:
    done.clear()
    yield
    done.clear()


def look(engine: Engine, who: str) -> None:
    """A message is looked at."""
    done[engine.turns, who] += 1


class Judge(Validator):
    def check(self, message: bytes) -> Verdict:
        look(self.engine, self.name)
        return Accept() if self.service.options else Resend(message + b"\n")


class Keys(Splitter):
    def key(self, request: bytes) -> Reject | Resend:
        look(self.engine, self.name)
        return Resend(request + b"\n")


class Hears(Session):
    TALKING = State(initial=True)
    DONE = State(final=True)
    TALKING.goes("never", DONE)

    needs_upstream = False

    @TALKING.on(Message)
    def repeat(self, message: Message) -> None:
        look(self.engine, self.name)
        self.answer(message.data + b"\n")


@pytest.mark.parametrize("plugin", [Judge, Keys, Hears])
def test_messages_of_clients(plugin: type[Session]) -> None:
    with Simulation(1) as sim:
        world = World(sim, plugin, silent)
        crowd = [world.client(SAID) for _ in range(3)]
        for client in crowd:
            client.end()
        sim.run(until=lambda: all(client.ended for client in crowd))
        assert [bytes(client.received) for client in crowd] == [SAID] * 3
        events = 2 if plugin is Hears else 1  # it is told of what came, and of room for answers
        assert max(done.values()) <= events * TURN_LIMIT
        assert sum(done.values()) == 3 * MANY
        for client in crowd:
            client.close()
        world.settle()


def test_accepted_messages_go_on_and_then_the_end() -> None:
    with Simulation(1) as sim:
        world = World(sim, Judge, silent, options=True)
        client = world.client(SAID)
        client.end()
        sim.run(until=lambda: world.at_server == SAID and client.ended)
        assert max(done.values()) <= TURN_LIMIT


class Parts(Splitter):
    window = MANY

    @classmethod
    def split(cls, reply: bytes, options: Engine) -> Iterator[Part]:
        look(options, "server")
        yield Part(None, reply)


def test_replies_of_a_server() -> None:
    def repeat(peer: Peer, data: bytes) -> None:
        peer.send(data)

    with Simulation(1) as sim:
        world = World(sim, Parts, repeat)
        world.service.options = world.engine
        client = world.client(SAID)
        sim.run(until=lambda: client.received == SAID)
        assert max(done.values()) <= TURN_LIMIT
        assert sum(done.values()) == MANY


class Edited(Relay):
    def edit(self, message: bytes) -> bytes:
        look(self.engine, "producer")
        return message


def test_messages_of_producers() -> None:
    options = RelayOptions(subscribers=(Address("tcp", "here", 1),), framing="lines")
    with SimulatedProxy(Edited, (), options=options) as proxy:
        proxy.elapse(0.1)
        subscriber = proxy.client("subscribers")
        proxy.elapse(0.1)
        producer = proxy.client()
        producer.send(SAID)
        producer.end()
        proxy.elapse(5)
        assert bytes(subscriber.received) == SAID
        assert max(done.values()) <= 4 * BATCH
