"""Listeners: who listens where, and for whom, as the configuration in use says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from vcproxy.business.program import Program
from vcproxy.business.programs import Programs
from vcproxy.business.service import Service
from vcproxy.business.session import Session
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.upstream.servers import RoundRobin, Server

if TYPE_CHECKING:
    from vcproxy.config import schema
    from vcproxy.config.loader import Configuration
    from vcproxy.config.plugin import Plugin

Place = Address | tuple[str, Address]


class Listeners:
    """All listeners of a proxy. The first driver accepts, for all of them."""

    def __init__(self, drivers: Sequence[EpollDriver], write: Callable[[str], None]) -> None:
        """`write` takes the line for each that listens, and what programs print."""
        self._drivers = drivers
        self._first = drivers[0]
        self._write = write
        self._named: dict[str, Listener] = {}
        self.programs = Programs(self._first.engine, write)
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
            self._first.unlisten(listener)

    def apply(self, configuration: Configuration) -> None:
        """Serve by a configuration from now on. Raises OSError with nothing changed."""
        file = configuration.file
        entries = configuration.settings.listener
        upstreams = configuration.settings.upstream
        try:
            keys = {entry.name: _server_tls(entry.tls) for entry in entries}
            servers = {name: _servers(upstream) for name, upstream in upstreams.items()}
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
            self._write(f"listening {listener.name} {real}")
        self._named = {listener.name: listener for _, listener, _ in wanted.values()}
        for entry in entries:
            listener = self._listener(entry.name)
            listener.tls = keys[entry.name]
            self._equip(listener, entry, configuration.plugins[entry.name], servers)
        plugins = configuration.plugins.items()
        self.programs.keep([name for name, plugin in plugins if issubclass(plugin.cls, Program)])

    def _listener(self, name: str) -> Listener:
        listener = self._named.get(name)
        if listener is None:
            listener = Listener(name, acceptor=_nobody, home=self._first.engine)
            self._named[name] = listener
        return listener

    def _equip(
        self,
        listener: Listener,
        entry: schema.Listener,
        plugin: Plugin,
        servers: Mapping[str, list[Server]],
    ) -> None:
        """Give a listener what its entry says."""
        timeouts = entry.timeouts
        services = {
            driver.engine: Service(
                name=entry.name,
                bound=tuple(real for owner, _, real in self._bound.values() if owner is listener),
                options=plugin.options,
                upstream=RoundRobin(servers[entry.upstream]) if entry.upstream else None,
                upstreams={name: RoundRobin(listed) for name, listed in servers.items()},
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
            listener.acceptor = self.programs.acceptor(plugin.cls, own)
            return
        session = plugin.cls
        assert issubclass(session, Session)

        def accept(client: NetVConnection) -> None:
            session(client, services[client.engine]).start()

        listener.acceptor = accept


def _place(entry: schema.Listener, address: Address) -> Place:
    """What tells a bound address from the others: on port 0 each listener gets one of its own."""
    return address if address.port or address.path else (entry.name, address)


def _nobody(client: NetVConnection) -> None:
    """Nothing serves the listener yet."""
    client.do_io_close()


def _servers(upstream: schema.Upstream) -> list[Server]:
    tls = None
    if any(address.secure for address in upstream.servers):
        from vcproxy.drivers.tls_context import client_context

        tls = client_context(ca=upstream.tls.ca, verify=upstream.tls.verify)
    return [Server(address, tls if address.secure else None) for address in upstream.servers]


def _server_tls(tls: schema.ListenerTls | None) -> object:
    if tls is None:
        return None
    from vcproxy.drivers.tls_context import Identity, server_context

    names = {name: Identity(pair.certificate, pair.key) for name, pair in tls.names.items()}
    return server_context(
        tls.certificate, tls.key, client_ca=tls.client_ca, alpn=tls.alpn, names=names
    )
