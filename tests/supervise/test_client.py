"""Clients with a machine server on a simulated network, also one that loses datagrams."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.supervise.server_bench import Files
from vcproxy.bus.mailbox.datagram_mailbox import DatagramMailbox
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.peer import Peer
from vcproxy.drivers.sim import NetworkFaults, SimDriver, Simulation, seeds
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.supervise.client import Client
from vcproxy.supervise.exchange import (
    DONE,
    FAILURE,
    Exchange,
    ListExchange,
    Outcome,
    SendExchange,
    StopExchange,
)
from vcproxy.supervise.server import MachineServer

SERVER, ECHO = ("127.0.0.1", 42000), ("127.0.0.1", 5000)


WORDS = ["one", "two", "three"]


class Echo(Continuation):
    """Sends each message back."""

    def __init__(self, driver: SimDriver) -> None:
        super().__init__(driver.engine, Mutex())
        self.received: list[str] = []
        with self.mutex.hold(self.engine):
            self._mailbox = DatagramMailbox(self, ECHO)

    def handle_event(self, key: object, data: object) -> None:
        if isinstance(data, Letter):
            self.received.append(data.text)
            self._mailbox.send(data.sender, data.text)


class Run:
    """One client; the end of its engine is the end of its run."""

    def __init__(self, sim: Simulation, exchange: Exchange, *, plain: bool = False) -> None:
        self.driver = sim.driver("client")
        self.shown: list[str] = []
        mutex = Mutex()
        address: Peer = ("127.0.0.1", 0)
        self.client = Client(
            self.driver.engine, mutex, exchange, address, self.shown.append, plain=plain
        )
        with mutex.hold(self.driver.engine):
            self.client.start()

    @property
    def ended(self) -> bool:
        return self.client.state is Client.ENDED


def serve(sim: Simulation) -> MachineServer:
    driver = sim.driver("server")
    mutex = Mutex()
    server = MachineServer(driver.engine, mutex, Files(), SERVER)
    with mutex.hold(driver.engine):
        server.start()
    sim.run(until=lambda: server.state is MachineServer.SERVING)
    return server


@pytest.fixture
def sim() -> Simulation:
    return Simulation(1)


def test_a_list_takes_no_longer_than_its_datagrams(sim: Simulation) -> None:
    serve(sim)
    before = sim.clock.now

    run = Run(sim, ListExchange(SERVER), plain=True)
    sim.run(until=lambda: run.ended)
    assert run.shown == ["Port,PID,Machine"]
    assert run.client.outcome == DONE
    assert sim.clock.now - before < 1.0


def test_no_server(sim: Simulation) -> None:
    run = Run(sim, ListExchange(SERVER))

    sim.run(until=lambda: run.ended)
    assert run.client.outcome == Outcome(
        FAILURE, "nothing answers at 127.0.0.1:42000: start it, or correct the address"
    )
    assert 10.0 <= sim.clock.now < 11.0


def test_what_is_no_server_acknowledges_and_sends_no_list(sim: Simulation) -> None:
    class Silent(Echo):
        def handle_event(self, key: object, data: object) -> None:
            """Answer nothing."""

    Silent(sim.driver("machine"))
    run = Run(sim, ListExchange(ECHO))

    sim.run(until=lambda: run.ended)
    assert run.client.outcome == Outcome(FAILURE, "127.0.0.1:5000 has not sent its list in time")


def test_stop_ends_with_the_acknowledgement(sim: Simulation) -> None:
    serve(sim)

    run = Run(sim, StopExchange(SERVER, 5000))
    sim.run(until=lambda: run.ended)
    assert (run.shown, run.client.outcome) == (["> 127.0.0.1:42000 stop 5000"], DONE)


def test_send_and_replies_in_order(sim: Simulation) -> None:
    echo = Echo(sim.driver("machine"))

    run = Run(sim, SendExchange(ECHO, ("one", "", "three  words here"), 3))
    sim.run(until=lambda: run.ended)
    own = run.shown[3].split()[0]
    assert echo.received == ["one", "", "three  words here"]
    assert run.shown[:3] == [f"> 127.0.0.1:5000 {text}" for text in echo.received]
    assert run.shown[3:] == [f"{own} < 127.0.0.1:5000 {text}" for text in echo.received]
    assert run.client.outcome == DONE


def test_a_port_in_use(sim: Simulation) -> None:
    Echo(sim.driver("machine"))
    driver = sim.driver("client")
    mutex = Mutex()
    client = Client(driver.engine, mutex, ListExchange(SERVER), ECHO, print)
    with mutex.hold(driver.engine):
        client.start()

    sim.run(until=lambda: client.state is Client.ENDED)
    assert client.outcome.status == FAILURE
    assert "127.0.0.1:5000" in client.outcome.error


def test_loss_and_duplicates_delay_a_client_and_no_more() -> None:
    """Each outcome is right: what was printed has been received, and failures are reported."""
    faults = NetworkFaults(loss=0.2, duplicate=0.1, latency=(0.0, 0.05))
    exchanges: list[Callable[[], Exchange]] = [
        lambda: ListExchange(SERVER),
        lambda: StopExchange(SERVER, 5000),
        lambda: SendExchange(ECHO, tuple(WORDS), 3),
    ]
    for seed in seeds(20):
        with Simulation(seed, faults) as sim:
            serve(sim)
            echo = Echo(sim.driver("machine"))
            for begin in exchanges:
                run = Run(sim, begin(), plain=True)
                sim.elapse(60)
                if not run.ended:  # a reply was given up by its sender: `send` waits on
                    assert run.shown == sorted(run.shown, key=WORDS.index)
                    assert len(run.shown) < 3
                    assert run.driver.sources.signalled(2)
                    sim.elapse(1)
                    assert run.client.outcome == Outcome(FAILURE)
                elif run.client.outcome != DONE:
                    assert run.client.outcome.error
                elif run.shown and run.shown[0] in WORDS:
                    assert run.shown == WORDS == echo.received
