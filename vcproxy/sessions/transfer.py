"""RX and TX: pooled staged machines that read and write for other machines.

A machine takes one from its pool and sends it M1 with a task. RX or TX sends M0 to itself and then
the result to that machine: M1 (RX: with the data), or M2 if the task failed.

Tested in tests/plugins/test_echo_server.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vcproxy.machine.staged import Handle, MessageQueue, Stage, StagedMessage, StageMachine

if TYPE_CHECKING:
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.machine.pool import MachinePool

READ_TIMEOUT_S: Final = 1.0
"""Default time limit of a Receive, as in the original program."""


@dataclass(frozen=True, slots=True)
class Receive:
    """Task: read until `enough` returns True for all that has been read.

    At most `limit` bytes are read. If `enough` is still False then, the task fails at once.
    """

    vc: VConnection
    limit: int
    timeout_s: float
    enough: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Transmit:
    """Task: write `data`; without data: wait until the VC is connected."""

    vc: VConnection
    data: bytes = b""


class PooledTransfer(StageMachine):
    """The common part of RX and TX: rest in the pool, take a task, send the result, rest again."""

    __slots__ = ("_pool", "_requester", "task")

    def __init__(self, queue: MessageQueue, pool: MachinePool) -> None:
        super().__init__(queue)
        self._pool = pool
        self._requester: Handle | None = None
        self.task: Any = None

    def begin(self) -> None:
        """Send M0 at once: no setup is needed."""
        self.send(self, "M0")

    def rest(self) -> None:
        """Wait in the pool."""
        self._pool.put(self)

    def task_received(self, message: StagedMessage) -> None:
        """Store the task and its sender."""
        self._requester, self.task = message.source, message.data
        self.send(self, "M0")

    def complete(self, tag: str, data: bytes = b"") -> None:
        """Return to the pool, and send the result to the requester."""
        assert self._requester is not None
        self.send(self, "M0")
        self.send(self._requester, tag, data)


class Rx(PooledTransfer):
    """Performs a Receive."""

    __slots__ = ("_reader", "_vio")

    INIT = Stage(initial=True)
    IDLE, WORK = Stage(), Stage()

    INIT.enter(PooledTransfer.begin)
    INIT.goes("M0", IDLE)
    IDLE.enter(PooledTransfer.rest)
    IDLE.on("M1")(PooledTransfer.task_received)
    IDLE.goes("M0", WORK)
    WORK.goes("M0", IDLE)

    _reader: Reader
    _vio: VIO

    @WORK.enter
    def receive_some(self) -> None:
        """Start to read, with the time limit."""
        buffer = self.engine.buffer()
        self._reader = buffer.reader()
        self.arm("T0", self.task.timeout_s or READ_TIMEOUT_S)
        self._vio = self.task.vc.do_io_read(self, self.task.limit, buffer)

    @WORK.on("D0")
    def received(self, message: StagedMessage) -> None:
        """Complete the task if the bytes read are enough; fail it if they reach the limit."""
        data = self._reader.peek()
        if self.task.enough(data):
            self.complete("M1", data)
        elif len(data) == self.task.limit:
            self.complete("M2")

    @WORK.on("D2", "T0")
    def failed(self, message: StagedMessage) -> None:
        """Fail the task: end of stream, error or timeout before enough was read."""
        self.complete("M2")

    @WORK.leave
    def release(self) -> None:
        """Stop reading; the VC belongs to the requester again."""
        self.disarm("T0")
        self._vio.retire()
        self._reader.close()


class Tx(PooledTransfer):
    """Performs a Transmit."""

    __slots__ = ("_vio",)

    INIT = Stage(initial=True)
    IDLE, WORK = Stage(), Stage()

    INIT.enter(PooledTransfer.begin)
    INIT.goes("M0", IDLE)
    IDLE.enter(PooledTransfer.rest)
    IDLE.on("M1")(PooledTransfer.task_received)
    IDLE.goes("M0", WORK)
    WORK.goes("M0", IDLE)

    _vio: VIO | None

    @WORK.enter
    def transmit(self) -> None:
        """Start to write. A VC that is being connected delivers CONNECTED without a write."""
        data, self._vio = self.task.data, None
        if data:
            buffer = self.engine.buffer()
            reader = buffer.reader()
            buffer.write(data)
            self._vio = self.task.vc.do_io_write(self, len(data), reader)

    @WORK.on("D1")
    def transmitted(self, message: StagedMessage) -> None:
        """Complete the task if all bytes are sent, or the connection is established."""
        if self._vio is None or not self._vio.ntodo:
            self.complete("M1")

    @WORK.on("D2")
    def failed(self, message: StagedMessage) -> None:
        """Fail the task: the connection failed, or could not be established."""
        self.complete("M2")

    @WORK.leave
    def release(self) -> None:
        """Stop writing; the VC belongs to the requester again."""
        if self._vio is not None:
            self._vio.retire()
            self._vio.reader.close()
