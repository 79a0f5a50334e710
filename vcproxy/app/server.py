"""The running program: net threads, listeners, signals, reload and drain.

Tested in tests/e2e/test_signals.py, test_command_line.py and test_status.py.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from vcproxy.app import garbage
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
from vcproxy.sessions.program import Signal

if TYPE_CHECKING:
    from vcproxy.replay.record.recording import Recording

DRAIN_TICK_S = 0.02
"""Seconds between two checks of a draining proxy whether its last connection is closed."""

ENDS = signal.SIGTERM, signal.SIGINT
SIGNALS = (signal.SIGHUP, signal.SIGUSR1, *ENDS)


class StartError(Exception):
    """The proxy cannot start; the text is printed on standard error."""


class Proxy:
    """A proxy with a configuration, running in this process.

    Call `run` in the main thread: it becomes the first net thread, and signal handlers run there.
    """

    def __init__(self, configuration: Configuration) -> None:
        """Create the net threads and bind the addresses. Raises StartError.

        Call `close` if you do not call `run`.
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
            from vcproxy.replay.record.recording import Recording

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
            driver.on_stop = self._stop_requested
            driver.on_rescan = self._reload_requested
        self._watchdog = Watchdog(self._drivers, proxy.slow_callback, self.log)
        self._draining = False
        self._stopping = False  # a plugin has requested the stop
        self._reloads = 0  # number of reloads requested so far
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
        """Serve until a signal stops the proxy."""
        self._take_signals()
        for driver in self._drivers[1:]:
            thread = threading.Thread(target=driver.run, name=driver.engine.name)
            self._threads.append(thread)
            thread.start()
        self._watchdog.start()
        self._log_limits()
        if self._recording is not None:
            from vcproxy.replay.record.recording import FLUSH_S

            self._every(FLUSH_S, self._recording.writer.flush)
        self.log.print("ready")
        garbage.settle()
        if self._listeners.only_stdio:
            self._every(DRAIN_TICK_S, self._stop_when_idle)
        orderly = False
        try:
            self._first.run()
            orderly = True
        finally:
            self.close(orderly)
            for number in SIGNALS:  # ignored: a late signal would kill the exiting process
                signal.signal(number, signal.SIG_IGN)

    def close(self, orderly: bool = False) -> None:
        """Close the recording, stop the threads, close all descriptors, and finally the log.

        `orderly`: the run was stopped and did not fail; the recording contains this.
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
            # Programs need the sender of a signal, which only sigwaitinfo reports, not a handler.
            # Without programs, do not block signals: child processes inherit the signal mask.
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
            threading.Thread(target=self._wait_for, args=ENDS, daemon=True).start()

    def _wait_for(self, *ends: signal.Signals) -> None:
        while True:
            sent = signal.sigwaitinfo(ends)
            received = Signal(sent.si_signo, sent.si_pid)
            self._first.engine.inbox.feed(partial(self._end, received))

    def lags(self) -> dict[str, LoopLag]:
        """Return the loop lag in the last second, by the net thread's name. Thread-safe."""
        return self._watchdog.lags()

    def status(self, timeout_s: float = 5.0) -> dict[str, object]:
        """Return the status of each program, by its listener's name. For a relay: RelayStatus.

        Call it in any thread except a net thread: it waits until the first net thread has collected
        the status between two events.

        Raises:
            TimeoutError: no answer within `timeout_s`, for example before or after `run`.
            Exception: raised by `status()` of a program.
        """
        from concurrent.futures import Future

        answer: Future[dict[str, object]] = Future()

        def read_status() -> None:
            try:
                answer.set_result(self._listeners.programs.status())
            except BaseException as mistake:  # raised by a plugin: pass it to the caller
                answer.set_exception(as_error(mistake))

        self._first.engine.inbox.feed(read_status)
        return answer.result(timeout_s)

    # -- ending ------------------------------------------------------------------------------

    def _end(self, received: Signal) -> None:
        """Deliver a signal to the programs, then drain."""
        if self._recording is not None:
            self._recording.signalled(received)
        self._listeners.signalled(received)
        self._first.engine.inbox.feed(self.drain)  # after the programs have received the signal

    def _stop_requested(self) -> None:
        """Stop as after one SIGTERM. Called in any net thread, at the request of a plugin."""
        self._first.engine.inbox.feed(self._stop_once)

    def _stop_once(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._end(Signal(signal.SIGTERM, os.getpid()))

    def _reload_requested(self) -> None:
        self._first.engine.inbox.feed(self.reload)

    def drain(self) -> None:
        """Stop accepting. Stop the proxy once all connections are closed, or at the drain timeout.

        A second call stops the proxy at once.
        """
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
        """Use a configuration from now on. If this raises OSError, nothing has changed."""
        if self._recording is None:
            self._listeners.apply(configuration)
        else:
            with self._recording.serving(configuration):
                self._listeners.apply(configuration)

    def reload(self) -> None:
        """Load the configuration again, for new connections. If it has errors, keep the old one."""
        file = self._configuration.file
        self._reloads += 1
        number = self._reloads

        def loaded(value: object, error: Exception | None) -> None:
            self._first.engine.inbox.feed(partial(self._reloaded, number, value, error))

        self._offload.internal.run(load, (file,), loaded)

    def _reloaded(self, number: int, value: object, error: Exception | None) -> None:
        if number != self._reloads:
            return  # superseded by a later reload: this may be older content
        file = self._configuration.file
        if isinstance(value, Configuration) and not self._draining:
            try:
                self._apply(value)
            except OSError as reason:
                error = reason
            else:
                self._log_restart_needed(value)
                self._configuration = value
                self.log("info", f"reloaded {file}: new connections use it")
                garbage.settle()
        if error is not None:
            known = isinstance(error, ConfigError | OSError)
            text = f"not reloaded; the previous configuration stays in use:\n{error}"
            self.log("error", text, None if known else error)

    def _log_limits(self) -> None:
        """Log how many clients the descriptor limit allows; warn of configured higher limits."""
        descriptors = self._descriptors
        most = descriptors.most_clients
        allow = (
            f"{descriptors.limit} descriptors allow {most} clients at a time, each with a server"
        )
        self.log("info", allow)
        for entry in self._configuration.settings.listener:
            configured = entry.limits.max_connections or 0
            if configured > most:
                place = f"listener.{entry.name}: limits.max_connections = {configured}"
                self.log("warning", f"{place}, but {allow}: raise the limit (ulimit -n)")

    def _log_restart_needed(self, new: Configuration) -> None:
        old = self._configuration.settings.proxy
        for key in ("net_threads", "memory", "splice", "slow_callback", "log"):
            if getattr(new.settings.proxy, key) != getattr(old, key):
                self.log("warning", f"proxy.{key} has changed: restart the proxy to use it")
        before = {entry.name: entry for entry in self._configuration.settings.listener}
        for entry in new.settings.listener:
            if entry.name in self._listeners.programs and before.get(entry.name, entry) != entry:
                text = f"listener.{entry.name} has changed: restart the proxy for its program"
                self.log("warning", text)

    # -- timers ------------------------------------------------------------------------------

    def _every(self, seconds: float, call: Callable[[], None]) -> None:
        def again() -> None:
            call()
            self._every(seconds, call)

        self._first.after(seconds, again)


def _raise_descriptor_limit() -> None:
    """Raise the soft limit of descriptors, kept low by systems for select(2), to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open_standard_descriptors() -> None:
    """Open /dev/null for each of the descriptors 0, 1 and 2 that is closed.

    Otherwise a connection could get the number 2, and the log would be sent to its peer.
    """
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(lowest)


def serve(file: Path, trace: str | None = None, record: Path | None = None) -> None:
    """Load a configuration and run it. Raises ConfigError, StartError.

    Args:
        file: the configuration.
        trace: the name of the machines whose events are logged.
        record: the log to record the run to.
    """
    _open_standard_descriptors()
    configuration = load(file)
    if record is not None:
        configuration = configuration.recorded_to(record)
    if configuration.settings.record is not None:
        from vcproxy.replay.record.recording import with_hash_seed

        with_hash_seed()
    proxy = Proxy(configuration)
    if trace is not None:
        from vcproxy.machine.trace import Trace, unknown_machine

        if wrong := unknown_machine(trace):
            proxy.log("warning", f"--trace {trace}: {wrong}")
        Trace(lambda received: proxy.log("info", str(received)), trace).start()
    proxy.run()
