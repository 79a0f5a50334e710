"""Plan: what a configuration needs, prepared before anything in use is changed.

Tested in tests/listeners/test_listeners.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.config.tables.proxy_protocol import UNIX as UNIX_SENDERS
from vcproxy.config.tables.tls import ListenerTls
from vcproxy.engine.address import Address
from vcproxy.engine.tcp import TcpOptions
from vcproxy.listeners.tls_contexts import TlsContext, make_context

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.config.plugin import Plugin
    from vcproxy.config.tables.listener import ListenerTable
    from vcproxy.config.tables.proxy_protocol import ListenerProxyProtocol
    from vcproxy.config.tables.tls import UpstreamTls
    from vcproxy.listeners.hosts import Host
    from vcproxy.proxy_protocol.senders import TrustedSenders

Place = Address | tuple[str, Address]
"""Identifies a bound address. With port 0 it includes the listener's name, because each
listener gets its own port then."""


@dataclass(frozen=True, slots=True)
class PlannedListener:
    """One [[listener]], with its TLS contexts."""

    entry: ListenerTable
    plugin: Plugin
    tls: object
    """The TLS context for the listener's own tls:// addresses; None if it has none."""
    connect_tls: object
    """The TLS context for tls:// addresses in the plugin's options; None if there are none."""

    senders: TrustedSenders | None
    """The peers whose connections begin with a PROXY header; None: none."""
    notes_local: bool
    """Whether the address is noted that each client connects to."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its listeners: its own, and one for each option with addresses to bind."""
        return names_of(self.entry, self.plugin)


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration with its TLS contexts and addresses. Nothing is bound yet."""

    configuration: Configuration
    listeners: tuple[PlannedListener, ...]
    upstream_tls: Mapping[str, object]
    """The TLS context of each upstream, by name; None for one without tls://."""
    addresses: Mapping[Place, tuple[str, Address]]
    """All addresses of the configuration, each with the name of its listener."""
    contexts: tuple[TlsContext, ...]
    """Its TLS contexts, with the files that they were made from."""

    @property
    def tcp(self) -> dict[str, TcpOptions]:
        """The TCP options of each listener, by name, in the order of the file."""
        return {
            name: TcpOptions(**dict(planned.entry.tcp))
            for planned in self.listeners
            for name in planned.names
        }


def plan(configuration: Configuration, host: Host) -> Plan:
    """Return the plan for a configuration. Raises OSError if a certificate cannot be loaded."""
    settings = configuration.settings
    contexts: list[TlsContext] = []

    announced = any(each.proxy_protocol is not None for each in settings.upstream.values())

    def made(
        name: str, table: ListenerTls | UpstreamTls, listeners: tuple[str, ...] = ()
    ) -> object:
        make = (
            partial(host.server_tls, table)
            if isinstance(table, ListenerTls)
            else partial(host.client_tls, table)
        )
        contexts.append(make_context(name, table, make, listeners))
        return contexts[-1].made

    def planned_listener(entry: ListenerTable) -> PlannedListener:
        name, plugin = entry.name, configuration.plugins[entry.name]
        names = names_of(entry, plugin)
        return PlannedListener(
            entry,
            plugin,
            tls=None if entry.tls is None else made(name, entry.tls, names),
            connect_tls=made(f"{name}.tls", plugin.tls) if plugin.needs_tls else None,
            senders=senders_of(entry.proxy_protocol),
            notes_local=announced,
        )

    try:
        listeners = tuple(map(planned_listener, settings.listener))
        upstream_tls = {
            name: made(f"upstream.{name}", upstream.tls)
            if any(address.secure for address in upstream.addresses)
            else None
            for name, upstream in settings.upstream.items()
        }
    except ValueError as error:  # a certificate file changed after the check
        raise OSError(f"{configuration.file}: {error}") from error
    addresses = {
        place_of(name, address): (name, address)
        for planned in listeners
        for name, address in addresses_of(planned.entry, planned.plugin)
    }
    return Plan(configuration, listeners, upstream_tls, addresses, tuple(contexts))


def senders_of(table: ListenerProxyProtocol | None) -> TrustedSenders | None:
    """Return the peers that a listener trusts; None: it has no such table."""
    if table is None:
        return None
    from vcproxy.proxy_protocol.senders import TrustedSenders  # most proxies have none

    networks = [each for each in table.from_ if each != UNIX_SENDERS]
    return TrustedSenders(
        networks, unix=UNIX_SENDERS in table.from_, others_direct=table.others == "direct"
    )


def names_of(entry: ListenerTable, plugin: Plugin) -> tuple[str, ...]:
    """Return the names of the listeners of a [[listener]]. See PlannedListener."""
    return entry.name, *(_part(entry, option) for option in plugin.binds)


def addresses_of(entry: ListenerTable, plugin: Plugin) -> Iterator[tuple[str, Address]]:
    """Yield each address to bind for a [[listener]], after the name of its listener."""
    for address in entry.bind:
        yield entry.name, address
    for option, addresses in plugin.binds.items():
        for address in addresses:
            yield _part(entry, option), address


def _part(entry: ListenerTable, option: str) -> str:
    return f"{entry.name}.{option}"


def place_of(name: str, address: Address) -> Place:
    """Return the place of an address of the listener `name`."""
    return address if address.port or address.path else (name, address)
