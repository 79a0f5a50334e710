"""Simulated processes: engines of their own, signals, faults, and a thousand of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from signal import SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import pytest

from tests.engine.world import EventRecorder
from vcproxy.drivers.sim import Simulation, seeds
from vcproxy.drivers.sim.driver import SimDriver
from vcproxy.drivers.sim.process import SimProcess
from vcproxy.drivers.sim.processes import ProcessFaults
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.sources.child_process import (
    ChildContinued,
    ChildExited,
    ChildKilled,
    ChildProcess,
    ChildStopped,
    Launch,
    Launched,
    LaunchFailed,
)
from vcproxy.engine.sources.datagrams import Arrived, Datagrams, HostPort
from vcproxy.engine.sources.signals import Signal, Signals

ECHO = "/bin/echo-server"
LAST = ("10.0.0.9", 9)
"""Where an echo server sends its last datagram."""


class Parent:
    """An engine that launches children."""

    def __init__(self, sim: Simulation, driver: SimDriver | None = None) -> None:
        self.sim = sim
        self.driver = driver or sim.driver("parent")
        self.recorder = EventRecorder(self.driver.engine)

    def launch(self, executable: str, name: str = "child", *arguments: str) -> ChildProcess:
        with self.recorder.mutex.hold(self.driver.engine):
            return ChildProcess(self.recorder, name, Launch(executable, (name, *arguments)))

    def do(self, call: Callable[[], None]) -> None:
        with self.recorder.mutex.hold(self.driver.engine):
            call()

    def run(self, events: int) -> None:
        self.sim.run(until=lambda: len(self.recorder.data) >= events)

    @property
    def events(self) -> list[object]:
        return self.recorder.data

    def process(self, index: int = 0) -> SimProcess:
        launched = self.events[index]
        assert isinstance(launched, Launched)
        return self.sim.processes.running[launched.pid]


class Echo(EventRecorder):
    """Sends each datagram back; ends its process at SIGTERM."""

    def __init__(self, process: SimProcess, address: HostPort) -> None:
        super().__init__(process.driver().engine)
        self.process = process
        with self.mutex.hold(self.engine):
            self.socket = Datagrams(self, "socket", address)
            Signals(self, (SIGTERM,))

    def handle_event(self, key: object, data: object) -> None:
        """Answer."""
        super().handle_event(key, data)
        if isinstance(data, Arrived):
            self.socket.send(data.data, data.source)
        elif isinstance(data, Signal):
            self.process.exit(0)
            self.socket.send(b"bye", LAST)


@pytest.fixture
def sim() -> Simulation:
    sim = Simulation(0)
    sim.programs[ECHO] = lambda process: Echo(process, ("10.0.0.2", 7))
    return sim


def test_it_has_an_engine_of_its_own(sim: Simulation) -> None:
    parent = Parent(sim)
    parent.launch(ECHO)
    parent.run(1)
    client = sim.datagram_client(Address.parse("udp://10.0.0.2:7"))
    client.send(b"hello")
    sim.run(until=lambda: client.received == [b"hello"])


def test_its_program_handles_sigterm(sim: Simulation) -> None:
    parent = Parent(sim)
    child = parent.launch(ECHO)
    parent.run(1)
    sim.run()  # until its source is open
    last = sim.datagram_server(Address("udp", *LAST))
    parent.do(lambda: child.signal(SIGTERM))
    parent.run(2)
    assert parent.events[1] == ChildExited("child", 0)
    assert sim.processes.running == {}
    sim.run()
    assert last.received == [b"bye"]  # sent in the same event


def test_a_signal_comes_with_the_pid_of_its_sender(sim: Simulation) -> None:
    made: list[Echo] = []
    nested: list[Parent] = []

    def program(process: SimProcess) -> None:
        nested.append(Parent(sim, process.driver("middle")))
        nested[0].launch("/inner")

    sim.programs["/middle"] = program
    sim.programs["/inner"] = lambda process: made.append(Echo(process, ("10.0.0.3", 7)))
    Parent(sim).launch("/middle")
    sim.run()
    inner = made[0]
    middle = nested[0].driver.pid
    assert middle > 0
    inner.process.signal(SIGTERM, middle)
    sim.run()
    assert inner.data[-1] == Signal(SIGTERM, middle)


def test_a_killed_one_closes_its_sockets_and_leaves_its_children(sim: Simulation) -> None:
    def program(process: SimProcess) -> None:
        driver = process.driver()
        listener = Listener("tcp", _acceptor, driver.engine)
        driver.listen(Address.parse("tcp://10.0.0.2:80"), listener)
        Parent(sim, driver).launch(ECHO)

    sim.programs["/server"] = program
    parent = Parent(sim)
    child = parent.launch("/server")
    sim.run()
    client = sim.client(Address.parse("tcp://10.0.0.2:80"))
    sim.run(until=lambda: client.connected)
    parent.do(lambda: child.signal(SIGKILL))
    parent.run(2)
    sim.run()
    assert parent.events[1] == ChildKilled("child", SIGKILL)
    assert isinstance(client.error, ConnectionResetError)
    late = sim.client(Address.parse("tcp://10.0.0.2:80"))
    sim.run()
    assert isinstance(late.error, ConnectionRefusedError)
    assert len(sim.processes.running) == 1  # the grandchild


def test_an_exit_kills_its_children(sim: Simulation) -> None:
    def program(process: SimProcess) -> None:
        Parent(sim, process.driver()).launch(ECHO)
        sim.clock.after(5, process.exit)

    sim.programs["/server"] = program
    parent = Parent(sim)
    parent.launch("/server")
    parent.run(2)
    assert parent.events[1] == ChildExited("child", 0)
    assert sim.processes.running == {}


def test_a_stopped_one_has_no_turns(sim: Simulation) -> None:
    parent = Parent(sim)
    child = parent.launch(ECHO)
    sim.run()
    parent.do(lambda: child.signal(SIGSTOP))
    sim.run()
    client = sim.datagram_client(Address.parse("udp://10.0.0.2:7"))
    client.send(b"hello")
    sim.run()
    assert client.received == []
    parent.do(lambda: child.signal(SIGCONT))
    sim.run()
    assert client.received == [b"hello"]
    parent.do(lambda: child.signal(SIGTERM))
    sim.run()
    assert parent.events[1:] == [
        ChildStopped("child", SIGSTOP),
        ChildContinued("child"),
        ChildExited("child", 0),
    ]


def test_a_hanging_one_can_only_be_killed(sim: Simulation) -> None:
    parent = Parent(sim)
    child = parent.launch(ECHO)
    sim.run()
    parent.process().hang()
    for number in (SIGTERM, SIGSTOP, SIGCONT):
        parent.do(lambda number=number: child.signal(number))  # type: ignore[misc]
    sim.run()
    assert len(parent.events) == 1
    parent.do(lambda: child.signal(SIGKILL))
    parent.run(2)
    assert parent.events[1] == ChildKilled("child", SIGKILL)


def test_default_effects_and_a_handler(sim: Simulation) -> None:
    seen: list[int] = []
    sim.programs["/plain"] = lambda process: None

    def handles(process: SimProcess) -> None:
        process.on_signal = seen.append

    sim.programs["/handles"] = handles
    parent = Parent(sim)
    plain, handling = parent.launch("/plain"), parent.launch("/handles", "handling")
    for child in (plain, handling):
        parent.do(lambda child=child: child.signal(SIGCHLD))  # type: ignore[misc]
        parent.do(lambda child=child: child.signal(SIGTERM))  # type: ignore[misc]
    sim.run()
    assert sorted(map(repr, parent.events)) == sorted(
        map(
            repr,
            [Launched("child", 1000), Launched("handling", 1001), ChildKilled("child", 15)],
        )
    )
    assert seen == [SIGCHLD, SIGTERM]


def test_a_post_and_a_timer_wake_its_engine(sim: Simulation) -> None:
    recorders: list[EventRecorder] = []

    def program(process: SimProcess) -> None:
        recorder = EventRecorder(process.driver().engine)
        recorder.engine.schedule_in(30, recorder, Event.TIMEOUT, None)
        recorders.append(recorder)

    sim.programs["/timer"] = program
    Parent(sim).launch("/timer")
    sim.elapse(10)
    (recorder,) = recorders
    recorder.engine.schedule(recorder, "posted", None)  # by another thread, as it were
    sim.run()
    assert recorder.events == ["posted", Event.TIMEOUT]
    assert sim.now == 30


def test_a_suspended_simulation_suspends_processes(sim: Simulation) -> None:
    Parent(sim).launch(ECHO)
    sim.run()
    client = sim.datagram_client(Address.parse("udp://10.0.0.2:7"))
    sim.suspend(5)
    client.send(b"hello")
    sim.elapse(4)
    assert client.received == []
    sim.run(until=lambda: client.received == [b"hello"])


@pytest.mark.parametrize("seed", list(seeds(10)))
def test_faults(seed: int) -> None:
    with Simulation(seed, process_faults=ProcessFaults.all()) as sim:
        sim.programs["/waits"] = lambda process: None
        parent = Parent(sim)
        for number in range(100):
            parent.launch("/waits", f"child-{number}")
        sim.elapse(100)
        ends: dict[type, int] = {}
        for event in parent.events:
            ends[type(event)] = ends.get(type(event), 0) + 1
            if isinstance(event, LaunchFailed):
                assert event.reason == (
                    "/waits: the limit of processes is reached: raise it (ulimit -u)"
                )
        assert ends[Launched] + ends.get(LaunchFailed, 0) == 100
        assert ends[Launched] - ends.get(ChildKilled, 0) == len(sim.processes.running)
        assert ends.get(ChildKilled, 0) > 0
        for process in list(sim.processes.running.values()):
            process.signal(SIGKILL)
        sim.run()
        assert sim.processes.running == {}


def test_a_thousand_processes_cost_little() -> None:
    """60 virtual seconds of 1,000 processes with a pulse each 10 s."""
    sim = Simulation(1)
    pulses = 0

    class Pulsing(EventRecorder):
        def __init__(self, process: SimProcess) -> None:
            super().__init__(process.driver().engine)
            with self.mutex.hold(self.engine):
                self.socket = Datagrams(self, "socket", ("10.0.0.9", 0))
            self.engine.schedule_every(10, self, Event.TIMEOUT, None)

        def handle_event(self, key: object, data: object) -> None:
            if key is Event.TIMEOUT:
                self.socket.send(b"pulsed", ("10.0.0.2", 7))

    def count(data: bytes, source: HostPort) -> None:
        nonlocal pulses
        pulses += 1

    sim.datagram_server(Address.parse("udp://10.0.0.2:7")).on_datagram = count
    sim.programs["/pulsing"] = Pulsing
    parent = Parent(sim)
    for number in range(1000):
        parent.launch("/pulsing", f"child-{number}")
    before = time.process_time()
    sim.elapse(65)
    assert pulses == 6000
    # It took 0.3 s; with a look at each engine for each step it would take more than 10.
    assert time.process_time() - before < 6


def _acceptor(vc: NetVConnection) -> EventRecorder:
    """Keep the connection open."""
    return EventRecorder(vc.engine, vc.mutex)
