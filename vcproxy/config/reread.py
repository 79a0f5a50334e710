"""reread: a configuration with what the files have now that its options name.

Nothing else is read again: the file of the configuration may have been edited, and not be meant to
be used yet. Tested in tests/config/test_reread.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from pydantic import BaseModel

from vcproxy.config.errors import ConfigError, Problem
from vcproxy.config.file_content import FileContent
from vcproxy.config.loader import Configuration
from vcproxy.config.plugin import Plugin
from vcproxy.config.plugin_loader import PluginLoader


def reread(configuration: Configuration) -> Configuration:
    """Return the same configuration, with the files that its options name read again.

    Raises ConfigError with every problem in them.
    """
    loader = PluginLoader()
    problems: list[Problem] = []
    plugins = {
        name: _plugin(plugin, loader, problems) for name, plugin in configuration.plugins.items()
    }
    if problems:
        raise ConfigError(*(replace(each, file=configuration.file) for each in problems))
    return replace(
        configuration,
        plugins=plugins,
        sources={**configuration.sources, **loader.sources},
        masked={**configuration.masked, **loader.masked},
        files={**configuration.files, **loader.files},
        warnings=(),
    )


def _plugin(plugin: Plugin, loader: PluginLoader, problems: list[Problem]) -> Plugin:
    again = dict[int, FileContent[Any]]()
    for content in _contents((plugin.options, [each.options for each in plugin.filters])):
        try:
            again[id(content)] = content.again(loader.read)
        except ValueError as error:
            problems.append(Problem(content.path, 0, 0, "", str(error)))
    if not again or problems:
        return plugin
    filters = tuple(replace(each, options=_with(each.options, again)) for each in plugin.filters)
    return replace(plugin, options=_with(plugin.options, again), filters=filters)


def _contents(value: object) -> Iterator[FileContent[Any]]:
    """Yield the contents of files inside a value."""
    if isinstance(value, FileContent):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _contents(each)
    elif isinstance(value, dict):
        yield from _contents(list(value.values()))
    elif isinstance(value, BaseModel):
        yield from _contents(dict(value))
    elif is_dataclass(value):
        yield from _contents([getattr(value, field.name) for field in fields(value)])


def _with(value: Any, again: dict[int, FileContent[Any]]) -> Any:
    """Return a value with other contents of files, by the ids of those that they replace."""
    if isinstance(value, FileContent):
        return again[id(value)]
    if not any(True for _ in _contents(value)):
        return value
    if isinstance(value, list | tuple):
        return type(value)(_with(each, again) for each in value)
    if isinstance(value, dict):
        return {key: _with(each, again) for key, each in value.items()}
    if isinstance(value, BaseModel):
        return value.model_copy(update={key: _with(each, again) for key, each in value})
    made = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    return replace(value, **{name: _with(each, again) for name, each in made.items()})
