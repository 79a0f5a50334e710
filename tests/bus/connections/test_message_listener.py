"""MessageListener: its connections share a dispatcher, and nothing else."""

from __future__ import annotations

import pytest

from vcproxy.bus.connections.message_listener import MessageListener
from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.net import NetVConnection

SERVICE = Address.parse("tcp://service:1")


def hello(received: ReceivedMessage) -> None:
    """Greet, or fail."""
    if received.message.get("name") == "nobody":
        raise ValueError("nobody")
    received.reply("WELCOME")


class Service:
    """A listener with a dispatcher for HELLO."""

    def __init__(self, *, admits: bool = True, max_connections: int = 10) -> None:
        self.sim = Simulation(seed=1)
        self.driver = self.sim.driver("service")
        dispatcher = Dispatcher("snap", log=self.sim.record_log)
        dispatcher.add("HELLO", hello)
        self.admitted: list[NetVConnection] = []
        self.listener = MessageListener(
            self.driver.engine,
            "bus",
            dispatcher,
            max_connections=max_connections,
            admits=lambda vc: self.admitted.append(vc) or admits,  # type: ignore[func-returns-value]
        )
        self.address = self.driver.listen(SERVICE, self.listener)


def test_the_connections_are_listed_until_they_are_gone() -> None:
    service = Service()
    clients = [service.sim.client(service.address) for _ in range(3)]
    service.sim.run()
    assert len(service.listener.connections) == service.listener.open == 3
    clients[0].close()
    clients[1].reset()
    service.sim.run()
    assert len(service.listener.connections) == service.listener.open == 1
    assert service.listener.broadcast(BusMessage("NEWS")) == 1
    service.listener.finish()
    service.sim.run()
    assert not service.listener.connections
    assert clients[2].received == b"NEWS\n"
    assert clients[2].ended


def test_an_exception_ends_one_connection_only() -> None:
    service = Service()
    bad, good = (service.sim.client(service.address) for _ in range(2))
    bad.send(b"HELLO name=nobody\n")
    with pytest.raises(ValueError, match="nobody"):
        service.sim.run()
    good.send(b"HELLO\n")
    service.sim.run()
    assert bad.reset_seen
    assert good.received == b"WELCOME\n"
    assert len(service.listener.connections) == 1


def test_a_client_that_is_not_admitted_is_closed() -> None:
    service = Service(admits=False)
    client = service.sim.client(service.address)
    client.send(b"HELLO\n")
    service.sim.run()
    assert len(service.admitted) == 1
    assert client.ended or client.reset_seen
    assert not client.received
    assert not service.listener.connections


def test_more_clients_than_allowed_wait() -> None:
    service = Service(max_connections=1)
    first, second = (service.sim.client(service.address) for _ in range(2))
    second.send(b"HELLO\n")
    first.send(b"HELLO\n")
    service.sim.run()
    assert [bytes(client.received) for client in (first, second)].count(b"WELCOME\n") == 1
    for client in (first, second):
        client.end()
    service.sim.run()
    assert first.received == second.received == b"WELCOME\n"


def test_lines_that_are_no_messages_are_logged_once_a_second_for_all_connections() -> None:
    service = Service(max_connections=100)
    for _ in range(20):
        service.sim.client(service.address).send(b"=\n=\n")
    service.sim.run()
    assert len(service.sim.log) == 1
    service.sim.elapse(1.0)
    service.sim.client(service.address).send(b"=\n")
    service.sim.run()
    assert [text.partition(": ")[2][:21] for _, _, text in service.sim.log] == [
        "a line was refused: a",
        "40 lines were refused",
    ]
