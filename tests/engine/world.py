"""A world for the engine: a clock, hand-fed wires, and recorders of events."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from random import Random

from vcproxy.engine.address import Address
from vcproxy.engine.blocks import Block
from vcproxy.engine.commands import Close, Command, Connect, ShutdownWrite
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.iobuffer import IOBuffer
from vcproxy.engine.listener import Listener
from vcproxy.engine.log_function import Level
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.outgoing import Outgoing

TARGET = Address.parse("tcp://example:1")


def engine(log: list[str] | None = None, memory: int = 1 << 30, name: str = "engine") -> Engine:
    """An engine that logs lines such as "warning: text"."""
    lines = [] if log is None else log

    def write(level: Level, text: str, error: Exception | None = None) -> None:
        lines.append(f"{level}: {text}" + (f" ({error})" if error else ""))

    return Engine(name, memory=memory, random=Random(0), log=write)


class EventRecorder(Continuation):
    """Records the events it receives; then calls `on[key]`, if there is one."""

    def __init__(self, engine: Engine, mutex: Mutex | None = None) -> None:
        super().__init__(engine, mutex or Mutex())
        self.events: list[Hashable] = []
        self.data: list[object] = []
        self.on: dict[Hashable, Callable[[], object]] = {}
        self.buffer = IOBuffer(engine.memory)
        self.incoming = self.buffer.reader()
        self.outward = IOBuffer(engine.memory)
        self.outgoing = self.outward.reader()

    def __repr__(self) -> str:
        return "<EventRecorder>"

    def handle_event(self, key: Hashable, data: object) -> None:
        """Record it."""
        self.events.append(key)
        self.data.append(data)
        if key in self.on:
            self.on[key]()


class Wire:
    """A port without a descriptor: bytes from the peer, and bytes sent to it."""

    vc: NetVConnection

    def __init__(self, spliceable: bool = False) -> None:
        self.spliceable = spliceable
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.window = 1 << 30
        """Number of bytes that the peer still accepts."""
        self.piece = 1 << 30
        """Maximum number of bytes that one system call moves."""
        self.ended: str = ""

    def read(self) -> None:
        """Read once."""
        room = self.vc.begin_read()
        if not room:
            return
        count = min(room, len(self.incoming), self.piece)
        if count:
            scratch = self.vc.engine.memory.scratch
            count = min(count, len(scratch))
            scratch[:count] = self.incoming[:count]
            del self.incoming[:count]
            data = scratch[:count]
            sink = self.vc.direct_sink
            if sink is None or sink.port is None:
                self.vc.received(data)
            else:
                self.vc.passed(data, sink.port.push(data))
        else:
            self.vc.would_block()

    def close(self, abort: bool) -> None:
        """Nothing to do: the world records its Close commands."""

    def push(self, data: Block) -> int:
        """Send data that another wire has read; return how many bytes were accepted."""
        taken = data[: min(self.window, self.piece)]
        self.outgoing += taken
        self.window -= len(taken)
        return len(taken)

    def write(self) -> None:
        """Write once."""
        views = self.vc.begin_write()
        if views is None:
            return
        data = b"".join(views)[: min(self.window, self.piece)]
        self.outgoing += data
        self.window -= len(data)
        self.vc.sent(len(data))

    def arrive(self, data: bytes) -> None:
        """The peer sends something."""
        self.incoming += data
        self.read()


def outgoing_of(vc: NetVConnection) -> Outgoing:
    """Return the Outgoing of a VC."""
    assert vc.outgoing is not None
    return vc.outgoing


class World:
    """One engine, whose driver is the test."""

    def __init__(self, memory: int = 1 << 30) -> None:
        self.log: list[str] = []
        self.engine = engine(self.log, memory)
        self.commands: list[Command] = []
        self.now = 0.0
        self.engine.clock(0.0)

    def turn(self, passed: float = 0.0) -> None:
        """Run one turn: clock, events, flush. Closes and shutdowns are executed, other commands
        stored.

        A driver sleeps until the next deadline, so there is a turn for each that lies between.
        """
        end = self.now + passed
        while (due := self.engine.next_deadline()) is not None and self.now < due < end:
            self.turn(due - self.now)
        self.now = end
        self.engine.clock(self.now)
        self.engine.run()
        self.flush()

    def flush(self) -> None:
        """Execute what the engine has listed."""
        for vc in self.engine.take_reads():
            if vc.port is not None:
                vc.port.read()
        for vc in self.engine.take_writes():
            if vc.port is not None:
                vc.port.write()
        for command in self.engine.take_commands():
            if isinstance(command, Close):
                if isinstance(command.vc.port, Wire):
                    command.vc.port.ended += "reset" if command.abort else "closed"
                command.vc.gone()
            elif isinstance(command, ShutdownWrite):
                assert isinstance(command.vc.port, Wire)
                command.vc.port.ended += "fin "
            else:
                self.commands.append(command)

    def settle(self, passed: float = 0.0) -> None:
        """Run turns until the engine is idle."""
        self.turn(passed)
        for _ in range(1000):
            if not self.engine.busy:
                return
            self.turn()
        raise AssertionError("the engine is never idle")

    def vc(
        self, mutex: Mutex | None = None, *, spliceable: bool = False
    ) -> tuple[NetVConnection, Wire]:
        """A VC that is connected to a wire, in the conversation of `mutex`."""
        recorder = EventRecorder(self.engine, mutex)
        with recorder.mutex.hold(self.engine):
            vc = self.engine.connect(recorder, TARGET)
        wire = self.plug(vc, spliceable=spliceable)
        self.commands.clear()
        return vc, wire

    def plug(
        self, vc: NetVConnection, address: Address = TARGET, *, spliceable: bool = False
    ) -> Wire:
        """Let the attempt at an address succeed, so that the VC is connected; return its wire."""
        wire = Wire(spliceable)
        wire.vc = vc
        outgoing_of(vc).connected(address, wire, lambda: "here", "there")
        self.settle()
        return wire

    def reading(self, nbytes: int | None = None) -> tuple[EventRecorder, NetVConnection, Wire]:
        """A VC that an EventRecorder reads."""
        recorder = EventRecorder(self.engine)
        vc, wire = self.vc(recorder.mutex)
        with recorder.mutex.hold(self.engine):
            vc.do_io_read(recorder, nbytes, recorder.buffer)
        self.settle()
        return recorder, vc, wire

    def writing(
        self, data: bytes = b"", nbytes: int | None = None
    ) -> tuple[EventRecorder, NetVConnection, Wire]:
        """A VC that an EventRecorder writes."""
        recorder = EventRecorder(self.engine)
        vc, wire = self.vc(recorder.mutex)
        recorder.outward.write(data)
        with recorder.mutex.hold(self.engine):
            vc.do_io_write(recorder, nbytes, recorder.outgoing)
        return recorder, vc, wire

    def connecting(self, recorder: EventRecorder, timeout: float = 0.0) -> NetVConnection:
        """A VC that connects to TARGET."""
        with recorder.mutex.hold(self.engine):
            vc = self.engine.connect(recorder, TARGET, timeout=timeout)
        self.settle()
        return vc

    def attempts(self) -> list[str]:
        """The addresses of all Connect commands so far."""
        return [str(c.address) for c in self.commands if isinstance(c, Connect)]

    def accept(
        self, listener: Listener, peer: str = "peer", *, secure: bool = False
    ) -> tuple[NetVConnection, Wire]:
        """Accept a connection."""
        listener.count_accepted()
        wire = Wire()
        wire.vc = self.engine.accepted(listener, wire, peer, secure=secure)
        return wire.vc, wire
