"""SimDriver: drives one engine on a simulated network, in virtual time.

Tested in tests/drivers/test_sim.py and tests/conformance/test_sim.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.sim import message_sockets
from vcproxy.drivers.sim.accept_port import SimAcceptPort
from vcproxy.drivers.sim.calls import SimCalls
from vcproxy.drivers.sim.header_port import accepted_port
from vcproxy.drivers.sim.link import Endpoint, do_nothing
from vcproxy.drivers.sim.message_sockets import CONNECTED, open_port
from vcproxy.drivers.sim.port import SimPort, end_bridge, start_bridge
from vcproxy.drivers.sim.sources import SimSources
from vcproxy.drivers.sim.tls_stream import wrap_tls
from vcproxy.drivers.spreading import spread
from vcproxy.engine.address import Address
from vcproxy.engine.commands import (
    Call,
    CancelCall,
    Close,
    CloseSource,
    Command,
    Connect,
    DisableSource,
    EnableSource,
    EndBridge,
    OpenSource,
    Rescan,
    Resolve,
    ResumeAccept,
    SendBusReply,
    SendDatagram,
    ShutdownWrite,
    SignalChild,
    Spread,
    StartBridge,
    Stop,
    Subscribe,
    UnwatchPath,
    WatchContent,
    WatchPath,
)
from vcproxy.engine.engine import Engine
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import current
from vcproxy.engine.net import NetVConnection

if TYPE_CHECKING:
    from vcproxy.drivers.sim.datagram import SimDatagramListener, SimUnixListener
    from vcproxy.drivers.sim.faults import Span
    from vcproxy.drivers.sim.lock_contention import LockContention
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import EdgeHandler

Accepting: TypeAlias = "SimAcceptPort | SimDatagramListener | SimUnixListener"

TraceEntry: TypeAlias = tuple[float, str, str, str, tuple[object, ...]]
"""Virtual time, engine, driver call, VC, and details: sizes, checksums, error texts."""


class SimDriver:
    """Drives one engine on a simulated network.

    `turn` does everything that is due at the present virtual time, and never waits.
    `vcproxy.engine.engine` describes what an engine requires of its driver.
    """

    def __init__(
        self,
        engine: Engine,
        network: Network,
        contention: LockContention,
        trace: list[TraceEntry] | None = None,
    ) -> None:
        self.engine = engine
        self.group: list[SimDriver] = [self]
        """The drivers that share accepted connections (round-robin)."""
        self.accept_errors: deque[OSError] = deque()
        """The errors of the next accepts."""
        self.connect_errors: deque[OSError] = deque()
        """The errors of the next connects; they fail at once."""
        self.max_sessions: int | None = None
        """Limit of datagram sessions at an address, as if by its descriptors; None: no limit."""
        self.ready_ports: dict[EdgeHandler, None] = {}
        """Ports and sockets with an edge since the last turn."""
        self._reported: list[EdgeHandler] = []  # handlers with an event in this turn
        engine.reported = self._has_event
        self.suspended_until = 0.0
        """No turn runs before this time. See `Simulation.suspend`."""
        self.halted = False
        """No turn runs: it was closed, or its process is stopped or hangs."""
        self.closed = False
        """Whether `close` was called."""
        self.pid = 0
        """The pid of its simulated process; 0: it is none."""
        self.after_turn: Callable[[], object] = do_nothing
        """Called once after the present turn."""
        self.on_work: Callable[[], None] = do_nothing
        """Called when something has happened between turns: an edge, a completion, a post."""
        self.calls = SimCalls(self)
        """The calls of its engine."""
        self.rescans = 0
        """How many Rescan commands the engine has issued."""
        self.stopped = False
        """Whether the engine has issued Stop. The simulation continues."""
        self.stop_status = 0
        """The exit status in that Stop."""
        self.network = network
        self._contention = contention
        self._clock = network.clock
        self._trace = trace
        self._listening: dict[Listener, list[Accepting]] = {}
        self._attempts: dict[NetVConnection, list[Connect]] = {}
        self._completions: deque[Callable[[], object]] = deque()
        self._assigned = 0
        self.sources = SimSources(self, network)
        """What it has opened for the sources of its engine."""
        self._perform: dict[type[Command], Callable[..., None]] = {
            Resolve: self._resolve,
            Connect: self._connect,
            Subscribe: self._subscribe,
            ShutdownWrite: self._shutdown_write,
            Close: self._close,
            Call: self._call,
            CancelCall: self.calls.cancel,
            StartBridge: partial(start_bridge, self, network),
            EndBridge: end_bridge,
            Spread: spread,
            ResumeAccept: self._resume_accept,
            OpenSource: self._open_source,
            CloseSource: self.sources.close_source,
            DisableSource: self.sources.disable,
            EnableSource: self.sources.enable,
            SignalChild: self.sources.signal_child,
            SendDatagram: self.sources.send,
            WatchPath: self.sources.watch_path,
            UnwatchPath: self.sources.unwatch_path,
            WatchContent: self.sources.watch_content,
            SendBusReply: network.bus.reply,
            Rescan: self._rescan,
            Stop: self._stop,
        }

    def __repr__(self) -> str:
        return f"<SimDriver of {self.engine.name}>"

    # -- turns -------------------------------------------------------------------------------

    def wants_turn(self) -> bool:
        """Return whether something is due at the present time."""
        if self.halted or self._clock.now < self.suspended_until:
            return False
        if self._completions or self.ready_ports or self.engine.busy:
            return True
        deadline = self.engine.next_deadline()
        return deadline is not None and deadline <= self._clock.now

    def turn(self) -> None:
        """Do everything that is due."""
        engine = self.engine
        engine.clock(self._clock.now)
        try:
            wall = self.time_of_day()
            if wall != engine.wall:
                engine.time_of_day(wall)
            for _ in range(len(self._completions)):
                self._completions.popleft()()
            ready = list(self.ready_ports)
            self.ready_ports.clear()
            self.network.random.shuffle(ready)  # a kernel reports events in no particular order
            self._reported = ready
            for port in ready:
                port.ready()
            engine.run()
            if self.closed:  # its process was killed
                return
            for vc in engine.take_reads():
                if vc.port is not None:
                    vc.port.read()
            for vc in engine.take_writes():
                if vc.port is not None:
                    vc.port.write()
            for command in engine.take_commands():
                self._perform[type(command)](command)
        finally:
            self._reported = []
            current.engine = None  # between turns, posts must go through the inbox
            after, self.after_turn = self.after_turn, do_nothing
            after()

    def _has_event(self, vc: NetVConnection) -> bool:
        """Return whether this turn has an event of a VC. See `Engine.reported`."""
        return any(port is cast("object", vc.port) for port in self._reported)

    def time_of_day(self) -> int:
        """Return the seconds since 1970, UTC; 0: unknown."""
        return self.network.time_of_day()

    def maybe_hold(self, vc: NetVConnection) -> None:
        """With the probability `lock_miss`, let another thread hold a VC's mutex."""
        self._contention.maybe_hold(vc)

    def trace_call(self, call: str, vc: NetVConnection, *detail: object) -> None:
        """Add a driver call to the trace, if there is one. To be called before the call is made."""
        self._contention.maybe_hold(vc)
        if self._trace is not None:
            self._trace.append((self._clock.now, self.engine.name, call, vc.name, detail))

    def complete_after(self, span: Span, call: Callable[[], object]) -> None:
        """Run `call` in a turn, after a random time within `span`."""
        self._clock.after(self.network.span(span), partial(self.complete, call))

    def complete(self, call: Callable[[], object]) -> None:
        """Run `call` in the next turn."""
        self._completions.append(call)
        self.on_work()

    def edge(self, handler: EdgeHandler) -> None:
        """Let a port, or the watch of a datagram socket, handle an edge in the next turn."""
        self.ready_ports[handler] = None
        self.on_work()

    def close(self, kill: bool = True) -> None:
        """End: close its listening addresses and sources, reset its connections and, with `kill`,
        kill its child processes. A second call does nothing."""
        if self.closed:
            return
        self.closed = self.halted = True
        for listener in list(self._listening):
            self.unlisten(listener)
        for vc in list(self.engine.vcs):
            if isinstance(vc.port, SimPort | DatagramPort):
                vc.port.close(abort=True)
        self.sources.close(kill)

    # -- listening ---------------------------------------------------------------------------

    def listen(self, address: Address, listener: Listener) -> Address:
        """Listen at an address for a listener; return the address with its actual port.

        `listener.tls`, an ssl.SSLContext, is used at a tls:// address. Raises OSError.
        """
        accepting: Accepting
        if address.scheme in CONNECTED:
            accepting = message_sockets.listening(self, self.network, address, listener)
        else:
            accepting = SimAcceptPort(self, self.network.listen(address), listener)
        self._listening.setdefault(listener, []).append(accepting)
        return accepting.address

    def unlisten(self, listener: Listener) -> None:
        """Stop listening for a listener. Open connections stay open."""
        for accepting in self._listening.pop(listener, ()):
            accepting.close()

    def next_owner(self, listener: Listener) -> SimDriver:
        """Return the driver for the next connection: one of the group in turn, or this one for a
        pinned listener."""
        driver = self if listener.pinned else self.group[self._assigned % len(self.group)]
        self._assigned += 1
        return driver

    def adopt(self, listener: Listener, endpoint: Endpoint, tls: object) -> NetVConnection:
        """Make an accepted endpoint a VC of this engine."""
        port = accepted_port(self, listener, endpoint, tls, self._clock)
        self.trace_call("accepted", port.vc)
        port.continue_handshake()
        self.edge(port)
        return port.vc

    # -- commands ----------------------------------------------------------------------------

    def _resolve(self, command: Resolve) -> None:
        vc = command.outgoing.vc

        def resolved() -> None:
            try:
                addresses, error = self.network.resolve(command.address), None
            except OSError as reason:
                addresses, error = [], reason
            self.trace_call("resolved", vc, *addresses)
            command.outgoing.resolved(addresses, error)

        # The result is posted as by another thread, even if the VC was closed meanwhile.
        post = partial(vc.soon, resolved)
        self._clock.after(self.network.span(self.network.faults.resolve_s), post)

    def _connect(self, command: Connect) -> None:
        vc = command.outgoing.vc
        if self.sources.connect_pipe(command) or vc.closed or vc.port is not None:
            return  # a pipe, closed, or connected by an earlier attempt
        if self.connect_errors:
            self.start_attempt(command)
            error = self.connect_errors.popleft()
            self.complete_after((0.0, 0.0), partial(self._connected, command, None, error))
            return
        if command.address.scheme in CONNECTED:
            open_port(self, command, partial(message_sockets.connected, self, self.network))
            return
        self.start_attempt(command)

        def done(endpoint: Endpoint | None, error: OSError | None) -> None:
            if self.closed and endpoint is not None:
                endpoint.reset()
            self.complete(partial(self._connected, command, endpoint, error))

        self.network.connect(command.address, done)

    def start_attempt(self, command: Connect) -> None:
        """Record a pending attempt, until it has a result or is cancelled."""
        self._attempts.setdefault(command.outgoing.vc, []).append(command)

    def _end_attempt(self, command: Connect) -> bool:
        """Remove an attempt that has a result; return False if it was cancelled before."""
        pending = self._attempts.get(command.outgoing.vc, [])
        if not any(each is command for each in pending):
            return False
        pending.remove(command)
        if not pending:
            del self._attempts[command.outgoing.vc]
        return True

    def _subscribe(self, command: Subscribe) -> None:
        open_port(self, command, partial(message_sockets.subscribed, self, self.network))

    def _connected(
        self, command: Connect, endpoint: Endpoint | None, error: OSError | None
    ) -> None:
        vc = command.outgoing.vc
        if not self._end_attempt(command):
            if endpoint is not None:
                endpoint.reset()
            return
        if endpoint is None:
            assert error is not None
            self.trace_call("refused", vc, str(error))
            command.outgoing.refused(command.address, error)
            return
        self._attempts.pop(vc, None)  # the others are cancelled
        tls, name = command.outgoing.tls, command.outgoing.server_name
        if command.outgoing.introduction:
            endpoint.outgoing.send(command.outgoing.introduction)
        stream = wrap_tls(endpoint, tls, self._clock, server_side=False, name=name)
        port = SimPort(self, stream)
        port.vc = vc
        self.trace_call("connected", vc)
        command.outgoing.connected(command.address, port, lambda: endpoint.local, endpoint.peer)
        port.continue_handshake()
        self.edge(port)

    def _shutdown_write(self, command: ShutdownWrite) -> None:
        port = command.vc.port
        if isinstance(port, SimPort):
            port.shutdown_write()

    def _close(self, command: Close) -> None:
        vc = command.vc
        self._attempts.pop(vc, None)
        if vc.port is None:
            self.sources.abandon_pipe(vc)
        if isinstance(vc.port, DatagramPort):
            self.trace_call("gone", vc)
            vc.port.close(command.abort)
            return
        if isinstance(vc.port, SimPort):
            vc.port.close(command.abort)

        def gone() -> None:
            self.trace_call("gone", vc)
            vc.gone()

        self.complete_after(self.network.faults.close_s, gone)

    def _open_source(self, command: OpenSource) -> None:
        self.sources.open(command)

    def _call(self, command: Call) -> None:
        self.calls.start(command)

    def _rescan(self, _: Rescan) -> None:
        self.rescans += 1

    def _stop(self, command: Stop) -> None:
        self.stopped = True
        self.stop_status = command.status

    def _resume_accept(self, command: ResumeAccept) -> None:
        for accepting in self._listening.get(command.listener, ()):
            if isinstance(accepting, SimAcceptPort):
                accepting.resume()
