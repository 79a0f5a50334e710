"""Heartbeat: calls a function at intervals, for as long as every net thread turns.

Each driver has a timer, which its own thread runs: a thread that hangs in a callback, or waits for
ever in the kernel, does not turn, and the heartbeat stops. A client that is slow, or one that a
plugin lets wait, does not stop it. See Watchdog for callbacks that block for a short time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from vcproxy.drivers.epoll.driver import EpollDriver

BEATS = 4
"""Beats in each period of silence that counts as a failure: three of them may be late."""


class Heartbeat:
    """The heartbeat of all net threads of a process, from `start` until the drivers end."""

    def __init__(
        self, drivers: Sequence[EpollDriver], limit_s: float, beat: Callable[[], None]
    ) -> None:
        """Call `beat`, in any of the drivers' threads, BEATS times in `limit_s` seconds."""
        self._drivers = tuple(drivers)
        self._period_s = limit_s / BEATS
        self._beat = beat
        self._waiting_for = set(drivers)  # that have not turned since the last beat
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start. To be called before the drivers run."""
        for driver in self._drivers:
            driver.after(0.0, partial(self._turned, driver))

    def _turned(self, driver: EpollDriver) -> None:
        with self._lock:
            self._waiting_for.discard(driver)
            complete = not self._waiting_for
            if complete:
                self._waiting_for = set(self._drivers)
        if complete:
            self._beat()
        driver.after(self._period_s, partial(self._turned, driver))
