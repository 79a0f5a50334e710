"""Main: runs a Process as the whole of this program, on a real network. See Process.main().

The other modules of this package are free of the operating system; this one is not.

Tested in tests/e2e/test_machine_process.py.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from random import Random
from typing import TYPE_CHECKING, Final, NoReturn

from vcproxy.drivers.epoll.descriptors import open_standard
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.log_entry import entry
from vcproxy.supervise.invocation import Invocation

if TYPE_CHECKING:
    from vcproxy.engine.log_function import Level
    from vcproxy.supervise.process import Process

MEMORY: Final = 64 << 20
"""The budget of its engine for connections, of which a machine usually has none."""

STANDARD_ERROR: Final = 2


def run(kind: type[Process]) -> NoReturn:
    """Run it with the arguments of this program; end with its exit status."""
    open_standard()
    try:
        invocation = Invocation.parse(sys.argv)
    except ValueError as error:
        sys.exit(str(error))
    if isinstance(sys.stdout, TextIOWrapper):  # what the author prints is in order with the log
        sys.stdout.reconfigure(line_buffering=True)
    log = ProcessLog()
    engine = Engine(invocation.name, memory=MEMORY, random=Random(), log=log)
    driver = EpollDriver(engine)
    statuses: list[int] = []

    def ended(status: int) -> None:
        statuses.append(status)
        driver.stop()

    def check() -> None:
        if process.mutex.ended:  # an exception outside the author's code: no event follows
            ended(1)

    log.mistake = lambda: driver.after(0.0, check)
    process = kind(engine, invocation, os.getpid(), ended)
    with process.mutex.hold(engine):
        process.begin_life()
    if kind.receives_messages:
        open_bus(process, driver)
    driver.run()
    sys.exit(statuses[0])


def open_bus(process: Process, driver: EpollDriver) -> None:
    """Listen for messages of the bus at a Unix socket, for this user only."""
    from vcproxy.supervise.machine_door import MachineDoor  # most machines have none

    session = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = os.path.join(session if os.path.isabs(session) else "/run", "vcproxy")
    path = os.path.join(folder, f"machine.{process.pid}.sock")
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        driver.listen(Address.parse(f"unix:{path}?mode=0600"), MachineDoor(process, driver.bus))
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        text = f"{process.name}: takes no messages of the bus: no socket at {path}: {reason}"
        process.engine.log("warning", text)
    else:
        process.engine.log("info", f"{process.name}: bus at unix:{path}")


class ProcessLog:
    """The log of a machine, on standard error. Used as the LogFunction of its engine.

    Each entry is written before the next event is handled, so that it is in the file if the machine
    is killed. Entries that cannot be written, as when the disk is full, are dropped and counted.
    """

    def __init__(self) -> None:
        self.dropped = 0
        """Entries dropped since the last one that was written."""
        self._torn = False  # the last one was written in part
        self.mistake = _nothing
        """Called after an exception was logged."""

    def __call__(self, level: Level, text: str, error: Exception | None = None) -> None:
        """See LogFunction."""
        if level != "debug":
            line = f"{entry(level, text, error)}\n"
            if self.dropped or self._torn:
                line = self._resumed(line)
            octets = line.encode("utf-8", "backslashreplace")
            try:
                written = os.write(STANDARD_ERROR, octets)
            except OSError:
                self.dropped += 1
            else:
                self._torn = written < len(octets)
                self.dropped = int(self._torn)
        if error is not None:
            self.mistake()

    def _resumed(self, line: str) -> str:
        """Return the line as it is written.

        The number of lines that were dropped before it is written first. After a line that was
        written in part, a new one begins.
        """
        if self.dropped:
            lines = "1 line was" if self.dropped == 1 else f"{self.dropped} lines were"
            line = f"{entry('warning', f'{lines} dropped from the log')}\n{line}"
        return f"\n{line}" if self._torn else line


def _nothing() -> None:
    """Do nothing: nothing runs yet."""
