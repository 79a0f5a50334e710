"""The program while it runs: net threads, listeners, reload and drain, from a configuration."""

from __future__ import annotations

import random
import resource
import signal
import sys
import threading
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from vcproxy.business.program import Program, Signal
from vcproxy.business.programs import Programs
from vcproxy.business.service import Service
from vcproxy.business.session import Session
from vcproxy.config.loader import Configuration, load
from vcproxy.config.problem import ConfigError
from vcproxy.drivers.epoll.calls import Callers
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.drivers.epoll.watchdog import Lag, Watchdog
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.units import show_duration
from vcproxy.log import LineLog
from vcproxy.upstream.servers import RoundRobin
from vcproxy.upstream.servers import Server as Upstreamed

if TYPE_CHECKING:
    from vcproxy.config import schema
    from vcproxy.config.plugin import Plugin

DRAIN_TICK_S = 0.02
"""How often a draining proxy looks whether its last connection has gone."""


Place = Address | tuple[str, Address]


class StartError(Exception):
    """The proxy cannot start; the text says why, for people."""


class Proxy:
    """Everything that a configuration stands for, running in this process.

    `run` turns the first net thread in the calling thread, which must be the main one: signals
    come there.
    """

    def __init__(self, configuration: Configuration) -> None:
        """Make the net threads and listen. Raises StartError."""
        proxy = configuration.settings.proxy
        try:
            self.log = LineLog(proxy.log)
        except OSError as error:
            raise StartError(f"{configuration.file}: proxy.log: {error}") from None
        _raise_descriptor_limit()
        self._configuration = configuration
        self._callers = Callers()
        self._drivers = [
            EpollDriver(
                Engine(
                    f"net-{number}",
                    memory=proxy.memory // proxy.net_threads,
                    random=random.Random(),
                    log=self.log,
                    bridges=proxy.splice,
                ),
                self._callers,
            )
            for number in range(proxy.net_threads)
        ]
        self._first = self._drivers[0]
        self._first.team = self._drivers
        self._watchdog = Watchdog(self._drivers, proxy.slow_callback, self.log)
        self._draining = False
        self._asked = 0  # how often to reload
        self._listeners: dict[str, Listener] = {}
        self._programs = Programs(self._first.engine, _print)
        self._bound: dict[Place, tuple[Listener, Address, Address]] = {}
        """Who listens at each place: the address that was asked for, and the real one."""
        try:
            self._apply(configuration)
        except OSError as error:
            self._close()
            raise StartError(str(error)) from None

    # -- running -----------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until a signal ends it."""
        self._take_signals()
        threads = [
            threading.Thread(target=driver.run, name=driver.engine.name)
            for driver in self._drivers[1:]
        ]
        for thread in threads:
            thread.start()
        self._watchdog.start()
        print("ready", file=sys.stderr, flush=True)
        stdio = all(asked.scheme == "stdio" for _, asked, _ in self._bound.values())
        if stdio and not self._programs:
            self._every(DRAIN_TICK_S, self._stop_when_idle)
        try:
            self._first.run()
        finally:
            self._watchdog.stop()
            self._stop()  # if it has failed, the others would keep the process alive for ever
            for thread in threads:
                thread.join()

    def _take_signals(self) -> None:
        def take(number: int, call: Callable[[], None]) -> None:
            def handler(_: int, __: FrameType | None) -> None:
                self._first.engine.inbox.post(call)

            signal.signal(number, handler)

        take(signal.SIGHUP, self.reload)
        take(signal.SIGUSR1, self.log.reopen)
        ends = signal.SIGTERM, signal.SIGINT
        for number in ends:
            take(number, partial(self._end, Signal(number)))
        if self._programs:
            # Who sends a signal is told to those who wait for it, not to handlers. Only where it
            # matters: processes that a plugin starts inherit what is blocked.
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)
            threading.Thread(target=self._wait_for, args=ends, daemon=True).start()

    def _wait_for(self, *ends: signal.Signals) -> None:
        while True:
            sent = signal.sigwaitinfo(ends)
            told = Signal(sent.si_signo, sent.si_pid)
            self._first.engine.inbox.post(partial(self._end, told))

    def lags(self) -> dict[str, Lag]:
        """How late each net thread was in the last second, by its name. Any thread may ask."""
        return self._watchdog.lags()

    # -- ending ------------------------------------------------------------------------------

    def _end(self, told: Signal) -> None:
        """A signal says so: programs hear of it first."""
        self._programs.tell(told)
        self._first.engine.inbox.post(self.drain)  # in the next turn: they have had their say

    def drain(self) -> None:
        """Accept no more, let what runs end within the drain timeout, stop. Again: stop now."""
        if self._draining:
            self._stop()
            return
        self._draining = True
        for listener in self._listeners.values():
            self._first.unlisten(listener)
        limit = self._configuration.settings.proxy.drain_timeout
        if self._open:
            self.log("info", f"draining {self._open} connections, {show_duration(limit)} at most")
        self._every(DRAIN_TICK_S, self._stop_when_idle)
        self._after(limit, self._stop)

    @property
    def _open(self) -> int:
        return sum(len(driver.engine.vcs) for driver in self._drivers)

    def _stop_when_idle(self) -> None:
        if not self._open:
            self._stop()

    def _stop(self) -> None:
        for driver in self._drivers:
            driver.stop()

    def _close(self) -> None:
        for driver in self._drivers:
            driver.close()

    # -- configurations ----------------------------------------------------------------------

    def reload(self) -> None:
        """Read the configuration anew; new connections use it. A broken one changes nothing."""
        file = self._configuration.file
        self._asked += 1
        asked = self._asked

        def loaded(value: object, error: Exception | None) -> None:
            self._first.engine.inbox.post(partial(self._reloaded, asked, value, error))

        self._callers.run(load, (file,), loaded)

    def _reloaded(self, asked: int, value: object, error: Exception | None) -> None:
        if asked != self._asked:
            return  # it was asked again meanwhile: this may be what the file said before
        file = self._configuration.file
        if isinstance(value, Configuration) and not self._draining:
            try:
                self._apply(value)
            except OSError as reason:
                error = reason
            else:
                self._note_unchangeable(value)
                self._configuration = value
                self.log("info", f"reloaded {file}: new connections use it")
        if error is not None:
            known = isinstance(error, ConfigError | OSError)
            text = f"not reloaded, the configuration in use stays:\n{error}"
            self.log("error", text, None if known else error)

    def _note_unchangeable(self, new: Configuration) -> None:
        old = self._configuration.settings.proxy
        for key in ("net_threads", "memory", "splice", "slow_callback", "log"):
            if getattr(new.settings.proxy, key) != getattr(old, key):
                self.log("warning", f"proxy.{key} has changed; that takes a restart")
        before = {entry.name: entry for entry in self._configuration.settings.listener}
        for entry in new.settings.listener:
            if entry.name in self._programs and before.get(entry.name, entry) != entry:
                text = f"listener.{entry.name} has changed; its plugin takes that after a restart"
                self.log("warning", text)

    def _apply(self, configuration: Configuration) -> None:
        """Serve by a configuration from now on. Raises OSError with nothing changed."""
        file = configuration.file
        entries = configuration.settings.listener
        upstreams = configuration.settings.upstream
        try:
            keys = {
                entry.name: (_server_tls(entry.tls), _servers(upstreams.get(entry.upstream or "")))
                for entry in entries
            }
        except ValueError as error:  # a file is not what it was when the loader looked
            raise OSError(f"{file}: {error}") from error
        wanted = {
            _place(entry, address): (entry, self._listener(entry.name), address)
            for entry in entries
            for address in entry.bind
        }
        bound: dict[Place, tuple[Listener, Address, Address]] = {}
        for place, (entry, listener, address) in wanted.items():
            if place in self._bound:
                continue
            try:
                bound[place] = listener, address, self._first.listen(address, listener)
            except OSError as error:
                for owner, asked, _ in bound.values():
                    self._first.unlisten(owner, asked)
                reason = (error.strerror or str(error)).lower()
                text = f"{file}: listener.{entry.name}: cannot listen at {address}: {reason}"
                raise OSError(text) from error
        for place, (listener, address, real) in list(self._bound.items()):
            now = wanted.get(place)
            if now is None:
                self._first.unlisten(listener, address)
                del self._bound[place]
            elif now[1] is not listener:  # it has another name now
                self._first.hand_over(address, listener, now[1])
                bound[place] = now[1], address, real
        self._bound.update(bound)
        for listener, _, real in bound.values():
            print(f"listening {listener.name} {real}", file=sys.stderr, flush=True)
        self._listeners = {listener.name: listener for _, listener, _ in wanted.values()}
        for entry in entries:
            listener = self._listener(entry.name)
            listener.tls, servers = keys[entry.name]
            self._equip(listener, entry, configuration.plugins[entry.name], servers)
        plugins = configuration.plugins.items()
        self._programs.keep([name for name, plugin in plugins if issubclass(plugin.cls, Program)])

    def _listener(self, name: str) -> Listener:
        listener = self._listeners.get(name)
        if listener is None:
            listener = Listener(name, acceptor=_nobody, home=self._first.engine)
            self._listeners[name] = listener
        return listener

    def _equip(
        self,
        listener: Listener,
        entry: schema.Listener,
        plugin: Plugin,
        servers: list[Upstreamed],
    ) -> None:
        """Give a listener what its entry says."""
        timeouts = entry.timeouts
        services = {
            driver.engine: Service(
                name=entry.name,
                bound=tuple(real for owner, _, real in self._bound.values() if owner is listener),
                options=plugin.options,
                upstream=RoundRobin(servers) if servers else None,
                connect_s=timeouts.connect,
                inactivity_s=timeouts.inactivity,
                active_s=timeouts.active,
                half_close=entry.half_close,
            )
            for driver in self._drivers
        }
        listener.handshake_s = timeouts.handshake
        listener.max_connections = entry.limits.max_connections
        listener.resume()
        if issubclass(plugin.cls, Program):
            own = services[self._first.engine]
            listener.acceptor = self._programs.acceptor(plugin.cls, own)
            return
        session = plugin.cls
        assert issubclass(session, Session)

        def accept(client: NetVConnection) -> None:
            session(client, services[client.engine]).start()

        listener.acceptor = accept

    # -- the program's own timers ------------------------------------------------------------

    def _every(self, seconds: float, call: Callable[[], None]) -> None:
        engine = self._first.engine
        engine.schedule_every(seconds, _Chore(engine, call), Event.TIMEOUT, None)

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        engine = self._first.engine
        engine.schedule_in(seconds, _Chore(engine, call), Event.TIMEOUT, None)


class _Chore(Continuation):
    """A call to be made on the first net thread, at its time."""

    def __init__(self, engine: Engine, call: Callable[[], None]) -> None:
        super().__init__(engine, Mutex())
        self._call = call

    def handle_event(self, key: Hashable, data: object) -> None:
        self._call()


def _place(entry: schema.Listener, address: Address) -> Place:
    """What tells a bound address from the others: on port 0 each listener gets one of its own."""
    return address if address.port or address.path else (entry.name, address)


def _nobody(client: NetVConnection) -> None:
    """Nothing serves the listener yet."""
    client.do_io_close()


def _print(line: str) -> None:
    """Write a line as it is: a program's trace is no log."""
    print(line, file=sys.stderr, flush=True)


def _servers(upstream: schema.Upstream | None) -> list[Upstreamed]:
    if upstream is None:
        return []
    tls = None
    if any(address.secure for address in upstream.servers):
        from vcproxy.drivers.tls_context import client_context

        tls = client_context(ca=upstream.tls.ca, verify=upstream.tls.verify)
    return [Upstreamed(address, tls if address.secure else None) for address in upstream.servers]


def _server_tls(tls: schema.ListenerTls | None) -> object:
    if tls is None:
        return None
    from vcproxy.drivers.tls_context import Identity, server_context

    names = {name: Identity(pair.certificate, pair.key) for name, pair in tls.names.items()}
    return server_context(
        tls.certificate, tls.key, client_ca=tls.client_ca, alpn=tls.alpn, names=names
    )


def _raise_descriptor_limit() -> None:
    """Use all the descriptors that the system allows: the soft limit is made for programs that
    call select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(file: Path, trace: str | None = None) -> None:
    """Load a configuration and run it, and log a trace of the machines that `trace` names.

    Raises ConfigError, StartError.
    """
    proxy = Proxy(load(file))
    if trace is not None:
        from vcproxy.machine.trace import Trace

        Trace(lambda received: proxy.log("info", str(received)), trace).start()
    proxy.run()
