"""Where in a file addresses are bound, and upstreams are named. Tested in
tests/config/test_problems.py.
"""

from collections.abc import Iterator, Mapping

from vcproxy.config.plugin import Plugin
from vcproxy.config.positions import KeyPath
from vcproxy.config.tables.listener import ListenerTable
from vcproxy.engine.address import Address

Plugins = Mapping[int, Plugin]
"""The plugins whose options are valid, by the index of their listener."""


def upstreams_named(
    index: int, listener: ListenerTable, plugins: Plugins
) -> Iterator[tuple[KeyPath, str | None]]:
    """Yield the upstreams named by a listener and its options; None: a required name is missing."""
    path: KeyPath = ("listener", index)
    if listener.upstream is not None:
        yield (*path, "upstream"), listener.upstream
    if index in plugins:
        for option, name in plugins[index].upstreams.items():
            if name is not None or listener.upstream is None:
                yield (*path, "options", *option), name


def addresses_bound(
    index: int, listener: ListenerTable, plugins: Plugins
) -> Iterator[tuple[KeyPath, Address]]:
    """Yield each address to bind for a listener, its options included, with the path of its key."""
    path: KeyPath = ("listener", index)
    for item, address in enumerate(listener.bind):
        yield (*path, "bind", item), address
    if index in plugins:
        for option, addresses in plugins[index].binds.items():
            for item, address in enumerate(addresses):
                yield (*path, "options", option, item), address
