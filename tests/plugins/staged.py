"""A staged program in simulation, and its trace."""

from __future__ import annotations

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.sessions.program import Signal
from vcproxy.sessions.programs import Programs
from vcproxy.sessions.service import Service
from vcproxy.sessions.staged_program import StagedProgram
from vcproxy.upstream.server import Server
from vcproxy.upstream.upstream import Upstream

PLACE = Address.parse("tcp://127.0.0.1:3333")


class Staged:
    """Runs one program as the proxy does: starts it, listens, delivers signals."""

    def __init__(
        self, sim: Simulation, plugin: type[StagedProgram], options: object, net_threads: int = 1
    ) -> None:
        drivers = [sim.driver(f"net-{number}") for number in range(net_threads)]
        driver = drivers[0]
        driver.group = drivers
        self.engines = [driver.engine for driver in drivers]
        upstream = (
            Upstream(driver.engine, "echo", [Server(PLACE)]) if plugin.needs_upstream else None
        )
        service = Service("echo", options=options, bound=(PLACE,), upstream=upstream)
        self.lines: list[str] = []
        self._programs = Programs(driver.engine, self.lines.append)
        accept = self._programs.acceptor(plugin, service)
        if not plugin.needs_upstream:
            driver.listen(PLACE, Listener("echo", accept, driver.engine))
        sim.run(until=lambda: bool(self.lines))

    def signal(self, number: int, pid: int) -> None:
        """Deliver a signal."""
        self._programs.deliver(Signal(number, pid))

    def new_lines(self) -> str:
        """Return the lines of the trace since the last call."""
        new = "".join(f"{line}\n" for line in self.lines)
        self.lines.clear()
        return new
