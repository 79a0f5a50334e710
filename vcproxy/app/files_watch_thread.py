"""FilesWatchThread: a FilesWatch on a thread of its own, while there are files to watch.

It has an engine of its own, so it is no part of a recording: what it causes is a reload or new TLS
contexts, and both are independent of the events of the net threads. Tested in
tests/e2e/test_watch.py.
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.log_function import LogFunction
    from vcproxy.listeners.files_watch import FilesWatch


class FilesWatchThread:
    """Watches files. The two functions are called in its thread: see FilesWatch."""

    def __init__(
        self, log: LogFunction, changed: Callable[[], None], renewable: Callable[[], None]
    ) -> None:
        self._log = log
        self._changed = changed
        self._renewable = renewable
        self._watch: FilesWatch | None = None
        self._driver: EpollDriver
        self._thread: threading.Thread

    def use(self, reloading: Iterable[Path], renewing: Iterable[Path], *, again: bool) -> None:
        """Watch these files from now on. See FilesWatch."""
        files = [str(path) for path in reloading], [str(path) for path in renewing]
        if self._watch is None:
            if any(files):
                self._start(*files)
        elif not any(files):
            self.close()
        else:
            self._watch.engine.inbox.feed(partial(_use, self._watch, *files, again))

    def _start(self, reloading: list[str], renewing: list[str]) -> None:
        from vcproxy.drivers.epoll.driver import EpollDriver
        from vcproxy.engine.engine import Engine
        from vcproxy.engine.mutex import Mutex
        from vcproxy.listeners.files_watch import FilesWatch

        engine = Engine("watch", memory=0, random=random.Random(), log=self._log)
        self._driver = EpollDriver(engine)
        self._watch = FilesWatch(engine, Mutex(), self._changed, self._renewable)
        _use(self._watch, reloading, renewing, False)
        self._driver.turn(0.0)  # the files are watched before the proxy reports that it is ready
        self._thread = threading.Thread(target=self._driver.run, name="watch")
        # The thread inherits the signal mask: it must not get signals that others wait for.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def close(self) -> None:
        """End the thread."""
        if self._watch is not None:
            self._driver.stop()
            self._thread.join()
            self._watch = None


def _use(watch: FilesWatch, reloading: list[str], renewing: list[str], again: bool) -> None:
    with watch.mutex.hold(watch.engine):
        watch.use(reloading, renewing, again=again)
