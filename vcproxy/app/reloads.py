"""Reloads: the configuration of a running proxy, and how another one takes its place.

Tested in tests/e2e/test_signals.py and test_reload_that_fails_late.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vcproxy.app import garbage
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, load
from vcproxy.config.reread import reread
from vcproxy.config.secret_texts import hidden_texts
from vcproxy.listeners.automatic_reloads import LOAD_S, NEVER_LOADED, AutomaticReloads
from vcproxy.listeners.differences import LastReload
from vcproxy.listeners.restart import restart_needed
from vcproxy.listeners.tls_contexts import Remade, remake

if TYPE_CHECKING:
    from vcproxy.app.files_watch_thread import FilesWatchThread
    from vcproxy.app.logs.log import LineLog
    from vcproxy.drivers.epoll.offload import Offload
    from vcproxy.drivers.epoll.thread_pool import Job
    from vcproxy.engine.engine import Engine
    from vcproxy.listeners.listeners import Listeners
    from vcproxy.listeners.plan import Plan
    from vcproxy.listeners.service_manager import ServiceManager
    from vcproxy.replay.record.recording import Recording

DAY_S: Final = 86400.0

ReloadOutcome = Callable[[str], None]
"""Called with why the configuration was not reloaded; "": it was."""


class Reloads:
    """The configuration in use. Except `load`, its methods belong to the first net thread."""

    def __init__(
        self,
        configuration: Configuration,
        listeners: Listeners,
        engines: Sequence[Engine],
        *,
        recording: Recording | None,
        offload: Offload,
        service_manager: ServiceManager,
        log: LineLog,
        after: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """Use a configuration. Raises OSError if that is not possible.

        `engines`: those of the net threads, of which the first one accepts. `after`: calls a
        function after seconds, in the first net thread.
        """
        self.ending = False
        """Whether the proxy drains: a configuration that is loaded then is not used."""
        self.failure = ""
        """Why the last reload has failed; "": it has not."""
        self.last = LastReload()
        """What the last reload has done."""
        self._listeners = listeners
        self._engines = engines
        self._recording = recording
        self._offload = offload
        self._service_manager = service_manager
        self._log = log
        self._after = after
        self._requested = 0  # number of reloads requested so far
        self._loading: Job | None = None  # reads the configuration for the last of them
        self._watch_thread: FilesWatchThread | None = None
        self.automatic = AutomaticReloads(
            configuration, watch=self._watch, compare=self._compare, reload=self._reload
        )
        self._waiting: list[ReloadOutcome] = []
        self._apply(configuration)

    @property
    def configuration(self) -> Configuration:
        """The configuration in use."""
        return self.automatic.configuration

    def _apply(self, configuration: Configuration) -> None:
        """Use a configuration from now on. If this raises OSError, nothing has changed."""
        self._hide_secrets(configuration)
        if self._recording is None:
            self._listeners.apply(configuration)
            for engine in self._engines:
                engine.direct = configuration.settings.http.direct
        else:
            with self._recording.serving(configuration):
                self._listeners.apply(configuration)
        self.last.used(configuration)

    def _hide_secrets(self, configuration: Configuration) -> None:
        texts = [each.encode() for each in hidden_texts(configuration)]
        for engine in self._engines:
            engine.refused.hide(texts)

    def prepare(self, configuration: Configuration) -> Plan:
        """Return the plan for another configuration; nothing is changed. Raises OSError."""
        return self._listeners.prepare(configuration)

    def use(self, planned: Plan) -> None:
        """Use a plan from now on. If this raises OSError, nothing has changed."""
        self._hide_secrets(planned.configuration)
        self._listeners.use(planned)
        self.last.used(planned.configuration)
        self.automatic.used(planned.configuration)
        garbage.settle()

    def load(
        self,
        call: Callable[..., object],
        argument: object,
        then: Callable[[object, Exception | None], None],
    ) -> Job:
        """Call a function in another thread; then pass on its value or error in the first one."""

        def loaded(value: object, error: Exception | None) -> None:
            self._engines[0].inbox.feed(partial(then, value, error))

        return self._offload.internal.run(call, (argument,), loaded)

    def reload(self, then: ReloadOutcome | None = None) -> None:
        """Load the configuration again, for new connections. If it has errors, keep the old one.

        If another reload is requested before it is done, only that one is carried out, and its
        outcome is that of both.
        """
        self.automatic.asked()
        self._reload(then)

    def _reload(self, then: ReloadOutcome | None = None) -> None:
        self._requested += 1
        self.automatic.begun()
        if then is not None:
            self._waiting.append(then)
        if not self.ending:
            self._service_manager.reloading()
        if self._loading is not None:  # its result would be ignored, and it may hang in a plugin
            self._offload.internal.cancel(self._loading)
        then_used = partial(self._reloaded, self._requested)
        if self.automatic.contents_only:
            self._loading = self.load(reread, self.configuration, then_used)
        else:
            self._loading = self.load(load, self.configuration.file, then_used)
        self._after(LOAD_S, partial(self._give_up, self._requested))

    def _give_up(self, number: int) -> None:
        """Refuse a configuration that is still not loaded. Its result is ignored, if it comes."""
        if number == self._requested and self._loading is not None:
            self._offload.internal.cancel(self._loading)
            self._reloaded(number, None, TimeoutError(NEVER_LOADED))
            self._requested += 1

    def _reloaded(self, number: int, value: object, error: Exception | None) -> None:
        if number != self._requested:
            return  # a later reload has been requested: this content may be older
        self._loading = None
        file = self.configuration.file
        if isinstance(value, Configuration) and not self.ending:
            try:
                self._apply(value)
            except OSError as reason:
                error = reason
            else:
                for warning in value.warnings:
                    self._log("warning", f"configuration: {warning}")
                for text in restart_needed(self.configuration, value):
                    self._log("warning", text)
                self.automatic.used(value)
                self._log("info", f"reloaded {file}: new connections use it")
                garbage.settle()
        if error is not None:
            self.last.refused(str(error))
            known = isinstance(error, ConfigError | OSError)
            text = f"not reloaded; the previous configuration stays in use:\n{error}"
            files = error.files if isinstance(error, ConfigError) else ()
            if self.automatic.refused(str(error), files):
                self._log("error", text, None if known else error)
        if not self.ending:
            self._service_manager.ready("serving" if error is None else f"not reloaded: {error}")
        self.failure = str(error or "")
        waiting, self._waiting = self._waiting, []
        why = "the proxy is ending" if error is None and self.ending else str(error or "")
        for then in waiting:
            then(why)

    # -- changes of files --------------------------------------------------------------------

    def watch(self, thread: FilesWatchThread) -> None:
        """Have the files watched that the configuration names, from now on and after reloads."""
        self._watch_thread = thread
        self.automatic.watch()

    def _watch(self, reloading: Sequence[Path], renewing: Sequence[Path], *, again: bool) -> None:
        if self._watch_thread is not None and not self.ending:
            self._watch_thread.use(reloading, renewing, again=again)

    def _compare(self, configuration: Configuration, then: Callable[[bool], None]) -> None:
        def compared(outdated: object, error: Exception | None) -> None:
            assert error is None
            then(bool(outdated) and not self.ending)

        self.load(Configuration.needs_reload, configuration, compared)

    def renew(self) -> None:
        """Make the TLS contexts again whose files are others than those in use.

        Each one stays in use if its files are wrong, or belong to each other no more or not yet.
        """
        plan = self._listeners.planned
        assert plan is not None
        if plan.contexts and not self.ending:
            self.load(remake, plan.contexts, partial(self._remade, plan))

    def _remade(self, plan: Plan, value: object, error: Exception | None) -> None:
        assert error is None
        if plan is not self._listeners.planned:
            self.renew()  # a reload was faster; it may have read older files
            return
        assert isinstance(value, list)
        used = [
            each.use(self._listeners.renew, self._log) for each in value if isinstance(each, Remade)
        ]
        self.automatic.watch(again=any(used))  # a folder may have other files now

    def report_expiry(self) -> None:
        """Log once a day, from now on, which certificates should be renewed."""
        self._after(DAY_S, self._report_expiry)

    def _report_expiry(self) -> None:
        from vcproxy.listeners.certificate_expiry import to_renew

        plan = self._listeners.planned
        assert plan is not None
        for text in to_renew(plan.contexts, self._engines[0].wall):
            self._log("warning", text)
        self.report_expiry()
