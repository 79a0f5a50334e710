"""Listeners: the bound addresses and the services of a proxy. A reload replaces them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.config.plugin import one_worker
from vcproxy.engine.address import STANDARD
from vcproxy.engine.continuation import OwnedCall
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.listeners.access_logs import AccessLogs, recorder
from vcproxy.listeners.admissions import admissions
from vcproxy.listeners.plan import Place, Plan, PlannedListener, plan
from vcproxy.listeners.upstreams import Upstreams
from vcproxy.sessions.program import Program, Signal
from vcproxy.sessions.programs import Programs
from vcproxy.sessions.service import Service
from vcproxy.sessions.session import Session
from vcproxy.upstream.pool import ConnectionPool

if TYPE_CHECKING:
    from vcproxy.access_log.log import AccessTargets
    from vcproxy.admission.admission import Admission
    from vcproxy.config.loader import Configuration
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.listener import Listener
    from vcproxy.engine.tcp import TcpOptions
    from vcproxy.listeners.hosts import Host
    from vcproxy.listeners.tls_contexts import TlsContext
    from vcproxy.sessions.session_messages import SessionMessages

Acceptor = Callable[[NetVConnection], "Continuation | None"]


@dataclass(frozen=True, slots=True)
class Binding:
    """An address that is bound for a listener."""

    listener: Listener
    address: Address
    """The address in the configuration."""
    real: Address
    """The bound address, with the real port instead of 0."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """The result of binding the new addresses of a plan. Addresses already in use are unchanged."""

    listeners: dict[str, Listener]
    """All listeners of the plan by name. Existing listeners are reused."""
    new: dict[Place, Binding]
    """The addresses that were not bound before."""


class Listeners:
    """All listeners of a proxy, for all its engines. The driver of the first engine accepts."""

    def __init__(
        self,
        host: Host,
        engines: Sequence[Engine],
        write: Callable[[str], None],
        *,
        announce: bool = True,
        access_targets: AccessTargets | None = None,
    ) -> None:
        """`write` is called with the lines of programs and, if `announce`, with one line for each
        bound address. `access_targets`: where access logs are written to; None: nowhere."""
        self._host = host
        self._engines = engines
        self._first = engines[0]
        self._write = write
        self._announce = announce
        self._named: dict[str, Listener] = {}
        self._admissions: dict[str, Admission] = {}
        """The rules of admission, by the name of the [[listener]], where there are any."""
        self.programs = Programs(self._first, write)
        self.upstreams = Upstreams(engines)
        self._access_logs = AccessLogs(engines, access_targets)
        self._services: dict[str, dict[Engine, Service]] = {}
        """The services for new sessions, by the name of the [[listener]], then by engine."""
        self._persistent: dict[tuple[str, Engine], dict[object, object]] = {}
        """Objects that survive reloads, by the name of the listener and the engine: see Service."""
        self._counts: dict[tuple[str, Engine], Counter[str]] = {}
        """The counts of services, which survive reloads too."""
        self._messages: dict[tuple[Engine, str], SessionMessages] = {}
        """What receives the messages of the bus for sessions, by engine and listener."""
        self._bound: dict[Place, Binding] = {}
        self.planned: Plan | None = None
        """The plan in use."""

    @property
    def only_stdio(self) -> bool:
        """Whether no client can connect, except the one on standard input or the terminal."""
        schemes = [bound.address.scheme for bound in self._bound.values()]
        return not self.programs and all(scheme in STANDARD for scheme in schemes)

    @property
    def named(self) -> dict[str, Listener]:
        """A copy of all listeners, by name. Any thread may ask for it."""
        return dict(self._named)

    @property
    def bound(self) -> list[Binding]:
        """What is bound. Any thread may ask for it."""
        return list(self._bound.values())

    def persistent(self, name: str, engine: Engine) -> dict[object, object]:
        """Return the objects of a listener that survive reloads; empty: it has none."""
        return self._persistent.get((name, engine), {})

    def services_of(self, engine: Engine) -> list[tuple[str, Service]]:
        """Return the name of each [[listener]], and its service for new sessions of an engine."""
        return [(name, services[engine]) for name, services in list(self._services.items())]

    def close(self) -> None:
        """Stop accepting. Open connections continue."""
        for listener in self._named.values():
            self._host.unlisten(listener)

    def drain(self, name: str) -> None:
        """Stop accepting for a [[listener]], and drain its sessions. The next reload binds its
        addresses again."""
        plans = () if self.planned is None else self.planned.listeners
        names = next((each.names for each in plans if each.entry.name == name), ())
        for place, bound in list(self._bound.items()):
            if bound.listener.name in names:
                self._host.unlisten(bound.listener, bound.address)
                del self._bound[place]
        if name in self._services:
            self._retire([self._services[name]])

    def signalled(self, signal: Signal) -> None:
        """Prepare to end the proxy: deliver the signal to programs, drain sessions, close
        upstreams and idle connections."""
        self.programs.deliver(signal)
        self.upstreams.close()
        self._retire(self._services.values())
        for engine in self._engines:
            engine.inbox.post(partial(_empty_pools, engine))

    # -- a configuration ---------------------------------------------------------------------

    def apply(self, configuration: Configuration) -> None:
        """Use a configuration from now on. If this raises OSError, nothing has changed."""
        self.use(self.prepare(configuration))

    def prepare(self, configuration: Configuration) -> Plan:
        """Return the plan for a configuration; nothing is changed, but the files of its access logs
        are open. Raises OSError."""
        planned = plan(configuration, self._host)
        self._access_logs.open(configuration.settings)
        return planned

    def use(self, planned: Plan) -> None:
        """Use a plan from now on. If this raises OSError, nothing has changed."""
        bound = self._bind(planned)
        self._commit(planned, bound)

    def renew(self, context: TlsContext, made: object) -> None:
        """Use a new TLS context in place of one of the plan, for new connections."""
        for name in context.listeners:
            self._named[name].tls = made
        if not context.listeners:
            from vcproxy.drivers.tls_sessions import ClientTls

            assert isinstance(context.made, ClientTls)
            assert isinstance(made, ClientTls)
            context.made.take_over(made)  # upstreams and programs have it already
        else:
            context.made = made

    def _bind(self, planned: Plan) -> _Bound:
        """Bind the new addresses. If one fails, close those already bound and raise OSError."""
        listeners = {
            name: self._named.get(name) or self._create(name, tcp)
            for name, tcp in planned.tcp.items()
        }
        new: dict[Place, Binding] = {}
        for place, (name, address) in planned.addresses.items():
            if place in self._bound:
                continue
            try:
                real = self._host.listen(address, listeners[name])
            except OSError as error:
                for each in new.values():
                    self._host.unlisten(each.listener, each.address)
                from vcproxy.listeners.bind_failure import bind_failure  # few starts need it

                where = f"{planned.configuration.file}: listener.{name}"
                raise OSError(f"{where}: {bind_failure(address, error)}") from error
            new[place] = Binding(listeners[name], address, real)
        return _Bound(listeners, new)

    def _commit(self, planned: Plan, bound: _Bound) -> None:
        """Switch to the plan and its bound addresses. This cannot fail."""
        self._named, self.planned = bound.listeners, planned
        for name, tcp in planned.tcp.items():
            self._named[name].tcp = tcp
        self._rebind(planned, bound)
        settings = planned.configuration.settings
        self._access_logs.use(settings)
        self.upstreams.apply(settings.upstream, planned.upstream_tls)
        self._admissions = admissions(planned.listeners, self._admissions)
        before, self._services = self._services, {}
        for each in planned.listeners:
            self._services[each.entry.name] = self._equip(each)
        self._retire(before.values())
        programs = [
            each.entry.name for each in planned.listeners if issubclass(each.plugin.cls, Program)
        ]
        self.programs.stop_others(programs)
        self._receive_messages([(each.entry.name, each.plugin.cls) for each in planned.listeners])

    def _rebind(self, planned: Plan, bound: _Bound) -> None:
        """Close addresses no longer used; give those of renamed listeners to the new listener."""
        changed = dict(bound.new)
        for place, old in list(self._bound.items()):
            if place not in planned.addresses:
                self._host.unlisten(old.listener, old.address)
                del self._bound[place]
                continue
            name, address = planned.addresses[place]
            listener = self._named[name]
            if address.file != old.address.file:  # `renew` sets its mode, owner and group
                self._bound[place] = old = Binding(old.listener, address, address)
            if listener is not old.listener:
                self._host.hand_over(old.address, old.listener, listener)
                changed[place] = Binding(listener, old.address, old.real)
        self._bound.update(changed)
        for each in self._bound.values():
            self._host.renew(each.address, each.listener)
        if self._announce:
            for each in changed.values():
                self._write(f"listening {each.listener.name} {each.real.text}")

    def _create(self, name: str, tcp: TcpOptions) -> Listener:
        return self._first.listening(name, acceptor=_reject, engine=self._first, tcp=tcp)

    def _equip(self, planned: PlannedListener) -> dict[Engine, Service]:
        """Apply the settings of a [[listener]] to its listeners; return its services, by engine."""
        entry, plugin, timeouts = planned.entry, planned.plugin, planned.entry.timeouts
        own = self._named[entry.name]
        services: dict[Engine, Service] = {}
        for engine in self._engines:
            upstreams = {
                name: self.upstreams.on(engine, name)
                for name in (entry.upstream, *plugin.upstreams.values())
                if name is not None
            }
            services[engine] = Service(
                name=entry.name,
                bound=tuple(each.real for each in self._bound.values() if each.listener is own),
                options=plugin.options,
                upstream=upstreams.get(entry.upstream or ""),
                upstreams=upstreams,
                filters=tuple(partial(each.cls, each.options) for each in plugin.filters),
                connect_tls=planned.connect_tls,
                connect_s=timeouts.connect,
                inactivity_s=timeouts.inactivity,
                active_s=timeouts.active,
                half_close=entry.half_close,
                access_log=self._access_logs.log(entry, engine),
                counts=self._counts.setdefault((entry.name, engine), Counter()),
                admission=self._admissions.get(entry.name),
                persistent=self._persistent.setdefault((entry.name, engine), {}),
                origin=(entry, plugin.code, upstreams),
            )
        accept, refuse = self._acceptors(plugin.cls, services)
        record = recorder(services, entry.plugin)
        for name in planned.names:
            listener = self._named[name]
            listener.acceptor = accept
            listener.refuser = refuse
            listener.recorder = record
            listener.pinned = bool(one_worker(plugin.cls))  # one process, so one net thread too
            listener.tls = planned.tls
            listener.handshake_s = timeouts.handshake
            listener.senders = planned.senders
            listener.notes_local = planned.notes_local
            listener.max_connections = entry.limits.max_connections or sys.maxsize
            listener.max_per_client = entry.limits.max_per_client
            listener.admission = self._admissions.get(entry.name)
            listener.resume()
        return services

    def _acceptors(
        self, plugin: type, services: dict[Engine, Service]
    ) -> tuple[Acceptor, Acceptor]:
        """Return two functions: one accepts a client, one refuses a client above the limits."""
        if issubclass(plugin, Program):
            return self.programs.acceptor(plugin, services[self._first]), _reject
        assert issubclass(plugin, Session)

        def accept(client: NetVConnection) -> None:
            plugin(client, services[client.engine]).start()

        def refuse(client: NetVConnection) -> None:
            plugin.refuse(client, services[client.engine])

        return accept, refuse

    def _receive_messages(self, plugins: Sequence[tuple[str, type]]) -> None:
        """Let sessions of these plugins, by listener, receive the messages that they declare."""
        before, self._messages = self._messages, {}
        new: list[SessionMessages] = []
        for name, plugin in plugins:
            if issubclass(plugin, Session) and plugin.receives_messages:
                from vcproxy.sessions.session_messages import SessionMessages  # most need none

                for engine in self._engines:
                    key = engine, name
                    made = SessionMessages(engine, name, plugin)
                    if key in before and before[key].declared == made.declared:
                        made = before.pop(key)
                    else:
                        new.append(made)
                    self._messages[key] = made
        for each in before.values():
            each.engine.schedule(OwnedCall(each, each.stop), Event.TIMEOUT, None)
        for each in new:
            each.engine.schedule(OwnedCall(each, each.start), Event.TIMEOUT, None)

    def _retire(self, replaced: Iterable[dict[Engine, Service]]) -> None:
        """Mark these services as draining, and drain their sessions."""
        for services in replaced:
            for service in services.values():
                service.draining = True
        for engine in self._engines:
            engine.inbox.post(partial(_drain, engine))


def _drain(engine: Engine) -> None:
    """Drain the sessions of an engine that have a draining service."""
    for session in [vc.session for vc in engine.vcs]:
        if isinstance(session, Session) and session.service.draining:
            engine.schedule(OwnedCall(session, session.drain), Event.TIMEOUT, None)


def _empty_pools(engine: Engine) -> None:
    """Close all idle connections to servers, including servers chosen by clients."""
    reading = [vc.read_vio.cont for vc in engine.vcs if vc.read_vio is not None]
    for cont in dict.fromkeys(reading):
        if isinstance(cont, ConnectionPool):
            cont.drain()


def _reject(client: NetVConnection) -> None:
    """Close a client: of a listener without a service yet, or a refused one of a program."""
    client.do_io_close()
