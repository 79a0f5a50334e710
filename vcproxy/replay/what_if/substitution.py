"""Substitution: the configuration of a recorded run, with another plugin for one listener."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcproxy.config.errors import ConfigError, OptionsError
from vcproxy.config.loader import Configuration, Recorded, load
from vcproxy.config.options import read_plugin
from vcproxy.config.plugin import Plugin, needs_upstream
from vcproxy.config.plugin_loader import FILTERS, NotOfKind, PluginError, PluginLoader
from vcproxy.replay.format.reader import LogError

if TYPE_CHECKING:
    from vcproxy.replay.format.header import Header


class NotSubstituted(Exception):
    """A plugin cannot take another's place; the text says why, for people."""


def recorded(header: Header) -> Configuration:
    """The configuration that was recorded, with its plugins. Raises LogError."""
    try:
        return load(Path(header.file), Recorded(header.configuration, header.sources))
    except ConfigError as error:
        raise LogError(f"its configuration does not load:\n{error}") from None


def substituted(
    configuration: Configuration, plugin: str, listener: str
) -> tuple[Configuration, str]:
    """Return the same with this plugin, as a listener names it, and what is to be said of that.

    `plugin` serves the listener in place of its own, with the same options and filters; or it is a
    filter, in place of the one of its name. `listener`: whose it is; empty: there is only one.
    Raises NotSubstituted.
    """
    names = list(configuration.plugins)
    if not listener and len(names) != 1:
        raise NotSubstituted(f"which listener? say --listener {' or '.join(names)}")
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
        raise NotSubstituted(f"{plugin}: it does not go without options: {why}") from None
    return replace(configuration, plugins={**configuration.plugins, name: found}), note


def _listening(configuration: Configuration, plugin: str, name: str) -> tuple[Plugin, str]:
    """Another plugin for a listener. Raises PluginError, OptionsError, NotSubstituted."""
    entry = next(each for each in configuration.settings.listener if each.name == name)
    cls = PluginLoader().find(plugin)
    needed, given = needs_upstream(cls), entry.upstream is not None
    if needed and not given:
        raise NotSubstituted(f"{plugin} needs an upstream, and {name} had none")
    directory = configuration.file.absolute().parent
    loader = PluginLoader(configuration.sources)
    try:
        return read_plugin(cls, _options(configuration.text, name), directory, loader)[0], ""
    except OptionsError as refused:
        why = "; ".join(each.message for each in refused.problems)
        note = f"{plugin} refuses the options of {name} ({why}): it has its defaults"
        return read_plugin(cls, {}, directory, loader)[0], note


def _filtering(
    configuration: Configuration, plugin: str, name: str, error: NotOfKind
) -> tuple[Plugin, str]:
    """The same plugin for a listener, with another filter. Raises as `_listening` does."""
    was = configuration.plugins[name]
    try:
        cls = PluginLoader().find(plugin, FILTERS)
    except NotOfKind:
        raise error from None
    if not hasattr(was.options, "filters"):
        raise NotSubstituted(f"{plugin} is a filter, and the plugin of {name} has none")
    entry = next(each for each in configuration.settings.listener if each.name == name)
    tables = entry.options.get("filters", [])
    assert isinstance(tables, list)
    directory = configuration.file.absolute().parent
    loader = PluginLoader(configuration.sources)
    same = [n for n, each in enumerate(was.filters) if each.cls.__name__ == cls.__name__]
    if not same:
        filters = (*was.filters, read_plugin(cls, {}, directory, loader)[0])
        note = f"{name} had no filter {cls.__name__}: it is added behind the others"
        return was.with_filters(filters), note
    found, _ = read_plugin(cls, tables[same[0]]["options"], directory, loader)
    filters = tuple(found if n in same else each for n, each in enumerate(was.filters))
    return was.with_filters(filters), ""


def _options(text: str, listener: str) -> dict[str, object]:
    """The options as they were written: without the defaults of the plugin that had them."""
    tree: Mapping[str, Any] = tomllib.loads(text)
    entry = next(each for each in tree["listener"] if each["name"] == listener)
    options: dict[str, object] = entry.get("options", {})
    return options
