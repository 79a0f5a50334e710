"""echo_client: the echo client of the original's staged machines; its trace is the original's.

TERMINATOR waits for signals. Each WORKER connects, sends a line, waits for its echo, and sends the
next. The trace is printed on standard error. See docs/design/staged-machines.md.
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

    workers: Annotated[int, Field(ge=1)] = 4
    """The number of connections."""
    buffer: Annotated[Size, Field(ge=1)] = 64
    """The longest reply, in bytes."""
    timeout: Duration = 10.0
    """The time limit for a reply."""
    pause: Duration = 0.5
    """The pause between a reply and the next request."""
    retry: Duration = 5.0
    """The pause before connecting again, after a connection failed or could not be made."""


class Terminator(StageMachine):
    """Waits for a signal to end."""

    INIT = Stage(initial=True)
    IDLE = Stage()
    DONE = Stage(final=True)

    INIT.goes("M0", IDLE)

    def __init__(self, queue: MessageQueue, program: EchoClient) -> None:
        super().__init__(queue)
        self._program = program

    @INIT.enter
    def begin(self) -> None:
        """Send M0 at once: no setup is needed, the program delivers signals to this machine."""
        self.send(self, "M0")

    @IDLE.on("S0", "S1", to=DONE)
    def signalled(self, message: StagedMessage) -> None:
        """Print the signal; the program ends."""
        self.trace(f"got signal #{message.data.number} from PID {message.data.pid}")

    def finished(self) -> None:
        """Stop the program."""
        self._program.stop()


class Worker(StageMachine):
    """Sends requests on its own connection, one after the other."""

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
        self._requests = 0

    @INIT.enter
    def begin(self) -> None:
        """Send M0 at once: no setup is needed."""
        self.send(self, "M0")

    @CONN.enter
    def connect(self) -> None:
        """Connect; a TX waits for the connection."""
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
        """The server is connected."""
        self.trace(f"{self.name} : connected to '{self._place}'")
        self.send(self, "M0")

    @CONN.on("M2")
    def not_connected(self, message: StagedMessage) -> None:
        """The server cannot be reached."""
        self.trace(f"{self.name} : can not connect to '{self._place}'")
        self.send(self, "M3")

    @SEND.enter
    def send_request(self) -> None:
        """Pass the request to a TX, which sends it."""
        tx = self._program.transmitters.take()
        self._requests += 1
        if tx is None:
            self.send(self, "M2")
        else:
            assert self._server is not None
            request = f"{self.name}-{self._requests}\n"
            self.send(tx, "M1", Transmit(self._server, request.encode()))

    @RECV.enter
    def receive_reply(self) -> None:
        """Pass the connection to an RX, which receives the reply."""
        options, rx = self._program.options, self._program.receivers.take()
        if rx is None:
            self.send(self, "M2")
        else:
            assert self._server is not None
            task = Receive(self._server, options.buffer, options.timeout, _is_line)
            self.send(rx, "M1", task)

    @SEND.on("M1")
    def request_sent(self, message: StagedMessage) -> None:
        """Wait for the reply next."""
        self.send(self, "M0")

    @RECV.on("M1")
    def reply_received(self, message: StagedMessage) -> None:
        """Print the reply escaped, so that it cannot forge trace lines or control a terminal."""
        reply = message.data.decode("latin-1").rstrip("\n").encode("unicode_escape").decode()
        self.trace(f"reply: {reply}")
        self.send(self, "M0")

    @SEND.on("M2")
    @RECV.on("M2")
    def failed(self, message: StagedMessage) -> None:
        """The connection failed, or no RX or TX is free."""
        self.send(self, "M3")

    @TWIX.enter
    def pause(self) -> None:
        """Wait before the next request."""
        self.arm("T0", self._program.options.pause)

    @WAIT.enter
    def give_up(self) -> None:
        """Close; connect again after a pause."""
        if self._server is not None:
            self._server.do_io_close()
            self._server = None
        self.arm("T0", self._program.options.retry)


def _is_line(data: bytes) -> bool:
    return data.endswith(b"\n")


class EchoClient(StagedProgram):
    """An RX, a TX and a WORKER for each connection, and TERMINATOR."""

    Options = Options
    needs_upstream = True
    machines = Terminator, Worker, Rx, Tx

    def make(self) -> Iterator[StageMachine]:
        """Create the pools' machines, the WORKERs, and TERMINATOR last."""
        self.receivers, self.transmitters = MachinePool(), MachinePool()
        workers = range(self.options.workers)
        yield from [Rx(self.queue, self.receivers) for _ in workers]
        yield from [Tx(self.queue, self.transmitters) for _ in workers]
        yield from [Worker(self.queue, self) for _ in workers]
        yield Terminator(self.queue, self)
