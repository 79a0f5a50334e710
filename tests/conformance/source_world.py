"""Worlds for tests of sources: the same test runs on real sockets and in a simulation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tests.engine.world import EventRecorder, engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.engine import Engine

PATIENCE_S = 20.0
"""Time limit for a condition to hold, sufficient for a busy machine."""

T = TypeVar("T")


class SourceWorld(Protocol):
    """An engine and its driver."""

    kind: str
    engine: Engine
    log: list[str]

    def run(self, until: Callable[[], object]) -> None:
        """Run turns until the condition holds."""

    def close(self) -> None:
        """Close the driver."""


class EpollWorld:
    """Real descriptors and processes."""

    kind = "epoll"

    def __init__(self) -> None:
        self.log: list[str] = []
        self.driver = EpollDriver(engine(self.log))
        self.engine = self.driver.engine

    def run(self, until: Callable[[], object]) -> None:
        """See SourceWorld."""
        last = time.monotonic() + PATIENCE_S
        while not until():
            self.driver.turn(0.01)
            assert time.monotonic() < last, f"not reached; logged {self.log}"

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

    def run(self, until: Callable[[], object]) -> None:
        """See SourceWorld."""
        self.sim.run(until=lambda: bool(until()))

    def close(self) -> None:
        """See SourceWorld."""
        self.driver.close()


@contextmanager
def world_of(kind: str) -> Iterator[SourceWorld]:
    """A world; at its end no descriptor is left."""
    before = os.listdir("/proc/self/fd")
    world: SourceWorld = EpollWorld() if kind == "epoll" else SimWorld()
    try:
        yield world
    finally:
        world.close()
        driver = world.__dict__.pop("driver")
        del driver  # its eventfd is closed with the last reference
        world.engine.inbox.wake = lambda: None
    assert sorted(os.listdir("/proc/self/fd")) == sorted(before)


def opened(world: SourceWorld, make: Callable[[EventRecorder], T]) -> tuple[EventRecorder, T]:
    """Make a source under the mutex of a new recorder; return both."""
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        return recorder, make(recorder)
