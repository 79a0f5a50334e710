"""Substitution: the configuration of a recorded run, with another plugin for one listener.

Tested in tests/replay/test_what_if.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vcproxy.config.conversion import ALL
from vcproxy.config.documents import listeners
from vcproxy.config.errors import ConfigError, OptionsError
from vcproxy.config.loader import Configuration, Recorded, load
from vcproxy.config.options import read_plugin
from vcproxy.config.plugin import Plugin, needs_upstream, with_options
from vcproxy.config.plugin_loader import FILTERS, NotOfKind, PluginError, PluginLoader
from vcproxy.replay.format.reader import LogError

if TYPE_CHECKING:
    from vcproxy.replay.format.header import Header


class NotSubstituted(Exception):
    """A plugin cannot replace another one. The text is the reason, for the user."""


def recorded(header: Header) -> Configuration:
    """Load the recorded configuration with its plugins. Raises LogError."""
    try:
        return load(Path(header.file), Recorded(header.configuration, header.sources))
    except ConfigError as error:
        raise LogError(f"the recorded configuration does not load:\n{error}") from None


def substituted(
    configuration: Configuration, plugin: str, listener: str
) -> tuple[Configuration, str]:
    """Return the configuration with this plugin, and a note for the user, perhaps empty.

    `plugin` is written as in the table of a listener. It replaces the listener's plugin and gets
    its options and filters. If it is a filter, it replaces the filter of the same class name.
    `listener`: its name; empty: there is only one. Raises NotSubstituted.
    """
    names = list(configuration.plugins)
    if not listener and len(names) != 1:
        choices = " or ".join(names)
        raise NotSubstituted(f"more than one listener: choose one with --listener {choices}")
    name = listener or names[0]
    if name not in names:
        raise NotSubstituted(f"there is no listener {name}: there are {', '.join(names)}")
    try:
        try:
            found, note = _listening(configuration, plugin, name)
        except NotOfKind as error:
            found, note = _filtering(configuration, plugin, name, error)
    except PluginError as error:
        raise NotSubstituted(f"{plugin}: {error}") from None
    except OptionsError as error:
        why = "; ".join(each.message for each in error.problems)
        raise NotSubstituted(f"{plugin}: the plugin needs options: {why}") from None
    return replace(configuration, plugins={**configuration.plugins, name: found}), note


def _listening(configuration: Configuration, plugin: str, name: str) -> tuple[Plugin, str]:
    """Return another plugin for a listener. Raises PluginError, OptionsError, NotSubstituted."""
    entry = next(each for each in configuration.settings.listener if each.name == name)
    plain = PluginLoader().find(plugin)
    directory, table = _options(configuration, name)
    cls = with_options(plain) if table else plain
    needed, given = needs_upstream(cls), entry.upstream is not None
    if needed and not given:
        raise NotSubstituted(f"{plugin} needs an upstream, and the listener {name} has none")
    loader = PluginLoader(configuration.sources)
    try:
        return read_plugin(cls, table, directory, loader, ALL)[0], ""
    except OptionsError as refused:
        why = "; ".join(each.message for each in refused.problems)
        note = f"{plugin} refuses the options of {name} ({why}): its defaults are used"
        return read_plugin(plain, {}, directory, loader)[0], note


def _filtering(
    configuration: Configuration, plugin: str, name: str, error: NotOfKind
) -> tuple[Plugin, str]:
    """Return the listener's plugin with another filter. Raises as `_listening` does."""
    recorded_plugin = configuration.plugins[name]
    try:
        cls = PluginLoader().find(plugin, FILTERS)
    except NotOfKind:
        raise error from None
    if not hasattr(recorded_plugin.options, "filters"):
        raise NotSubstituted(f"{plugin} is a filter, and the plugin of {name} has no filters")
    entry = next(each for each in configuration.settings.listener if each.name == name)
    tables = entry.options.get("filters", [])
    assert isinstance(tables, list)
    directory, _ = _options(configuration, name)
    loader = PluginLoader(configuration.sources)
    same = [
        n for n, each in enumerate(recorded_plugin.filters) if each.cls.__name__ == cls.__name__
    ]
    if not same:
        filters = (*recorded_plugin.filters, read_plugin(cls, {}, directory, loader)[0])
        note = f"{name} has no filter {cls.__name__}: it is added after the others"
        return recorded_plugin.with_filters(filters), note
    found, _ = read_plugin(cls, tables[same[0]]["options"], directory, loader, ALL)
    filters = tuple(found if n in same else each for n, each in enumerate(recorded_plugin.filters))
    return recorded_plugin.with_filters(filters), ""


def _options(configuration: Configuration, listener: str) -> tuple[Path, dict[str, object]]:
    """Return the options as written in the configuration, without the plugin's defaults, and the
    directory for the relative paths in them."""
    for document in configuration.documents.all:
        for entry in listeners(document.tree):
            if entry["name"] == listener:
                return document.directory, entry.get("options", {})
    raise AssertionError(listener)
