"""Plugin: a plugin's class, its options, and the declarations of the class: addresses, upstreams.

Tested in tests/config/test_loader.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vcproxy.config.positions import KeyPath
from vcproxy.config.secret import Secret
from vcproxy.config.tables.tls import UpstreamTls
from vcproxy.engine.address import Address

AddressesByOption = Mapping[str, Sequence[Address]]
"""Addresses, by the option that contains them."""

Upstreams = Mapping[KeyPath, str | None]
"""Names of upstreams, by the path in the options; None: the upstream of the listener is used."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A class that serves a listener or is a filter for one, and its options."""

    cls: type
    options: object
    """None for a class without `Options`."""
    binds: AddressesByOption = field(default_factory=dict)
    """Addresses in the options that the plugin listens on."""
    connects: AddressesByOption = field(default_factory=dict)
    """Addresses in the options that the plugin connects to, in addition to its upstream."""
    needs_bind: bool | None = None
    """True: the plugin's listener must have a `bind`; False: it must have none; None: both are
    allowed."""
    upstreams: Upstreams = field(default_factory=dict)
    """The upstreams that the plugin's options name."""
    commands: Mapping[KeyPath, Sequence[str]] = field(default_factory=dict)
    """The command lines that the plugin's options name, by the path in the options."""
    secrets: Mapping[KeyPath, Secret] = field(default_factory=dict)
    """The secrets in the options of the plugin and its filters, by the path in the options."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Notes on the plugin's options for `vcproxy -t`, by the option."""
    code: Mapping[str, bytes] = field(default_factory=dict)
    """The source files of the plugin and of its filters. See PluginLoader."""
    unused_methods: Mapping[str, str] = field(default_factory=dict)
    """Methods of the plugin or its filters that are never called with these options, and why."""
    filters: "tuple[Plugin, ...]" = ()
    """The filters that the plugin's options name, in that order."""

    def with_filters(self, filters: "tuple[Plugin, ...]") -> "Plugin":
        """Return a copy with these filters, and with the upstreams named in their options."""
        named = {
            ("filters", index, "options", *path): name
            for index, each in enumerate(filters)
            for path, name in each.upstreams.items()
        }
        code, secrets = dict(self.code), dict(self.secrets)
        for index, each in enumerate(filters):
            code |= each.code
            secrets |= {
                ("filters", index, "options", *path): secret
                for path, secret in each.secrets.items()
            }
        return replace(
            self,
            filters=filters,
            upstreams={**self.upstreams, **named},
            secrets=secrets,
            code=code,
        )

    @property
    def tls(self) -> UpstreamTls:
        """How tls:// servers in `connects` are verified: the option `tls`, or the defaults."""
        option = getattr(self.options, "tls", None)
        return option if isinstance(option, UpstreamTls) else UpstreamTls()

    @property
    def needs_tls(self) -> bool:
        """Whether an address in `connects` is tls://."""
        return any(address.secure for addresses in self.connects.values() for address in addresses)


def with_options(plugin: type) -> type:
    """Return the class that serves a listener of this plugin which has options: see Session."""
    choose = getattr(plugin, "with_options", None)
    return plugin if choose is None else choose()


def options_type(plugin: type) -> type | None:
    """Return a plugin's class `Options`, a dataclass or pydantic model; None: it has none."""
    found: type | None = getattr(plugin, "Options", None)
    return found


def needs_upstream(plugin: type) -> bool | None:
    """Return True if a plugin needs an upstream, False if it must have none, None for either."""
    needed: bool | None = getattr(plugin, "needs_upstream", None)
    return needed


def overrides(plugin: type, method: str) -> bool:
    """Whether a class overrides a method of one of its bases."""
    own = [vars(each)[method] for each in plugin.__mro__ if method in vars(each)]
    return len(own) > 1


def takes_datagrams(plugin: type) -> bool:
    """Whether a plugin may listen on udp:// addresses."""
    return bool(getattr(plugin, "datagrams", False))


def mixes_datagrams(plugin: type) -> bool:
    """Whether a plugin's clients may have datagrams and its servers streams, or vice versa."""
    return bool(getattr(plugin, "mixes_datagrams", False))


def one_worker(plugin: type) -> str:
    """Return why one process must serve all clients of a plugin; empty: several may."""
    return str(getattr(plugin, "one_worker", ""))


def alpn_refused(plugin: type) -> frozenset[str]:
    """Return the application protocols that a plugin does not support, by their ALPN names."""
    return frozenset(getattr(plugin, "alpn_refused", ()))
