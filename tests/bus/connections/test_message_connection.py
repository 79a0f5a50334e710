"""MessageConnection: messages of an owner and of a dispatcher, on a simulated network."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from vcproxy.bus.connections.message_connection import (
    ConnectionEnded,
    MessageConnection,
    broadcast,
    encode,
)
from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.invalid_message import InvalidMessage
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection

SERVICE = Address.parse("tcp://service:1")


class Owner(Continuation):
    """Keeps the events of its connections; answers COUNT with the number of messages."""

    def __init__(self, sim: Simulation) -> None:
        self.driver = sim.driver("service")
        super().__init__(self.driver.engine, Mutex())
        self.connections: list[MessageConnection] = []
        self.received: list[ReceivedMessage] = []
        self.ends: list[ConnectionEnded] = []
        self.address = self.driver.listen(SERVICE, Listener("bus", self.accept, self.engine))

    def accept(self, client: NetVConnection) -> Continuation | None:
        """Take a client into this conversation."""
        client.join(self.mutex)
        return self

    def handle_event(self, key: Hashable, data: object) -> None:
        if key is Event.ACCEPT:
            assert isinstance(data, NetVConnection)
            self.connections.append(MessageConnection(self, data))
        elif isinstance(data, ReceivedMessage):
            assert key is ReceivedMessage
            self.received.append(data)
            if data.command == "COUNT":
                data.reply("COUNTED", number=len(self.received))
            elif data.command == "FAIL":
                raise ValueError("as asked")
        else:
            assert isinstance(data, ConnectionEnded)
            assert key is ConnectionEnded
            self.ends.append(data)


@pytest.fixture
def sim() -> Simulation:
    return Simulation(seed=1)


def test_an_owner_gets_each_message_and_the_end(sim: Simulation) -> None:
    owner = Owner(sim)
    client = sim.client(owner.address)
    client.send(b'  HELLO name=World;greeting="a;b"\r\n\n \r\n<here:me COUNT\n')
    sim.run()
    assert [received.message for received in owner.received] == [
        BusMessage("HELLO", {"name": "World", "greeting": "a;b"}),
        BusMessage("COUNT", sent_from_server="here", sent_from_service="me"),
    ]
    assert client.received == b"here:me/COUNTED number=2\n"
    assert {received.origin for received in owner.received} == {owner.connections[0]}
    client.close()
    sim.run()
    (end,) = owner.ends
    assert end.connection is owner.connections[0]
    assert (end.reason, end.error, end.name) == ("the peer has ended it", None, end.connection.name)


def test_json_is_taken_too(sim: Simulation) -> None:
    owner = Owner(sim)
    client = sim.client(owner.address)
    client.send(b'{"command":"HELLO","parameters":{"n":1}}\n')
    sim.run()
    assert owner.received[0].message == BusMessage("HELLO", {"n": "1"})


def test_bytes_that_are_not_utf_8_are_kept(sim: Simulation) -> None:
    owner = Owner(sim)
    client = sim.client(owner.address)
    client.send(b"HELLO name=\xff\xc3\xa9\n")
    sim.run()
    message = owner.received[0].message
    assert message.get("name") == "\udcff\u00e9"
    assert encode(message) == b"HELLO name=\xff\xc3\xa9"


def test_what_is_not_a_message_is_answered_and_logged(sim: Simulation) -> None:
    owner = Owner(sim)
    client = sim.client(owner.address)
    client.send(b"HELLO name\nCOUNT\n")
    sim.run()
    invalid, counted = (BusMessage.parse(line) for line in client.received.decode().splitlines())
    assert invalid.command == "INVALID"
    reason = invalid.text("message")
    assert counted.text("number") == "1"
    ((_, level, text),) = sim.log
    assert (level, text) == (
        "warning",
        f"{owner.connections[0].name}: a line was refused: {reason}",
    )


def test_a_flood_of_other_lines_does_not_flood_the_log(sim: Simulation) -> None:
    owner = Owner(sim)
    client = sim.client(owner.address)
    client.send(b"a=b\n" * 1000)
    sim.run()
    assert client.received.count(b"INVALID") == 1000
    assert len(sim.log) < 5


def test_a_message_over_64_kib_is_answered_before_the_end(sim: Simulation) -> None:
    owner = Owner(sim)
    client = sim.client(owner.address)
    fits = "FITS v=" + "x" * (65536 - 7)
    client.send(f"{fits}\n{fits}x\nCOUNT\n".encode())
    sim.run()
    assert [received.command for received in owner.received] == ["FITS"]
    assert client.received == b"INVALID message=a line is longer than 64KiB\n"
    assert client.ended
    assert owner.ends[0].reason == "a line is longer than 64KiB"


def test_a_reply_may_come_later_and_after_the_end(sim: Simulation) -> None:
    owner = Owner(sim)
    client = sim.client(owner.address)
    client.send(b"HELLO\n")
    sim.run()
    owner.received[0].reply("LATER")  # from no conversation at all
    sim.run()
    assert client.received == b"LATER\n"
    client.close()
    sim.run()
    owner.received[0].reply("TOO_LATE")
    sim.run()
    assert client.received == b"LATER\n"


def test_a_message_that_cannot_be_sent_is_refused(sim: Simulation) -> None:
    owner = Owner(sim)
    sim.client(owner.address)
    sim.run()
    with pytest.raises(InvalidMessage):
        owner.connections[0].send(BusMessage("LONG", {"value": "x" * 65536}))


def test_a_broadcast_reaches_all_that_are_open(sim: Simulation) -> None:
    owner = Owner(sim)
    clients = [sim.client(owner.address) for _ in range(3)]
    sim.run()
    with owner.mutex.hold(owner.engine):
        owner.connections[1].close()
        assert broadcast(BusMessage("NEWS", {"number": "1"}), owner.connections) == 2
    sim.run()
    received = sorted(bytes(client.received) for client in clients)
    assert received == [b"", b"NEWS number=1\n", b"NEWS number=1\n"]


def test_an_exception_of_the_owner_ends_its_conversation(sim: Simulation) -> None:
    owner = Owner(sim)
    clients = [sim.client(owner.address) for _ in range(2)]
    clients[0].send(b"FAIL\n")
    with pytest.raises(ValueError, match="as asked"):
        sim.run()
    sim.run()
    assert all(client.reset_seen for client in clients)


def test_a_dispatcher_calls_the_function_for_a_message(sim: Simulation) -> None:
    driver = sim.driver("service")
    dispatcher = Dispatcher("snap", log=sim.record_log)
    dispatcher.add("HELLO", lambda received: received.reply("WELCOME"))
    address = driver.listen(
        SERVICE,
        Listener("bus", lambda vc: _dispatched(vc, dispatcher), driver.engine),
    )
    client = sim.client(address)
    client.send(b"HELLO\n")
    sim.run()
    assert client.received == b"WELCOME\n"


def _dispatched(vc: NetVConnection, dispatcher: Dispatcher) -> None:
    MessageConnection(None, vc, dispatcher=dispatcher)


def test_messages_need_somebody_to_take_them(sim: Simulation) -> None:
    peers: list[Peer] = []
    driver = sim.driver("service")
    clients: list[NetVConnection] = []
    address = driver.listen(SERVICE, Listener("bus", clients.append, driver.engine))
    peers.append(sim.client(address))
    sim.run()
    with pytest.raises(TypeError, match="needs an owner or a dispatcher"):
        MessageConnection(None, clients[0])


def test_a_line_that_is_no_message_is_kept_without_secrets(sim: Simulation) -> None:
    owner = Owner(sim)
    sim.client(owner.address).send(b'DO secret_code="1 2";x=1;y\n')
    sim.run()
    (kept,) = owner.engine.refused
    assert (kept.kind, kept.client) == ("bus message", owner.connections[0].name)
    assert kept.text == "DO secret_code=*****;x=1;y"
    assert kept.mark == len(kept.text)
    assert 'the parameter "y" has no "="' in kept.reason
