"""The simulated driver: the other half of a net thread, on a network in memory."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.sim.datagram import SimDatagramPort, SimSources
from vcproxy.drivers.sim.link import Endpoint
from vcproxy.drivers.sim.port import SimPipe, SimPort
from vcproxy.drivers.sim.secure import over
from vcproxy.drivers.spreading import spread
from vcproxy.engine.address import Address
from vcproxy.engine.commands import (
    Call,
    CancelCall,
    Close,
    Command,
    Connect,
    EndBridge,
    Rescan,
    Resolve,
    ResumeAccept,
    ShutdownWrite,
    Spread,
    StartBridge,
    Stop,
    Subscribe,
)
from vcproxy.engine.engine import Engine
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import current
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.plugin_error import as_error

if TYPE_CHECKING:
    from vcproxy.drivers.sim.datagram import Watch
    from vcproxy.drivers.sim.faults import Span
    from vcproxy.drivers.sim.network import Acceptor, Network
    from vcproxy.drivers.sim.phantom import Phantom
    from vcproxy.drivers.sim.post import SimSocket

TraceEntry: TypeAlias = tuple[float, str, str, str, tuple[object, ...]]
"""Time, engine, call, VC, and what tells the call from others: sizes, digests, reasons."""


class SimDriver:
    """Drives one engine on a simulated network. Its obligations stand in `vcproxy.engine.engine`.

    It does what is due when `turn` is called, and never waits.
    """

    def __init__(
        self,
        engine: Engine,
        network: Network,
        phantom: Phantom,
        trace: list[TraceEntry] | None = None,
    ) -> None:
        self.engine = engine
        self.team: list[SimDriver] = [self]
        """The drivers that connections are dealt to, in turn."""
        self.accept_errors: deque[OSError] = deque()
        """What the next accepts fail with."""
        self.connect_errors: deque[OSError] = deque()
        """What the next connects fail with, at once."""
        self.most_sessions: int | None = None
        """How many sessions of datagrams an address has descriptors for; None: any number."""
        self.woken: dict[SimPort | Watch, None] = {}
        """Ports that have seen an edge since the last turn."""
        self.stopped_until = 0.0
        """Until when it takes no turn, as a process that was stopped. See `Simulation.stop`."""
        self.answers: Iterator[object] | None = None
        """What calls return, one after the other, or raise; None: they are made."""
        self.rescans = 0
        """How often its engine has asked for the configuration to be read again."""
        self.stopped = False
        """Whether its engine has asked for the process to be ended. The simulation goes on."""
        self._network = network
        self._phantom = phantom
        self._timeline = network.timeline
        self._trace = trace
        self._listening: dict[Listener, list[_Accepting | SimSources]] = {}
        self._attempts: dict[NetVConnection, list[Connect]] = {}
        self._given_up: set[int] = set()  # numbers of calls
        self._answers: deque[Callable[[], object]] = deque()
        self._dealt = 0
        self._perform: dict[type[Command], Callable[..., None]] = {
            Resolve: self._resolve,
            Connect: self._connect,
            Subscribe: self._subscribe,
            ShutdownWrite: self._shutdown_write,
            Close: self._close,
            Call: self._call,
            CancelCall: self._give_up,
            StartBridge: self._start_bridge,
            EndBridge: self._end_bridge,
            Spread: spread,
            ResumeAccept: self._resume_accept,
            Rescan: self._rescan,
            Stop: self._stop,
        }

    def __repr__(self) -> str:
        return f"<SimDriver of {self.engine.name}>"

    # -- turns -------------------------------------------------------------------------------

    def wants_turn(self) -> bool:
        """Whether there is something to do at this very time."""
        if self._timeline.now < self.stopped_until:
            return False
        if self._answers or self.woken or self.engine.busy:
            return True
        deadline = self.engine.next_deadline()
        return deadline is not None and deadline <= self._timeline.now

    def turn(self) -> None:
        """Do all that is due."""
        engine = self.engine
        engine.clock(self._timeline.now)
        try:
            wall = self.time_of_day()
            if wall != engine.wall:
                engine.time_of_day(wall)
            for _ in range(len(self._answers)):
                self._answers.popleft()()
            woken = list(self.woken)
            self.woken.clear()
            self._network.random.shuffle(woken)  # a kernel promises no order
            for port in woken:
                port.ready()
            engine.run()
            for vc in engine.take_reads():
                if vc.port is not None:
                    vc.port.read()
            for vc in engine.take_writes():
                if vc.port is not None:
                    vc.port.write()
            for command in engine.take_commands():
                self._perform[type(command)](command)
        finally:
            current.engine = None  # between turns nobody is inside: posts go through the inbox

    def time_of_day(self) -> int:
        """Seconds since 1970, UTC; 0: nobody knows."""
        return self._network.time_of_day()

    def visit(self, vc: NetVConnection) -> None:
        """Somebody else may be in a VC's conversation just now."""
        self._phantom.visit(vc)

    def note(self, call: str, vc: NetVConnection, *detail: object) -> None:
        """A call into the engine is about to be made: put it in the trace, where one is kept."""
        self._phantom.visit(vc)
        if self._trace is not None:
            self._trace.append((self._timeline.now, self.engine.name, call, vc.name, detail))

    def answer(self, span: Span, call: Callable[[], object]) -> None:
        """Have a call made in a turn, after a while."""
        self._timeline.after(self._network.span(span), partial(self._answers.append, call))

    # -- listening ---------------------------------------------------------------------------

    def listen(self, address: Address, listener: Listener) -> Address:
        """Accept for a listener from now on; returns the address with its real port.

        The listener's `tls`, an ssl.SSLContext, serves a tls address. Raises OSError.
        """
        accepting: _Accepting | SimSources
        if address.scheme == "udp":
            accepting = SimSources(self, self._network.post.bind(address), listener)
        else:
            accepting = _Accepting(self, self._network.listen(address), listener)
        self._listening.setdefault(listener, []).append(accepting)
        return accepting.address

    def unlisten(self, listener: Listener) -> None:
        """Accept no more for a listener. Its connections live on."""
        for accepting in self._listening.pop(listener, ()):
            accepting.close()

    def unbind(self, acceptor: Acceptor) -> None:
        """Have nobody come in at an acceptor any more."""
        self._network.unlisten(acceptor)

    def accept(self, accepting: _Accepting) -> None:
        """Accept what waits, as far as it is admitted."""
        listener, backlog = accepting.listener, accepting.acceptor.backlog
        network = self._network
        while backlog and not accepting.paused:
            if not listener.admits():
                listener.warn_full()
                accepting.paused = True
            elif self.accept_errors or network.happens(network.faults.accept):
                accepting.paused = True
                error = self.accept_errors.popleft() if self.accept_errors else _exhausted()
                self.engine.accept_failed(listener, error)
            else:
                listener.count_accepted()
                driver = self if listener.pinned else self.team[self._dealt % len(self.team)]
                self._dealt += 1
                tls = listener.tls if accepting.acceptor.address.secure else None
                adopt = partial(driver.adopt, listener, backlog.popleft(), tls)
                driver.answer((0.0, 0.0), adopt)

    def adopt(self, listener: Listener, endpoint: Endpoint, tls: object) -> NetVConnection:
        """Own an accepted endpoint from now on."""
        port = SimPort(self, over(endpoint, tls, self._timeline, server_side=True))
        port.vc = self.engine.accepted(listener, port, endpoint.peer, secure=tls is not None)
        self.note("accepted", port.vc)
        port.shake_hands()
        self.woken[port] = None
        return port.vc

    # -- commands ----------------------------------------------------------------------------

    def _resolve(self, command: Resolve) -> None:
        vc = command.outgoing.vc

        def resolved() -> None:
            try:
                addresses, error = self._network.resolve(command.address), None
            except OSError as reason:
                addresses, error = [], reason
            self.note("resolved", vc, *addresses)
            command.outgoing.resolved(addresses, error)

        # On another thread, as it were: it comes when it comes, also for what has been given up.
        late = partial(vc.soon, resolved)
        self._timeline.after(self._network.span(self._network.faults.resolve_s), late)

    def _connect(self, command: Connect) -> None:
        vc = command.outgoing.vc
        if vc.closed or vc.port is not None:
            return  # or an earlier attempt has just succeeded
        if self.connect_errors:
            self.begin(command)
            error = self.connect_errors.popleft()
            self.answer((0.0, 0.0), partial(self._connected, command, None, error))
            return
        if command.address.scheme == "udp":
            self._open(command, self._network.post.connect)
            return
        self.begin(command)

        def done(endpoint: Endpoint | None, error: OSError | None) -> None:
            self._answers.append(partial(self._connected, command, endpoint, error))

        self._network.connect(command.address, done)

    def begin(self, command: Connect) -> None:
        """An attempt is under way, until it is answered or given up."""
        self._attempts.setdefault(command.outgoing.vc, []).append(command)

    def _given(self, command: Connect) -> bool:
        """An attempt is to be answered; return whether it was not given up."""
        under_way = self._attempts.get(command.outgoing.vc, [])
        if not any(each is command for each in under_way):
            return False
        under_way.remove(command)
        if not under_way:
            del self._attempts[command.outgoing.vc]
        return True

    def _subscribe(self, command: Subscribe) -> None:
        self._open(command, self._network.post.bind)

    def _open(self, command: Connect | Subscribe, make: Callable[[Address], SimSocket]) -> None:
        """Open a datagram socket: there is nobody to wait for."""
        outgoing = command.outgoing
        if outgoing.vc.closed:
            return
        try:
            if command.address.scheme == "nats":
                raise OSError(f"{command.address}: there is no NATS in a simulation")
            sock = make(command.address)
        except OSError as error:
            self.note("refused", outgoing.vc, str(error))
            outgoing.refused(command.address, error)
            return
        port = SimDatagramPort(self, sock)
        port.vc = outgoing.vc
        self.note("connected", outgoing.vc)
        local, peer = Address("udp", *sock.local), command.address
        outgoing.connected(command.address, port, str(local), str(peer))

    def _connected(
        self, command: Connect, endpoint: Endpoint | None, error: OSError | None
    ) -> None:
        vc = command.outgoing.vc
        if not self._given(command):
            if endpoint is not None:
                endpoint.reset()
            return
        if endpoint is None:
            assert error is not None
            self.note("refused", vc, str(error))
            command.outgoing.refused(command.address, error)
            return
        self._attempts.pop(vc, None)  # the others are given up
        tls, name = command.outgoing.tls, command.outgoing.server_name
        stream = over(endpoint, tls, self._timeline, server_side=False, name=name)
        port = SimPort(self, stream)
        port.vc = vc
        self.note("connected", vc)
        command.outgoing.connected(command.address, port, endpoint.local, endpoint.peer)
        port.shake_hands()
        self.woken[port] = None

    def _shutdown_write(self, command: ShutdownWrite) -> None:
        port = command.vc.port
        if isinstance(port, SimPort):
            port.shutdown_write()

    def _close(self, command: Close) -> None:
        vc = command.vc
        self._attempts.pop(vc, None)
        if isinstance(vc.port, DatagramPort):
            self.note("gone", vc)
            vc.port.close(command.abort)
            return
        if isinstance(vc.port, SimPort):
            vc.port.close(command.abort)

        def gone() -> None:
            self.note("gone", vc)
            vc.gone()

        self.answer(self._network.faults.gone_s, gone)

    def _call(self, command: Call) -> None:
        def call() -> None:
            if command.number in self._given_up:
                self._given_up.remove(command.number)
                return
            value: object = None
            error: Exception | None = None
            try:
                value = self._value(command)
            except BaseException as mistake:
                error = as_error(mistake)
            self.engine.called(command.number, value, error)

        self.answer(self._network.faults.call_s, call)

    def _give_up(self, command: CancelCall) -> None:
        self._given_up.add(command.number)

    def _value(self, command: Call) -> object:
        if self.answers is None:
            return command.fn(*command.args)
        value = next(self.answers, LookupError("a call, and no answer is left for it"))
        if isinstance(value, Exception):
            raise value
        return value

    def _start_bridge(self, command: StartBridge) -> None:
        bridge, network = command.bridge, self._network
        source, sink = bridge.ports
        assert isinstance(source, SimPort)
        assert isinstance(sink, SimPort)
        if network.happens(network.faults.no_pipe):
            bridge.refuse()
        else:
            capacity = network.random.randint(*network.faults.pipe)
            SimPipe(self, bridge, source, sink, capacity).move()

    def _end_bridge(self, command: EndBridge) -> None:
        source, _ = command.bridge.ports
        if isinstance(source, SimPort) and source.bridged_out is not None:
            source.bridged_out.stop()

    def _rescan(self, _: Rescan) -> None:
        self.rescans += 1

    def _stop(self, _: Stop) -> None:
        self.stopped = True

    def _resume_accept(self, command: ResumeAccept) -> None:
        for accepting in self._listening.get(command.listener, ()):
            if isinstance(accepting, _Accepting):
                accepting.paused = False
                self.accept(accepting)


class _Accepting:
    """A listener and where it listens."""

    __slots__ = ("_driver", "acceptor", "listener", "paused")

    def __init__(self, driver: SimDriver, acceptor: Acceptor, listener: Listener) -> None:
        self._driver = driver
        self.acceptor = acceptor
        self.listener = listener
        self.paused = False
        acceptor.on_edge = self._edge

    @property
    def address(self) -> Address:
        """Where that is."""
        return self.acceptor.address

    def close(self) -> None:
        """Listen no more."""
        self._driver.unbind(self.acceptor)

    def _edge(self) -> None:
        self._driver.answer((0.0, 0.0), partial(self._driver.accept, self))


def _exhausted() -> OSError:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE).lower())
