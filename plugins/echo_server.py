"""echo_server: the echo server of stage machines, with its trace on standard error.

A LISTENER, and for each client a WORKER, which takes an RX and a TX for each line. More about it in
docs/design/staged-machines.md.
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

    clients: Annotated[int, Field(ge=1)] = 4
    """Clients at a time; one more is accepted and closed."""
    buffer: Annotated[Size, Field(ge=1)] = 64
    """The longest request, its end of line included; a longer one closes the connection."""
    timeout: Duration = 10.0
    """For a whole line to come."""


class Listener(StageMachine):
    """Accepts clients, gives each to a WORKER, and closes what comes back."""

    INIT = Stage(initial=True)
    WORK = Stage()
    DONE = Stage(final=True)

    INIT.goes("M0", WORK)

    def __init__(self, queue: MessageQueue, program: EchoServer) -> None:
        super().__init__(queue)
        self._program = program

    @INIT.enter
    def begin(self) -> None:
        """Nothing is to be prepared: the driver listens."""
        self.send(self, "M0")

    @WORK.enter
    def greet(self) -> None:
        """Say where it is."""
        ports = ", ".join(str(place.port or place) for place in self._program.service.bound)
        self.trace(f"\nHello! I am '{self.name}' on port {ports}.")

    @WORK.on("D0")
    def came(self, message: StagedMessage) -> None:
        """Find a worker for a client; with none at rest, the client goes at once."""
        worker = self._program.workers.take()
        if worker is None:
            self.send(self, "M0", message.data)
        else:
            self.send(worker, "M1", message.data)

    @WORK.on("M0")
    def gone(self, message: StagedMessage) -> None:
        """A client is done with."""
        message.data.do_io_close()

    @WORK.on("S0", "S1", to=DONE)
    def signalled(self, message: StagedMessage) -> None:
        """It is time to go."""
        self.trace(f"got signal #{message.data.number} from PID {message.data.pid}")

    @WORK.leave
    def part(self) -> None:
        """Say so."""
        self.trace(f"Bye! It was '{self.name}'.")

    def finished(self) -> None:
        """The program ends with its listener."""
        self._program.stop()


class Worker(StageMachine):
    """Takes a line and sends it back, as long as that goes well."""

    INIT = Stage(initial=True)
    IDLE, RECV, SEND, FAIL = Stage(), Stage(), Stage(), Stage()

    INIT.goes("M0", IDLE)
    IDLE.goes("M0", RECV)
    RECV.goes("M0", SEND)
    RECV.goes("M2", FAIL)
    SEND.goes("M0", RECV)
    SEND.goes("M2", FAIL)
    FAIL.goes("M0", IDLE)

    def __init__(self, queue: MessageQueue, program: EchoServer) -> None:
        super().__init__(queue)
        self._program = program
        self._client: NetVConnection
        self._line = b""

    @INIT.enter
    def begin(self) -> None:
        """Nothing is to be prepared."""
        self.send(self, "M0")

    @IDLE.enter
    def rest(self) -> None:
        """Wait for a client."""
        self._program.workers.put(self)

    @IDLE.on("M1")
    def given(self, message: StagedMessage) -> None:
        """Take the client."""
        self._client = message.data
        self.send(self, "M0")

    @RECV.enter
    def receive_line(self) -> None:
        """Have somebody read."""
        options, rx = self._program.options, self._program.receivers.take()
        if rx is None:
            self.send(self, "M2")
        else:
            task = Receive(self._client, options.buffer, options.timeout, self._is_line)
            self.send(rx, "M1", task)

    @RECV.on("M1")
    def received(self, message: StagedMessage) -> None:
        """Keep the line for SEND."""
        self._line = message.data
        self.send(self, "M0")

    @SEND.enter
    def send_line(self) -> None:
        """Have somebody write."""
        tx = self._program.transmitters.take()
        if tx is None:
            self.send(self, "M2")
        else:
            self.send(tx, "M1", Transmit(self._client, self._line))

    @SEND.on("M1")
    def sent(self, message: StagedMessage) -> None:
        """On to the next line."""
        self.send(self, "M0")

    @FAIL.enter
    def give_back(self) -> None:
        """Nothing more can be done for this client."""
        self.send(self, "M0")
        self.send(self._program.listener, "M0", self._client)

    def _is_line(self, data: bytes) -> bool:
        """Show what has come so far, and say whether it is all."""
        self.trace(f"<<< {len(data)} bytes: {{ {', '.join(map(str, data))} }}")
        return data.endswith(b"\n")


class EchoServer(StagedProgram):
    """Three machines for each client, made before the first one comes, and LISTENER."""

    Options = Options
    needs_upstream = False
    machines = Listener, Worker, Rx, Tx

    def make(self) -> Iterator[StageMachine]:
        """Make the pools, and LISTENER last."""
        assert isinstance(self.service.options, Options)
        self.options = self.service.options
        self.workers, self.receivers, self.transmitters = (
            MachinePool(),
            MachinePool(),
            MachinePool(),
        )
        clients = range(self.options.clients)
        yield from [Rx(self.queue, self.receivers) for _ in clients]
        yield from [Tx(self.queue, self.transmitters) for _ in clients]
        yield from [Worker(self.queue, self) for _ in clients]
        self.listener = Listener(self.queue, self)
        yield self.listener
