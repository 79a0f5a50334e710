"""echo_server: the echo server of the original's staged machines; its trace is the original's.

LISTENER accepts clients. A WORKER for each client takes an RX and a TX from their pools for each
line. The trace is printed on standard error. See docs/design/staged-machines.md.
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
    """The defaults are those of the original."""

    clients: Annotated[int, Field(ge=1)] = 4
    """The number of clients at the same time; one more is accepted and closed."""
    buffer: Annotated[Size, Field(ge=1)] = 64
    """The longest request in bytes, with its newline; a longer one closes the connection."""
    timeout: Duration = 10.0
    """The time limit for a whole line."""


class Listener(StageMachine):
    """Accepts clients, passes each to a WORKER, and closes it when the WORKER returns it."""

    INIT = Stage(initial=True)
    WORK = Stage()
    DONE = Stage(final=True)

    INIT.goes("M0", WORK)

    def __init__(self, queue: MessageQueue, program: EchoServer) -> None:
        super().__init__(queue)
        self._program = program

    @INIT.enter
    def begin(self) -> None:
        """Send M0 at once: the driver listens already."""
        self.send(self, "M0")

    @WORK.enter
    def print_ports(self) -> None:
        """Print the ports that the server listens on."""
        ports = ", ".join(str(place.port or place) for place in self._program.service.bound)
        self.trace(f"\nHello! I am '{self.name}' on port {ports}.")

    @WORK.on("D0")
    def accepted(self, message: StagedMessage) -> None:
        """Give the client to a WORKER; if none is free, close it."""
        worker = self._program.workers.take()
        if worker is None:
            self.send(self, "M0", message.data)
        else:
            self.send(worker, "M1", message.data)

    @WORK.on("M0")
    def close(self, message: StagedMessage) -> None:
        """Close a client."""
        message.data.do_io_close()

    @WORK.on("S0", "S1", to=DONE)
    def signalled(self, message: StagedMessage) -> None:
        """Print the signal; the program ends."""
        self.trace(f"got signal #{message.data.number} from PID {message.data.pid}")

    @WORK.leave
    def print_end(self) -> None:
        """Print the end."""
        self.trace(f"Bye! It was '{self.name}'.")

    def finished(self) -> None:
        """Stop the program."""
        self._program.stop()


class Worker(StageMachine):
    """Receives lines and sends each back, until there is an error."""

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
        """Send M0 at once: no setup is needed."""
        self.send(self, "M0")

    @IDLE.enter
    def rest(self) -> None:
        """Wait in the pool for a client."""
        self._program.workers.put(self)

    @IDLE.on("M1")
    def client_received(self, message: StagedMessage) -> None:
        """Store the client."""
        self._client = message.data
        self.send(self, "M0")

    @RECV.enter
    def receive_line(self) -> None:
        """Pass the client to an RX, which receives a line."""
        options, rx = self._program.options, self._program.receivers.take()
        if rx is None:
            self.send(self, "M2")
        else:
            task = Receive(self._client, options.buffer, options.timeout, self._is_line)
            self.send(rx, "M1", task)

    @RECV.on("M1")
    def received(self, message: StagedMessage) -> None:
        """Store the line for SEND."""
        self._line = message.data
        self.send(self, "M0")

    @SEND.enter
    def send_line(self) -> None:
        """Pass the line to a TX, which sends it."""
        tx = self._program.transmitters.take()
        if tx is None:
            self.send(self, "M2")
        else:
            self.send(tx, "M1", Transmit(self._client, self._line))

    @SEND.on("M1")
    def sent(self, message: StagedMessage) -> None:
        """Receive the next line."""
        self.send(self, "M0")

    @FAIL.enter
    def give_back(self) -> None:
        """Return the client to LISTENER, which closes it."""
        self.send(self, "M0")
        self.send(self._program.listener, "M0", self._client)

    def _is_line(self, data: bytes) -> bool:
        """Print what has been received so far; return whether the line is complete."""
        self.trace(f"<<< {len(data)} bytes: {{ {', '.join(map(str, data))} }}")
        return data.endswith(b"\n")


class EchoServer(StagedProgram):
    """An RX, a TX and a WORKER for each client, created at the start, and LISTENER."""

    Options = Options
    needs_upstream = False
    machines = Listener, Worker, Rx, Tx

    def make(self) -> Iterator[StageMachine]:
        """Create the pools' machines, the WORKERs, and LISTENER last."""
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
