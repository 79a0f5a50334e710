"""Watchdog: a thread that looks at the net threads from outside: who blocks one, how late it is.

A callback cannot be interrupted. One that is still the same after so many looks is logged with its
stack, and its engine told, to end the conversation when it returns. Looks are counted, not seconds:
a process that was stopped, or a laptop that slept, has not been looked at meanwhile.

How late a thread is, a call tells that is posted to it: what it waited is what everything waits.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Sequence
from functools import partial
from math import ceil
from time import monotonic
from typing import NamedTuple

from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.engine import LogFunction
from vcproxy.engine.units import show_duration

LOOKS = 4
"""In the time that a callback may take: it is found at most a quarter late."""

SHORTEST_S, LONGEST_S = 0.01, 0.25
"""Between two looks: twice what CPython lets another thread run, and four in each second."""


class LoopLag(NamedTuple):
    """How late what was due on a thread has come, in the last full second."""

    average_s: float = 0.0
    longest_s: float = 0.0


class Watchdog:
    """Looks at drivers that run on threads of their own, from `start` to `stop`."""

    def __init__(self, drivers: Sequence[EpollDriver], limit_s: float, log: LogFunction) -> None:
        """A callback may take `limit_s` seconds; with 0 only the lag is measured."""
        self._limit_s = limit_s
        self._log = log
        self._period_s = min(max(limit_s / LOOKS, SHORTEST_S), LONGEST_S) if limit_s else LONGEST_S
        self._looks = ceil(limit_s / self._period_s)
        self._watched = [_Watched(driver) for driver in drivers]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="vcproxy watchdog")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more, if it ever did."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def lags(self) -> dict[str, LoopLag]:
        """How late each thread was in the last second, by its name. Any thread may ask."""
        return {watched.name: watched.lag for watched in self._watched}

    def _run(self) -> None:
        second = monotonic()
        while not self._over.wait(self._period_s):
            now = monotonic()
            full = now - second >= 1.0
            if full:
                second = now
            for watched in self._watched:
                watched.ask(now)
                if full:
                    self._sum_up(watched, now)
                if self._limit_s and watched.look() == self._looks:
                    self._bark(watched)

    def _sum_up(self, watched: _Watched, now: float) -> None:
        watched.sum_up(now)
        late = watched.lag.longest_s
        if self._limit_s and late > self._limit_s:
            self._log("warning", f"{watched.name} lags: what was due has come {late:.3f} s late")

    def _bark(self, watched: _Watched) -> None:
        engine = watched.driver.engine
        cont, delivery = engine.running, (engine.now, engine.delivery)
        stack = watched.stack()
        if cont is None or not watched.still():
            return  # it has returned, at the last moment
        try:
            who = f"{type(cont).__qualname__} {cont!r}"
        except BaseException:  # its author's mistake: this thread must outlive it
            who = type(cont).__qualname__
        self._log(
            "error",
            f"{who} has blocked {watched.name} for {show_duration(self._limit_s)}; "
            f"its conversation is closed when it returns\n{stack}",
        )
        engine.inbox.feed(partial(engine.blocked, cont, delivery))


class _Watched:
    """One net thread, and what has been seen of it."""

    def __init__(self, driver: EpollDriver) -> None:
        self.driver = driver
        self.name = driver.engine.name
        self.lag = LoopLag()
        self._delivery: tuple[float, int] | None = None  # no reference: it must die on its thread
        self._seen = 0
        self._asked: float | None = None
        self._waited: list[float] = []

    def look(self) -> int:
        """Look at what is being delivered: how often before it was the same."""
        if self.still():
            self._seen += 1
        else:
            engine = self.driver.engine
            self._delivery = engine.now, engine.delivery
            self._seen = 0
        return self._seen

    def still(self) -> bool:
        """Whether somebody is called back, with what was seen last."""
        engine = self.driver.engine
        same = self._delivery == (engine.now, engine.delivery)
        return same and engine.running is not None

    def stack(self) -> str:
        """Where the thread is."""
        frame = sys._current_frames().get(self.driver.thread)
        return "".join(traceback.format_stack(frame)).rstrip()

    def ask(self, now: float) -> None:
        """Have the thread answer, unless it still owes an answer."""
        if self._asked is None:
            self._asked = now
            self.driver.engine.inbox.feed(self._answer)

    def _answer(self) -> None:
        """It runs on the thread."""
        asked = self._asked
        if asked is not None:
            self._waited.append(monotonic() - asked)
            self._asked = None

    def sum_up(self, now: float) -> None:
        """Make the lag of what has been answered since the last time, and of what is not."""
        waited, self._waited = self._waited, []
        if self._asked is not None:
            waited = [*waited, now - self._asked]
        if waited:
            self.lag = LoopLag(sum(waited) / len(waited), max(waited))
