"""Plan: what a configuration needs, prepared before anything in use is changed.

Tested in tests/listeners/test_listeners.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.address import Address
from vcproxy.engine.tcp import TcpOptions

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.config.plugin import Plugin
    from vcproxy.config.tables.listener import ListenerTable
    from vcproxy.listeners.hosts import Host

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

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its listeners: its own, and one for each option with addresses to bind."""
        return self.entry.name, *(_part(self.entry, option) for option in self.plugin.binds)


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration with its TLS contexts and addresses. Nothing is bound yet."""

    configuration: Configuration
    listeners: tuple[PlannedListener, ...]
    upstream_tls: Mapping[str, object]
    """The TLS context of each upstream, by name; None for one without tls://."""
    addresses: Mapping[Place, tuple[str, Address]]
    """All addresses of the configuration, each with the name of its listener."""

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
    try:
        listeners = tuple(
            PlannedListener(
                entry,
                plugin := configuration.plugins[entry.name],
                tls=None if entry.tls is None else host.server_tls(entry.tls),
                connect_tls=host.client_tls(plugin.tls) if plugin.needs_tls else None,
            )
            for entry in settings.listener
        )
        upstream_tls = {
            name: host.client_tls(upstream.tls)
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
    return Plan(configuration, listeners, upstream_tls, addresses)


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
