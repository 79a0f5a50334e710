"""Own threads of the epoll driver: each is a thread of Python.

Tested in tests/conformance/test_thread_sources.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.thread_feed import Later, ThreadFeed, result_of
from vcproxy.engine.sources.own_thread import MOST_THREADS, TOO_MANY, ThreadDone, ThreadStopped
from vcproxy.engine.sources.thread_messages import ThreadMessage, require_plain

if TYPE_CHECKING:
    from vcproxy.engine.sources.own_thread import OwnThread

END_S = 1.0
"""How long the end of a driver waits for all its threads: enough for those that wait or post, which
are stopped at once, short enough for the end of a process."""


class ThreadCount:
    """How many own threads a process has. Any thread may use it."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def start(self, thread: threading.Thread) -> str:
        """Start a thread that will call `ended`; return why it cannot be started, or ""."""
        with self._lock:
            if self._count >= MOST_THREADS:
                return TOO_MANY
            self._count += 1
        try:
            thread.start()
        except RuntimeError:  # the limit of threads: RLIMIT_NPROC, or that of a cgroup
            self.ended()
            return "no thread can be started: raise the limit of processes (ulimit -u)"
        return ""

    def ended(self) -> None:
        """Count a thread that has ended."""
        with self._lock:
            self._count -= 1


THREADS = ThreadCount()
"""The one of this process."""


class RunningThread:
    """One thread; the ThreadWork of its function."""

    def __init__(self, source: OwnThread, later: Later, ended: Callable[[], object]) -> None:
        self._source = source
        self._stop = threading.Event()
        self._room = threading.Semaphore(source.limit)
        self._feed = ThreadFeed(source, later, self._room.release, ended)
        self._thread = threading.Thread(target=self._run, name=source.name, daemon=True)
        why = THREADS.start(self._thread)
        if why:
            source.add(ThreadDone(source.name, None, why))

    # -- on its own thread -------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """See ThreadWork."""
        return self._stop.is_set()

    def post(self, value: object) -> None:
        """See ThreadWork."""
        name = self._source.name
        require_plain(value, f"{name}: a message")
        self._room.acquire()
        if self.stopping:
            self._room.release()  # for others that the function has started
            raise ThreadStopped
        self._source.add(ThreadMessage(name, value))

    def wait(self, seconds: float) -> None:
        """See ThreadWork."""
        if self._stop.wait(seconds):
            raise ThreadStopped

    def _run(self) -> None:
        done = result_of(self._source, self)
        THREADS.ended()
        if not self.stopping:
            self._source.add(done)

    # -- on the driver's thread --------------------------------------------------------------

    def set_watched(self, watched: bool) -> None:
        """Pass events in, or let them wait."""
        self._feed.set_watched(watched)

    def close(self) -> None:
        """Let the thread stop."""
        self._stop.set()
        self._feed.close()
        self._room.release()

    def wait_for_end(self, seconds: float) -> None:
        """Wait until the thread has stopped; log it if it has not: the driver ends."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        if self._thread.is_alive():
            self._source.engine.log(
                "warning",
                f"{self._source.name}: its thread goes on, because {self._source.detail} has not "
                f"returned {END_S:g} s after the stop: let it wait with work.wait()",
            )
