"""Programs: what a plugin that lives as long as its listener is given, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Hashable

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

PLACE = Address.parse("tcp://proxy:1")


class Guest(Program):
    """Prints what it is told; keeps its clients, fails at the third."""

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


class Faulty(Program):
    def start(self) -> None:
        raise RuntimeError("no")


class Stillborn(Program):
    def __init__(self, *_: object) -> None:
        raise RuntimeError("no")


class House:
    """Programs on a simulated engine, and a listener for one."""

    def __init__(self, kind: type[Program], engines: int = 1) -> None:
        self.sim = Simulation(seed=1)
        drivers = [self.sim.driver(f"engine {n}", log=self._log) for n in range(engines)]
        self.engine = drivers[0].engine
        drivers[0].group = drivers
        self.logged: list[str] = []
        self.lines: list[str] = []
        self.programs = Programs(self.engine, self.lines.append)
        accept = self.programs.acceptor(kind, Service("guest"))
        self.listener = Listener("guest", accept, self.engine)
        drivers[0].listen(PLACE, self.listener)

    def _log(self, level: Level, text: str, error: Exception | None = None) -> None:
        self.logged.append(text)


def test_it_gets_all_clients_and_signals() -> None:
    house = House(Guest)
    house.sim.client(PLACE)
    house.sim.client(PLACE)
    house.sim.run()
    house.programs.deliver(Signal(15, 7))
    house.sim.run()
    assert house.lines == ["guest starts", "client 1", "client 2", str(Signal(15, 7))]
    assert house.programs.status() == {"guest": 2}


def test_clients_of_several_net_threads_come_to_the_one_program() -> None:
    house = House(Guest, engines=2)
    house.sim.client(PLACE)
    house.sim.client(PLACE)
    house.sim.run()
    assert house.lines == ["guest starts", "client 1", "client 2"]


def test_clients_of_a_pinned_listener_stay_on_its_engine() -> None:
    house = House(Guest, engines=2)
    house.listener.pinned = True
    for _ in range(2):
        house.sim.client(PLACE)
    house.sim.run()
    assert len(house.engine.vcs) == 2


def test_a_reload_leaves_it_alone_and_it_stops_when_its_listener_goes() -> None:
    house = House(Guest)
    client = house.sim.client(PLACE)
    house.sim.run()
    assert house.programs.acceptor(Guest, Service("guest")) == house.listener.acceptor
    house.programs.stop_others(["guest"])
    house.sim.run()
    assert house.lines == ["guest starts", "client 1"]
    assert not client.ended
    house.programs.stop_others(["another"])
    house.sim.run()
    assert client.ended
    assert "guest" not in house.programs


def test_a_mistake_ends_it_and_its_clients() -> None:
    house = House(Guest)
    clients = [house.sim.client(PLACE) for _ in range(3)]
    house.sim.run()
    assert all(client.reset_seen for client in clients)
    late = house.sim.client(PLACE)
    house.sim.run()
    assert late.ended
    assert house.lines[-1] == "client 3"
    assert not house.engine.vcs


def test_one_that_cannot_start_closes_its_clients() -> None:
    for kind in (Faulty, Stillborn):
        house = House(kind)
        client = house.sim.client(PLACE)
        house.sim.run()
        assert client.ended
        assert len(house.logged) == 1
        assert not house.engine.vcs
