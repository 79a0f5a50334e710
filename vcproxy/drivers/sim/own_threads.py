"""Own threads of the simulated driver: each runs only while the simulation waits for it.

So a function that waits with `work.wait()` takes virtual time, and a seed repeats its run.

Tested in tests/conformance/test_thread_sources.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.thread_feed import ThreadFeed, result_of
from vcproxy.engine.sources.own_thread import TOO_MANY, ThreadDone, ThreadStopped
from vcproxy.engine.sources.thread_messages import ThreadMessage, require_plain

if TYPE_CHECKING:
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.engine.sources.own_thread import OwnThread

FULL_S = 0.001
"""Virtual seconds from one look for room to the next while too many messages wait."""


class SimThread:
    """One thread; the ThreadWork of its function. Either it runs or the simulation does."""

    def __init__(
        self,
        driver: PortDriver,
        network: Network,
        source: OwnThread,
        ended: Callable[[], object],
        too_many: bool = False,
    ) -> None:
        """`ended()` is called with the last event. `too_many`: it cannot be started."""
        self._clock = network.clock
        self._source = source
        self._feed = ThreadFeed(source, driver.complete, ended=ended)
        self._runs = threading.Semaphore(0)
        self._waits = threading.Semaphore(0)
        self._ended = False
        self.stopping = False
        """See ThreadWork."""
        self._thread = threading.Thread(target=self._run, name=source.name, daemon=True)
        if too_many:
            self._ended = True
            source.add(ThreadDone(source.name, None, TOO_MANY))
            return
        self._thread.start()
        self._clock.after(network.span(network.faults.call_s), self._resume)

    # -- on its own thread -------------------------------------------------------------------

    def post(self, value: object) -> None:
        """See ThreadWork."""
        source = self._source
        require_plain(value, f"{source.name}: a message")
        while len(source.waiting) >= source.limit:
            self.wait(FULL_S)
        self._check()
        source.add(ThreadMessage(source.name, value))

    def wait(self, seconds: float) -> None:
        """See ThreadWork."""
        self._check()
        self._clock.after(max(seconds, 0.0), self._resume)
        self._waits.release()
        self._runs.acquire()
        self._check()

    def _check(self) -> None:
        if self.stopping:
            raise ThreadStopped

    def _run(self) -> None:
        self._runs.acquire()
        if not self.stopping:
            done = result_of(self._source, self)
            if not self.stopping:
                self._source.add(done)
        self._ended = True
        self._waits.release()

    # -- on the simulation's thread ----------------------------------------------------------

    def _resume(self) -> None:
        """Let it run until it waits or ends."""
        if not self._ended:
            self._runs.release()
            self._waits.acquire()

    def set_watched(self, watched: bool) -> None:
        """Pass events in, or let them wait."""
        self._feed.set_watched(watched)

    def close(self) -> None:
        """Let the thread stop, and wait for that."""
        self.stopping = True
        self._feed.close()
        if not self._ended:
            self._resume()
            self._thread.join()
