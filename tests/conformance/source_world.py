"""Worlds for tests of sources: the same test runs on real sockets and in a simulation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from tests.engine.world import EventRecorder, engine
from vcproxy.drivers.bus_exchange import BusExchange
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.sim import Simulation
from vcproxy.drivers.sim.process import Program
from vcproxy.engine.engine import Engine
from vcproxy.engine.sources.child_process import Launch

PATIENCE_S = 20.0
"""Time limit for a condition to hold, sufficient for a busy machine."""

T = TypeVar("T")

EXIT_3 = "exit 3"
WAIT = "exec sleep 60"

SCRIPTS: dict[str, Program] = {EXIT_3: lambda process: process.exit(3), WAIT: lambda process: None}
"""What the simulated /bin/sh does with each script."""


def script(text: str) -> Launch:
    """How to run a script."""
    return Launch("/bin/sh", ("sh", "-c", text))


class SourceWorld(Protocol):
    """An engine and its driver."""

    kind: str
    engine: Engine
    log: list[str]
    bus: BusExchange

    def alive(self, pid: int) -> bool:
        """Whether a process exists, or is a zombie."""

    def signal(self, number: int) -> None:
        """Send a signal to the process of the engine."""

    def run(self, until: Callable[[], object]) -> None:
        """Run turns until the condition holds."""

    def together(self, cause: Callable[[], object]) -> None:
        """Let all that this causes come in one turn."""

    def close(self) -> None:
        """Close the driver."""


class EpollWorld:
    """Real descriptors and processes."""

    kind = "epoll"

    def __init__(self) -> None:
        self.log: list[str] = []
        self.driver = EpollDriver(engine(self.log))
        self.engine = self.driver.engine
        self.bus = self.driver.bus

    def alive(self, pid: int) -> bool:
        """See SourceWorld."""
        return Path(f"/proc/{pid}").exists()

    def signal(self, number: int) -> None:
        """See SourceWorld."""
        os.kill(os.getpid(), number)

    def run(self, until: Callable[[], object]) -> None:
        """See SourceWorld."""
        last = time.monotonic() + PATIENCE_S
        while not until():
            self.driver.turn(0.01)
            assert time.monotonic() < last, f"not reached; logged {self.log}"

    def together(self, cause: Callable[[], object]) -> None:
        """See SourceWorld. The kernel delivers on loopback before the next poll."""
        cause()

    def close(self) -> None:
        """See SourceWorld."""
        self.driver.close()


class SimWorld:
    """A simulation without faults."""

    kind = "sim"

    def __init__(self) -> None:
        self.log: list[str] = []
        self.sim = Simulation(0)
        self.driver = self.sim.attach(engine(self.log))
        self.engine = self.driver.engine
        self.bus = self.sim.network.bus
        self.sim.programs["/bin/sh"] = lambda process: SCRIPTS[process.argv[-1]](process)

    def alive(self, pid: int) -> bool:
        """See SourceWorld."""
        return pid in self.sim.processes.running

    def signal(self, number: int) -> None:
        """See SourceWorld."""
        self.driver.sources.signalled(number)

    def run(self, until: Callable[[], object]) -> None:
        """See SourceWorld."""
        self.sim.run(until=lambda: bool(until()))

    def together(self, cause: Callable[[], object]) -> None:
        """See SourceWorld."""
        self.sim.suspend(1.0)
        cause()

    def close(self) -> None:
        """See SourceWorld."""
        self.driver.close()


@contextmanager
def world_of(kind: str) -> Iterator[SourceWorld]:
    """A world; at its end no descriptor and no child process is left."""
    before = _descriptors()
    world: SourceWorld = EpollWorld() if kind == "epoll" else SimWorld()
    try:
        yield world
    finally:
        world.close()
    with pytest.raises(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    assert _descriptors() <= before


def _descriptors() -> set[str]:
    """The open descriptors, without eventfds: a thread that wakes a driver may still hold one."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of this listing is closed again
            if "eventfd" not in os.readlink(f"/proc/self/fd/{name}"):
                found.add(name)
    return found


def opened(world: SourceWorld, make: Callable[[EventRecorder], T]) -> tuple[EventRecorder, T]:
    """Make a source under the mutex of a new recorder; return both."""
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        return recorder, make(recorder)
