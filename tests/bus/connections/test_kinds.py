"""A permanent connection and its service, at each kind of address, real and simulated."""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import Contexts
from tests.conformance.conftest import contexts as contexts
from tests.conformance.source_world import EpollWorld, SimWorld, world_of
from vcproxy.bus.connections.message_listener import MessageListener
from vcproxy.bus.connections.permanent_connection import (
    ConnectionLost,
    ConnectionUp,
    PermanentConnection,
)
from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.drivers.tls_sessions import ClientTls
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.upstream.pauses import Pauses

LARGEST = "x" * (65536 - len("HELLO value="))


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[EpollWorld | SimWorld]:
    with world_of(request.param) as made:
        assert isinstance(made, EpollWorld | SimWorld)
        yield made


def address(kind: str, folder: Path) -> Address:
    """Return an address of a kind."""
    return Address.parse(
        f"{kind}://127.0.0.1:0" if kind in ("tcp", "tls") else f"{kind}:{folder}/s"
    )


class Service:
    """Answers HELLO, and keeps the lengths of the values."""

    def __init__(self, world: EpollWorld | SimWorld, at: Address, tls: object) -> None:
        self.sizes: list[int] = []
        dispatcher = Dispatcher("service", log=world.engine.log)
        dispatcher.add("HELLO", self.hello)
        self.listener = MessageListener(world.engine, "service", dispatcher, tls=tls)
        self.address = world.driver.listen(at, self.listener)

    def hello(self, received: ReceivedMessage) -> None:
        """Answer with the same value."""
        value = received.message.text("value")
        self.sizes.append(len(value))
        received.reply("HELLO", value=value)


class Client(Continuation):
    """A permanent connection, and what it received."""

    def __init__(self, world: EpollWorld | SimWorld, at: Address, tls: object) -> None:
        super().__init__(world.engine, Mutex())
        self.world = world
        self.sizes: list[int] = []
        self.states: list[object] = []
        with self.mutex.hold(self.engine):
            self.connection = PermanentConnection(
                self, at, tls=tls, backoff=Pauses(self.engine.random, (0.05,))
            )

    def handle_event(self, key: Hashable, data: object) -> None:
        if isinstance(data, ReceivedMessage):
            self.sizes.append(len(data.message.text("value")))
        else:
            self.states.append(key)

    def hello(self, value: str) -> None:
        """Send a message."""
        with self.mutex.hold(self.engine):
            self.connection.send(BusMessage("HELLO", {"value": value}))

    def until(self, condition: Callable[[], object]) -> None:
        """Run until a condition holds."""
        self.world.run(condition)

    def close(self) -> None:
        """Close it."""
        with self.mutex.hold(self.engine):
            self.connection.close()


@pytest.mark.parametrize("kind", ["tcp", "tls", "unix", "unixpacket"])
def test_messages_come_and_go_and_the_service_comes_back(
    kind: str, world: EpollWorld | SimWorld, tmp_path: Path, contexts: Contexts
) -> None:
    server_tls: object = contexts.server if kind == "tls" else None
    client_tls: object = contexts.client if kind == "tls" else None
    if kind == "tls" and world.kind == "epoll":
        client_tls = ClientTls(contexts.client)
    service = Service(world, address(kind, tmp_path), server_tls)
    client = Client(world, service.address, client_tls)
    values = ["", "a", LARGEST, "b" * 5000]
    for value in values:
        client.hello(value)
    client.until(lambda: len(client.sizes) == 4)
    assert client.sizes == service.sizes == [len(value) for value in values]
    world.driver.unlisten(service.listener)
    service.listener.finish()
    client.until(lambda: ConnectionLost in client.states)
    client.hello("kept")
    again = Service(world, service.address, server_tls)
    client.until(lambda: client.sizes[4:])
    assert client.sizes[4:] == again.sizes == [4]
    assert client.states == [ConnectionUp, ConnectionLost, ConnectionUp]
    client.close()
    client.until(lambda: not world.engine.vcs)


def test_a_fifo_moves_messages_one_way(world: EpollWorld | SimWorld, tmp_path: Path) -> None:
    service = Service(world, address("fifo", tmp_path), None)
    client = Client(world, service.address, None)
    client.hello("a")
    client.hello("b" * 5000)
    client.until(lambda: len(service.sizes) == 2)
    client.hello(LARGEST)
    client.until(lambda: len(service.sizes) == 3)
    client.close()
    client.until(lambda: not world.engine.vcs)
    second = Client(world, service.address, None)
    second.hello("c")
    client.until(lambda: len(service.sizes) == 4)
    assert client.states == second.states == [ConnectionUp]
    second.close()
    client.until(lambda: not world.engine.vcs)
    world.driver.unlisten(service.listener)


def test_a_packet_over_64_kib_is_dropped(tmp_path: Path) -> None:
    with world_of("epoll") as world, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        assert isinstance(world, EpollWorld)
        service = Service(world, address("unixpacket", tmp_path), None)
        sock.connect(service.address.path)
        sock.send(b"HELLO value=a")
        sock.send(b"HELLO value=" + b"b" * 65536)
        sock.send(b"HELLO value=cc")
        world.run(lambda: len(service.sizes) == 2)
        assert service.sizes == [1, 2]
        (line,) = world.log
        assert line.endswith("a datagram was dropped: longer than 65536 bytes")
        sock.close()
        world.run(lambda: not world.engine.vcs)
        world.driver.unlisten(service.listener)
