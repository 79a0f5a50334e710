"""PermanentConnection: messages survive an outage of the service, on a simulated network."""

from __future__ import annotations

from collections.abc import Hashable
from random import Random

import pytest

from vcproxy.bus.connections.permanent_connection import (
    BusQueueFull,
    ConnectionLost,
    ConnectionUp,
    NoReply,
    PermanentConnection,
    Replied,
)
from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.drivers.sim import NetworkFaults, Peer, SimulatedServer, Simulation, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.upstream.backoff import Backoff
from vcproxy.upstream.pauses import Pauses

SERVICE = Address.parse("tcp://service:1")
OTHER = Address.parse("tcp://other:1")


class Owner(Continuation):
    """Keeps the events of one permanent connection, as text."""

    def __init__(
        self,
        sim: Simulation,
        addresses: Address | list[Address] = SERVICE,
        *,
        backoff: Backoff | Pauses | None = None,
        dispatcher: Dispatcher | None = None,
        queue_limit: int = 1000,
    ) -> None:
        super().__init__(sim.driver("client").engine, Mutex())
        self.sim = sim
        self.events: list[str] = []
        with self.mutex.hold(self.engine):
            self.connection = PermanentConnection(
                self,
                addresses,
                name="service",
                backoff=backoff,
                dispatcher=dispatcher,
                queue_limit=queue_limit,
            )

    def handle_event(self, key: Hashable, data: object) -> None:
        assert isinstance(key, type)
        assert type(data) is key
        match data:
            case ConnectionUp(address=address):
                self.events.append(f"up {address.host}")
            case ConnectionLost(reason=reason):
                self.events.append(f"lost: {reason}")
            case ReceivedMessage(message=message):
                assert data.origin is self.connection
                if message.command == "FAIL":
                    raise ValueError("as asked")
                self.events.append(message.to_text())
            case Replied(message=message):
                self.events.append(f"replied {message.to_text()}")
            case NoReply(reply=reply):
                self.events.append(f"no {reply}")
            case _:
                raise AssertionError(data)
        if isinstance(data, ConnectionUp | ConnectionLost):
            assert data.name == "service"

    def send(self, command: str, *, keep: bool = True) -> bool:
        """Send a message without parameters."""
        with self.mutex.hold(self.engine):
            return self.connection.send(BusMessage(command), keep=keep)

    def wait(self, reply: str, deadline_s: float) -> None:
        """Wait for a reply."""
        with self.mutex.hold(self.engine):
            self.connection.wait(reply, deadline_s)

    def end(self, *, finish: bool = False) -> None:
        """End the connection; nothing of it is left, and nothing more is delivered."""
        events = list(self.events)
        with self.mutex.hold(self.engine):
            self.connection.finish() if finish else self.connection.close()
            assert not self.connection.send(BusMessage("TOO_LATE"))
        if not finish:
            assert self.engine.next_deadline() is None
        self.sim.run()
        assert self.events == events
        assert not self.engine.vcs
        assert self.engine.memory.used == 0


@pytest.fixture
def sim() -> Simulation:
    return Simulation(seed=1)


def test_messages_come_and_go(sim: Simulation) -> None:
    server = sim.server(SERVICE)
    owner = Owner(sim)
    sim.run()
    assert owner.connection.up
    assert owner.send("HELLO")
    server.peers[0].send(b"WELCOME\n")
    sim.run()
    assert server.peers[0].received == b"HELLO\n"
    assert owner.events == ["up service", "WELCOME"]
    owner.end()
    assert server.peers[0].ended


def test_what_is_sent_while_it_is_down_is_flushed_in_order_before_anything_else(
    sim: Simulation,
) -> None:
    owner = Owner(sim)
    sim.elapse(1)
    assert not owner.send("FIRST")
    assert not owner.send("DROPPED", keep=False)
    assert not owner.send("SECOND")
    assert owner.connection.queued == 2
    server = sim.server(SERVICE)
    sim.elapse(60)
    assert owner.mutex.held_bytes == 0
    assert owner.send("THIRD")
    sim.elapse(1)
    assert server.peers[0].received == b"FIRST\nSECOND\nTHIRD\n"
    assert owner.connection.queued == 0
    assert owner.events == ["up service"]
    owner.end()


def test_an_exception_of_the_owner_ends_its_connection(sim: Simulation) -> None:
    server = sim.server(SERVICE)
    owner = Owner(sim)
    sim.run()
    assert repr(owner.connection) == "<PermanentConnection service up>"
    server.peers[0].send(b"FAIL\n")
    with pytest.raises(ValueError, match="as asked"):
        sim.run()
    sim.run()
    assert server.peers[0].reset_seen
    assert len(server.peers) == 1
    assert repr(owner.connection) == "<PermanentConnection service down>"
    (_, _, text) = sim.log[-1]
    assert text.startswith("MessageConnection <MessageConnection service> failed; its conversation")


def test_it_is_opened_again_after_each_loss(sim: Simulation) -> None:
    server = sim.server(SERVICE)
    owner = Owner(sim)
    for times in range(3):
        sim.elapse(60)
        assert owner.connection.reconnects == times
        server.peers[-1].send(b"BYE\n")
        server.peers[-1].close()
        sim.run(until=lambda: not owner.connection.up)
        assert not owner.send("AGAIN")
    sim.elapse(60)
    assert owner.events == [
        "up service",
        *["BYE", "lost: the peer has ended it", "up service"] * 3,
    ]
    assert [bytes(peer.received) for peer in server.peers] == [b"", *[b"AGAIN\n"] * 3]
    owner.end()


def test_a_service_that_ends_while_it_does_not_read(sim: Simulation) -> None:
    server = sim.server(SERVICE)
    owner = Owner(sim)
    sim.run()
    server.peers[0].stall()
    for _ in range(1000):
        assert owner.send("A" * 1000)
    server.peers[0].end()
    sim.elapse(60)
    assert owner.events == ["up service", "lost: the peer has ended it", "up service"]
    owner.end()


def test_the_queue_has_a_limit(sim: Simulation) -> None:
    owner = Owner(sim, queue_limit=200)
    sim.elapse(1)
    assert not owner.send("A" * 30)
    assert not owner.send("B" * 30)
    with pytest.raises(
        BusQueueFull, match=r"service is down, and 2 messages are kept for it .* \(200B at most\)"
    ):
        owner.send("C" * 30)
    assert owner.engine.memory.used == owner.mutex.held_bytes == 2 * (30 + 64)
    owner.end()


def test_several_addresses_are_tried_in_turn(sim: Simulation) -> None:
    other = sim.server(OTHER)
    owner = Owner(sim, [SERVICE, OTHER])
    sim.elapse(1)
    assert owner.events == ["up other"]
    assert sim.log == []  # no pause was needed
    sim.server(SERVICE)
    other.peers[0].close()
    sim.elapse(60)
    assert owner.events[1:] == ["lost: the peer has ended it", "up service"]
    owner.end()


def test_a_pause_follows_when_all_addresses_have_failed(sim: Simulation) -> None:
    owner = Owner(sim, [SERVICE, OTHER], backoff=Pauses(Maximum(), (5,)))
    sim.elapse(12)
    assert [(round(when), text) for when, _, text in sim.log] == [
        (
            0,
            "service: tcp://service:1: connection refused; tcp://other:1: connection refused; "
            "trying again in 5s",
        )
    ]
    sim.server(OTHER)
    sim.elapse(2)
    assert owner.events == []
    sim.elapse(2)
    assert owner.events == ["up other"]
    owner.end()


def test_the_first_attempt_may_be_delayed(sim: Simulation) -> None:
    server = sim.server(SERVICE)
    owner = Owner(sim, backoff=Pauses(Random(1), (-3, 1)))
    sim.elapse(2.9)
    assert not server.peers
    sim.elapse(0.2)
    assert owner.events == ["up service"]
    owner.end()
    early = Owner(sim, backoff=Pauses(Random(1), (-3, 1)))
    early.end()


def test_a_reply_is_waited_for(sim: Simulation) -> None:
    server = sim.server(SERVICE)
    owner = Owner(sim)
    sim.run()
    owner.send("ALIVE")
    owner.wait("ABSOLUTELY", 5)
    owner.wait("ABSOLUTELY", 6)
    server.peers[0].send(b"NEWS\nABSOLUTELY serial=1\nABSOLUTELY serial=2\nABSOLUTELY serial=3\n")
    sim.elapse(10)
    assert owner.events == [
        "up service",
        "NEWS",
        "replied ABSOLUTELY serial=1",
        "replied ABSOLUTELY serial=2",
        "ABSOLUTELY serial=3",
    ]
    owner.end()


def test_a_reply_that_does_not_come_in_time(sim: Simulation) -> None:
    owner = Owner(sim)  # it is down all the time
    owner.send("ALIVE")
    owner.wait("ABSOLUTELY", 5)
    sim.elapse(4.9)
    assert owner.events == []
    sim.elapse(0.2)
    assert owner.events == ["no ABSOLUTELY"]
    owner.wait("ABSOLUTELY", 5)
    owner.end()


def test_a_service_that_does_not_answer_is_given_up(sim: Simulation) -> None:
    server = sim.server(SERVICE)
    owner = Owner(sim)
    sim.elapse(10)
    with owner.mutex.hold(owner.engine):
        owner.connection.reconnect("no answer")
        owner.connection.reconnect("no answer")  # it is down already
        assert not owner.connection.up
    sim.elapse(60)
    assert server.peers[0].reset_seen
    assert owner.events == ["up service", "up service"]
    ((_, _, text),) = sim.log
    assert text.startswith("service: no answer; trying again in ")
    owner.end()


def test_a_dispatcher_gets_what_nothing_waits_for(sim: Simulation) -> None:
    server = sim.server(SERVICE)
    dispatcher = Dispatcher("me", log=sim.record_log)
    dispatcher.add("PING", lambda received: received.reply("PONG"))
    owner = Owner(sim, dispatcher=dispatcher)
    sim.run()
    server.peers[0].send(b"PING\n")
    sim.run()
    assert server.peers[0].received == b"PONG\n"
    assert owner.events == ["up service"]
    owner.end()


def test_finish_sends_what_was_passed_on(sim: Simulation) -> None:
    server = sim.server(SERVICE)
    owner = Owner(sim)
    sim.run()
    server.peers[0].stall()
    for _ in range(1000):
        owner.send("A" * 1000)
    with owner.mutex.hold(owner.engine):
        owner.connection.finish()
    server.peers[0].resume()
    owner.end(finish=True)
    assert server.peers[0].received == (b"A" * 1000 + b"\n") * 1000
    assert server.peers[0].ended
    Owner(sim, OTHER).end(finish=True)


class Maximum(Random):
    """Returns the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def serve(server: SimulatedServer, random: Random) -> None:
    """Close some connections of a server, and reset others."""
    for peer in server.peers:
        if peer.connected and random.random() < 0.3:
            random.choice((Peer.close, Peer.reset))(peer)


@pytest.mark.parametrize("seed", list(seeds(60)))
def test_with_random_faults_messages_arrive_in_order_and_none_twice(seed: int) -> None:
    random = Random(seed)
    with Simulation(seed, NetworkFaults.all().some(random)) as sim:
        server = sim.server(SERVICE)
        owner = Owner(sim, queue_limit=100_000)
        for number in range(100):
            owner.send(f"M{number:03}")
            if random.random() < 0.2:
                sim.elapse(random.uniform(0, 2))
                serve(server, random)
        sim.elapse(120)
        arrived = [line for peer in server.peers for line in bytes(peer.received).split(b"\n")[:-1]]
        assert arrived == sorted(set(arrived))
        states = [event for event in owner.events if event != "up service"]
        assert owner.events.count("up service") - len(states) in (0, 1)
        owner.end()
