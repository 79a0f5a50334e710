"""The program while it runs: net threads, listeners, reload and drain, from a configuration."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import FrameType

from vcproxy.app.log import STANDARD_ERROR, LineLog
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, load
from vcproxy.drivers.epoll.descriptors import Descriptors
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.drivers.epoll.offload import Offload
from vcproxy.drivers.epoll.watchdog import LoopLag, Watchdog
from vcproxy.engine.engine import Engine
from vcproxy.engine.plugin_error import as_error
from vcproxy.engine.units import show_duration
from vcproxy.listeners.hosts import EpollHost
from vcproxy.listeners.listeners import Listeners
from vcproxy.replay.record.recording import FLUSH_S, Recording, with_hash_seed
from vcproxy.sessions.program import Signal

DRAIN_TICK_S = 0.02
"""How often a draining proxy looks whether its last connection has gone."""


ENDS = signal.SIGTERM, signal.SIGINT
SIGNALS = (signal.SIGHUP, signal.SIGUSR1, *ENDS)


class StartError(Exception):
    """The proxy cannot start; the text says why, for people."""


class Proxy:
    """Everything that a configuration stands for, running in this process.

    `run` turns the first net thread in the calling thread, which must be the main one: signals
    come there.
    """

    def __init__(self, configuration: Configuration) -> None:
        """Make the net threads and listen. Raises StartError.

        One that is never run is ended by `close`.
        """
        proxy, record = configuration.settings.proxy, configuration.settings.record
        try:
            self.log = LineLog(proxy.log)
        except OSError as error:
            raise StartError(f"{configuration.file}: proxy.log: {error}") from None
        _raise_descriptor_limit()
        self._configuration = configuration
        self._offload = Offload()
        self._recording: Recording | None = None
        engines: list[Engine]
        if record is None:
            token = f"{random.SystemRandom().getrandbits(32):08x}"
            engines = [
                Engine(
                    f"net-{number}",
                    memory=proxy.memory // proxy.net_threads,
                    random=random.Random(),
                    log=self.log,
                    bridges=proxy.splice,
                    token=token,
                )
                for number in range(proxy.net_threads)
            ]
        else:
            try:
                self._recording = Recording(configuration, record, self.log)
            except OSError as error:
                self.log.close()
                raise StartError(f"cannot record: {error}") from None
            engines = [self._recording.engine]
        self._descriptors = Descriptors()
        self._drivers = [
            EpollDriver(engine, self._offload, self._descriptors) for engine in engines
        ]
        self._threads: list[threading.Thread] = []
        self._first = self._drivers[0]
        self._first.group = self._drivers
        for driver in self._drivers:
            driver.on_stop = self._asked_to_stop
            driver.on_rescan = self._asked_to_reload
        self._watchdog = Watchdog(self._drivers, proxy.slow_callback, self.log)
        self._draining = False
        self._stopping = False  # because a plugin has asked for it
        self._asked = 0  # how often to reload
        recording = self._recording
        host = EpollHost(self._first)
        self._listeners = Listeners(
            host if recording is None else recording.host(host), engines, self.log.print
        )
        try:
            self._apply(configuration)
        except OSError as error:
            self.close()
            raise StartError(str(error)) from None

    # -- running -----------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until a signal ends it."""
        self._take_signals()
        for driver in self._drivers[1:]:
            thread = threading.Thread(target=driver.run, name=driver.engine.name)
            self._threads.append(thread)
            thread.start()
        self._watchdog.start()
        self._tell_limits()
        if self._recording is not None:
            self._every(FLUSH_S, self._recording.writer.flush)
        self.log.print("ready")
        if self._listeners.only_stdio:
            self._every(DRAIN_TICK_S, self._stop_when_idle)
        orderly = False
        try:
            self._first.run()
            orderly = True
        finally:
            self.close(orderly)
            for number in SIGNALS:  # while Python ends, one would end the process by itself
                signal.signal(number, signal.SIG_IGN)

    def close(self, orderly: bool = False) -> None:
        """End everything, whatever has run: threads, descriptors, the recording, and the log last.

        `orderly` says in the recording that the run ended as it was asked to.
        """
        if self._recording is not None:
            self._recording.close(orderly)
        self._watchdog.stop()
        self._stop()
        for thread in self._threads:
            thread.join()
        for driver in self._drivers:
            driver.close()
        self.log.close()

    def _take_signals(self) -> None:
        def take(number: int, call: Callable[[], None]) -> None:
            def handler(_: int, __: FrameType | None) -> None:
                self._first.engine.inbox.feed(call)

            signal.signal(number, handler)

        take(signal.SIGHUP, self.reload)
        take(signal.SIGUSR1, self.log.reopen)
        for number in ENDS:
            take(number, partial(self._end, Signal(number)))
        if self._listeners.programs:
            # Who sends a signal is told to those who wait for it, not to handlers. Only where it
            # matters: processes that a plugin starts inherit what is blocked.
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
            threading.Thread(target=self._wait_for, args=ENDS, daemon=True).start()

    def _wait_for(self, *ends: signal.Signals) -> None:
        while True:
            sent = signal.sigwaitinfo(ends)
            told = Signal(sent.si_signo, sent.si_pid)
            self._first.engine.inbox.feed(partial(self._end, told))

    def lags(self) -> dict[str, LoopLag]:
        """How late each net thread was in the last second, by its name. Any thread may ask."""
        return self._watchdog.lags()

    def status(self, patience_s: float = 5.0) -> dict[str, object]:
        """How each program stands, by its listener's name: of a relay, its RelayStatus.

        Any thread may ask but a net thread, for it waits: the first net thread answers between two
        events. Raises what a program's `status()` does, and TimeoutError where no answer comes in
        time, as before `run` and after it.
        """
        answer: Future[dict[str, object]] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._listeners.programs.status())
            except BaseException as mistake:  # of a plugin: who asked is told, the thread goes on
                answer.set_exception(as_error(mistake))

        self._first.engine.inbox.feed(ask)
        return answer.result(patience_s)

    # -- ending ------------------------------------------------------------------------------

    def _end(self, told: Signal) -> None:
        """A signal says so: programs hear of it first."""
        if self._recording is not None:
            self._recording.signalled(told)
        self._listeners.signalled(told)
        self._first.engine.inbox.feed(self.drain)  # in the next turn: they have had their say

    def _asked_to_stop(self) -> None:
        """A plugin says so, on any net thread: as if SIGTERM had come, once."""
        self._first.engine.inbox.feed(self._stop_once)

    def _stop_once(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._end(Signal(signal.SIGTERM, os.getpid()))

    def _asked_to_reload(self) -> None:
        self._first.engine.inbox.feed(self.reload)

    def drain(self) -> None:
        """Accept no more, let what runs end within the drain timeout, stop. Again: stop now."""
        if self._draining:
            self._stop()
            return
        self._draining = True
        self._listeners.close()
        limit = self._configuration.settings.proxy.drain_timeout
        if self._open:
            self.log("info", f"draining {self._open} connections, {show_duration(limit)} at most")
        self._every(DRAIN_TICK_S, self._stop_when_idle)
        self._first.after(limit, self._stop)

    @property
    def _open(self) -> int:
        return sum(len(driver.engine.vcs) for driver in self._drivers)

    def _stop_when_idle(self) -> None:
        if not self._open:
            self._stop()

    def _stop(self) -> None:
        for driver in self._drivers:
            driver.stop()

    # -- configurations ----------------------------------------------------------------------

    def _apply(self, configuration: Configuration) -> None:
        """Serve by a configuration from now on. Raises OSError."""
        if self._recording is None:
            self._listeners.apply(configuration)
        else:
            with self._recording.serving(configuration):
                self._listeners.apply(configuration)

    def reload(self) -> None:
        """Read the configuration anew; new connections use it. A broken one changes nothing."""
        file = self._configuration.file
        self._asked += 1
        asked = self._asked

        def loaded(value: object, error: Exception | None) -> None:
            self._first.engine.inbox.feed(partial(self._reloaded, asked, value, error))

        self._offload.internal.run(load, (file,), loaded)

    def _reloaded(self, asked: int, value: object, error: Exception | None) -> None:
        if asked != self._asked:
            return  # it was asked again meanwhile: this may be what the file said before
        file = self._configuration.file
        if isinstance(value, Configuration) and not self._draining:
            try:
                self._apply(value)
            except OSError as reason:
                error = reason
            else:
                self._note_unchangeable(value)
                self._configuration = value
                self.log("info", f"reloaded {file}: new connections use it")
        if error is not None:
            known = isinstance(error, ConfigError | OSError)
            text = f"not reloaded, the configuration in use stays:\n{error}"
            self.log("error", text, None if known else error)

    def _tell_limits(self) -> None:
        """Log how many clients there may be at a time, and which limits are beyond that."""
        descriptors = self._descriptors
        most = descriptors.most_clients
        allow = (
            f"{descriptors.limit} descriptors allow {most} clients at a time, with a server each"
        )
        self.log("info", allow)
        for entry in self._configuration.settings.listener:
            asked = entry.limits.max_connections or 0
            if asked > most:
                place = f"listener.{entry.name}: limits.max_connections = {asked}"
                self.log("warning", f"{place}, but {allow}: raise the limit (ulimit -n)")

    def _note_unchangeable(self, new: Configuration) -> None:
        old = self._configuration.settings.proxy
        for key in ("net_threads", "memory", "splice", "slow_callback", "log"):
            if getattr(new.settings.proxy, key) != getattr(old, key):
                self.log("warning", f"proxy.{key} has changed; that takes a restart")
        before = {entry.name: entry for entry in self._configuration.settings.listener}
        for entry in new.settings.listener:
            if entry.name in self._listeners.programs and before.get(entry.name, entry) != entry:
                text = f"listener.{entry.name} has changed; its plugin takes that after a restart"
                self.log("warning", text)

    # -- the program's own timers ------------------------------------------------------------

    def _every(self, seconds: float, call: Callable[[], None]) -> None:
        def again() -> None:
            call()
            self._every(seconds, call)

        self._first.after(seconds, again)


def _raise_descriptor_limit() -> None:
    """Use all the descriptors that the system allows: the soft limit is made for programs that
    call select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open_standard_descriptors() -> None:
    """Open /dev/null where standard input, output or error is closed: otherwise a connection gets
    its number, and what is written to standard error goes to a client."""
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(lowest)


def serve(file: Path, trace: str | None = None, record: Path | None = None) -> None:
    """Load a configuration and run it; log a trace of the machines that `trace` names, and record
    the run to `record`.

    Raises ConfigError, StartError.
    """
    _open_standard_descriptors()
    configuration = load(file)
    if record is not None:
        configuration = configuration.recorded_to(record)
    if configuration.settings.record is not None:
        with_hash_seed()
    proxy = Proxy(configuration)
    if trace is not None:
        from vcproxy.machine.trace import Trace, unknown_machine

        if wrong := unknown_machine(trace):
            proxy.log("warning", f"--trace {trace}: {wrong}. A machine of that name may still come")
        Trace(lambda received: proxy.log("info", str(received)), trace).start()
    proxy.run()
