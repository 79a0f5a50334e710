"""The running program: net threads, listeners, signals, reload and drain.

Tested in tests/e2e/test_signals.py, test_command_line.py and test_status.py.
"""

from __future__ import annotations

import os
import random
import select
import socket
import threading
from collections.abc import Callable
from functools import partial
from signal import SIGHUP, SIGTERM, SIGUSR1
from time import monotonic
from typing import TYPE_CHECKING

from vcproxy.app import garbage, signals
from vcproxy.app.client_limits import log_client_limits
from vcproxy.app.control.control_thread import ControlThread
from vcproxy.app.control.controlled_proxy import ControlledProxy
from vcproxy.app.draining import children, connections, log_what_is_left
from vcproxy.app.files_watch_thread import FilesWatchThread
from vcproxy.app.logs.access_targets import AccessTargets
from vcproxy.app.reloads import Reloads
from vcproxy.app.signals import ENDS
from vcproxy.app.start import StartError, open_log, run_as_configured
from vcproxy.config.loader import Configuration
from vcproxy.drivers.bus_exchange import BusExchange
from vcproxy.drivers.epoll.descriptors import Descriptors, raise_limit
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.drivers.epoll.heartbeat import Heartbeat
from vcproxy.drivers.epoll.offload import Offload
from vcproxy.drivers.epoll.poller import Watcher
from vcproxy.drivers.epoll.watchdog import LoopLag, Watchdog
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.engine.units import show_duration
from vcproxy.listeners.hosts import EpollHost
from vcproxy.listeners.listeners import Listeners
from vcproxy.listeners.plan import Place
from vcproxy.listeners.service_manager import ServiceManager
from vcproxy.sessions.program import Signal

if TYPE_CHECKING:
    from vcproxy.replay.record.recording import Recording

DRAIN_TICK_S = 0.02
"""Seconds between two checks of a draining proxy whether its last connection is closed."""


class Proxy:
    """A proxy with a configuration, running in this process.

    Call `run` in the main thread: it becomes the first net thread, and signal handlers run there.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        worker: int = 0,
        inherited: dict[Place, socket.socket] | None = None,
    ) -> None:
        """Create the net threads, bind the addresses, leave root. Raises StartError.

        Call `close` if you do not call `run`.

        Args:
            configuration: what to run. `proxy.workers` is ignored.
            worker: the number of this process among those of one proxy. Its master handles the
                signals, and prints the addresses and `ready`. 0: it is the only one.
            inherited: listening sockets to use instead of new ones, now and in a reload.
        """
        self.started_at = monotonic()
        proxy, record = configuration.settings.proxy, configuration.settings.record
        self.worker = worker
        self.log = open_log(configuration, f"worker {worker}: " if worker else "")
        raise_limit()
        self._offload = Offload()
        self.recording: Recording | None = None
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
                    direct=configuration.settings.http.direct,
                    token=token,
                )
                for number in range(proxy.net_threads)
            ]
        else:
            from vcproxy.replay.record.recording import Recording

            try:
                self.recording = Recording(configuration, record, self.log)
            except OSError as error:
                self.log.close()
                raise StartError(f"cannot record: {error}") from None
            engines = [self.recording.engine]
        for number, engine in enumerate(engines):
            engine.place = f"{worker}-{number}" if worker else str(number)
            engine.refused.keep(proxy.refused_messages)
        self._descriptors = Descriptors()
        self.engines = engines
        self.bus = BusExchange()
        """The messages of plugins, between the control and the net threads."""
        self._drivers = [
            EpollDriver(each, self._offload, self._descriptors, self.bus) for each in engines
        ]
        self._threads: list[threading.Thread] = []
        self._first = self._drivers[0]
        self._first.group = self._drivers
        for driver in self._drivers:
            driver.on_stop = self._stop_requested
            driver.on_rescan = self._reload_requested
        self._watchdog = Watchdog(self._drivers, proxy.slow_callback, self.log)
        self.exit_status = 0
        """A plugin may choose it when it requests the stop."""
        self.on_stop: Callable[[], None] = self._end_self
        """Called once, when a plugin requests the stop or standard input is used up."""
        self.on_reload: Callable[[], None] = self.reload
        """Called when a plugin requests a reload."""
        self._files_watch = FilesWatchThread(
            self.log,
            lambda: self.soon(self.reloads.automatic.changed),
            lambda: self.soon(self.reloads.renew),
        )
        self._service_manager = ServiceManager(self.log)
        self._heartbeat: Heartbeat | None = None
        self.pulse(self._service_manager.watchdog_s, self._service_manager.pulsed)
        self._start_error = ""
        self._draining = False
        self._stopping = False  # a plugin has requested the stop
        recording = self.recording
        host = EpollHost(self._first, {} if inherited is None else inherited)
        listening = host if recording is None else recording.host(host)
        self.access_targets = AccessTargets(self.log)
        """Where access logs are written to."""
        self.listeners = Listeners(
            listening,
            engines,
            self.log.print,
            announce=not worker,
            access_targets=self.access_targets,
        )
        self._control = ControlThread(configuration, ControlledProxy(self), self.log)
        try:
            if not worker:
                self._control.bind()
            self.reloads = Reloads(
                configuration,
                self.listeners,
                engines,
                recording=recording,
                offload=self._offload,
                service_manager=self._service_manager,
                log=self.log,
                after=self._first.after,
            )
            if worker <= 1:
                self.reloads.report_expiry()
            run_as_configured(configuration, self.log)
        except (OSError, StartError) as error:
            self.close()
            raise StartError(str(error)) from None

    # -- running -----------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until a signal, or the master of a worker, stops the proxy.

        Raises StartError if a program could not be started.
        """
        if self.worker:
            signals.ignore()
        else:
            self._take_signals()
        if self._heartbeat is not None:
            self._heartbeat.start()
        for driver in self._drivers[1:]:
            thread = threading.Thread(target=driver.run, name=driver.engine.name)
            self._threads.append(thread)
            thread.start()
        self._watchdog.start()
        log_client_limits(self.reloads.configuration, self._descriptors, self.log)
        if not self.worker:
            self._list_itself(self.reloads.configuration.settings.supervise.bind)
            self.reloads.watch(self._files_watch)
            self._control.start()
            self._first.after(0.0, self._ready)
        if self.recording is not None:
            from vcproxy.replay.record.recording import FLUSH_S

            self._every(FLUSH_S, self.recording.writer.flush)
        garbage.settle()
        if self.listeners.only_stdio and self.worker < 2:
            self._every(DRAIN_TICK_S, self._request_stop_when_idle)
        orderly = False
        try:
            self._first.run()
            orderly = True
        finally:
            self.close(orderly)
            signals.leave()
        if self._start_error:
            raise StartError(self._start_error)

    def _ready(self) -> None:
        """Report that it serves, after the first turn, which has opened the sources."""
        self._start_error = self.unstarted
        if self._start_error:
            self.stop()
            return
        self.log.print("ready")
        self._service_manager.ready("serving")

    @property
    def unstarted(self) -> str:
        """The programs that could not be started, a line for each; "": all were started, or their
        start has not come yet."""
        file = self.reloads.configuration.file
        return "\n".join(
            f"{file}: listener.{name}: the program could not be started: {why}"
            for name, why in self.listeners.programs.failed.items()
        )

    def close(self, orderly: bool = False) -> None:
        """Close the recording, stop the threads, close all descriptors, and finally the log.

        `orderly`: the run was stopped and did not fail; the recording contains this.
        """
        if self.recording is not None:
            self.recording.close(orderly)
        self._control.close()
        self._watchdog.stop()
        self._files_watch.close()
        self.stop()
        for thread in self._threads:
            thread.join()
        for driver in self._drivers:
            driver.close()
        self._service_manager.close()
        self.access_targets.close()
        self.log.close()

    def _list_itself(self, address: Address | None) -> None:
        if address is None:
            return
        if self.recording is not None:
            self.log("warning", "supervise.bind has no effect while a recording is made")
            return
        from vcproxy.workers.list_server import list_processes

        list_processes(self._first.engine, address, lambda: [("vcproxy/proxy", os.getpid())])

    def _take_signals(self) -> None:
        def take(number: int, call: Callable[[], None]) -> None:
            signals.take(number, partial(self._first.engine.inbox.feed, call))

        take(SIGHUP, self.reload)
        take(SIGUSR1, self.reopen_logs)
        for number in ENDS:
            take(number, partial(self.end, Signal(number)))
        if self.listeners.programs:
            # Programs need the sender of a signal, which only sigwaitinfo reports, not a handler.
            # Without programs, do not block signals: child processes inherit the signal mask.
            signals.wait_for(ENDS, lambda sent: self.soon(partial(self.end, sent)))

    def reopen_logs(self) -> None:
        """Reopen the log and the access logs, whose files were moved away. Thread-safe."""
        self.log.reopen()
        self.access_targets.reopen()

    def pulse(self, limit_s: float, beat: Callable[[], None]) -> None:
        """Call `beat` several times in `limit_s` seconds while every net thread turns; 0: never.

        To be called before `run`. `beat` is called in any of the net threads.
        """
        if limit_s:
            self._heartbeat = Heartbeat(self._drivers, limit_s, beat)

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
        from vcproxy.app.control.proxy_state import call_in_thread

        return call_in_thread(self.soon, self.listeners.programs.status, timeout_s)

    # -- ending ------------------------------------------------------------------------------

    def end(self, received: Signal) -> None:
        """Deliver a signal to the programs, then drain."""
        if self.recording is not None:
            self.recording.signalled(received)
        self.listeners.signalled(received)
        self._first.engine.inbox.feed(self.drain)  # after the programs have received the signal

    def _stop_requested(self, status: int) -> None:
        """Stop as after one SIGTERM. Called in any net thread, at the request of a plugin."""
        self._first.engine.inbox.feed(partial(self._stop_once, status))

    def _stop_once(self, status: int = 0) -> None:
        if not self._stopping:
            self._stopping = True
            self.exit_status = status
            self.on_stop()

    def _end_self(self) -> None:
        self.end(Signal(SIGTERM, os.getpid()))

    def _reload_requested(self) -> None:
        self._first.engine.inbox.feed(self.on_reload)

    def reload(self) -> None:
        """Load the configuration again, for new connections. If it has errors, keep the old one."""
        self.reloads.reload()

    def drain(self) -> None:
        """Stop accepting. Stop the proxy once all connections are closed and the child processes of
        programs have ended, or at the drain timeout.

        A second call stops the proxy at once.
        """
        if self._draining:
            self.stop()
            return
        self._draining = self.reloads.ending = True
        self.listeners.close()
        self._service_manager.stopping("draining")
        limit = self.reloads.configuration.settings.proxy.drain_timeout
        at_most = f"{show_duration(limit)} at most"
        if self._open:
            self.log("info", f"draining connections: {self._open}, {at_most}")
        if self._children:
            self.log("info", f"stopping child processes: {self._children}, {at_most}")
        if not self._open and not self._children:
            self.log("info", "stopping: no connection is open")
        self._every(DRAIN_TICK_S, self._stop_when_idle)
        self._first.after(limit / 2, partial(log_what_is_left, self.engines, self.log, limit / 2))
        self._first.after(limit, self.stop)

    @property
    def _open(self) -> int:
        return connections(self.engines)

    @property
    def _children(self) -> int:
        return children(self.engines)

    def _stop_when_idle(self) -> None:
        if not self._open and not self._children:
            self.stop()

    def _request_stop_when_idle(self) -> None:
        if not self._open:
            self._stop_once()

    def stop(self) -> None:
        """Stop at once: all connections are closed."""
        for driver in self._drivers:
            driver.stop()

    # -- timers and descriptors --------------------------------------------------------------

    def watch(self, fd: int, watcher: Watcher) -> None:
        """Call `watcher.ready`, in the first net thread, while a descriptor is readable."""
        self._first.watch(fd, watcher, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Stop watching a descriptor."""
        self._first.forget(fd)

    def soon(self, call: Callable[[], None]) -> None:
        """Call a function in the first net thread. Any thread may call it."""
        self._first.engine.inbox.feed(call)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call a function in the first net thread after a time. To be called there."""
        self._first.after(seconds, call)

    def _every(self, seconds: float, call: Callable[[], None]) -> None:
        def again() -> None:
            call()
            self._every(seconds, call)

        self._first.after(seconds, again)
