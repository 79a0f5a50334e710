"""echo_client: the echo client of stage machines, with its trace on standard error.

A TERMINATOR, which waits for signals, and WORKERs, each of which connects, sends a line, waits for
it to come back, and sends the next. More about it in docs/design/staged-machines.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from vcproxy.api import (
    Duration,
    MachinePool,
    MessageQueue,
    NetVConnection,
    Receive,
    Rx,
    Size,
    Stage,
    StagedMessage,
    StagedProgram,
    StageMachine,
    Transmit,
    Tx,
)


@dataclass(frozen=True, slots=True)
class Options:
    """The original's defaults."""

    workers: Annotated[int, Field(ge=1)] = 4
    """Connections at a time."""
    buffer: Annotated[Size, Field(ge=1)] = 64
    """The longest reply."""
    timeout: Duration = 10.0
    """For a reply to come."""
    pause: Duration = 0.5
    """Between a reply and the next request."""
    retry: Duration = 5.0
    """Before connecting anew, when a connection could not be made or has failed."""


class Terminator(StageMachine):
    """Waits for the end."""

    INIT = Stage(initial=True)
    IDLE = Stage()
    DONE = Stage(final=True)

    INIT.goes("M0", IDLE)

    def __init__(self, queue: MessageQueue, program: EchoClient) -> None:
        super().__init__(queue)
        self._program = program

    @INIT.enter
    def begin(self) -> None:
        """Nothing is to be prepared: the program is told of signals."""
        self.send(self, "M0")

    @IDLE.on("S0", "S1", to=DONE)
    def signalled(self, message: StagedMessage) -> None:
        """It is time to go."""
        self.trace(f"got signal #{message.data.number} from PID {message.data.pid}")

    def finished(self) -> None:
        """Everything ends."""
        self._program.stop()


class Worker(StageMachine):
    """Asks, on a connection of its own, again and again."""

    INIT = Stage(initial=True)
    CONN, SEND, RECV, TWIX, WAIT = Stage(), Stage(), Stage(), Stage(), Stage()

    INIT.goes("M0", CONN)
    CONN.goes("M0", SEND)
    CONN.goes("M3", WAIT)
    SEND.goes("M0", RECV)
    SEND.goes("M3", WAIT)
    RECV.goes("M0", TWIX)
    RECV.goes("M3", WAIT)
    TWIX.goes("T0", SEND)
    WAIT.goes("T0", CONN)

    def __init__(self, queue: MessageQueue, program: EchoClient) -> None:
        super().__init__(queue)
        self._program = program
        self._server: NetVConnection | None = None
        self._asked = 0

    @INIT.enter
    def begin(self) -> None:
        """Nothing is to be prepared."""
        self.send(self, "M0")

    @CONN.enter
    def connect(self) -> None:
        """Have somebody wait for the connection."""
        service, tx = self._program.service, self._program.transmitters.take()
        assert service.upstream is not None
        self._place = service.upstream.servers[0].name.removeprefix("tcp://")
        if tx is None:
            self.send(self, "M2")
        else:
            self._server = service.upstream.connect(tx.machine, timeout=service.connect_s)
            self._place = self._server.name.removeprefix("tcp://")
            self.send(tx, "M1", Transmit(self._server))

    @CONN.on("M1")
    def connected(self, message: StagedMessage) -> None:
        """There is somebody to ask."""
        self.trace(f"{self.name} : connected to '{self._place}'")
        self.send(self, "M0")

    @CONN.on("M2")
    def not_connected(self, message: StagedMessage) -> None:
        """There is nobody."""
        self.trace(f"{self.name} : can not connect to '{self._place}'")
        self.send(self, "M3")

    @SEND.enter
    def ask(self) -> None:
        """Have somebody write."""
        tx = self._program.transmitters.take()
        self._asked += 1
        if tx is None:
            self.send(self, "M2")
        else:
            assert self._server is not None
            request = f"{self.name}-{self._asked}\n"
            self.send(tx, "M1", Transmit(self._server, request.encode()))

    @RECV.enter
    def listen(self) -> None:
        """Have somebody read."""
        options, rx = self._program.options, self._program.receivers.take()
        if rx is None:
            self.send(self, "M2")
        else:
            assert self._server is not None
            task = Receive(self._server, options.buffer, options.timeout, _is_line)
            self.send(rx, "M1", task)

    @SEND.on("M1")
    def asked(self, message: StagedMessage) -> None:
        """The reply is next."""
        self.send(self, "M0")

    @RECV.on("M1")
    def answered(self, message: StagedMessage) -> None:
        """Show the reply, but let it neither forge a line nor steer a terminal."""
        reply = message.data.decode("latin-1").rstrip("\n").encode("unicode_escape").decode()
        self.trace(f"reply: {reply}")
        self.send(self, "M0")

    @SEND.on("M2")
    @RECV.on("M2")
    def broken(self, message: StagedMessage) -> None:
        """The connection is of no use any more."""
        self.send(self, "M3")

    @TWIX.enter
    def pause(self) -> None:
        """Take breath."""
        self.arm("T0", self._program.options.pause)

    @WAIT.enter
    def give_up(self) -> None:
        """Close; connect anew after a while."""
        if self._server is not None:
            self._server.do_io_close()
            self._server = None
        self.arm("T0", self._program.options.retry)


def _is_line(data: bytes) -> bool:
    return data.endswith(b"\n")


class EchoClient(StagedProgram):
    """Three machines for each connection, and TERMINATOR."""

    Options = Options
    needs_upstream = True
    machines = Terminator, Worker, Rx, Tx

    def make(self) -> Iterator[StageMachine]:
        """Make the pools, and TERMINATOR last."""
        assert isinstance(self.service.options, Options)
        self.options = self.service.options
        self.receivers, self.transmitters = MachinePool(), MachinePool()
        workers = range(self.options.workers)
        yield from [Rx(self.queue, self.receivers) for _ in workers]
        yield from [Tx(self.queue, self.transmitters) for _ in workers]
        yield from [Worker(self.queue, self) for _ in workers]
        yield Terminator(self.queue, self)
