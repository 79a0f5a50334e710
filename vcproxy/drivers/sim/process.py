"""SimProcess: a simulated process: a program of a simulation, with its engines.

Tested in tests/drivers/test_sim_processes.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from vcproxy.drivers.sim.peer import Peer
from vcproxy.engine.sources.child_process import (
    ChildContinued,
    ChildExited,
    ChildKilled,
    ChildStopped,
    Launch,
)

if TYPE_CHECKING:
    from vcproxy.drivers.sim.driver import SimDriver

Program: TypeAlias = Callable[["SimProcess"], object]
"""Called when a process is launched; it creates engines, or acts on the clock. Afterwards the
process runs until it exits or is killed."""

IGNORED = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
"""Signals that do nothing unless a program takes them (signal(7))."""

STOPS = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}


class Parent(Protocol):
    """What a process reports to: the source at the parent that launched it."""

    def report(self, event_of: Callable[[str], object]) -> None:
        """Pass on an event, made of the name of the source."""


class ProcessEngines(Protocol):
    """What a process needs of its simulation."""

    def driver_of(self, process: SimProcess, name: str) -> SimDriver:
        """Return a driver of a new engine."""

    def ended(self, process: SimProcess) -> None:
        """Forget a process that has ended."""


class SimProcess:
    """A process. Its program calls `driver()` and `exit()`; the simulation or a test the rest."""

    def __init__(self, simulated: ProcessEngines, pid: int, launch: Launch, parent: Parent) -> None:
        self.pid = pid
        self.launch = launch
        """How it was launched."""
        self.on_signal: Callable[[int], object] | None = None
        """Called with a signal that no Signals source of its engines takes; None: the signal has
        its default effect."""
        self.drivers: list[SimDriver] = []
        """Of its engines."""
        self.stdin = Peer()
        """What its parent writes to it. Without a pipe nothing comes, as from /dev/null. A program
        sets `on_data` and `on_end`."""
        self.stdout, self.stderr = Peer(), Peer()
        """What it sends there, its parent reads; without pipes nobody does."""
        self.ended = False
        self.stopped = False
        """Stopped by a signal, until SIGCONT."""
        self.hangs = False
        """It does nothing any more, until it is killed."""
        self._simulated = simulated
        self._parent = parent
        self._waiting: list[tuple[int, int]] = []  # signals that came while it was stopped

    def __repr__(self) -> str:
        return f"<SimProcess {self.pid} {' '.join(self.argv)}>"

    @property
    def argv(self) -> tuple[str, ...]:
        """Its arguments, from argv[0] on."""
        return self.launch.arguments

    # -- for its program ---------------------------------------------------------------------

    def driver(self, name: str = "") -> SimDriver:
        """Return the driver of a new engine, which runs until the process ends.

        Use its engine here, and afterwards only in its own events: it has a turn when something
        has happened to it.
        """
        driver = self._simulated.driver_of(self, name or self.argv[0])
        self.drivers.append(driver)
        return driver

    def exit(self, status: int = 0) -> None:
        """End: its engines stop, its connections are reset, its child processes are killed.

        In an event of one of its engines, that turn is finished first: what it sends is sent.
        """
        end = partial(self._end, lambda name: ChildExited(name, status), kill=True)
        for driver in self.drivers:
            if driver.engine.is_current:
                driver.after_turn = end
                return
        end()

    # -- for others --------------------------------------------------------------------------

    def signal(self, number: int, sender: int = 0) -> None:
        """Handle a signal as the kernel does: by the program, or by its default effect."""
        if self.ended:
            return
        if number == signal.SIGKILL:
            self.kill(number)
        elif number == signal.SIGCONT and self.stopped:
            self._continue()
            self._take(number, sender)
        elif self.stopped or self.hangs:
            self._waiting.append((number, sender))
        elif number == signal.SIGSTOP:
            self._stop(number)
        else:
            self._take(number, sender)

    def kill(self, number: int) -> None:
        """End by a signal: nothing more happens in it. Its child processes go on."""
        self._end(lambda name: ChildKilled(name, int(number)), kill=False)

    def hang(self) -> None:
        """Hang: it is alive, but does nothing, and no signal but SIGKILL has an effect."""
        self.hangs = True
        self._halt()

    # -- inside ------------------------------------------------------------------------------

    def _take(self, number: int, sender: int) -> None:
        taken = [driver for driver in self.drivers if driver.sources.signalled(number, sender)]
        if taken or self.ended:
            return
        if self.on_signal is not None:
            self.on_signal(number)
        elif number in STOPS:
            self._stop(number)
        elif number not in IGNORED:
            self.kill(number)

    def _stop(self, number: int) -> None:
        self.stopped = True
        self._halt()
        self._parent.report(lambda name: ChildStopped(name, int(number)))

    def _continue(self) -> None:
        self.stopped = False
        self._halt()
        self._parent.report(ChildContinued)
        waiting, self._waiting = self._waiting, []
        for number, sender in waiting:
            self.signal(number, sender)

    def _halt(self) -> None:
        for driver in self.drivers:
            driver.halted = self.stopped or self.hangs
            driver.on_work()

    def _end(self, event_of: Callable[[str], object], *, kill: bool) -> None:
        if self.ended:
            return
        self.ended = True
        self.stdin.reset()
        self.stdout.end()
        self.stderr.end()
        for driver in self.drivers:
            driver.close(kill)
        self._simulated.ended(self)
        self._parent.report(event_of)
