"""ChildStops: reports when child processes are stopped and continued.

epoll shows only the end of a child (pidfd), and SIGCHLD reaches only the main thread. So one thread
of the process waits for both with waitid(2), for all children: with WEXITED left out, it never
reaps any.

Tested in tests/drivers/test_epoll_child_processes.py.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

EARLY = 256
"""The most stops that are kept while a launch is under way."""

StopReport: TypeAlias = Callable[[int, int], None]
"""Called with os.CLD_STOPPED and the signal, or os.CLD_CONTINUED and SIGCONT; on another thread."""


class ChildStops:
    """The children of this process that are watched. Any thread may call the methods.

    The thread starts with the first launch, and waits without polling while there are no children.
    What it sees of children that other code has started is lost for that code.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._reports: dict[int, StopReport] = {}  # by pid
        self._launching = 0
        # Stops seen before their launch was reported. Those of other children are among them.
        self._early: deque[tuple[int, int, int]] = deque(maxlen=EARLY)
        self._launches = 0
        self._thread: threading.Thread | None = None

    def launching(self) -> None:
        """Begin a launch, and keep all stops until `launched`, which has the pid of the child."""
        with self._condition:
            self._launching += 1

    def launched(self, pid: int, report: StopReport | None) -> None:
        """End a launch: report what happens to a child from its start. None: there is no child."""
        with self._condition:
            self._launching -= 1
            early = [(code, status) for who, code, status in self._early if who == pid]
            if not self._launching:
                self._early.clear()
            if report is None:
                return
            self._reports[pid] = report
            self._launches += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._wait, daemon=True, name="vcproxy stops"
                )
                self._thread.start()
            self._condition.notify()
        for code, status in early:
            report(code, status)

    def forget(self, pid: int) -> None:
        """Forget a child, before it is reaped: then the pid may belong to another process."""
        with self._condition:
            self._reports.pop(pid, None)

    def _start_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():  # it is not after a fork
            return
        thread = threading.Thread(target=self._wait, daemon=True, name="vcproxy child stops")
        with suppress(RuntimeError):  # the system starts no more threads: there are no reports
            thread.start()
            self._thread = thread

    def _wait(self) -> None:
        served = 0
        while True:
            with self._condition:
                while self._launches == served:
                    self._condition.wait()
                served = self._launches
            self._wait_while_there_are_children()

    def _wait_while_there_are_children(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WCONTINUED)
            except ChildProcessError:  # no child is left that could stop
                return
            assert found is not None  # without WNOHANG
            change = found.si_pid, found.si_code, found.si_status
            with self._condition:
                report = self._reports.get(found.si_pid)
                if report is None and self._launching:
                    self._early.append(change)
            if report is not None:
                report(found.si_code, found.si_status)


CHILD_STOPS = ChildStops()
"""The one of this process: two would take each other's reports."""
