"""Configurations: the one that the workers use, and the one that is offered to them.

Tested in tests/e2e/test_workers_reload.py.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vcproxy.config.errors import ConfigError
from vcproxy.config.workers import only_in_worker_1
from vcproxy.engine.plugin_error import as_error
from vcproxy.listeners.restart import restart_needed
from vcproxy.workers.content import packed
from vcproxy.workers.loaded import Loaded, load_again
from vcproxy.workers.sockets import HandedOn, new_sockets

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.workers.master_log import MasterLog
    from vcproxy.workers.sockets import ListeningSockets

LoadedOrNot: TypeAlias = Callable[[float, str], None]
"""Called with the drain timeout of the configuration that was loaded, in seconds, and "", or with
0.0 and why there is none."""


class Configurations:
    """The configuration in use; and a candidate, between its loading and its use by all workers.

    Their sockets and their contents are open while they are here.
    """

    def __init__(
        self,
        configuration: Configuration,
        sockets: ListeningSockets,
        log: MasterLog,
        feed: Callable[[Callable[[], None]], None],
    ) -> None:
        """Bind the addresses of the first one. Raises OSError, with the listener in its text.

        `feed` calls a function in the thread of the master.
        """
        self._sockets = sockets
        self._log = log
        self._feed = feed
        change = sockets.prepare(configuration)
        self._unannounced = sockets.adopt(change)
        self._current = Loaded(configuration, change, packed(configuration))
        self._candidate: Loaded | None = None
        self._replaced: Configuration | None = None  # in use before a reload that is not logged yet
        self._loads = 0  # number of times that the configuration was read again
        self.refused_files: Sequence[Path] = ()
        """The files of a candidate that could not be loaded: see ConfigError."""

    @property
    def current(self) -> Configuration:
        """The configuration in use."""
        return self._current.configuration

    @property
    def content(self) -> int:
        """The content of the one in use, for a worker that starts: see `packed`."""
        return self._current.content

    # -- the candidate -----------------------------------------------------------------------

    def load(self, then: LoadedOrNot, contents_only: bool = False) -> None:
        """Read the configuration again, in a thread of its own, because that may take long. A later
        call gives an earlier one up, whose `then` is not called.

        `contents_only`: only the files that its options name.
        """
        self.refused_files = ()
        self._loads += 1
        arguments = self._loads, then, contents_only
        threading.Thread(target=self._load, args=arguments, daemon=True).start()

    def _load(self, number: int, then: LoadedOrNot, contents_only: bool) -> None:
        try:
            loaded = load_again(self.current, self._sockets, contents_only)
        except BaseException as mistake:  # the master waits for the outcome
            error = as_error(mistake, "ended the loading of the configuration")
            if not isinstance(error, ConfigError | OSError):
                self._log("error", "the configuration cannot be loaded", error)
            self._feed(partial(self._failed, number, error, then))
            return
        self._feed(partial(self._loaded, number, loaded, then))

    def _failed(self, number: int, error: Exception, then: LoadedOrNot) -> None:
        if number == self._loads:
            self.refused_files = error.files if isinstance(error, ConfigError) else ()
            then(0.0, str(error))

    def _loaded(self, number: int, loaded: Loaded, then: LoadedOrNot) -> None:
        if number == self._loads:
            self._candidate = loaded
            then(loaded.configuration.settings.proxy.drain_timeout, "")
        else:  # it was given up; the file may be newer
            self._sockets.drop(loaded.change)
            os.close(loaded.content)

    def offered(self, worker: int) -> tuple[int, list[HandedOn]]:
        """Return the content of the candidate, and the sockets that a worker needs for it."""
        assert self._candidate is not None
        return self._candidate.content, new_sockets(self._candidate.change, worker)

    def adopt(self) -> None:
        """Use the candidate: all workers have it."""
        assert self._candidate is not None
        os.close(self._current.content)
        self._replaced = self._current.configuration
        self._current, self._candidate = self._candidate, None
        self._unannounced += self._sockets.adopt(self._current.change)

    def drop(self) -> None:
        """Drop the candidate, if there is one."""
        if self._candidate is not None:
            self._sockets.drop(self._candidate.change)
            os.close(self._candidate.content)
            self._candidate = None

    # -- what is logged of them --------------------------------------------------------------

    def announce(self) -> None:
        """Print the addresses that are new."""
        for name, address in self._unannounced:
            self._log.print(f"listening {name} {address.text}")
        self._unannounced.clear()

    def log_single(self) -> None:
        """Log which listeners run in worker 1 only, except those that did before a reload."""
        logged = {} if self._replaced is None else only_in_worker_1(self._replaced)
        for name, reason in only_in_worker_1(self.current).items():
            if name not in logged:
                self._log("info", f"{name}: runs in worker 1 only: {reason}")

    def log_reload(self) -> None:
        """Log what is new in the one in use, after a reload."""
        assert self._replaced is not None
        for warning in self._current.change.warnings:
            self._log("error", warning)
        self.announce()
        self.log_single()
        for found in self.current.warnings:
            self._log("warning", f"configuration: {found}")
        for text in restart_needed(self._replaced, self.current):
            self._log("warning", text)
        self._log("info", f"reloaded {self.current.file}: new connections use it")
