"""Offload: the thread pools of a process, one for each kind of blocking work.

Name look-ups, launches of programs, the calls of each listener's plugin, and the proxy's own work
(a reload) mostly wait for other systems and use little CPU. Each kind has its own pool, so that
work that hangs delays only work of the same kind.

Tested in tests/drivers/test_epoll_thread_pool.py.
"""

from __future__ import annotations

import threading

from vcproxy.drivers.epoll.resolver import Resolver
from vcproxy.drivers.epoll.thread_pool import ThreadPool


class Offload:
    """The thread pools of a process. Any thread may use them."""

    def __init__(self) -> None:
        self.resolver = Resolver()
        self.internal = ThreadPool("own")
        """For the proxy's own work, such as reading its configuration."""
        self.launches = ThreadPool("launches")
        """For the launches of child processes: exec(2) may wait for a slow disk."""
        self.looks = ThreadPool("looks")
        """For looks whether a socket listens somewhere, which may wait for other hosts."""
        self.files = ThreadPool("files")
        """For opening files that are sent: a disk may be slow."""
        self._lock = threading.Lock()
        self._calls: dict[str, ThreadPool] = {}

    def calls(self, listener: str) -> ThreadPool:
        """Return the pool for the calls of a listener's plugin."""
        with self._lock:
            return self._calls.setdefault(listener, ThreadPool(f"calls of {listener}"))
