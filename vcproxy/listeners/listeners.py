"""Listeners: who listens where, and for whom, as the configuration in use says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.address import Address
from vcproxy.engine.continuation import OwnedCall
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.tcp import TcpOptions
from vcproxy.http.message.probe import HttpProbe
from vcproxy.sessions.program import Program, Signal
from vcproxy.sessions.programs import Programs
from vcproxy.sessions.service import Service
from vcproxy.sessions.session import Session
from vcproxy.upstream.pool import ConnectionPool
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import Checking, Ejecting, Pooling, Queueing, UpstreamSettings
from vcproxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from vcproxy.config import schema
    from vcproxy.config.loader import Configuration
    from vcproxy.config.plugin import Plugin
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine

Acceptor = Callable[[NetVConnection], "Continuation | None"]
Place = Address | tuple[str, Address]


class Host(Protocol):
    """Where a proxy listens, and who it says it is there."""

    def listen(self, address: Address, listener: Listener) -> Address:
        """Accept at an address; returns it with its real port. Raises OSError."""

    def unlisten(self, listener: Listener, address: Address | None = None) -> None:
        """Accept no more for a listener, at one address or at all."""

    def hand_over(self, address: Address, old: Listener, new: Listener) -> None:
        """Accept at an address for another listener from now on."""

    def renew(self, address: Address, listener: Listener) -> None:
        """Go on at an address for a listener that has changed: make again what was removed."""

    def server_tls(self, tls: schema.ListenerTls) -> object:
        """What the handshakes of a listener need. Raises ValueError."""

    def client_tls(self, tls: schema.UpstreamTls) -> object:
        """What handshakes with servers need. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class _Keys:
    """What is made from files for an entry, before anything is changed for it."""

    tls: object
    """For its own tls:// addresses."""
    connect_tls: object
    """For those that its options name."""


class Listeners:
    """All listeners of a proxy, for all of its engines. They are at home on the first."""

    def __init__(self, host: Host, engines: Sequence[Engine], write: Callable[[str], None]) -> None:
        """`write` takes the line for each that listens, and what programs print."""
        self._host = host
        self._engines = engines
        self._first = engines[0]
        self._write = write
        self._named: dict[str, Listener] = {}
        self.programs = Programs(self._first, write)
        self._upstreams: dict[str, tuple[schema.UpstreamTable, dict[Engine, Upstream]]] = {}
        """By their names: what the configuration says, and what there is of it on each engine."""
        self._services: dict[str, dict[Engine, Service]] = {}
        """What new sessions are given, by the names of the entries."""
        self._lasting: dict[tuple[str, Engine], dict[object, object]] = {}
        """What outlives reloads, of each listener on each engine: see Service."""
        self._bound: dict[Place, tuple[Listener, Address, Address]] = {}
        """Who listens at each place: the address that was asked for, and the real one."""

    @property
    def only_stdio(self) -> bool:
        """Whether nothing can come any more once standard input has been served."""
        addresses = [asked for _, asked, _ in self._bound.values()]
        return not self.programs and all(asked.scheme == "stdio" for asked in addresses)

    def close(self) -> None:
        """Accept no more. Connections live on."""
        for listener in self._named.values():
            self._host.unlisten(listener)

    def signalled(self, signal: Signal) -> None:
        """The proxy is about to end: programs hear of it, and sessions that it will drain; no
        connection is kept for later."""
        self.programs.deliver(signal)
        for _, upstreams in self._upstreams.values():
            for engine, upstream in upstreams.items():
                engine.inbox.post(upstream.close)
        self._retire(self._services.values())
        for engine in self._engines:
            engine.inbox.post(partial(_empty_pools, engine))

    def apply(self, configuration: Configuration) -> None:
        """Serve by a configuration from now on. Raises OSError with nothing changed."""
        file = configuration.file
        entries = configuration.settings.listener
        upstreams = configuration.settings.upstream
        served = [(entry, configuration.plugins[entry.name]) for entry in entries]
        try:
            keys = {
                entry.name: _Keys(
                    None if entry.tls is None else self._host.server_tls(entry.tls),
                    self._host.client_tls(plugin.tls) if plugin.needs_tls else None,
                )
                for entry, plugin in served
            }
            trusts = {name: self._trust(upstream) for name, upstream in upstreams.items()}
        except ValueError as error:  # a file is not what it was when the loader looked
            raise OSError(f"{file}: {error}") from error
        wanted = {}
        for entry, plugin in served:
            for name, address in _binds(entry, plugin):
                listener = self._listener(name)
                listener.tcp = TcpOptions(**dict(entry.tcp))
                wanted[_place(name, address)] = listener, address
        bound: dict[Place, tuple[Listener, Address, Address]] = {}
        for place, (listener, address) in wanted.items():
            if place in self._bound:
                continue
            try:
                bound[place] = listener, address, self._host.listen(address, listener)
            except OSError as error:
                for owner, asked, _ in bound.values():
                    self._host.unlisten(owner, asked)
                reason = (error.strerror or str(error)).lower()
                text = f"{file}: listener.{listener.name}: cannot listen at {address}: {reason}"
                raise OSError(text) from error
        for place, (listener, address, real) in list(self._bound.items()):
            now = wanted.get(place)
            if now is None:
                self._host.unlisten(listener, address)
                del self._bound[place]
                continue
            if now[0] is not listener:  # it has another name now
                self._host.hand_over(address, listener, now[0])
                bound[place] = now[0], address, real
            self._host.renew(address, now[0])
        self._bound.update(bound)
        for listener, _, real in bound.values():
            self._write(f"listening {listener.name} {real}")
        self._named = {each.name: each for each, _ in wanted.values()}
        self._renew(upstreams, trusts)
        before, self._services = self._services, {}
        for entry, plugin in served:
            self._services[entry.name] = self._equip(entry, plugin, keys[entry.name])
        self._retire(before.values())
        plugins = configuration.plugins.items()
        self.programs.stop_others(
            [name for name, plugin in plugins if issubclass(plugin.cls, Program)]
        )

    def _listener(self, name: str) -> Listener:
        listener = self._named.get(name)
        if listener is None:
            listener = self._first.listening(name, acceptor=_nobody, engine=self._first)
            self._named[name] = listener
        return listener

    def _trust(self, upstream: schema.UpstreamTable) -> object:
        """What handshakes with the servers of an upstream need. Raises ValueError."""
        secure = any(address.secure for address in upstream.addresses)
        return self._host.client_tls(upstream.tls) if secure else None

    def _renew(
        self, upstreams: Mapping[str, schema.UpstreamTable], trusts: Mapping[str, object]
    ) -> None:
        """Make those upstreams that have changed; the others go on as they are, but trust whom the
        files name by now.
        """
        before, self._upstreams = self._upstreams, {}
        for name, said in upstreams.items():
            was = before.get(name)
            if was is not None and was[0] == said:
                del before[name]
                for upstream in was[1].values():
                    upstream.trust(trusts[name])
                self._upstreams[name] = was
            else:
                self._upstreams[name] = (
                    said,
                    {
                        engine: Upstream(engine, name, _servers(said, trusts[name]), _terms(said))
                        for engine in self._engines
                    },
                )
        for _, gone in before.values():
            for engine, upstream in gone.items():
                engine.inbox.post(upstream.close)

    def _retire(self, replaced: Iterable[dict[Engine, Service]]) -> None:
        """No session begins with these any more: those that there are may end."""
        for services in replaced:
            for service in services.values():
                service.draining = True
        for engine in self._engines:
            engine.inbox.post(partial(_drain, engine))

    def _equip(
        self, entry: schema.ListenerTable, plugin: Plugin, keys: _Keys
    ) -> dict[Engine, Service]:
        """Give a listener what its entry says, and those of its plugin's options the same."""
        timeouts = entry.timeouts
        own = self._listener(entry.name)
        services: dict[Engine, Service] = {}
        for engine in self._engines:
            upstreams = {
                name: self._upstreams[name][1][engine]
                for name in (entry.upstream, *plugin.upstreams.values())
                if name is not None
            }
            services[engine] = Service(
                name=entry.name,
                bound=tuple(real for owner, _, real in self._bound.values() if owner is own),
                options=plugin.options,
                upstream=upstreams.get(entry.upstream or ""),
                upstreams=upstreams,
                filters=tuple(partial(each.cls, each.options) for each in plugin.filters),
                connect_tls=keys.connect_tls,
                connect_s=timeouts.connect,
                inactivity_s=timeouts.inactivity,
                active_s=timeouts.active,
                half_close=entry.half_close,
                persistent=self._lasting.setdefault((entry.name, engine), {}),
                origin=(entry, plugin.code, upstreams),
            )
        accept, refuse = self._acceptors(plugin.cls, services)
        for listener in (own, *(self._listener(_part(entry, option)) for option in plugin.binds)):
            listener.acceptor = accept
            listener.refuser = refuse
            listener.pinned = issubclass(plugin.cls, Program)
            listener.tls = keys.tls
            listener.handshake_s = timeouts.handshake
            listener.max_connections = entry.limits.max_connections or sys.maxsize
            listener.max_per_client = entry.limits.max_per_client
            listener.resume()
        return services

    def _acceptors(
        self, plugin: type, services: dict[Engine, Service]
    ) -> tuple[Acceptor, Acceptor]:
        """Who takes clients, and who turns away those that are too many."""
        if issubclass(plugin, Program):
            return self.programs.acceptor(plugin, services[self._first]), NetVConnection.do_io_close
        assert issubclass(plugin, Session)

        def accept(client: NetVConnection) -> None:
            plugin(client, services[client.engine]).start()

        def refuse(client: NetVConnection) -> None:
            plugin.refuse(client, services[client.engine])

        return accept, refuse


def _drain(engine: Engine) -> None:
    """Have those sessions of an engine end what they may that serve by what is in use no more."""
    for session in [vc.served_by for vc in engine.vcs]:
        if isinstance(session, Session) and session.service.draining:
            engine.schedule(OwnedCall(session, session.drain), Event.TIMEOUT, None)


def _empty_pools(engine: Engine) -> None:
    """Keep no connection to a server, be it one that clients have named."""
    reading = [vc.read_vio.cont for vc in engine.vcs if vc.read_vio is not None]
    for cont in dict.fromkeys(reading):
        if isinstance(cont, ConnectionPool):
            cont.drain()


def _binds(entry: schema.ListenerTable, plugin: Plugin) -> Iterator[tuple[str, Address]]:
    """Yield where an entry listens, by the names of its listeners."""
    for address in entry.bind:
        yield entry.name, address
    for option, addresses in plugin.binds.items():
        for address in addresses:
            yield _part(entry, option), address


def _part(entry: schema.ListenerTable, option: str) -> str:
    """Name the listener for the addresses that an option names."""
    return f"{entry.name}.{option}"


def _servers(said: schema.UpstreamTable, tls: object) -> list[Server]:
    """Make the servers of an upstream."""
    return [
        Server(each.address, tls if each.address.secure else None, each.weight)
        for each in said.servers
    ]


def _terms(said: schema.UpstreamTable) -> UpstreamSettings:
    """What an upstream's configuration says beside its servers."""
    return UpstreamSettings(
        balance=said.balance,
        hash_by=said.hash_by,
        max_connections=said.max_connections,
        queue=Queueing(**dict(said.queue)),
        retries=said.retries,
        pool=Pooling(**dict(said.pool)),
        check=None if said.check is None else _checking(said.check),
        eject=Ejecting(**dict(said.eject)),
        slow_start=said.slow_start,
        resolve=said.resolve,
        tcp=TcpOptions(**dict(said.tcp)),
    )


def _checking(said: schema.UpstreamCheck) -> Checking:
    """What a check is, by its kind: each one does what the one before it does, and more."""
    values = dict(said)
    kind = values.pop("kind")
    probe = HttpProbe(values.pop("path"), values.pop("host"), values.pop("status"))
    return Checking(handshake=kind != "tcp", probe=probe if kind == "http" else None, **values)


def _place(name: str, address: Address) -> Place:
    """What tells a bound address from the others: on port 0 each listener gets one of its own."""
    return address if address.port or address.path else (name, address)


def _nobody(client: NetVConnection) -> None:
    """Nothing serves the listener yet."""
    client.do_io_close()
