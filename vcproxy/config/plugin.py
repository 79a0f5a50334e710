"""Plugin: a plugin's class with its options, and what the class declares about itself.

Tested in tests/config/test_loader.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import UpstreamTls
from vcproxy.engine.address import Address

AddressesByOption = Mapping[str, Sequence[Address]]
"""Addresses, by the option that names them."""

Upstreams = Mapping[KeyPath, str | None]
"""Names of upstreams, by the path in the options; None: the upstream of the listener is used."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A class that serves a listener or is a filter for one, and its options."""

    cls: type
    options: object
    """None for a class without `Options`."""
    binds: AddressesByOption = field(default_factory=dict)
    """Addresses in the options that it listens on."""
    connects: AddressesByOption = field(default_factory=dict)
    """Addresses in the options that it connects to, besides its upstream."""
    needs_bind: bool | None = None
    """True: its listener must have a `bind`; False: it must have none; None: both are allowed."""
    upstreams: Upstreams = field(default_factory=dict)
    """The upstreams that its options name."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Notes on its options for `vcproxy -t`, by the option."""
    code: Mapping[str, bytes] = field(default_factory=dict)
    """Its source files and those of its filters. See PluginLoader."""
    unused_methods: Mapping[str, str] = field(default_factory=dict)
    """Methods of it and of its filters that are never called with these options, and why."""
    filters: "tuple[Plugin, ...]" = ()
    """The filters that its options name, in their order."""

    def with_filters(self, filters: "tuple[Plugin, ...]") -> "Plugin":
        """Return it with these filters, and with the upstreams that their options name."""
        named = {
            ("filters", index, "options", *path): name
            for index, each in enumerate(filters)
            for path, name in each.upstreams.items()
        }
        code = dict(self.code)
        for each in filters:
            code |= each.code
        return replace(self, filters=filters, upstreams={**self.upstreams, **named}, code=code)

    @property
    def tls(self) -> UpstreamTls:
        """How servers in `connects` on tls:// are verified: the option `tls`, if there is one."""
        option = getattr(self.options, "tls", None)
        return option if isinstance(option, UpstreamTls) else UpstreamTls()

    @property
    def needs_tls(self) -> bool:
        """Whether an address in `connects` is tls://."""
        return any(address.secure for addresses in self.connects.values() for address in addresses)


def options_type(plugin: type) -> type | None:
    """Return a plugin's `Options`, a dataclass or pydantic model, if it has any."""
    found: type | None = getattr(plugin, "Options", None)
    return found


def needs_upstream(plugin: type) -> bool | None:
    """Return True if a plugin needs an upstream, False if it must have none, None for either."""
    needed: bool | None = getattr(plugin, "needs_upstream", None)
    return needed


def overrides(plugin: type, method: str) -> bool:
    """Return whether a class overrides a method of one of its bases."""
    own = [vars(each)[method] for each in plugin.__mro__ if method in vars(each)]
    return len(own) > 1


def takes_datagrams(plugin: type) -> bool:
    """Return whether a plugin may listen at udp://."""
    return bool(getattr(plugin, "datagrams", False))


def alpn_refused(plugin: type) -> frozenset[str]:
    """Return the application protocols that a plugin does not support, by their ALPN names."""
    return frozenset(getattr(plugin, "alpn_refused", ()))
