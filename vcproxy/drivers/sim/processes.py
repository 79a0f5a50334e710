"""SimProcesses: the programs and the processes of a simulation, and the turns of their engines.

A simulation may have a thousand processes. So it does not ask the engine of each whether it wants a
turn: the driver of a process reports when something has happened to it (`SimDriver.on_work`).

Tested in tests/drivers/test_sim_processes.py.
"""

from __future__ import annotations

import heapq
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.process import Parent, Program, SimProcess

if TYPE_CHECKING:
    from vcproxy.drivers.sim.conditions import Conditions
    from vcproxy.drivers.sim.driver import SimDriver
    from vcproxy.drivers.sim.faults import Span
    from vcproxy.engine.sources.child_process import Launch

FIRST_PID = 1000


@dataclass(frozen=True, slots=True)
class ProcessFaults:
    """Probabilities (0 to 1, for each process) and ranges. Without arguments: no faults."""

    launch_s: Span = (0.0, 0.0)
    """Time from the request until the program runs."""
    no_launch: float = 0.0
    """A launch fails: the limit of processes is reached."""
    crash: float = 0.0
    """A process is ended by SIGSEGV, `crash_s` after its start."""
    crash_s: Span = (0.0, 60.0)
    hang: float = 0.0
    """A process hangs, `hang_s` after its start."""
    hang_s: Span = (0.0, 60.0)

    @classmethod
    def all(cls) -> ProcessFaults:
        """Return all faults, each with a probability that makes it occur in a short run."""
        return cls(launch_s=(0.0, 0.5), no_launch=0.05, crash=0.1, hang=0.05)


class SimProcesses:
    """The processes of one simulation."""

    def __init__(
        self,
        conditions: Conditions,
        faults: ProcessFaults,
        make: Callable[[str], SimDriver],
    ) -> None:
        """`make` returns the driver of a new engine of that name."""
        self.programs: dict[str, Program] = {}
        """The programs, by their path."""
        self.running: dict[int, SimProcess] = {}
        """The processes that have not ended, by pid."""
        self.faults = faults
        self.turns = TurnQueue(conditions)
        """The turns of their engines."""
        self._conditions = conditions
        self._make = make
        self._pids = count(FIRST_PID)

    def failure(self, launch: Launch) -> str | None:
        """Return why a program cannot be launched, if so."""
        if launch.executable not in self.programs:
            return f"{launch.executable}: no such file or directory"
        if self._conditions.happens(self.faults.no_launch):
            return f"{launch.executable}: the limit of processes is reached: raise it (ulimit -u)"
        return None

    def launch(self, launch: Launch, parent: Parent) -> SimProcess:
        """Return a new process. Its program runs in `start`."""
        process = SimProcess(self, next(self._pids), launch, parent)
        self.running[process.pid] = process
        return process

    def start(self, process: SimProcess) -> None:
        """Run the program of a process."""
        conditions, faults = self._conditions, self.faults
        after, span = conditions.clock.after, conditions.span
        if conditions.happens(faults.crash):
            after(span(faults.crash_s), partial(process.kill, signal.SIGSEGV))
        if conditions.happens(faults.hang):
            after(span(faults.hang_s), process.hang)
        self.programs[process.launch.executable](process)

    def driver_of(self, process: SimProcess, name: str) -> SimDriver:
        """See ProcessEngines."""
        driver = self._make(name)
        driver.pid = process.pid
        self.turns.add(driver)
        return driver

    def ended(self, process: SimProcess) -> None:
        """See ProcessEngines."""
        del self.running[process.pid]
        for driver in process.drivers:
            self.turns.remove(driver)


class TurnQueue:
    """The drivers that want a turn, and when the others will."""

    def __init__(self, conditions: Conditions) -> None:
        self._clock = conditions.clock
        self._awake: list[SimDriver] = []
        self._places: dict[SimDriver, int] = {}  # in _awake
        self._deadlines: list[tuple[float, int, SimDriver]] = []  # a heap
        self._order = count()
        self._earliest: dict[SimDriver, float] = {}  # the least time in the heap, of every driver

    def add(self, driver: SimDriver) -> None:
        """Add the driver of a process. Its first turn is due."""
        self._earliest[driver] = float("inf")
        driver.on_work = driver.engine.inbox.wake = partial(self._wake, driver)
        driver.engine.inbox.sleeping = True  # a post to a sleeping inbox calls wake
        self._wake(driver)

    def remove(self, driver: SimDriver) -> None:
        """Remove the driver of a process that has ended."""
        del self._earliest[driver]
        self._rest(driver)

    def wake_all(self) -> None:
        """Look at each driver: the time, or a stop, may have changed what it wants."""
        for driver in self._earliest:
            self._wake(driver)

    def due(self) -> int:
        """Return how many drivers want a turn now."""
        deadlines, now = self._deadlines, self._clock.now
        while deadlines and deadlines[0][0] <= now:
            when, _, driver = heapq.heappop(deadlines)
            if self._earliest.get(driver) == when:
                self._earliest[driver] = float("inf")
                self._wake(driver)
        return len(self._awake)

    def take(self, index: int) -> SimDriver | None:
        """Return one of those that `due` has counted, or None if it does not want a turn after all.

        `done` must follow if it is not None.
        """
        driver = self._awake[index]
        if driver.wants_turn():
            return driver
        self.done(driver)
        return None

    def done(self, driver: SimDriver) -> None:
        """Handle the end of a driver's turn."""
        if driver not in self._earliest or driver.wants_turn():
            return
        self._rest(driver)
        when = None if driver.halted else driver.engine.next_deadline()
        if when is None:
            return
        when = max(when, driver.suspended_until)
        if when < self._earliest[driver]:
            self._earliest[driver] = when
            heapq.heappush(self._deadlines, (when, next(self._order), driver))

    def next_time(self) -> float | None:
        """Return when the next driver wants a turn, if `due` is 0; None: never.

        The time may be too early: an entry of the heap whose deadline was postponed stays in it.
        """
        return self._deadlines[0][0] if self._deadlines else None

    def _wake(self, driver: SimDriver) -> None:
        if driver not in self._places and driver in self._earliest:
            self._places[driver] = len(self._awake)
            self._awake.append(driver)

    def _rest(self, driver: SimDriver) -> None:
        """Take a driver out of those that are awake; the last takes its place."""
        place = self._places.pop(driver, None)
        if place is not None:
            last = self._awake.pop()
            if last is not driver:
                self._awake[place] = last
                self._places[last] = place
