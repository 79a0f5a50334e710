"""RX and TX: staged machines that read and write for others, and rest in pools meanwhile.

A customer takes one from its pool and sends it M1 with what is to be done. The answer is M1, from
RX with the data, or M2 if it could not be done; before it, either has sent M0 to itself.
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

PATIENCE_S: Final = 1.0
"""How long a read may take that names no time of its own: the original's."""


@dataclass(frozen=True, slots=True)
class Receive:
    """To be read: until `enough` says so of all that has come.

    At most `limit` bytes are read; that many which are not enough are a failure, at once.
    """

    vc: VConnection
    limit: int
    timeout_s: float
    enough: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Transmit:
    """To be written. Without data, on a VC that is being connected: wait until it is."""

    vc: VConnection
    data: bytes = b""


class Hand(StageMachine):
    """What RX and TX have in common: they rest, take a task, answer, and rest again."""

    __slots__ = ("_customer", "_pool", "task")

    def __init__(self, queue: MessageQueue, pool: MachinePool) -> None:
        super().__init__(queue)
        self._pool = pool
        self._customer: Handle | None = None
        self.task: Any = None

    def begin(self) -> None:
        """Nothing is to be prepared."""
        self.send(self, "M0")

    def rest(self) -> None:
        """Wait for work."""
        self._pool.put(self)

    def asked(self, message: StagedMessage) -> None:
        """Take a task."""
        self._customer, self.task = message.source, message.data
        self.send(self, "M0")

    def answer(self, tag: str, data: bytes = b"") -> None:
        """Go to rest, and tell the customer."""
        assert self._customer is not None
        self.send(self, "M0")
        self.send(self._customer, tag, data)


class Rx(Hand):
    """Does a Receive."""

    __slots__ = ("_reader", "_vio")

    INIT = Stage(initial=True)
    IDLE, WORK = Stage(), Stage()

    INIT.enter(Hand.begin)
    INIT.goes("M0", IDLE)
    IDLE.enter(Hand.rest)
    IDLE.on("M1")(Hand.asked)
    IDLE.goes("M0", WORK)
    WORK.goes("M0", IDLE)

    _reader: Reader
    _vio: VIO

    @WORK.enter
    def receive_some(self) -> None:
        """Read, for so long."""
        buffer = self.engine.buffer()
        self._reader = buffer.reader()
        self.arm("T0", self.task.timeout_s or PATIENCE_S)
        self._vio = self.task.vc.do_io_read(self, self.task.limit, buffer)

    @WORK.on("D0")
    def received(self, message: StagedMessage) -> None:
        """Look at all that has come."""
        data = self._reader.peek()
        if self.task.enough(data):
            self.answer("M1", data)
        elif len(data) == self.task.limit:
            self.answer("M2")

    @WORK.on("D2", "T0")
    def failed(self, message: StagedMessage) -> None:
        """It ended, broke or took too long, and there is not enough."""
        self.answer("M2")

    @WORK.leave
    def let_go(self) -> None:
        """The VC is the customer's again: what comes now is not for this machine."""
        self.disarm("T0")
        self._vio.retire()
        self._reader.close()


class Tx(Hand):
    """Does a Transmit."""

    __slots__ = ("_vio",)

    INIT = Stage(initial=True)
    IDLE, WORK = Stage(), Stage()

    INIT.enter(Hand.begin)
    INIT.goes("M0", IDLE)
    IDLE.enter(Hand.rest)
    IDLE.on("M1")(Hand.asked)
    IDLE.goes("M0", WORK)
    WORK.goes("M0", IDLE)

    _vio: VIO | None

    @WORK.enter
    def transmit(self) -> None:
        """Write; a VC that is not connected yet tells of that by itself."""
        data, self._vio = self.task.data, None
        if data:
            buffer = self.engine.buffer()
            reader = buffer.reader()
            buffer.write(data)
            self._vio = self.task.vc.do_io_write(self, len(data), reader)

    @WORK.on("D1")
    def transmitted(self, message: StagedMessage) -> None:
        """Some has gone, or the connection is there."""
        if self._vio is None or not self._vio.ntodo:
            self.answer("M1")

    @WORK.on("D2")
    def failed(self, message: StagedMessage) -> None:
        """The connection has broken, or could not be made."""
        self.answer("M2")

    @WORK.leave
    def let_go(self) -> None:
        """The VC is the customer's again."""
        if self._vio is not None:
            self._vio.retire()
            self._vio.reader.close()
