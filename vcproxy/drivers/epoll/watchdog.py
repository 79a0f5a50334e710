"""Watchdog: a thread that watches the net threads for callbacks that block, and measures their lag.

A callback cannot be interrupted. If CHECKS checks in a row find the same callback running, it is
logged with its stack, and its engine ends the conversation when the callback returns. Checks are
counted, not seconds: while a process is stopped, or a computer sleeps, there are no checks. A check
counts less if the thread has waited for a CPU meanwhile: then the computer is overloaded, and the
callback is not at fault.

A thread's lag is measured with a call that is posted to its inbox: the time that the call waits is
the time that every event of the thread waits.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import NamedTuple

from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.log_function import LogFunction
from vcproxy.engine.units import show_duration

CHECKS = 4
"""Checks within a callback's time limit: it is found at most a quarter of the limit late."""

MIN_PERIOD_S, MAX_PERIOD_S = 0.01, 0.25
"""Limits of the time between two checks: twice CPython's switch interval; four checks a second."""


class LoopLag(NamedTuple):
    """How late a thread has handled its events, in the last full second."""

    average_s: float = 0.0
    longest_s: float = 0.0


class Watchdog:
    """Checks drivers that run on their own threads, from `start` to `stop`."""

    def __init__(self, drivers: Sequence[EpollDriver], limit_s: float, log: LogFunction) -> None:
        """A callback may take `limit_s` seconds; with 0 only the lag is measured, without logs."""
        self._limit_s = limit_s
        self._log = log
        self._period_s = (
            min(max(limit_s / CHECKS, MIN_PERIOD_S), MAX_PERIOD_S) if limit_s else MAX_PERIOD_S
        )
        self._most_s = limit_s - self._period_s / 2  # half a check, as sums are not exact
        self._threads = [_NetThread(driver) for driver in drivers]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="vcproxy watchdog")

    def start(self) -> None:
        """Start checking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop checking, if it was started."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def lags(self) -> dict[str, LoopLag]:
        """Return each thread's lag in the last second, by its name. Any thread may call it."""
        return {thread.name: thread.lag for thread in self._threads}

    def _run(self) -> None:
        second = monotonic()
        while not self._stopped.wait(self._period_s):
            now = monotonic()
            full = now - second >= 1.0
            if full:
                second = now
            for thread in self._threads:
                thread.probe(now)
                if full:
                    self._update_lag(thread, now)
                before_s, blocked_s = thread.check(now, self._period_s)
                if self._limit_s and before_s < self._most_s <= blocked_s:
                    self._report(thread)

    def _update_lag(self, thread: _NetThread, now: float) -> None:
        thread.update_lag(now)
        late = thread.lag.longest_s
        if self._limit_s and late > self._limit_s:
            self._log("warning", f"{thread.name}: lag: events were handled up to {late:.3f} s late")

    def _report(self, thread: _NetThread) -> None:
        engine = thread.driver.engine
        cont, delivery = engine.running, (engine.now, engine.delivery)
        stack = thread.stack()
        if cont is None or not thread.unchanged():
            return  # the callback has returned meanwhile
        try:
            callback = f"{type(cont).__qualname__} {cont!r}"
        except BaseException:  # a faulty __repr__ must not end this thread
            callback = type(cont).__qualname__
        self._log(
            "error",
            f"{callback} has blocked {thread.name} for {show_duration(self._limit_s)}; "
            f"its conversation is closed when it returns\n{stack}",
        )
        engine.inbox.feed(partial(engine.blocked, cont, delivery))


class CpuWaits:
    """How long a thread could have run, but had no CPU."""

    __slots__ = ("_at", "_driver", "_waited_s")

    def __init__(self, driver: EpollDriver) -> None:
        self._driver = driver
        self._at = self._waited_s = 0.0

    def without(self, now: float) -> float:
        """Return the seconds since the last call, without those in which the thread of the driver
        has waited for a CPU.

        The kernel counts them (Documentation/scheduler/sched-stats: /proc/PID/task/TID/schedstat);
        where it does not, there are none.
        """
        waited_s = 0.0
        try:
            with open(f"/proc/self/task/{self._driver.native_thread}/schedstat") as file:
                waited_s = int(file.read().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            pass
        own_s = now - self._at - (waited_s - self._waited_s)
        self._at, self._waited_s = now, waited_s
        return max(0.0, own_s)


class _NetThread:
    """One net thread, and the results of its checks."""

    def __init__(self, driver: EpollDriver) -> None:
        self.driver = driver
        self.name = driver.engine.name
        self.lag = LoopLag()
        # Numbers only, no reference to the event: it must be freed on its own thread.
        self._delivery: tuple[float, int] | None = None
        self._blocked_s = 0.0
        self._cpu_waits = CpuWaits(driver)
        self._probe_sent: float | None = None
        self._waits: list[float] = []

    def check(self, now: float, period_s: float) -> tuple[float, float]:
        """Check the running callback; return for how many seconds checks in a row have found it,
        before this check and with it."""
        before_s = self._blocked_s
        own_s = self._cpu_waits.without(now)
        if self.unchanged():
            self._blocked_s += min(own_s, period_s)
        else:
            engine = self.driver.engine
            self._delivery = engine.now, engine.delivery
            self._blocked_s = 0.0
        return before_s, self._blocked_s

    def unchanged(self) -> bool:
        """Return whether the callback that the last check found is still running."""
        engine = self.driver.engine
        same = self._delivery == (engine.now, engine.delivery)
        return same and engine.running is not None

    def stack(self) -> str:
        """Return the thread's stack as text."""
        frame = sys._current_frames().get(self.driver.thread)
        return "".join(traceback.format_stack(frame)).rstrip()

    def probe(self, now: float) -> None:
        """Post a probe to the thread, unless the last one is still pending."""
        if self._probe_sent is None:
            self._probe_sent = now
            self.driver.engine.inbox.feed(self._probe_done)

    def _probe_done(self) -> None:
        """Record how long the probe waited; called on the net thread."""
        sent = self._probe_sent
        if sent is not None:
            self._waits.append(monotonic() - sent)
            self._probe_sent = None

    def update_lag(self, now: float) -> None:
        """Compute the lag from the probes since the last update, and from a pending one."""
        waits, self._waits = self._waits, []
        if self._probe_sent is not None:
            waits = [*waits, now - self._probe_sent]
        if waits:
            self.lag = LoopLag(sum(waits) / len(waits), max(waits))
