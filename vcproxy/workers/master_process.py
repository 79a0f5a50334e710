"""MasterProcess: the process in which Master runs. It has the worker processes, their channels, the
signals and the files.

It carries out what Master decides, and decides nothing itself. Tested in
tests/e2e/test_workers*.py.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING

from vcproxy.config.loader import Configuration
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.heartbeat import Heartbeat
from vcproxy.engine.engine import Engine
from vcproxy.engine.mutex import Mutex
from vcproxy.listeners.automatic_reloads import AutomaticReloads
from vcproxy.listeners.differences import LastReload
from vcproxy.listeners.plan import Place
from vcproxy.listeners.service_manager import ServiceManager
from vcproxy.supervise.actions import Log
from vcproxy.supervise.intensity import Intensity
from vcproxy.workers import actions as do
from vcproxy.workers.configurations import Configurations
from vcproxy.workers.kept_changes import KeptChanges
from vcproxy.workers.master import Master
from vcproxy.workers.master_log import MasterLog
from vcproxy.workers.messages import Message, Verb
from vcproxy.workers.orphans import Orphans, adopt_orphans
from vcproxy.workers.outcomes import Outcomes
from vcproxy.workers.processes import Role, WorkerProcesses
from vcproxy.workers.questions import Questions
from vcproxy.workers.sockets import ListeningSockets
from vcproxy.workers.traces import Traces
from vcproxy.workers.worker_process import Stdio

if TYPE_CHECKING:
    from vcproxy.listeners.files_watch import FilesWatch

SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
"""The signals that the master waits for. Workers ignore them: a terminal sends SIGINT to both, and
a service manager SIGTERM."""


class MasterProcess:
    """The master of a proxy with several workers."""

    def __init__(
        self,
        configuration: Configuration,
        workers: int,
        command: Callable[[int, int, int], Sequence[str]],
        log: MasterLog,
        activated: Mapping[Place, socket.socket],
    ) -> None:
        """Bind the addresses. Raises OSError, with the listener in its text.

        `command` returns the command line of a worker, from its number and the descriptors of its
        channel and its stacks. `activated`: sockets that are bound already.
        """
        self._workers = workers
        self._log = log
        self._driver = EpollDriver(Engine("master", memory=0, random=Random(), log=log))
        self._sockets = ListeningSockets(workers, activated)
        self._configurations = Configurations(configuration, self._sockets, log, self.soon)
        bound = (address for entry in configuration.settings.listener for address in entry.bind)
        self.stdio_used = any(address.scheme == "stdio" for address in bound)
        settings = configuration.settings
        self.master = Master(
            workers,
            settings.proxy.drain_timeout,
            settings.proxy.worker_timeout,
            Intensity(settings.supervise.intensity, settings.supervise.period),
            Random(),
        )
        self._processes = WorkerProcesses(
            self._driver, command, Stdio(self.stdio_used), self._received, self._ended
        )
        self._orphans = Orphans(lambda: self._processes.pids, self._driver.after)
        self.reloads, self.restarts = Outcomes(), Outcomes()
        self.questions = Questions(
            self._processes.try_send, feed=self._driver.engine.inbox.feed, after=self._driver.after
        )
        self.changes = KeptChanges(
            self.questions.ask,
            self._processes.try_send,
            lambda: self.pids,
            self._sockets.drain,
            partial(setattr, log, "level"),
        )
        self.traces = Traces(self._processes.try_send)
        self.on_bus_reply: Callable[[int, str], None] = lambda route, text: None
        """Called with the route and the text of each reply of a plugin to a bus message."""
        self.on_ready: Callable[[], None] = lambda: None
        """Called once all workers serve, before this is printed."""
        self._deadline: float | None = None  # when the next call of `_elapsed` is due
        self._service_manager = ServiceManager(log)
        self._files: FilesWatch | None = None  # None: there has been no file to watch
        self._automatic = AutomaticReloads(
            configuration, watch=self._watch, compare=self._compare, reload=self._request_reload
        )
        self.last_reload = LastReload()
        self.last_reload.used(configuration)
        self._exit: do.Exit | None = None

    def run(self) -> do.Exit:
        """Serve until a signal or too many failures of workers end the proxy. Blocks SIGNALS."""
        # A worker inherits this: signals stay pending for it until it has its own handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        # If SIGCHLD is ignored, as a parent process may have set, the kernel keeps no exit status.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        adopt_orphans()
        self._orphans.reap_regularly()
        threading.Thread(target=self._wait_for_signals, daemon=True).start()
        self._configurations.log_single()
        if (address := self.configuration.settings.supervise.bind) is not None:
            from vcproxy.workers.list_server import list_processes  # seldom used

            list_processes(self._driver.engine, address, self._listed)
        self._automatic.begun()
        self._automatic.watch()
        self.perform(self.master.start(monotonic()))
        if limit_s := self._service_manager.watchdog_s:
            Heartbeat([self._driver], limit_s, self._service_manager.pulsed).start()
        try:
            self._driver.run()
            assert self._exit is not None
            return self._exit
        finally:
            self._processes.end()
            self._sockets.close()
            self._service_manager.close()

    def _listed(self) -> Iterator[tuple[str, int]]:
        yield "vcproxy/master", os.getpid()
        yield from ((f"vcproxy/worker#{number}", pid) for number, pid in self.pids.items())

    # -- for the control ---------------------------------------------------------------------

    @property
    def configuration(self) -> Configuration:
        """The configuration in use."""
        return self._configurations.current

    @property
    def pids(self) -> dict[int, int]:
        """The process of each worker."""
        return {number: each.pid for number, each in sorted(self._processes.running.items())}

    def soon(self, call: Callable[[], None]) -> None:
        """Call a function in the thread of the master. Any thread may call it."""
        self._driver.engine.inbox.feed(call)

    # -- events ------------------------------------------------------------------------------

    def _post(self, event: Callable[[], Sequence[do.Action]]) -> None:
        """Call an event of Master in the main thread. Any thread may call it."""
        self._driver.engine.inbox.feed(lambda: self.perform(event()))

    def _wait_for_signals(self) -> None:
        master = self.master
        while True:
            sent = signal.sigwaitinfo(SIGNALS)
            if sent.si_signo == signal.SIGHUP:
                self._post(self.reload)
            elif sent.si_signo == signal.SIGUSR1:
                self._post(master.reopen)
            else:
                self._post(partial(self._signalled, sent.si_signo, sent.si_pid))

    def _signalled(self, number: int, pid: int) -> Sequence[do.Action]:
        return self.master.end(number, pid, monotonic())

    def reload(self) -> Sequence[do.Action]:
        """Handle the request of an operator, whose outcome is logged in any case."""
        self._automatic.asked()
        return self.master.reload(monotonic())

    def _request_reload(self) -> None:
        self._post(lambda: self.master.reload(monotonic()))

    def _received(self, number: int, role: Role, message: Message) -> None:
        """Pass on a message from a process of a worker."""
        now = monotonic()
        if message.verb is Verb.RELOAD_REQUESTED:
            self._automatic.asked()
        if message.verb is Verb.ANSWER:
            self.questions.answered(number, message)
        elif message.verb is Verb.TRACED:
            self.traces.received(message)
        elif message.verb is Verb.BUS_REPLY:
            self.on_bus_reply(message.number, message.text)
        elif role is Role.WORKER or message.verb is Verb.ERRORED:
            self.perform(self.master.received(number, message, now))
        elif role is Role.SUCCESSOR:
            self.perform(self.master.successor_received(message, now))
        if message.verb is Verb.SERVING:
            self.changes.serves(number)

    def _ended(self, number: int, role: Role, how: str) -> None:
        """Pass on the end of a process of a worker."""
        if left := self._orphans.kill():
            pids = ", ".join(map(str, left))
            self._log(
                "warning", f"worker {number}: the programs that it has left are killed: {pids}"
            )
        now = monotonic()
        match role:
            case Role.WORKER:
                self.questions.gone(number)
                self.traces.gone(number)
                self.perform(self.master.ended(number, how, now))
            case Role.SUCCESSOR:
                self.perform(self.master.successor_ended(how, now))
            case Role.LEAVING:
                self.perform(self.master.left(how, now))

    def _elapsed(self) -> None:
        self._deadline = None
        self.perform(self.master.elapsed(monotonic()))

    @property
    def _pids(self) -> str:
        return ", ".join(str(each.pid) for _, each in sorted(self._processes.running.items()))

    @property
    def _status(self) -> str:
        return f"serving with {self._workers} workers"

    # -- actions -----------------------------------------------------------------------------

    def perform(self, actions: Sequence[do.Action]) -> None:
        """Carry out what Master has decided."""
        for action in actions:
            if self._exit is None:
                self._carry_out(action)
        deadline = self.master.deadline
        if deadline is not None and (self._deadline is None or deadline < self._deadline):
            self._deadline = deadline
            self._driver.after(max(deadline - monotonic(), 0.0), self._elapsed)

    def _carry_out(self, action: do.Action) -> None:
        match action:
            case do.Spawn(number, generation):
                self._spawn(number, generation)
            case do.Offer(number, generation):
                self._processes.offer(number, generation, *self._configurations.offered(number))
            case do.Send(number, message):
                self._processes.send(number, message)
            case do.AskStacks(number):
                self._processes.ask_stacks(number)
            case do.Kill(number):
                if stacks := self._processes.kill(number):
                    self._log("error", f"worker {number}: the stacks of its threads:\n{stacks}")
            case do.StartSuccessor(number, generation):
                self._spawn(number, generation, Role.SUCCESSOR)
            case do.Succeed(number):
                self._processes.succeed(number)
                self.questions.gone(number)  # another process
            case do.KillSuccessor():
                self._processes.kill_successor()
            case do.SendLeaving(message):
                self._processes.send_leaving(message)
            case do.KillLeaving():
                self._processes.kill_leaving()
            case do.Restarted(count):
                self._log("info", f"{count} workers restarted, processes {self._pids}")
                self.restarts.finish("")
            case do.NotRestarted(reason):
                self._log("error", f"workers not restarted: {reason}")
                self.restarts.finish(reason)
            case do.Load():
                self._automatic.begun()
                self.reloads.begin()
                self._service_manager.reloading()
                self._configurations.load(self._loaded, self._automatic.contents_only)
            case do.Adopt():
                self._configurations.adopt()
            case do.Drop():
                self._configurations.drop()
            case do.Ready():
                self._configurations.announce()
                self.on_ready()
                self._log("info", f"{self._workers} workers, processes {self._pids}")
                self._log.print("ready")
                self._automatic.used(self.configuration)
                self._service_manager.ready(self._status)
            case do.Reloaded():
                self._reloaded()
                self._service_manager.ready(self._status)
                self.reloads.finish("")
            case do.NotReloaded(reason):
                self.last_reload.refused(reason)
                if self._automatic.refused(reason, self._configurations.refused_files):
                    text = f"not reloaded; the previous configuration stays in use:\n{reason}"
                    self._log("error", text)
                self._service_manager.ready(f"not reloaded: {reason}")
                self.reloads.finish(reason)
            case do.Unlisten():
                self._sockets.close_streams()
                self.reloads.close("the proxy is ending")
                self._service_manager.stopping("draining")
            case do.Reopen():
                self._log.reopen()
            case Log(level, text):
                self._log(level, text)
            case do.Exit():
                self._exit = action
                self._driver.stop()

    def _spawn(self, number: int, generation: int, role: Role = Role.WORKER) -> None:
        content, sockets = self._configurations.content, self._sockets.of(number)
        self.changes.started(number)
        try:
            self._processes.start(number, role, generation, content, sockets)
        except OSError as error:
            why = f"could not be started: {(error.strerror or str(error)).lower()}"
            master = self.master
            ended = partial(master.ended, number) if role is Role.WORKER else master.successor_ended
            self._post(lambda: ended(why, monotonic()))

    def _loaded(self, drain_s: float, error: str) -> None:
        self.perform(self.master.loaded(monotonic(), drain_s, error))

    def _reloaded(self) -> None:
        self._automatic.used(self.configuration)
        self.last_reload.used(self.configuration)
        self.changes.reloaded()
        self._configurations.log_reload()

    # -- changes of files --------------------------------------------------------------------

    def _watch(self, reloading: Sequence[Path], renewing: Sequence[Path], *, again: bool) -> None:
        if self._files is None:
            if not reloading and not renewing:
                return
            from vcproxy.listeners.files_watch import FilesWatch

            changed = self._automatic.changed
            self._files = FilesWatch(self._driver.engine, Mutex(), changed, self._renew)
        with self._files.mutex.hold(self._driver.engine):
            self._files.use(map(str, reloading), map(str, renewing), again=again)

    def _renew(self) -> None:
        self._post(self.master.renew)
        self._driver.engine.inbox.feed(self._automatic.watch)  # a folder may have other files now

    def _compare(self, configuration: Configuration, then: Callable[[bool], None]) -> None:
        """Compare it in a thread of its own, because that may take long."""

        def compare() -> None:
            outdated = configuration.needs_reload()
            self._driver.engine.inbox.feed(lambda: then(outdated))

        threading.Thread(target=compare, daemon=True).start()
