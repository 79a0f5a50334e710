"""MachineServer: starts, stops and lists machines on request (wink.md 6).

Requests are messages: see server_request. The server starts only files below its directory, signals
only processes that it has started, and answers only senders that its mailbox lets in. Watching
machines is their parents' part; the server itself starts none again.

When it gets SIGTERM it starts nothing more and ends its machines: each when the machines that it
has asked for have ended, so that parents outlive their children, and brothers end side by side. A
second signal kills them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from vcproxy.bus.mailbox.codec import LEGACY, NUMBERED, Codec
from vcproxy.bus.mailbox.datagram_mailbox import DatagramMailbox, Flushed
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.mailbox import GivenUp, MailboxFull
from vcproxy.bus.mailbox.peer import Peer, show_peer
from vcproxy.bus.mailbox.profile import WINK, Profile
from vcproxy.engine.calls import Called
from vcproxy.engine.commands import Stop
from vcproxy.engine.sources.datagrams import BindFailed, Bound
from vcproxy.engine.sources.signals import Signal, Signals
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.supervise.registry import Registry
from vcproxy.supervise.served_machine import Order, ServedMachine
from vcproxy.supervise.server_request import (
    SERVER_PORT,
    ListRequest,
    RegisterRequest,
    StartRequest,
    StopRequest,
    UnregisterRequest,
    parse_request,
)

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.mutex import Mutex
    from vcproxy.supervise.served_files import ServedFiles

MACHINES: Final = 4_096
"""Limit of machines of one server: that of the peers that a mailbox remembers."""

TICK_S: Final = 5.0
"""Seconds between two writes of the logs to the disk: what a power failure may cost. As often as
ext4 writes its journal, and six times as often as Linux writes file contents by itself."""

ENDS: Final = (1, 2, 15)
"""SIGHUP, SIGINT, SIGTERM."""

SHOWN: Final = 1_000
"""Characters of a message in the log; the rest is left out."""


class _Step(Enum):
    """Keys of the events that a server sends itself."""

    TICK = auto()
    ALL_ENDED = auto()


class MachineServer(Machine):
    """A machine server. Its end is a Stop of its engine; `status` is the exit status then."""

    BINDING = State(initial=True)
    BOUND = State()
    SERVING = State(parent=BOUND)
    STOPPING = State(parent=BOUND)
    """Its machines end."""
    FLUSHING = State(parent=BOUND)
    """Its last messages are acknowledged."""
    ENDED = State(final=True)

    def __init__(
        self,
        engine: Engine,
        mutex: Mutex,
        files: ServedFiles,
        address: Peer,
        *,
        profile: Profile = WINK,
        codec: Codec = NUMBERED,
        allows: Callable[[Peer], bool] | None = None,
        bound: Callable[[], None] | None = None,
        ends: tuple[int, ...] = ENDS,
    ) -> None:
        """
        Args:
            files: the served directory, and the log files.
            address: where to bind; machines are started at its host.
            allows: which senders are answered; None: all.
            bound: called once the address is bound, before any request is taken.
            ends: the signals that end it.
        """
        super().__init__(engine, mutex, name="server")
        self.files = files
        self.address = address
        self.legacy = codec is LEGACY
        """Whether programs and lists have the forms of the protocol's oldest generation."""
        self.status = 0
        self.registry = Registry()
        self.machines: dict[ServedMachine, None] = {}
        """Every machine from its request until its process has ended, in that order."""
        self._profile = profile
        self._codec = codec
        self._allows = allows
        self._on_bound = bound
        self._ends = ends
        self._by_pid: dict[int, ServedMachine] = {}
        self._by_port: dict[int, ServedMachine] = {}  # launched for a port, or registered there
        self._waiting: dict[int, ServedMachine] = {}  # for the end of the one at their port
        self._launching: dict[ServedMachine, None] = {}  # their pids are not known yet
        self._early: dict[int, tuple[RegisterRequest, Letter]] = {}  # of those, by pid
        self._listed: dict[Peer, None] = {}  # who has asked for the list since the last tick
        self._unsynced: dict[str, None] = {}  # logs of machines that have ended
        self._syncing = False

    # -- BINDING -----------------------------------------------------------------------------

    @BINDING.enter
    def bind(self) -> None:
        """Open the mailbox, and take the signals that end the server."""
        self._signals = Signals(self, self._ends)
        self._mailbox = DatagramMailbox(
            self, self.address, self._profile, self._codec, allows=self._allows
        )

    @BINDING.on(BindFailed, to=ENDED)
    def bind_failed(self, failed: BindFailed) -> None:
        """End: without its address it is of no use."""
        self.engine.log("error", f"the server cannot start: {failed.reason}")
        self.status = 1

    @BINDING.on(Signal, to=ENDED)
    def interrupted(self, _: Signal) -> None:
        """End before it has begun."""

    @BINDING.on(Bound, to=SERVING)
    def bound(self, bound: Bound) -> None:
        """Begin."""
        self.address = bound.address
        self.engine.log("info", f"Address: {show_peer(bound.address)}")
        if bound.address[1] != SERVER_PORT:
            self.engine.log(
                "warning",
                f"machines register at port {SERVER_PORT}, not at {bound.address[1]}: those that "
                "do are not listed here, and are stopped",
            )
        if self._on_bound is not None:
            self._on_bound()
        self.engine.schedule_every(TICK_S, self, _Step.TICK, None)

    # -- requests ----------------------------------------------------------------------------

    @BOUND.on(Letter)
    def received(self, letter: Letter) -> None:
        """Do what a message requests."""
        self.engine.log("info", f"< {letter.name} {letter.text[:SHOWN]}")
        try:
            request = parse_request(letter)
        except ValueError as error:
            self.engine.log("warning", f"{letter.name}: the request is not carried out: {error}")
            if letter.verb == "start" and letter.words:
                self.send(letter.sender, f"errored {letter.words[0]} {error}")
            return
        match request:
            case StartRequest():
                self._start(request, letter.sender)
            case StopRequest(port):
                self._stop(port, letter.sender)
            case ListRequest():
                self.send(letter.sender, self.registry.text(legacy=self.legacy))
                if len(self._listed) < MACHINES:
                    self._listed[letter.sender] = None
            case RegisterRequest():
                self._register(request, letter)
            case UnregisterRequest():
                self._unregister(letter.sender)

    def _start(self, request: StartRequest, asker: Peer) -> None:
        refusal = ""
        if self.state is not self.SERVING:
            refusal = "the server is stopping"
        elif len(self.machines) >= MACHINES:
            refusal = f"the server has {MACHINES} machines, its limit"
        elif self.registry.has_ended(asker, self.engine.now):
            refusal = "the machine that has asked for it has ended"
        if refusal:
            self.engine.log("warning", f"{request.name}: not started: {refusal}")
            self.send(asker, f"errored {request.name} {refusal}")
            return
        machine = ServedMachine(self, request, asker)
        self.machines[machine] = None
        if machine.parent is not None:
            machine.parent.children += 1
        machine.start()

    def _stop(self, port: int, sender: Peer) -> None:
        found = [each[port] for each in (self._waiting, self._by_port) if port in each]
        for machine in found:
            self.engine.schedule(machine, Order.STOP, None)
        if not found:
            self.engine.log(
                "info", f"{show_peer(sender)}: stop {port}: this server has no machine there"
            )

    def _register(self, request: RegisterRequest, letter: Letter) -> None:
        machine = self._by_pid.get(request.pid)
        if machine is None and self._launching and len(self._early) < MACHINES:
            self._early[request.pid] = request, letter  # it may be faster than Launched
            return
        wanted = 0 if machine is None else machine.request.port
        try:
            if letter.sender[0] != self.address[0]:
                raise ValueError(f"machines of this server have the host {self.address[0]}")
            if wanted not in (0, letter.sender[1]):
                raise ValueError(f"process {request.pid} was started at port {wanted}")
            self.registry.register(letter.sender, request.pid)
        except ValueError as error:
            self.engine.log("warning", f"{letter.name}: not registered: {error}")
            return
        assert machine is not None  # the registry has it
        self._by_port[letter.sender[1]] = machine
        self.engine.schedule(machine, Order.REGISTERED, letter.sender[1])

    def _unregister(self, sender: Peer) -> None:
        found = self.registry.unregister(sender)
        if found is None:
            self.engine.log("info", f"{show_peer(sender)}: unregister: it is not registered")
        else:
            self.engine.schedule(self._by_pid[found.pid], Order.UNREGISTERED, None)

    @BOUND.on(GivenUp)
    def given_up(self, message: GivenUp) -> None:
        """Log that a peer does not acknowledge a message."""
        text = message.text[:SHOWN].rstrip()
        self.engine.log("info", f"{show_peer(message.to)} has not acknowledged: {text}")

    def send(self, to: Peer, text: str) -> None:
        """Send a message to a client or a machine."""
        self.engine.log("info", f"> {show_peer(to)} {text[:SHOWN].rstrip()}")
        try:
            self._mailbox.send(to, text)
        except (MailboxFull, ValueError) as error:
            self.engine.log("warning", f"{show_peer(to)}: the message is not sent: {error}")

    # -- for its machines --------------------------------------------------------------------

    def stamp(self) -> str:
        """Return the time of day as names of log files begin: UTC, to the second."""
        return f"{datetime.fromtimestamp(self.engine.wall, UTC):%Y%m%d%H%M%S}"

    def machine_at(self, peer: Peer) -> ServedMachine | None:
        """Return the machine that is registered at an address."""
        found = self.registry.at(peer)
        return None if found is None else self._by_pid.get(found.pid)

    def claim_port(self, machine: ServedMachine) -> bool:
        """Return whether a machine can be launched at its port now.

        If not, the machine that is there is stopped, and `machine` gets PORT_FREE when it has
        ended. Another one that waits for the port is replaced.
        """
        port = machine.request.port
        if not port:
            return True
        there = self._by_port.get(port)
        if there is None:
            self._by_port[port] = machine
            return True
        before = self._waiting.pop(port, None)
        if before is not None:
            self.engine.schedule(before, Order.REPLACED, None)
        self._waiting[port] = machine
        self.engine.schedule(there, Order.YIELD, None)
        return False

    def launching(self, machine: ServedMachine) -> None:
        """Hold back `register` of unknown processes: this one's may come before its pid."""
        self._launching[machine] = None

    def launched(self, machine: ServedMachine) -> None:
        """Believe the process of a machine when it registers."""
        self._by_pid[machine.pid] = machine
        self.registry.started(machine.pid, machine.name)
        early = self._early.pop(machine.pid, None)
        if early is not None:
            self._register(*early)
        self._launch_done(machine)

    def _launch_done(self, machine: ServedMachine) -> None:
        self._launching.pop(machine, None)
        if not self._launching:
            early, self._early = self._early, {}
            for request, letter in early.values():
                self._register(request, letter)

    def machine_ended(self, machine: ServedMachine) -> None:
        """Forget a machine; its port is free for the one that waits for it."""
        del self.machines[machine]
        self._launch_done(machine)
        if machine.pid:
            del self._by_pid[machine.pid]
            self.registry.ended(machine.pid, self.engine.now)
        if machine.output:
            self._unsynced[machine.output] = None
        for port in [port for port, each in self._by_port.items() if each is machine]:
            del self._by_port[port]
            self._mailbox.forget((self.address[0], port))  # the next one there begins its numbers
            waiting = self._waiting.pop(port, None)
            if waiting is not None:
                self._by_port[port] = waiting
                self.engine.schedule(waiting, Order.PORT_FREE, None)
        if machine.children:  # it may have had no time to stop them itself
            for child in self.machines:
                if child.parent is machine:
                    self.engine.schedule(child, Order.STOP, None)
        port = machine.request.port
        if self._waiting.get(port) is machine:
            del self._waiting[port]
        parent = machine.parent
        if parent is not None:
            parent.children -= 1
            if not parent.children and parent in self.machines and self.state is self.STOPPING:
                self.engine.schedule(parent, Order.STOP, None)
        if not self.machines and self.state is self.STOPPING:
            self.engine.schedule(self, _Step.ALL_ENDED, None)

    # -- every 5 s ---------------------------------------------------------------------------

    @BOUND.on(_Step.TICK)
    def tick(self, _: None) -> None:
        """Forget clients, and write the logs to the disk."""
        # Clients ask for the list often, the kernel assigns their ports again soon, and their
        # messages would be taken for duplicates. To send the list twice is harmless.
        for client in self._listed:
            if self.registry.at(client) is None:
                self._mailbox.forget(client)
        self._listed.clear()
        self.sync()

    def sync(self) -> None:
        """Write the logs to the disk, off the loop, unless that still goes on."""
        logs = tuple(self._unsynced | {each.output: None for each in self.machines if each.output})
        if logs and not self._syncing:
            self._syncing = True
            self._unsynced.clear()
            self.engine.call(self, self.files.sync, logs)

    @BOUND.on(Called)
    def synced(self, called: Called) -> None:
        """Log what the disk refuses."""
        self._syncing = False
        problem = called.error or called.value
        if problem:
            self.engine.log("error", f"logs are not on the disk: {problem}")

    # -- the end -----------------------------------------------------------------------------

    @SERVING.on(Signal, to=STOPPING)
    def stop(self, signal: Signal) -> None:
        """End the machines that have no children; the others follow them."""
        count = len(self.machines)
        self.engine.log("info", f"signal {signal.number}: the server stops {count} machines")
        for machine in reversed(self.machines):
            if not machine.children:
                self.engine.schedule(machine, Order.STOP, None)
        if not self.machines:
            self.engine.schedule(self, _Step.ALL_ENDED, None)

    @STOPPING.on(Signal)
    def kill(self, signal: Signal) -> None:
        """End all machines at once."""
        self.engine.log("warning", f"signal {signal.number}: the machines are killed")
        for machine in self.machines:
            self.engine.schedule(machine, Order.KILL, None)

    STOPPING.goes(_Step.ALL_ENDED, FLUSHING)

    @FLUSHING.enter
    def flush(self) -> None:
        """Wait for acknowledgements."""
        self.sync()
        self._mailbox.flush()

    FLUSHING.goes(Flushed, ENDED)
    FLUSHING.goes(Signal, ENDED)

    def finished(self) -> None:
        """Close everything and stop the engine."""
        self._mailbox.close()
        self._signals.close()
        self.engine.command(Stop())
