"""Two real net threads that share each tunnel: its client on one, its server on the other."""

from __future__ import annotations

import hashlib
import random
import socket
import sys
import threading
from collections.abc import Hashable, Iterator

import pytest

from vcproxy.drivers.epoll import EpollDriver
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.log_function import Level
from vcproxy.engine.mutex import current
from vcproxy.engine.net import NetVConnection
from vcproxy.tunnels.done import Reason, TunnelDone
from vcproxy.tunnels.two_way import TwoWayTunnel

CLIENTS = 12
SIZE = 8 << 20


class Owner(Continuation):
    """Lends a client of one engine and a server of the other to one tunnel."""

    def __init__(self, engine: Engine, client: NetVConnection, target: Address) -> None:
        super().__init__(engine, client.mutex)
        self.client = client
        self.target = target
        self.server: NetVConnection | None = None
        self.done: list[TunnelDone] = []

    def handle_event(self, key: Hashable, data: object) -> None:
        if key == "connect":
            self.server = self.engine.connect(self, self.target)
        elif key is Event.CONNECTED and self.server is not None:
            TwoWayTunnel(self, self.client, self.server).start()
        elif isinstance(data, TunnelDone) and self.server is not None:
            self.done.append(data)
            self.client.do_io_close()
            self.server.do_io_close()


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Make Python switch threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def echo(server: socket.socket) -> None:
    """Accept each client and echo its data, on a thread for each."""
    for _ in range(CLIENTS):
        sock, _ = server.accept()
        threading.Thread(target=echo_one, args=(sock,)).start()


def echo_one(sock: socket.socket) -> None:
    with sock:
        while data := sock.recv(1 << 16):
            sock.sendall(data)


def exchange(address: tuple[str, int], seed: int, wrong: list[str]) -> None:
    """Send data in pieces of many sizes, and compare the echo."""
    rng = random.Random(seed)
    message = rng.randbytes(SIZE)

    def send(sock: socket.socket) -> None:
        sent = 0
        while sent < SIZE:
            piece = rng.choice([1, 64, 5000, 300_000])
            sock.sendall(message[sent : sent + piece])
            sent += piece
        sock.shutdown(socket.SHUT_WR)

    with socket.create_connection(address, timeout=30) as sock:
        sender = threading.Thread(target=send, args=(sock,))
        sender.start()
        received = hashlib.sha256()
        while data := sock.recv(1 << 16):
            received.update(data)
        sender.join()
    if received.digest() != hashlib.sha256(message).digest():
        wrong.append(f"seed={seed}: the echo differs from the data sent")


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("bridges", [True, False])
def test_a_tunnel_between_two_threads_loses_nothing(bridges: bool) -> None:
    lines: list[str] = []

    def log(level: Level, text: str, error: Exception | None = None) -> None:
        lines.append(f"{level}: {text} {error!r}")

    near, far = drivers = [
        EpollDriver(
            Engine(name, memory=64 << 20, random=random.Random(1), log=log, bridges=bridges)
        )
        for name in ("near", "far")
    ]
    owners: list[Owner] = []

    def accept(client: NetVConnection) -> None:
        owners.append(Owner(far.engine, client, Address("tcp", "127.0.0.1", target)))
        far.engine.schedule(owners[-1], "connect", None)

    with socket.create_server(("127.0.0.1", 0)) as server:
        target = server.getsockname()[1]
        address = near.listen(Address("tcp", "127.0.0.1"), Listener("in", accept, near.engine))
        current.engine = None  # from now on each engine belongs to its own thread
        threads = [threading.Thread(target=driver.run) for driver in drivers]
        threads.append(threading.Thread(target=echo, args=(server,)))
        for thread in threads:
            thread.start()
        wrong: list[str] = []
        clients = [
            threading.Thread(target=exchange, args=(("127.0.0.1", address.port), seed, wrong))
            for seed in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        for driver in drivers:
            driver.stop()
        for thread in threads:
            thread.join()
    assert (wrong, lines) == ([], [])
    assert [[done.reason for done in owner.done] for owner in owners] == [[Reason.EOS]] * CLIENTS
    assert [(flow.received, flow.sent) for owner in owners for flow in owner.done[0].flows] == [
        (SIZE, SIZE)
    ] * (2 * CLIENTS)
    assert (near.engine.memory.used, far.engine.memory.used) == (0, 0)


def quiet(number: int) -> EpollDriver:
    engine = Engine(f"net-{number}", memory=1 << 20, random=random.Random(1), log=lambda *_: None)
    return EpollDriver(engine)


def test_a_closed_driver_can_be_stopped() -> None:
    driver = quiet(0)
    driver.engine.inbox.sleeping = True  # another thread may read this just before the close
    driver.close()
    with socket.socket() as other:  # the new socket gets the lowest free descriptor
        driver.stop()
        with pytest.raises(OSError, match="not connected"):
            other.recv(1)
    driver.close()  # a second close does nothing


@pytest.mark.usefixtures("frequent_switches")
def test_drivers_may_be_stopped_many_times_while_they_end() -> None:
    current.engine = None
    for _ in range(50):
        drivers = [quiet(number) for number in range(4)]
        threads = [threading.Thread(target=driver.run) for driver in drivers]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for driver in drivers:
                driver.stop()
        for thread in threads:
            thread.join()


def test_another_driver_may_be_made_and_turned_on_the_thread_of_one_that_runs() -> None:
    """As the control and the watch of files do: they get threads of their own afterwards."""
    driver = quiet(0)
    seen: list[bool] = []

    def make() -> None:
        other = quiet(1)
        seen.append(driver.engine.is_current)
        other.turn(0.0)
        seen.append(driver.engine.is_current)
        other.close()
        driver.stop()

    driver.after(0.0, make)
    driver.run()
    assert seen == [True, True]
    assert current.looping is None
