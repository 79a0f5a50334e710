"""Child processes of the epoll driver: launched on another thread, then watched by a pidfd.

Tested in tests/conformance/test_sources.py and tests/drivers/test_epoll_child_processes.py.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.sources.child_stops import CHILD_STOPS
from vcproxy.drivers.epoll.sources.launching import Running, launch
from vcproxy.engine.sources.child_process import (
    ChildContinued,
    ChildExited,
    ChildKilled,
    ChildStopped,
    Launched,
    LaunchFailed,
)

if TYPE_CHECKING:
    from vcproxy.drivers.child_pipes import ChildPipes
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.sources.child_process import ChildProcess

END_S = 5.0
"""How long the end of a driver waits for a child to be launched, or to end after SIGKILL. Longer
than either takes unless the kernel waits for a device."""

UNKNOWN_STATUS = 255
LOST = os.CLD_EXITED, UNKNOWN_STATUS, 0
"""How a child has ended that other code has reaped. Nothing else has these three values."""


class Child:
    """One child process: it is launched, runs, and is reaped."""

    def __init__(
        self,
        driver: EpollDriver,
        source: ChildProcess,
        forget: Callable[[int], None],
        pipes: ChildPipes[int] | None,
    ) -> None:
        """`forget(number)` is called once it is reaped, or was not launched. `pipes`: what takes
        its pipes, if it has some."""
        self._pipes = pipes
        self._driver = driver
        self._source = source
        self._forget = forget
        self._signals: list[int] = []  # to send once it is launched
        self._closed = False
        self._lock = threading.Lock()  # for _closed and _running: they meet on two threads
        self._running: Running | None = None
        self._finished = threading.Event()  # the launch
        _take_ends()
        CHILD_STOPS.launching()
        driver.offload.launches.run(launch, (source.launch,), self._launched)

    # -- on the thread that launches ---------------------------------------------------------

    def _launched(self, value: object, error: Exception | None) -> None:
        running = value if isinstance(value, Running) else None
        with self._lock:
            self._running = running
            closed = self._closed
        feed = self._driver.engine.inbox.feed
        if running is None:
            CHILD_STOPS.launched(0, None)
            feed(partial(self._failed, str(error)))
        else:
            if closed:
                _kill(running)
            feed(partial(self._started, running))
            CHILD_STOPS.launched(running.pid, partial(self._stop_seen, running.pid))
        self._finished.set()

    def _stop_seen(self, pid: int, code: int, status: int) -> None:
        self._driver.engine.inbox.feed(partial(self._changed, code, status))

    # -- on the driver's thread --------------------------------------------------------------

    def _failed(self, why: str) -> None:
        self._forget(self._source.number)
        failed = LaunchFailed(self._source.name, why)
        self._driver.engine.happened(self._source, failed)
        if self._pipes is not None:
            self._pipes.fail(failed.text)

    def _started(self, running: Running) -> None:
        if self._running is None:
            return  # the driver has ended
        try:
            self._driver.watch(running.pidfd, self, select.EPOLLIN)
        except OSError as error:
            self.end()
            self._failed(f"cannot be watched: {(error.strerror or str(error)).lower()}")
            return
        self._driver.engine.happened(self._source, Launched(self._source.name, running.pid))
        if self._pipes is not None:
            pipes = dict(running.pipes)
            running.pipes.clear()
            self._pipes.offer(pipes)
        for number in self._signals:
            self.signal(number)

    def _changed(self, code: int, status: int) -> None:
        source = self._source
        if code == os.CLD_STOPPED:
            self._driver.engine.happened(source, ChildStopped(source.name, status))
        elif code == os.CLD_CONTINUED:
            self._driver.engine.happened(source, ChildContinued(source.name))

    def ready(self, mask: int) -> None:
        """Reap it, if it has ended."""
        running, source, driver = self._running, self._source, self._driver
        assert running is not None
        ended = _ended(running)
        if ended is None:
            return  # the event of a closed descriptor that had the same number: see `forget`
        if ended == LOST:
            driver.engine.log(
                "warning",
                f"{source.name}: the exit status of pid {running.pid} is lost, because other code "
                f"in this process has waited for it: {UNKNOWN_STATUS} is assumed",
            )
        CHILD_STOPS.forget(running.pid)
        _reap(running)
        # Not `forget`: a child that is being launched has a copy of the descriptor until exec(2),
        # so closing it does not end the watch.
        driver.unwatch(running.pidfd)
        self._release(running)
        code, status, _ = ended
        event = (ChildExited if code == os.CLD_EXITED else ChildKilled)(source.name, status)
        driver.engine.happened(source, event)

    def signal(self, number: int) -> None:
        """Send a signal, once it is launched."""
        running = self._running
        if running is None:
            self._signals.append(number)
            return
        try:
            signal.pidfd_send_signal(running.pidfd, number)
        except ProcessLookupError:
            pass  # it has ended: `ready` follows
        except OSError as error:
            name, why = self._source.name, (error.strerror or str(error)).lower()
            self._driver.engine.log(
                "warning", f"{name}: cannot send signal {number} to pid {running.pid}: {why}"
            )

    def set_watched(self, watched: bool) -> None:
        """See Opened. It is reaped also while its source is disabled."""

    def close(self) -> None:
        """Kill it; it is reaped later. To be called once its source is closed."""
        with self._lock:
            self._closed = True
            running = self._running
        if running is not None:
            _kill(running)

    def end(self) -> None:
        """Kill and reap it now: the driver ends."""
        self.close()
        self._finished.wait(END_S)
        running = self._running
        if running is None:
            return
        poll = select.poll()
        poll.register(running.pidfd, select.POLLIN)
        poll.poll(END_S * 1000)
        CHILD_STOPS.forget(running.pid)
        _reap(running)
        self._release(running)

    def _release(self, running: Running) -> None:
        self._running = None
        os.close(running.pidfd)
        running.close_pipes()
        self._forget(self._source.number)


def _take_ends() -> None:
    """Undo that SIGCHLD is ignored, which a process may inherit: the kernel would reap children,
    and their exit status would be lost. On the main thread only."""
    if (
        signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
        and threading.current_thread() is threading.main_thread()
    ):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _kill(running: Running) -> None:
    """Kill a child and what else is in its process group, such as the commands of a script."""
    try:
        signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)
        os.killpg(running.pid, signal.SIGKILL)  # its pid is still its own: it was not reaped
    except OSError:
        pass  # it has ended, or runs as another user


def _ended(running: Running) -> tuple[int, int, int] | None:
    """Return how a child has ended (os.CLD_EXITED, else by a signal), its status or the signal, and
    its pid; LOST if other code has reaped it; None if it has not ended."""
    try:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        found = os.waitid(os.P_PIDFD, running.pidfd, flags)
    except ChildProcessError:
        return LOST
    return None if found is None else (found.si_code, found.si_status, found.si_pid)


def _reap(running: Running) -> None:
    """Reap a child that has ended, and kill what it has left in its process group.

    In this order: once it is reaped, its pid may belong to another process or group.
    """
    if _ended(running) == LOST:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(running.pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, running.pidfd, os.WEXITED | os.WNOHANG)
