"""The bytes of the original, recorded from its programs (wink.md 2), against ours.

Each dialogue has two sides. One is played byte for byte; the other one is our program, which must
send exactly what the original's sent. Datagrams to different receivers are not in an order.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.supervise.samples import load
from vcproxy.bus.mailbox.peer import Peer, show_peer
from vcproxy.drivers.sim import Simulation
from vcproxy.drivers.sim.process import SimProcess
from vcproxy.engine.address import Address
from vcproxy.engine.mutex import Mutex
from vcproxy.supervise.client import Client
from vcproxy.supervise.exchange import (
    DONE,
    Exchange,
    ListExchange,
    SendExchange,
    StartExchange,
    StopExchange,
)
from vcproxy.testing.simulated_machines import SimulatedMachines

HOST = "127.0.0.1"
SERVER = (HOST, 42_000)
MACHINE = (HOST, 50_001)

FIRST = bytes(8)
"""The number of the first message to a peer."""
SECOND = b"\1" + bytes(7)

START = FIRST + b"start echo/Echo :50001"
STARTED = FIRST + b"started echo/Echo"
HELLO = FIRST + b"hello"
LIST = FIRST + b"list"
STOP = FIRST + b"stop 50001"
EXIT = FIRST + b"exit"
EXITED = SECOND + b"exited echo/Echo"
UNREGISTER = SECOND + b"unregister"
ACK = FIRST + b"ack"
SECOND_ACK = SECOND + b"ack"


def register(pid: int) -> bytes:
    return FIRST + b"register echo/Echo %d" % pid


def listed(pid: int) -> bytes:
    return FIRST + b"Port,PID,Machine\n50001,%d,echo/Echo\n" % pid


class Player:
    """Plays one side of a dialogue at an address of its own."""

    def __init__(self, simulation: Simulation, address: Peer = (HOST, 0)) -> None:
        self._simulation = simulation
        self._peer = simulation.datagram_server(Address("udp", *address))
        self._read = 0

    @property
    def address(self) -> Peer:
        return self._peer.address.host, self._peer.address.port

    def send(self, to: Peer, data: bytes) -> None:
        self._peer.send(data, to)

    def expect(self, *expected: tuple[Peer, bytes]) -> None:
        """Wait for exactly these datagrams, in any order."""
        self._simulation.run(until=lambda: len(self._peer.received) - self._read >= len(expected))
        arrived = zip(self._peer.sources, self._peer.received, strict=True)
        assert sorted(list(arrived)[self._read :]) == sorted(expected)
        self._read += len(expected)

    def expect_from_anywhere(self, data: bytes) -> Peer:
        """Wait for this datagram; return its source."""
        self._simulation.run(until=lambda: len(self._peer.received) > self._read)
        assert self._peer.received[self._read] == data
        self._read += 1
        return self._peer.sources[self._read - 1]

    def silent(self, seconds: float) -> None:
        """Nothing more arrives."""
        self._simulation.elapse(seconds)
        assert self._peer.received[self._read :] == []


@pytest.fixture
def machines() -> Iterator[SimulatedMachines]:
    with SimulatedMachines({"echo/Echo": load("echo/Echo")}) as machines:
        machines.elapse(0.1)  # the server binds
        yield machines


def test_the_original_client_with_our_server_and_machine(machines: SimulatedMachines) -> None:
    starter = Player(machines.simulation)
    starter.send(SERVER, START)
    starter.expect((SERVER, ACK), (MACHINE, STARTED))
    starter.send(MACHINE, ACK)

    sender = Player(machines.simulation)
    sender.send(MACHINE, HELLO)
    sender.expect((MACHINE, ACK), (MACHINE, HELLO))
    sender.send(MACHINE, ACK)
    sender.silent(5)

    asker = Player(machines.simulation)
    asker.send(SERVER, LIST)
    asker.expect((SERVER, ACK), (SERVER, listed(machines.processes["echo/Echo"].pid)))
    asker.send(SERVER, ACK)

    stopper = Player(machines.simulation)
    stopper.send(SERVER, STOP)
    stopper.expect((SERVER, ACK))
    starter.expect((MACHINE, EXITED))
    starter.send(MACHINE, SECOND_ACK)
    machines.run(until=lambda: not machines.running)
    assert machines.statuses == [("echo/Echo", 0)]
    asker.silent(20)


def test_the_original_server_and_parent_with_our_machine(machines: SimulatedMachines) -> None:
    machines.stop()
    machines.elapse(1)
    server = Player(machines.simulation, SERVER)
    parent = Player(machines.simulation)
    process = machines.launch("echo/Echo", parent=parent.address, port=MACHINE[1])

    parent.expect((MACHINE, STARTED))
    parent.send(MACHINE, ACK)
    server.expect((MACHINE, register(process.pid)))
    server.send(MACHINE, ACK)

    sender = Player(machines.simulation)
    sender.send(MACHINE, EXIT)
    sender.expect((MACHINE, ACK), (MACHINE, EXIT))
    sender.send(MACHINE, ACK)
    parent.expect((MACHINE, EXITED))
    server.expect((MACHINE, UNREGISTER))
    server.send(MACHINE, SECOND_ACK)
    parent.send(MACHINE, SECOND_ACK)
    machines.run(until=lambda: not machines.running)
    assert machines.statuses == [("echo/Echo", 0)]


def test_the_original_machine_with_our_server(machines: SimulatedMachines) -> None:
    """It matches acknowledgements by host or port, so that the one of the server for `unregister`
    may remove `exited` to a client that is gone: then it sends `unregister` again, 2 s later."""
    launched: list[SimProcess] = []
    machines.simulation.programs["/machines/echo/Echo"] = launched.append
    starter = Player(machines.simulation)
    starter.send(SERVER, START)
    starter.expect((SERVER, ACK))
    machines.run(until=lambda: bool(launched))
    process = launched[0]
    assert process.argv[1:] == ("echo/Echo", "127.0.0.1:50001", show_peer(starter.address))

    machine = Player(machines.simulation, MACHINE)
    machine.send(SERVER, register(process.pid))
    machine.expect((SERVER, ACK))
    asker = Player(machines.simulation)
    asker.send(SERVER, LIST)
    asker.expect((SERVER, ACK), (SERVER, listed(process.pid)))
    asker.send(SERVER, ACK)
    machine.send(SERVER, UNREGISTER)
    machine.expect((SERVER, SECOND_ACK))
    machines.elapse(2)
    machine.send(SERVER, UNREGISTER)
    machine.expect((SERVER, SECOND_ACK))
    process.exit()
    machines.run(until=lambda: not machines.running)
    machine.silent(20)


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with Simulation(seed=0) as simulation:
        yield simulation


@pytest.fixture
def server(simulation: Simulation) -> Player:
    """The original's server, played."""
    return Player(simulation, SERVER)


@pytest.fixture
def machine(simulation: Simulation) -> Player:
    """A machine of the original, played."""
    return Player(simulation, MACHINE)


def talk(simulation: Simulation, exchange: Exchange) -> tuple[Client, list[str]]:
    """Start our client; return it, and the list of the lines that it prints."""
    engine = simulation.driver("client").engine
    mutex = Mutex()
    lines: list[str] = []
    client = Client(engine, mutex, exchange, (HOST, 0), lines.append)
    with mutex.hold(engine):
        client.start()
    return client, lines


def finish(simulation: Simulation, client: Client) -> None:
    """Let our client end; it has succeeded."""
    simulation.run(until=lambda: client.state is Client.ENDED)
    assert client.outcome == DONE


def test_our_client_starts_a_machine_of_the_original(
    simulation: Simulation, server: Player, machine: Player
) -> None:
    client, lines = talk(simulation, StartExchange(SERVER, "echo/Echo", MACHINE[1], (), True))
    own = server.expect_from_anywhere(START)
    server.send(own, ACK)
    machine.send(own, STARTED)
    machine.expect((own, ACK))
    machine.send(own, EXITED)
    machine.expect((own, SECOND_ACK))
    finish(simulation, client)
    here, there = show_peer(own), show_peer(MACHINE)
    assert [line for line in lines if " < " in line] == [
        f"{here} < {there} started echo/Echo",
        f"{here} < {there} exited echo/Echo",
    ]


def test_our_client_sends_to_a_machine_of_the_original(
    simulation: Simulation, machine: Player
) -> None:
    client, lines = talk(simulation, SendExchange(MACHINE, ("hello",), 1))
    own = machine.expect_from_anywhere(HELLO)
    machine.send(own, ACK)
    machine.send(own, HELLO)
    machine.expect((own, ACK))
    finish(simulation, client)
    assert f"{show_peer(own)} < {show_peer(MACHINE)} hello" in lines


def test_our_client_lists_and_stops_machines_of_the_original(
    simulation: Simulation, server: Player
) -> None:
    client, lines = talk(simulation, ListExchange(SERVER))
    own = server.expect_from_anywhere(LIST)
    server.send(own, ACK)
    server.send(own, listed(1867))
    server.expect((own, ACK))
    finish(simulation, client)
    assert lines[-1].endswith("Port,PID,Machine\n50001,1867,echo/Echo")

    client, _ = talk(simulation, StopExchange(SERVER, MACHINE[1]))
    server.send(server.expect_from_anywhere(STOP), ACK)
    finish(simulation, client)
