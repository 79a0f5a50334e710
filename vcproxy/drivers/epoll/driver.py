"""EpollDriver: drives one engine with real sockets, in one thread, with Linux's epoll.

Tested in tests/drivers/test_epoll_*.py and tests/conformance/test_epoll.py.
"""

from __future__ import annotations

import heapq
import select
import socket
from collections.abc import Callable
from functools import partial
from threading import get_ident, get_native_id
from time import monotonic, time
from typing import TYPE_CHECKING

from vcproxy.drivers.bus_exchange import BusExchange
from vcproxy.drivers.datagram_sessions import DatagramSessions
from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.epoll import local
from vcproxy.drivers.epoll.accepting import AcceptPort, show
from vcproxy.drivers.epoll.commands import Commands
from vcproxy.drivers.epoll.connecting import Attempt
from vcproxy.drivers.epoll.datagram import DatagramListener
from vcproxy.drivers.epoll.descriptors import Descriptors
from vcproxy.drivers.epoll.local import SPECIAL, ListeningPort
from vcproxy.drivers.epoll.offload import Offload
from vcproxy.drivers.epoll.poller import Watcher
from vcproxy.drivers.epoll.stream import EDGES, StreamPort
from vcproxy.drivers.epoll.wakeup import Wakeup
from vcproxy.engine.address import Address
from vcproxy.engine.engine import ACCEPT_PAUSE_S, Engine
from vcproxy.engine.inbox import no_wake
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import current
from vcproxy.engine.net import NetVConnection

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.sources.inotify import InotifyWatching

MAX_EVENTS = 256
"""Descriptors served in one turn: enough to share its cost, few enough to keep timers punctual."""

SHORTAGE_WARNING_S = 60.0
"""A shortage of descriptors is logged at most this often: it may last for hours."""

CIPHERTEXT = 64 * 1024
"""Bytes of TLS read at once: OpenSSL's buffers keep the size of the largest piece they were fed."""


class EpollDriver:
    """Drives one engine with one epoll. All methods except `stop` belong to its own thread.

    Its ports use it as a Poller. `vcproxy.engine.engine` describes what an engine requires of its
    driver.
    """

    def __init__(
        self,
        engine: Engine,
        offload: Offload | None = None,
        descriptors: Descriptors | None = None,
        bus: BusExchange | None = None,
    ) -> None:
        self.engine = engine
        self.group: list[EpollDriver] = [self]
        """The drivers that share accepted connections (round-robin)."""
        self.ciphertext = memoryview(bytearray(CIPHERTEXT))
        """The buffer that TLS ports read into. A TLS filter copies it at once."""
        self.offload = offload or Offload()
        """The threads for work that blocks."""
        self.descriptors = descriptors or Descriptors()
        """How many descriptors clients, sessions and pipes may use."""
        self.bus = bus or BusExchange()
        """The BusMessages sources of the process, shared by its drivers."""
        self.watching: InotifyWatching | None = None
        """What watches files for its sources; None: nothing does."""
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._events: list[tuple[int, int]] = []  # of the current turn
        self._reported: set[int] = set()  # the descriptors of _events, made when first needed
        self._reported_in = -1
        self._watchers: dict[int, Watcher] = {}
        self._listening: dict[Listener, list[ListeningPort]] = {}
        self._assigned = 0  # number of connections assigned to drivers of the group
        self._shortage_logged_at = float("-inf")
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_order = 0
        self._next_second = 0.0  # when the next second of the time of day starts (`monotonic`)
        self._stopping = False
        self.thread = 0
        """The identifier of the thread that runs it; 0 before `run`."""
        self.native_thread = 0
        """The same, as the kernel has it."""
        wakeup = Wakeup()
        self.watch(wakeup.fd, wakeup, select.EPOLLIN)
        engine.inbox.wake = wakeup.wake
        engine.reported = self._has_event
        self._commands = Commands(self)
        self._perform = self._commands.perform
        self.on_stop: Callable[[int], None] = self._stop
        """Called for the engine's command Stop, with the exit status."""
        self.on_rescan: Callable[[], None] = _nothing
        """Called for the engine's command Rescan: read the configuration again."""
        engine.clock(monotonic())
        current.give_way()

    # -- the loop ----------------------------------------------------------------------------

    def run(self) -> None:
        """Run turns until `stop` is called, then close everything."""
        self.thread, self.native_thread = get_ident(), get_native_id()
        self.engine.clock(monotonic())
        tick = self.engine.tick  # other engines give way in this thread
        current.looping = self.engine
        try:
            while not self._stopping:
                self._turn(tick, None)
        finally:
            current.looping = None
            self.close()

    def stop(self) -> None:
        """End `run` after its current turn. Any thread may call it, also after `run` has ended."""
        self.engine.inbox.feed(self._stop)

    def _stop(self, _: int = 0) -> None:
        self._stopping = True

    def turn(self, timeout: float | None = None) -> None:
        """Poll (at most `timeout` seconds, if given), then handle events, timers and commands."""
        self._turn(self.engine.clock, timeout)
        current.give_way()

    def _turn(self, begin: Callable[[float], None], timeout: float | None) -> None:
        engine = self.engine
        inbox = engine.inbox
        inbox.sleeping = True
        # engine.busy, inlined for speed: a turn often serves only one message
        posted = inbox.calls or inbox.fed
        busy = engine.queue or engine.reads or engine.writes or engine.commands or posted
        events = self._poll(0.0 if busy else self._poll_timeout(timeout), MAX_EVENTS)
        self._events = events
        inbox.sleeping = False
        now = monotonic()
        begin(now)
        if now >= self._next_second:
            self._update_time_of_day(now)
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
        if self._timers and self._timers[0][0] <= now:
            self._run_timers()

    def _has_event(self, vc: NetVConnection) -> bool:
        """Return whether this turn has an event of a VC. See `Engine.reported`."""
        turn = self.engine.turns
        if self._reported_in != turn:
            self._reported_in = turn
            self._reported = {fd for fd, _ in self._events}
        port = vc.port
        return isinstance(port, StreamPort) and port.fd in self._reported

    def _update_time_of_day(self, now: float) -> None:
        wall = time()
        second = int(wall)
        self._next_second = now + second + 1 - wall
        if second != self.engine.wall:
            self.engine.time_of_day(second)

    def _poll_timeout(self, timeout: float | None) -> float:
        """Return how long to poll, in seconds; -1: until an event."""
        engine = self.engine
        timers = engine.timers
        live = timers and timers[0][2].live
        deadline = timers[0][0] if live else engine.next_deadline()
        if self._timers and (deadline is None or self._timers[0][0] < deadline):
            deadline = self._timers[0][0]
        if deadline is None:
            return -1.0 if timeout is None else timeout
        wait = deadline - engine.now
        if timeout is not None and timeout < wait:
            return timeout
        return wait if wait > 0.0 else 0.0

    def close(self) -> None:
        """Close every descriptor, also of connections in use. A second call does nothing."""
        if self._epoll.closed:
            return
        for listener in list(self._listening):
            self.unlisten(listener)
        for vc in list(self.engine.vcs):
            port = vc.port
            if vc.record is not None and not vc.closed:
                vc.record.stopped()
            if isinstance(port, StreamPort):
                if not vc.closed:  # a reset: the peer must not mistake it for an orderly end
                    port.close(abort=True)
                port.force_close()
            elif isinstance(port, DatagramPort):
                port.close(abort=True)
        self._commands.close()
        for watcher in list(self._watchers.values()):
            if isinstance(watcher, Attempt):
                watcher.close()
        self._epoll.close()
        self._watchers.clear()
        self.engine.inbox.wake = no_wake

    # -- for ports ---------------------------------------------------------------------------

    def watch(self, fd: int, watcher: Watcher, mask: int = EDGES) -> None:
        """Register the watcher of a descriptor's epoll events. It replaces an earlier one."""
        if fd not in self._watchers:
            self._epoll.register(fd, mask)
        self._watchers[fd] = watcher

    def rewatch(self, fd: int, mask: int) -> None:
        """Change the events for which a descriptor's watcher is called."""
        self._epoll.modify(fd, mask)

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor that stays open."""
        if self._watchers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def forget(self, fd: int) -> None:
        """Drop the watcher of a descriptor that is about to be closed: close(2) ends the watch.

        It does so only if no other descriptor refers to the same socket (epoll(7)). A forked child
        process has copies until exec(2). Events of such a copy have no watcher and are ignored, or
        they come to the watcher of a new descriptor with the same number, which must expect them:
        a connection reads once in vain.
        """
        self._watchers.pop(fd, None)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call a function after a time. This is a timer of the driver, not of the engine."""
        self._timer_order += 1
        heapq.heappush(self._timers, (monotonic() + seconds, self._timer_order, call))

    def _run_timers(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    # -- listening ---------------------------------------------------------------------------

    def listen(
        self, address: Address, listener: Listener, inherited: socket.socket | None = None
    ) -> Address:
        """Listen at an address for a listener; return the address with its actual port.

        A listener may have several addresses. `listener.tls`, an ssl.SSLContext, is used at its
        tls:// addresses. `inherited`: a socket that listens at the address already. Raises OSError.
        """
        port: ListeningPort
        if address.scheme in SPECIAL:
            port = local.listening(self, listener, address, inherited)
        elif address.scheme == "udp":
            port = DatagramListener(self, listener, address, inherited)
        else:
            port = AcceptPort(self, listener, address, inherited)
        self._listening.setdefault(listener, []).append(port)
        sessions = port if isinstance(port, DatagramSessions) else None
        self.descriptors.add_address(listener, sessions)
        return port.address

    def unlisten(self, listener: Listener, address: Address | None = None) -> None:
        """Stop listening at one address of a listener, or at all. Open connections stay open."""
        ports = self._listening.get(listener, [])
        for port in list(ports):
            if address is None or port.requested == address:
                port.close()
                ports.remove(port)
        self._forget_if_unbound(listener)

    def hand_over(self, address: Address, old: Listener, new: Listener) -> None:
        """Move a listening address from one listener to another.

        The socket stays open: connections in its backlog are accepted for the new listener.
        """
        for port in self._listening.get(old, []):
            if port.requested == address:
                self._listening[old].remove(port)
                self._listening.setdefault(new, []).append(port)
                port.listener = new
                sessions = port if isinstance(port, DatagramSessions) else None
                self.descriptors.add_address(new, sessions)
                self._forget_if_unbound(old)
                port.resume()
                return

    def _forget_if_unbound(self, listener: Listener) -> None:
        """Forget a listener that has no address left."""
        if not self._listening.get(listener):
            self._listening.pop(listener, None)
            self.descriptors.remove_listener(listener)

    def renew(
        self, address: Address, listener: Listener, inherited: socket.socket | None = None
    ) -> None:
        """Apply a listener's TCP options at an address; bind a removed Unix socket file again, and
        set its mode, owner and group.

        `inherited`: a Unix socket that is bound again already.
        """
        for port in self._listening.get(listener, []):
            if port.requested == address:
                try:
                    port.renew(address, inherited)
                except OSError as error:
                    why = (error.strerror or str(error)).lower()
                    text = f"{listener.name}: cannot listen at {address} again: {why}"
                    self.engine.log("error", text)

    def resume_accept(self, listener: Listener) -> None:
        """Resume accepting at all addresses of a listener."""
        for port in self._listening.get(listener, ()):
            port.resume()

    def out_of_descriptors(self, listener: Listener, retry: Callable[[], None]) -> None:
        """Log that a listener has no descriptors for more clients; call `retry` after a pause."""
        self._commands.pipes.close()
        now = self.engine.now
        if now >= self._shortage_logged_at + SHORTAGE_WARNING_S:
            self._shortage_logged_at = now
            limit = self.descriptors.limit
            self.engine.log(
                "warning",
                f"{listener.name}: accepting paused: all {limit} descriptors are in use or "
                "reserved for servers; further clients wait",
            )
        self.after(ACCEPT_PAUSE_S, retry)

    def assign(self, listener: Listener, sock: socket.SocketType, peer: str, tls: object) -> None:
        """Assign an accepted socket to the next driver of the group, or to this one if pinned.

        `tls` is None for a plain connection.
        """
        driver = self if listener.pinned else self.group[self._assigned % len(self.group)]
        self._assigned += 1
        if driver is self:
            self.adopt(listener, sock, peer, tls)
        else:
            driver.engine.inbox.feed(partial(driver.adopt, listener, sock, peer, tls))

    def adopt(self, listener: Listener, sock: socket.SocketType, peer: str, tls: object) -> None:
        """Make an accepted socket a VC of this engine. `tls` is None for a plain connection."""
        if sock.type == socket.SOCK_SEQPACKET:
            local.adopt_packets(self, listener, sock)
            return
        watcher: Watcher
        if listener.senders is not None and listener.awaits_header(peer):
            from vcproxy.drivers.epoll.proxy_header import HeaderReader  # most proxies read none

            port = StreamPort(self, sock)
            watcher = HeaderReader(self, port, tls)
        elif tls is None:
            port = watcher = StreamPort(self, sock)
        else:
            from vcproxy.drivers.epoll.tls_port import accepted_port  # takes 8 ms

            port = watcher = accepted_port(self, sock, tls)
        try:
            self.watch(port.fd, watcher)
        except OSError as error:  # ENOSPC: the limit of watched descriptors (epoll_ctl(2))
            sock.close()
            listener.dropped(self.engine)
            self.engine.log("warning", f"{listener.name} {peer}: closed: {error.strerror}")
        else:
            own = show(sock.getsockname()) if listener.notes_local else ""
            secure = tls is not None
            port.vc = self.engine.accepted(listener, port, peer, secure=secure, local=own)
            if watcher is not port:
                watcher.ready(0)  # the header has mostly come already: this saves a turn


def _nothing() -> None:
    """Do nothing: there is no configuration to read."""
