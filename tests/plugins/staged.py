"""A staged program in simulation, and its trace."""

from __future__ import annotations

from vcproxy.business.program import Signal
from vcproxy.business.service import Service
from vcproxy.business.staged_program import StagedProgram
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.upstream.servers import RoundRobin, Server

PLACE = Address.parse("tcp://127.0.0.1:3333")


class Staged:
    """What the server does for a program: listen, start it, pass signals on."""

    def __init__(self, sim: Simulation, plugin: type[StagedProgram], options: object) -> None:
        driver = sim.driver()
        upstream = RoundRobin([Server(PLACE)]) if plugin.needs_upstream else None
        service = Service("echo", options=options, bound=(PLACE,), upstream=upstream)
        self.lines: list[str] = []
        self.program = plugin(driver.engine, service, self.lines.append)
        if not plugin.needs_upstream:
            driver.listen(PLACE, Listener("echo", self.program.accept, driver.engine))
        with self.program.mutex.hold(driver.engine):
            self.program.start()

    def signal(self, number: int, pid: int) -> None:
        """Somebody sends a signal."""
        self.program.engine.schedule(self.program, Signal, Signal(number, pid))

    def news(self) -> str:
        """What the trace says that it did not say before."""
        said = "".join(f"{line}\n" for line in self.lines)
        self.lines.clear()
        return said
