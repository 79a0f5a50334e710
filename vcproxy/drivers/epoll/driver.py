"""The epoll driver: the other half of a net thread, on a real Linux."""

from __future__ import annotations

import heapq
import os
import select
import socket
import ssl
from collections.abc import Callable
from functools import partial
from threading import get_ident
from time import monotonic, time
from typing import TYPE_CHECKING, Protocol

from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.epoll import datagram
from vcproxy.drivers.epoll.accepting import AcceptPort, show
from vcproxy.drivers.epoll.connecting import Attempt, Connecting, Resolving, refusal
from vcproxy.drivers.epoll.datagram import DatagramListener
from vcproxy.drivers.epoll.descriptors import Descriptors
from vcproxy.drivers.epoll.lanes import Lanes, Work
from vcproxy.drivers.epoll.splice import PipePool, Splice
from vcproxy.drivers.epoll.stdio import Stdio
from vcproxy.drivers.epoll.stream import EDGES, StreamPort
from vcproxy.drivers.epoll.tls_port import TlsPort
from vcproxy.drivers.spreading import spread
from vcproxy.drivers.tls import TlsFilter
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
from vcproxy.engine.engine import ACCEPT_PAUSE_S, Engine
from vcproxy.engine.inbox import no_wake
from vcproxy.engine.listener import Listener

if TYPE_CHECKING:
    from vcproxy.drivers.nats import Loop

MAX_EVENTS = 256
"""Descriptors served in one turn: enough to share its cost, few enough to keep timers punctual."""


SHORT_WARNING_S = 60.0
"""That descriptors are short is said at most this often: they may be for hours."""

CIPHERTEXT = 64 * 1024
"""Bytes of TLS read at once: OpenSSL's buffers keep the size of the largest piece they were fed."""


class Watcher(Protocol):
    """Who is told what epoll says of a descriptor."""

    def ready(self, mask: int) -> None:
        """Take an event."""


class EpollDriver:
    """Drives one engine with one epoll. All methods but `stop` belong to its own thread.

    Its obligations towards the engine stand in `vcproxy.engine.engine`.
    """

    def __init__(
        self, engine: Engine, lanes: Lanes | None = None, descriptors: Descriptors | None = None
    ) -> None:
        self.engine = engine
        self.team: list[EpollDriver] = [self]
        """The drivers that connections are dealt to, in turn."""
        self.ciphertext = memoryview(bytearray(CIPHERTEXT))
        """Where TLS ports read to: filters take it over at once."""
        self.lanes = lanes or Lanes()
        """Where work is done that would block."""
        self.descriptors = descriptors or Descriptors()
        """Who may have some."""
        self._calls: dict[int, tuple[str, Work]] = {}  # by their numbers: the lane of each
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._watchers: dict[int, Watcher] = {}
        self._pipes = PipePool(self.descriptors)
        self._listening: dict[Listener, list[AcceptPort | DatagramListener | Stdio]] = {}
        self._nats: Loop | None = None
        self._dealt = 0
        self._short_at = float("-inf")
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_order = 0
        self._next_second = 0.0  # when the time of day is to be told next, by `monotonic`
        self._stopping = False
        self.thread = 0
        """The identity of the thread that runs it; 0 before it does."""
        wakeup = _Wakeup()
        self.watch(wakeup.fd, wakeup, select.EPOLLIN)
        engine.inbox.wake = wakeup.wake
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
            Rescan: lambda _: self.on_rescan(),
            Stop: lambda _: self.on_stop(),
        }
        self.on_stop: Callable[[], None] = self._stop
        """What an engine's Stop does."""
        self.on_rescan: Callable[[], None] = _nothing
        """What its Rescan does."""
        engine.clock(monotonic())

    # -- the loop ----------------------------------------------------------------------------

    def run(self) -> None:
        """Turn until `stop` is called, then close everything."""
        self.thread = get_ident()
        self.engine.clock(monotonic())
        tick = self.engine.tick  # no other engine runs in this thread
        try:
            while not self._stopping:
                self._turn(tick, None)
        finally:
            self.close()

    def stop(self) -> None:
        """End `run` after its present turn. Any thread may call it, also after the end."""
        self.engine.inbox.feed(self._stop)

    def _stop(self) -> None:
        self._stopping = True

    def turn(self, timeout: float | None = None) -> None:
        """Poll (at most `timeout` seconds, if given), then do all that is due."""
        self._turn(self.engine.clock, timeout)

    def _turn(self, begin: Callable[[float], None], timeout: float | None) -> None:
        engine = self.engine
        inbox = engine.inbox
        inbox.sleeping = True
        # engine.busy, in line: a turn often serves but one message
        waits = inbox.calls or inbox.fed
        busy = engine.queue or engine.reads or engine.writes or engine.commands or waits
        events = self._poll(0.0 if busy else self._patience(timeout), MAX_EVENTS)
        inbox.sleeping = False
        now = monotonic()
        begin(now)
        if now >= self._next_second:
            self._tell_time(now)
        watchers = self._watchers
        for fd, mask in events:
            watcher = watchers.get(fd)
            if watcher is not None:
                watcher.ready(mask)
        timers = engine.timers
        if engine.queue or (timers and timers[0][0] <= engine.now):
            engine.run()
        if engine.writes:
            for vc in engine.take_writes():
                if vc.port is not None:
                    vc.port.write()
        if engine.reads:
            for vc in engine.take_reads():
                if vc.port is not None:
                    vc.port.read()
        if engine.commands:
            for command in engine.take_commands():
                self._perform[type(command)](command)
        if self._timers:
            self._run_timers()

    def _tell_time(self, now: float) -> None:
        wall = time()
        second = int(wall)
        self._next_second = now + second + 1 - wall
        if second != self.engine.wall:
            self.engine.time_of_day(second)

    def _patience(self, timeout: float | None) -> float:
        """How long to poll, in seconds; -1: until something happens."""
        engine = self.engine
        deadline = engine.next_deadline()
        if self._timers and (deadline is None or self._timers[0][0] < deadline):
            deadline = self._timers[0][0]
        if deadline is None:
            return -1.0 if timeout is None else timeout
        wait = deadline - engine.now
        if timeout is not None and timeout < wait:
            return timeout
        return wait if wait > 0.0 else 0.0

    def close(self) -> None:
        """Close every descriptor, whatever is under way. A second call does nothing."""
        if self._epoll.closed:
            return
        for listener in list(self._listening):
            self.unlisten(listener)
        for vc in list(self.engine.vcs):
            port = vc.port
            if isinstance(port, StreamPort):
                if not vc.closed:  # cut off: its peer must not take that for the end
                    port.close(abort=True)
                port.give_up()
            elif isinstance(port, DatagramPort):
                port.close(abort=True)
        if self._nats is not None:
            self._nats.close()
        self._pipes.close()
        for watcher in list(self._watchers.values()):
            if isinstance(watcher, Attempt):
                watcher.close()
        self._epoll.close()
        self._watchers.clear()
        self.engine.inbox.wake = no_wake

    # -- for ports ---------------------------------------------------------------------------

    def watch(self, fd: int, watcher: Watcher, mask: int = EDGES) -> None:
        """Have epoll's events for a descriptor told to a watcher, in place of the one before."""
        if fd not in self._watchers:
            self._epoll.register(fd, mask)
        self._watchers[fd] = watcher

    def rewatch(self, fd: int, mask: int) -> None:
        """Have other events of a descriptor told to its watcher."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Stop watching a descriptor that is about to be closed."""
        if self._watchers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Make a call of the driver's own, which the engine knows nothing of, after a time."""
        self._timer_order += 1
        heapq.heappush(self._timers, (monotonic() + seconds, self._timer_order, call))

    def _run_timers(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    # -- listening ---------------------------------------------------------------------------

    def listen(self, address: Address, listener: Listener) -> Address:
        """Accept at an address for a listener; returns the address with its real port.

        A listener may listen at several. Its `tls`, an ssl.SSLContext, serves the tls addresses.
        Raises OSError.
        """
        port: AcceptPort | DatagramListener | Stdio
        if address.scheme == "stdio":
            port = Stdio(self, listener)
        elif address.scheme == "udp":
            port = DatagramListener(self, listener, address)
        else:
            port = AcceptPort(self, listener, address)
        self._listening.setdefault(listener, []).append(port)
        self.descriptors.listens(listener, port if isinstance(port, DatagramListener) else None)
        return port.address

    def unlisten(self, listener: Listener, address: Address | None = None) -> None:
        """Accept no more for a listener, at one address or at all. Its connections live on."""
        ports = self._listening.get(listener, [])
        for port in list(ports):
            if address is None or port.asked == address:
                port.close()
                ports.remove(port)
        self._forget_silent(listener)

    def hand_over(self, address: Address, old: Listener, new: Listener) -> None:
        """Accept at an address for another listener from now on; nobody who waits is lost."""
        for port in self._listening.get(old, []):
            if port.asked == address:
                self._listening[old].remove(port)
                self._listening.setdefault(new, []).append(port)
                port.listener = new
                sources = port if isinstance(port, DatagramListener) else None
                self.descriptors.listens(new, sources)
                self._forget_silent(old)
                port.resume()
                return

    def _forget_silent(self, listener: Listener) -> None:
        """Forget a listener that accepts at no address any more."""
        if not self._listening.get(listener):
            self._listening.pop(listener, None)
            self.descriptors.unlistens(listener)

    def renew(self, address: Address, listener: Listener) -> None:
        """Set a listener's options at an address; make a Unix socket again that was removed."""
        for port in self._listening.get(listener, []):
            if port.asked == address and isinstance(port, AcceptPort):
                try:
                    port.renew()
                except OSError as error:
                    why = (error.strerror or str(error)).lower()
                    text = f"{listener.name}: cannot listen at {address} again: {why}"
                    self.engine.log("error", text)

    def short(self, listener: Listener, again: Callable[[], None]) -> None:
        """A listener cannot accept for want of descriptors: `again` is called in a while."""
        self._pipes.close()
        now = self.engine.now
        if now >= self._short_at + SHORT_WARNING_S:
            self._short_at = now
            limit = self.descriptors.limit
            text = f"no more clients: of {limit} descriptors the rest is for their servers"
            self.engine.log("warning", f"{listener.name}: {text}; more wait until some have gone")
        self.after(ACCEPT_PAUSE_S, again)

    def deal(self, listener: Listener, sock: socket.socket, peer: str, tls: object) -> None:
        """Give an accepted socket to the next driver of the team, or keep it if it is pinned."""
        driver = self if listener.pinned else self.team[self._dealt % len(self.team)]
        self._dealt += 1
        if driver is self:
            self.adopt(listener, sock, peer, tls)
        else:
            driver.engine.inbox.feed(partial(driver.adopt, listener, sock, peer, tls))

    def adopt(self, listener: Listener, sock: socket.socket, peer: str, tls: object) -> None:
        """Own an accepted socket from now on. `tls` is None for a plain one."""
        if isinstance(tls, ssl.SSLContext):
            port: StreamPort = TlsPort(self, sock, TlsFilter(tls, server_side=True))
        else:
            port = StreamPort(self, sock)
        try:
            self.watch(port.fd, port)
        except OSError as error:  # the system watches no more descriptors (epoll_ctl(2), ENOSPC)
            sock.close()
            listener.dropped(self.engine)
            self.engine.log("warning", f"{listener.name} {peer}: closed: {error.strerror}")
        else:
            port.vc = self.engine.accepted(listener, port, peer, secure=tls is not None)

    # -- commands ----------------------------------------------------------------------------

    def _resolve(self, command: Resolve) -> None:
        if command.address.numeric:
            command.outgoing.resolved([command.address])
        elif not command.outgoing.vc.closed:
            Resolving(self.lanes.names, command)

    def _connect(self, command: Connect) -> None:
        vc = command.outgoing.vc
        if vc.closed or not (vc.port is None or isinstance(vc.port, Connecting)):
            return  # or an earlier attempt has just succeeded
        if command.address.scheme == "nats":
            self._correspond(command)
            return
        try:
            if command.address.scheme == "udp":
                self._open(command, datagram.connected(command.address))
            elif isinstance(vc.port, Connecting):
                vc.port.begin(command)
            else:
                Connecting(self, vc).begin(command)
        except OSError as error:
            command.outgoing.refused(command.address, refusal(command, error))

    def _subscribe(self, command: Subscribe) -> None:
        if command.outgoing.vc.closed:
            return
        if command.address.scheme == "nats":
            self._correspond(command)
            return
        try:
            self._open(command, datagram.bound(command.address))
        except OSError as error:
            command.outgoing.refused(command.address, refusal(command, error))

    def _open(self, command: Connect | Subscribe, sock: socket.socket) -> None:
        """A datagram socket is open: there is nobody to wait for."""
        outgoing = command.outgoing
        port = datagram.port(self, sock)
        port.vc = outgoing.vc
        address = command.address
        outgoing.connected(address, port, show(sock.getsockname()), str(address))

    def _correspond(self, command: Connect | Subscribe) -> None:
        from vcproxy.drivers import nats  # asyncio costs 15 ms that only its users pay for

        if self._nats is None:
            self._nats = nats.Loop(partial(self.engine.log, "error"))
        nats.open_port(self._nats, command)

    def connected(
        self, command: Connect, sock: socket.socket, local: str, peer: str, mask: int
    ) -> None:
        """An attempt has succeeded, as `mask` told: its socket becomes a port."""
        outgoing = command.outgoing
        if isinstance(outgoing.tls, ssl.SSLContext):
            name = outgoing.server_name or None
            tls = TlsFilter(outgoing.tls, server_side=False, server_hostname=name)
            port: StreamPort = TlsPort(self, sock, tls)
        else:
            port = StreamPort(self, sock)
        port.vc = outgoing.vc
        self.watch(port.fd, port)
        outgoing.connected(command.address, port, local, peer)
        port.ready(mask)  # the server may have spoken, even ended: no other edge tells of that

    def _shutdown_write(self, command: ShutdownWrite) -> None:
        if isinstance(command.vc.port, StreamPort):
            command.vc.port.shutdown_write()

    def _close(self, command: Close) -> None:
        vc = command.vc
        if vc.port is None:
            vc.gone()
        else:
            vc.port.close(command.abort)

    def _call(self, command: Call) -> None:
        def answer(value: object, error: Exception | None) -> None:
            self.engine.inbox.feed(partial(self._called, command.number, value, error))

        lane = self.lanes.calls(command.lane)
        self._calls[command.number] = command.lane, lane.run(command.fn, command.args, answer)

    def _called(self, number: int, value: object, error: Exception | None) -> None:
        if self._calls.pop(number, None) is not None:
            self.engine.called(number, value, error)

    def _give_up(self, command: CancelCall) -> None:
        given = self._calls.pop(command.number, None)
        if given is not None:
            lane, work = given
            self.lanes.calls(lane).give_up(work)

    def _start_bridge(self, command: StartBridge) -> None:
        bridge = command.bridge
        source, sink = bridge.ports
        pipe = self._pipes.borrow()
        if pipe is None or not isinstance(source, StreamPort) or not isinstance(sink, StreamPort):
            if pipe is not None:
                self._pipes.give_back(pipe)
            bridge.refuse()
        else:
            Splice(bridge, source, sink, pipe, self._pipes).move()

    def _end_bridge(self, command: EndBridge) -> None:
        source, _ = command.bridge.ports
        if isinstance(source, StreamPort) and source.bridged_out is not None:
            source.bridged_out.stop()

    def _resume_accept(self, command: ResumeAccept) -> None:
        for port in self._listening.get(command.listener, ()):
            port.resume()


def _nothing() -> None:
    """There is no configuration to be read."""


class _Wakeup:
    """The descriptor by which other threads end a poll.

    They, and signal handlers, may be in `wake` at any time, so it is closed with the last reference
    and not before: by then its number may be that of somebody's connection.
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ready(self, mask: int) -> None:
        """Be ready for the next time."""
        os.eventfd_read(self.fd)

    def wake(self) -> None:
        """End the poll. Any thread may call it."""
        os.eventfd_write(self.fd, 1)

    def __del__(self) -> None:
        os.close(self.fd)
