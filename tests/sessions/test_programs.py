"""Programs: the events of a plugin that lives as long as its listener, and its end."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.log_function import Level
from vcproxy.engine.net import NetVConnection
from vcproxy.sessions.program import Program, Signal
from vcproxy.sessions.programs import Programs
from vcproxy.sessions.service import Service
from vcproxy.testing.proxy import SimulatedProxy

PLACE = Address.parse("tcp://proxy:1")


class Printing(Program):
    """Prints its events, keeps its clients open, and fails at the third client."""

    def __init__(self, engine: Engine, service: Service, write: Callable[[str], None]) -> None:
        super().__init__(engine, service, write)
        self.clients = 0

    def start(self) -> None:
        assert self.mutex.held
        self.write(f"{self.service.name} starts")

    def handle_event(self, key: Hashable, data: object) -> None:
        if isinstance(data, NetVConnection):
            assert key is Event.ACCEPT
            assert data.mutex is self.mutex
            self.clients += 1
            self.write(f"client {self.clients}")
            if self.clients == 3:
                raise RuntimeError("one too many")
        else:
            self.write(str(data))

    def status(self) -> int:
        return self.clients


class Door(Program):
    """Notes the place of each client in the access log, and logs when it came."""

    @dataclass(frozen=True)
    class Options:
        place: str = "front"

    options: Options

    def handle_event(self, key: Hashable, data: object) -> None:
        if isinstance(data, NetVConnection):
            self.access_fields_of(data)["place"] = self.options.place
            self.log(f"{self.now:.1f} s, {self.wall % 60} past the minute", "warning")
            data.do_io_close()


def test_a_program_has_a_clock_a_log_options_and_fields() -> None:
    with SimulatedProxy(Door) as proxy:
        proxy.elapse(2.5)
        proxy.client()
        proxy.elapse(1)
        assert proxy.log == ["warning: proxy: 2.5 s, 2 past the minute"]
        assert [record["extra"] for record in proxy.access_log] == [{"place": "front"}]


class FailingStart(Program):
    def start(self) -> None:
        raise RuntimeError("no")


class FailingConstructor(Program):
    def __init__(self, *_: object) -> None:
        raise RuntimeError("no")


class Setup:
    """Programs on a simulated engine, and a listener for one."""

    def __init__(self, kind: type[Program], engines: int = 1) -> None:
        self.sim = Simulation(seed=1)
        drivers = [self.sim.driver(f"engine {n}", log=self._log) for n in range(engines)]
        self.engine = drivers[0].engine
        drivers[0].group = drivers
        self.logged: list[str] = []
        self.lines: list[str] = []
        self.programs = Programs(self.engine, self.lines.append)
        accept = self.programs.acceptor(kind, Service("printing"))
        self.listener = Listener("printing", accept, self.engine)
        drivers[0].listen(PLACE, self.listener)

    def _log(self, level: Level, text: str, error: Exception | None = None) -> None:
        self.logged.append(text)


def test_it_gets_all_clients_and_signals() -> None:
    setup = Setup(Printing)
    setup.sim.client(PLACE)
    setup.sim.client(PLACE)
    setup.sim.run()
    setup.programs.deliver(Signal(15, 7))
    setup.sim.run()
    assert setup.lines == ["printing starts", "client 1", "client 2", str(Signal(15, 7))]
    assert setup.programs.status() == {"printing": 2}


def test_clients_of_all_net_threads_go_to_the_one_program() -> None:
    setup = Setup(Printing, engines=2)
    setup.sim.client(PLACE)
    setup.sim.client(PLACE)
    setup.sim.run()
    assert setup.lines == ["printing starts", "client 1", "client 2"]


def test_clients_of_a_pinned_listener_stay_on_its_engine() -> None:
    setup = Setup(Printing, engines=2)
    setup.listener.pinned = True
    for _ in range(2):
        setup.sim.client(PLACE)
    setup.sim.run()
    assert len(setup.engine.vcs) == 2


def test_one_without_handle_event_ignores_signals_and_nothing_else() -> None:
    """So a program that has only methods for messages of the bus does not fail at the end."""
    setup = Setup(Program)
    setup.programs.deliver(Signal(15, 7))
    setup.sim.run()
    assert setup.logged == []
    setup.sim.client(PLACE)
    setup.sim.run()
    assert "its conversation is closed" in setup.logged[0]


def test_a_reload_keeps_it_and_removing_its_listener_stops_it() -> None:
    setup = Setup(Printing)
    client = setup.sim.client(PLACE)
    setup.sim.run()
    assert setup.programs.acceptor(Printing, Service("printing")) == setup.listener.acceptor
    setup.programs.stop_others(["printing"])
    setup.sim.run()
    assert setup.lines == ["printing starts", "client 1"]
    assert not client.ended
    setup.programs.stop_others(["another"])
    setup.sim.run()
    assert client.ended
    assert "printing" not in setup.programs


def test_an_exception_ends_it_and_resets_its_clients() -> None:
    setup = Setup(Printing)
    clients = [setup.sim.client(PLACE) for _ in range(3)]
    setup.sim.run()
    assert all(client.reset_seen for client in clients)
    late = setup.sim.client(PLACE)
    setup.sim.run()
    assert late.ended
    assert setup.lines[-1] == "client 3"
    assert not setup.engine.vcs


def test_clients_of_a_program_that_cannot_start_are_closed() -> None:
    for kind in (FailingStart, FailingConstructor):
        setup = Setup(kind)
        client = setup.sim.client(PLACE)
        setup.sim.run()
        assert client.ended
        assert len(setup.logged) == 1
        assert not setup.engine.vcs
