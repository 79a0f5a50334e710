"""A machine server with clients and machines on a lossy network, with crashes and hangs, by seed.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections.abc import Hashable
from random import Random

from tests.supervise.server_bench import Files
from vcproxy.bus.mailbox.datagram_mailbox import DatagramMailbox, Flushed
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.peer import Peer, parse_peer, show_peer
from vcproxy.drivers.sim import NetworkFaults, Simulation, seeds
from vcproxy.drivers.sim.process import SimProcess
from vcproxy.drivers.sim.processes import ProcessFaults
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.datagrams import BindFailed, Bound
from vcproxy.engine.sources.signals import Signal, Signals
from vcproxy.supervise.client import Client
from vcproxy.supervise.exchange import (
    DONE,
    Exchange,
    ListExchange,
    SendExchange,
    StartExchange,
    StopExchange,
)
from vcproxy.supervise.server import MachineServer

SERVER = ("127.0.0.1", 42000)
NAMES = [f"echo/Echo#{number}" for number in range(6)]
PORTS = [0, 0, 5000, 5001]


class EchoProcess(Continuation):
    """A machine: it sends each message back. It knows `started`, `register` and an orderly end."""

    def __init__(self, process: SimProcess) -> None:
        self.process = process
        super().__init__(process.driver().engine, Mutex())
        _, self.name, address, parent = process.argv
        self.parent = parse_peer(parent)
        self.ending = False
        with self.mutex.hold(self.engine):
            Signals(self, (15,))
            self.mailbox = DatagramMailbox(self, parse_peer(address))

    def handle_event(self, key: Hashable, data: object) -> None:
        match data:
            case Bound():
                self.mailbox.send(self.parent, f"started {self.name}")
                self.mailbox.send(SERVER, f"register {self.name} {self.process.pid}")
            case BindFailed():
                self.process.exit(1)
            case Letter(sender, text):
                self.mailbox.send(sender, text)
            case Signal() if self.ending:
                self.process.exit(0)
            case Signal():
                self.ending = True
                self.mailbox.send(self.parent, f"exited {self.name}")
                self.mailbox.send(SERVER, "unregister")
                self.mailbox.flush()
            case Flushed():
                self.process.exit(0)


class World:
    """A server, and clients that come and go."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.driver = sim.driver("server")
        mutex = Mutex()
        self.server = MachineServer(self.driver.engine, mutex, Files(), SERVER)
        self.clients: list[Client] = []
        sim.programs["/srv/echo/Echo"] = EchoProcess
        with mutex.hold(self.driver.engine):
            self.server.start()
        sim.run(until=lambda: self.server.state is MachineServer.SERVING)

    def begin(self, exchange: Exchange) -> tuple[Client, list[str]]:
        """Start a client; return it, and what it will print."""
        engine = self.sim.driver("client").engine
        shown: list[str] = []
        mutex = Mutex()
        client = Client(engine, mutex, exchange, ("127.0.0.1", 0), shown.append, plain=True)
        with mutex.hold(engine):
            client.start()
        self.clients.append(client)
        return client, shown

    def end_of(self, exchange: Exchange) -> tuple[Client, list[str]]:
        """Run a client to its end."""
        client, shown = self.begin(exchange)
        self.sim.run(until=lambda: client.state is Client.ENDED)
        return client, shown

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until = self.sim.now + seconds
        self.sim.clock.after(seconds, lambda: None)
        self.sim.run(until=lambda: self.sim.now >= until)

    def terminate(self) -> None:
        """End the server with SIGTERM."""
        assert self.driver.sources.signalled(15)
        self.sim.run(until=lambda: self.server.state is MachineServer.ENDED)

    def listed(self) -> dict[int, int]:
        """Return the pids by ports, as the server lists them."""
        rows = (line.split(",") for line in self.server.registry.text().splitlines()[1:])
        return {int(port): int(pid) for port, pid, _ in rows}


def test_a_quiet_network() -> None:
    with Simulation(1) as sim:
        world = World(sim)
        client, shown = world.end_of(StartExchange(SERVER, "echo/Echo", 5000, (), False))
        assert client.outcome == DONE
        assert shown == ["started echo/Echo"]

        _, shown = world.end_of(SendExchange(("127.0.0.1", 5000), ("one", "two"), 2))
        assert shown == ["one", "two"]
        _, shown = world.end_of(ListExchange(SERVER))
        assert shown == ["Port,PID,Machine\n5000,1000,echo/Echo"]

        world.terminate()
        assert sim.processes.running == {}


def test_messages_wait_while_a_machine_is_replaced() -> None:
    """Its senders repeat them until the new process acknowledges them."""
    for seed in seeds(20):
        with Simulation(seed, NetworkFaults(latency=(0.0, 0.05))) as sim:
            world = World(sim)
            world.end_of(StartExchange(SERVER, "echo/Echo#old", 5000, (), False))
            world.wait(1.0)
            old, before = world.listed(), sim.now
            starting, _ = world.begin(StartExchange(SERVER, "echo/Echo#new", 5000, (), False))
            machine: Peer = ("127.0.0.1", 5000)
            sending, shown = world.begin(SendExchange(machine, ("one", "two", "three"), 3))
            sim.run(until=lambda s=starting: s.state is Client.ENDED)  # type: ignore[misc]
            sim.run(until=lambda s=sending: s.state is Client.ENDED)  # type: ignore[misc]
            assert sim.now - before < 5.0
            world.wait(1.0)

            assert (starting.outcome, sending.outcome) == (DONE, DONE)
            assert shown == ["one", "two", "three"]
            assert world.listed().keys() == {5000}
            assert world.listed() != old
            world.terminate()


def test_storms() -> None:
    """Whatever is lost, crashes or hangs: the list is right, ports are single, all ends."""
    for seed in seeds(30):
        faults = NetworkFaults(loss=0.1, duplicate=0.1, latency=(0.0, 0.1))
        processes = ProcessFaults(
            launch_s=(0.0, 0.5), no_launch=0.1, crash=0.3, crash_s=(0.0, 30.0), hang=0.1
        )
        random = Random(seed)
        with Simulation(seed, faults, process_faults=processes) as sim:
            world = World(sim)
            for _ in range(20):
                port = random.choice(PORTS)
                exchange: Exchange = random.choice(
                    (
                        StartExchange(SERVER, random.choice(NAMES), port, (), False),
                        StartExchange(SERVER, random.choice(NAMES), port, (), True),
                        StopExchange(SERVER, random.choice([5000, 5001, *world.listed()])),
                        ListExchange(SERVER),
                    )
                )
                world.begin(exchange)
                world.wait(random.random() * 3)
                _check(world)
            world.wait(5.0)
            _check(world)

            world.terminate()
            assert sim.processes.running == {}
            assert world.server.machines == {}
            for client in world.clients:
                if client.state is Client.ENDED and client.outcome != DONE:
                    assert client.outcome.status == 255


def _check(world: World) -> None:
    """The list names running processes only, each once and where it was asked for."""
    listed = world.listed()
    assert set(listed.values()) <= set(world.sim.processes.running)
    assert len(set(listed.values())) == len(listed)
    for port, pid in listed.items():
        wanted = world.sim.processes.running[pid].argv[2]
        assert wanted in (show_peer(("127.0.0.1", port)), "127.0.0.1:0")
