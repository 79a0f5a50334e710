"""Substitution: the configuration of a recorded run, with another plugin for one listener."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcproxy.config.loader import Configuration, Recorded, load
from vcproxy.config.options import OptionsError, read_options, with_places
from vcproxy.config.plugin import PluginError, Plugins, needs_upstream
from vcproxy.config.problem import ConfigError
from vcproxy.drivers.recording.reader import LogError

if TYPE_CHECKING:
    from vcproxy.drivers.recording.header import Header


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

    `listener`: whose plugin it replaces; empty: there is only one. Raises NotSubstituted.
    """
    names = list(configuration.plugins)
    if not listener and len(names) != 1:
        raise NotSubstituted(f"which listener? say --listener {' or '.join(names)}")
    name = listener or names[0]
    if name not in names:
        raise NotSubstituted(f"there is no listener {name}: there are {', '.join(names)}")
    entry = next(each for each in configuration.settings.listener if each.name == name)
    note = ""
    try:
        cls = Plugins().find(plugin)
        needed, given = needs_upstream(cls), entry.upstream is not None
        if needed and not given:
            raise NotSubstituted(f"{plugin} needs an upstream, and {name} had none")
        directory = configuration.file.absolute().parent
        try:
            options, _ = read_options(cls, _options(configuration.text, name), directory)
        except OptionsError as refused:
            why = "; ".join(fault.message for fault in refused.faults)
            note = f"{plugin} refuses the options of {name} ({why}): it has its defaults"
            options, _ = read_options(cls, {}, directory)
        found = with_places(cls, options)
    except PluginError as error:
        raise NotSubstituted(f"{plugin}: {error}") from None
    except OptionsError as error:
        why = "; ".join(fault.message for fault in error.faults)
        raise NotSubstituted(f"{plugin}: it does not go without options: {why}") from None
    plugins = {**configuration.plugins, name: found}
    return replace(configuration, plugins=plugins), note


def _options(text: str, listener: str) -> dict[str, object]:
    """The options as they were written: without the defaults of the plugin that had them."""
    tree: Mapping[str, Any] = tomllib.loads(text)
    entry = next(each for each in tree["listener"] if each["name"] == listener)
    options: dict[str, object] = entry.get("options", {})
    return options
