"""WorkerProcesses: the processes of all workers, watched by the driver of the master.

One for each worker; while a worker is replaced, also its successor, or the process that is leaving.
It decides nothing. Tested in tests/e2e/test_workers*.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from select import EPOLLIN
from typing import TYPE_CHECKING

from vcproxy.workers.channel import MAX_DESCRIPTORS
from vcproxy.workers.messages import Message, Verb
from vcproxy.workers.worker_process import Stdio, WorkerProcess

if TYPE_CHECKING:
    from vcproxy.drivers.epoll import EpollDriver
    from vcproxy.workers.sockets import HandedOn


class Role(Enum):
    """What a process is to its worker."""

    WORKER = auto()
    SUCCESSOR = auto()
    """It loads the configuration, and will take the place of the process that serves."""
    LEAVING = auto()
    """It drains: its successor has taken its place."""
    KILLED = auto()
    """It was to be a successor, and was killed."""


@dataclass(frozen=True, slots=True)
class _Call:
    """Calls a function while a descriptor is readable. A Watcher."""

    call: Callable[[], None]

    def ready(self, mask: int) -> None:
        """Call it."""
        self.call()


class WorkerProcesses:
    """The processes by the number of their worker."""

    def __init__(
        self,
        driver: EpollDriver,
        command: Callable[[int, int, int], Sequence[str]],
        stdio: Stdio,
        received: Callable[[int, Role, Message], None],
        ended: Callable[[int, Role, str], None],
    ) -> None:
        """Have no process yet.

        Args:
            driver: watches the channels and the ends of the processes.
            command: see MasterProcess.
            stdio: what they get as standard input and output.
            received: called with each message, after the number of its worker.
            ended: called with the end of each process: see `WorkerProcess.how_ended`.
        """
        self._driver = driver
        self._command = command
        self._stdio = stdio
        self._received = received
        self._on_end = ended
        self.running: dict[int, WorkerProcess] = {}
        """The process of each worker."""
        self._successor: WorkerProcess | None = None
        self._leaving: WorkerProcess | None = None
        self._killed: list[WorkerProcess] = []

    def __iter__(self) -> Iterator[WorkerProcess]:
        others = (self._successor, self._leaving, *self._killed)
        yield from (*self.running.values(), *(each for each in others if each is not None))

    @property
    def pids(self) -> set[int]:
        """The pids of all processes."""
        return {each.pid for each in self}

    # -- what Master asks for ----------------------------------------------------------------

    def start(
        self, number: int, role: Role, generation: int, content: int, sockets: Sequence[HandedOn]
    ) -> None:
        """Start a process for a worker, with its sockets and its configuration. Raises OSError.

        `content`: see `packed`.
        """
        worker = WorkerProcess(partial(self._command, number), *self._stdio.of(number))
        self._stdio.given_to(number)
        if role is Role.SUCCESSOR:
            self._successor = worker
        else:
            self.running[number] = worker
        channel, pidfd = worker.channel.fileno(), worker.pidfd
        self._driver.watch(channel, _Call(partial(self._read, number, worker)), EPOLLIN)
        self._driver.watch(pidfd, _Call(partial(self._ended, number, worker)), EPOLLIN)
        _prepare(worker, generation, content, sockets)

    def offer(
        self, number: int, generation: int, content: int, sockets: Sequence[HandedOn]
    ) -> None:
        """Send a worker a configuration, and the sockets that it needs in addition."""
        if number in self.running:
            _prepare(self.running[number], generation, content, sockets)

    def send(self, number: int, message: Message) -> None:
        """Send a message to a worker."""
        if number in self.running:
            _send(self.running[number], message)

    def ask_stacks(self, number: int) -> None:
        """Ask a worker for the stacks of its threads, for `kill`."""
        if number in self.running:
            self.running[number].ask_stacks()

    def kill(self, number: int) -> str:
        """Kill a worker; return the stacks of its threads, if it was asked for them."""
        worker = self.running.get(number)
        if worker is None:
            return ""
        worker.kill()
        if not worker.asked:
            return ""
        return worker.stacks.read() or "none: it is stopped, or waits in the kernel"

    def try_send(self, number: int, message: Message) -> bool:
        """Send a message that matters less than the worker; return whether it was sent."""
        worker = self.running.get(number)
        return worker is not None and worker.channel.send(message)

    def succeed(self, number: int) -> None:
        """Make the successor the process of a worker; the one so far is leaving."""
        assert self._successor is not None
        self._leaving = self.running[number]
        self.running[number], self._successor = self._successor, None

    def kill_successor(self) -> None:
        """Kill the successor, if there is one."""
        if self._successor is not None:
            self._successor.kill()
            self._killed.append(self._successor)
            self._successor = None

    def send_leaving(self, message: Message) -> None:
        """Send a message to the process that is leaving."""
        if self._leaving is not None:
            _send(self._leaving, message)

    def kill_leaving(self) -> None:
        """Kill the process that is leaving."""
        if self._leaving is not None:
            self._leaving.kill()

    def end(self) -> None:
        """Kill all processes that still run."""
        for worker in self:
            worker.end()

    # -- events ------------------------------------------------------------------------------

    def _role(self, number: int, worker: WorkerProcess) -> Role:
        if worker is self.running.get(number):
            return Role.WORKER
        if worker is self._successor:
            return Role.SUCCESSOR
        return Role.LEAVING if worker is self._leaving else Role.KILLED

    def _read(self, number: int, worker: WorkerProcess) -> None:
        for message, _ in worker.channel.receive_all():
            self._received(number, self._role(number, worker), message)
        if worker.channel.ended:
            self._driver.unwatch(worker.channel.fileno())  # forgotten when its process ends

    def _ended(self, number: int, worker: WorkerProcess) -> None:
        self._read(number, worker)  # the worker may have sent why it ends
        how = worker.how_ended()
        if not how:
            return  # a late event: the number of its descriptor is in use again
        self._driver.unwatch(worker.channel.fileno())
        self._driver.unwatch(worker.pidfd)
        worker.close()
        role = self._role(number, worker)
        match role:
            case Role.WORKER:
                del self.running[number]
            case Role.SUCCESSOR:
                self._successor = None
            case Role.LEAVING:
                self._leaving = None
            case Role.KILLED:
                self._killed.remove(worker)
        self._on_end(number, role, how)


def _prepare(
    worker: WorkerProcess, generation: int, content: int, sockets: Sequence[HandedOn]
) -> None:
    """Send a worker sockets and a configuration."""
    for first in range(0, len(sockets), MAX_DESCRIPTORS):
        some = sockets[first : first + MAX_DESCRIPTORS]
        places = tuple((name, str(address)) for name, address, _ in some)
        message = Message(Verb.SOCKETS, generation, places=places)
        _send(worker, message, [sock.fileno() for _, _, sock in some])
    _send(worker, Message(Verb.PREPARE, generation), [content])


def _send(worker: WorkerProcess, message: Message, descriptors: Sequence[int] = ()) -> None:
    if not worker.channel.send(message, descriptors):
        # The worker has ended, which its pidfd will report, or it hangs and never reads.
        worker.kill()
