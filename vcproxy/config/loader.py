"""Read a configuration file into checked settings and plugins, or say everything that is wrong."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from vcproxy.config.check import check
from vcproxy.config.options import read_filters, read_options, with_places
from vcproxy.config.place import KeyPath, line_and_column
from vcproxy.config.plugin import Plugin, PluginError, Plugins, needs_upstream
from vcproxy.config.problem import ConfigError, KeyFault, OptionsError, Problem
from vcproxy.config.schema import ListenerTable, RecordTable, Settings, as_json
from vcproxy.engine.address import Address


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file says: its settings, and the plugin of each listener by the listener's name.

    The options in `settings` are complete, defaults included, so that two configurations are
    equal if they ask for the same, wherever they were read from.
    """

    settings: Settings
    plugins: Mapping[str, Plugin] = field(compare=False)
    file: Path = field(compare=False)
    text: str = field(compare=False)
    """The file as it was read."""
    sources: Mapping[str, bytes] = field(compare=False)
    """What the plugins were loaded from. See Plugins."""

    def recorded_to(self, log: Path) -> "Configuration":
        """The same, with its run recorded to a log of that path."""
        was = self.settings.record
        record = (
            RecordTable.model_construct(file=log)
            if was is None
            else was.model_copy(update={"file": log})
        )
        return replace(self, settings=self.settings.model_copy(update={"record": record}))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A configuration that was read, and found sound, on another day: nothing is looked at here."""

    text: str
    sources: Mapping[str, bytes]


def load(file: Path, recorded: Recorded | None = None) -> Configuration:
    """Read and check a configuration file, its plugins included; or take what was recorded of it.

    Raises ConfigError with every problem at once.
    """
    text = _read(file) if recorded is None else recorded.text
    tree = _parse(file, text)
    directory = file.absolute().parent
    try:
        settings = _settings(tree, directory)
        found: list[KeyFault] = []
    except ValidationError as error:
        from vcproxy.config import explain, recovery

        found = explain.faults(error, Settings)
        settings = _settings(recovery.sound_part(tree, found), directory)
    shelf = Plugins(None if recorded is None else recorded.sources)
    plugins, listeners, refused = _plugins(settings, directory, shelf)
    if recorded is None:
        refused += check(settings, plugins)
    if found or refused:
        from vcproxy.config import explain, recovery

        found += recovery.news(refused, found)
        raise ConfigError(*explain.placed(found, file, text, tree))
    settings = settings.model_copy(update={"listener": listeners})
    named = {listeners[index].name: plugin for index, plugin in plugins.items()}
    return Configuration(settings, MappingProxyType(named), file, text, shelf.sources)


def effective(configuration: Configuration) -> str:
    """Return everything that is in effect, defaults included, as a configuration file in TOML."""
    import tomli_w  # only `vcproxy -T` writes TOML

    settings = configuration.settings
    tree = settings.model_dump(mode="json", exclude_none=True)
    for name, upstream in settings.upstream.items():
        if not any(address.secure for address in upstream.addresses):
            del tree["upstream"][name]["tls"]  # nothing is verified there, so nothing is said
    notes = [
        f"# {address}: the login of this address is not shown; it is in {configuration.file}\n"
        for address in dict.fromkeys(_logins(tomllib.loads(configuration.text)))
    ]
    return "".join(notes) + tomli_w.dumps(tree)


def _logins(value: object) -> Iterator[Address]:
    """Find the addresses in a file that carry a user, a password or a token."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _logins(each)
    elif isinstance(value, str) and value.startswith("nats:"):
        try:
            address = Address.parse(value)
        except ValueError:
            return  # it is a text of another kind
        if address.user:
            yield address


def _read(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(Problem(file, 0, 0, "", f"cannot read it: {error.strerror}")) from None
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()  # without the mark, as places are counted
        place = line_and_column(before, len(before))
        message = "this is not UTF-8: save the file as UTF-8"
        raise ConfigError(Problem(file, *place, "", message)) from None


def _parse(file: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        from vcproxy.config.syntax import why_not

        place, what = why_not(text, error)
        raise ConfigError(Problem(file, *place, "", f"this is not TOML: {what}")) from None


def _settings(tree: dict[str, object], directory: Path) -> Settings:
    return Settings.model_validate_json(as_json(tree), context={"directory": directory})


def _plugins(
    settings: Settings, directory: Path, shelf: Plugins
) -> tuple[dict[int, Plugin], tuple[ListenerTable, ...], list[KeyFault]]:
    """Return the listeners' plugins, the listeners with complete options, and what is wrong."""
    plugins: dict[int, Plugin] = {}
    listeners: list[ListenerTable] = []
    refused: list[KeyFault] = []
    for index, listener in enumerate(settings.listener):
        path: KeyPath = ("listener", index)
        try:
            plugin = shelf.find(listener.plugin)
        except PluginError as error:
            refused.append(KeyFault((*path, "plugin"), str(error)))
            continue
        refused += _wrong_upstream(plugin, listener, path)
        try:
            options, complete = read_options(plugin, listener.options, directory)
            filters = read_filters(options, complete, shelf, directory)
            code = shelf.code(listener.plugin)
            plugins[index] = with_places(plugin, options, code).with_filters(filters)
        except OptionsError as error:
            within = (*path, "options")
            refused += [KeyFault((*within, *fault.path), fault.message) for fault in error.faults]
        else:
            listeners.append(listener.model_copy(update={"options": complete}))
    return plugins, tuple(listeners), refused


def _wrong_upstream(plugin: type, listener: ListenerTable, path: KeyPath) -> list[KeyFault]:
    needed, given = needs_upstream(plugin), listener.upstream is not None
    if needed is None or needed == given:
        return []
    message = "takes no upstream" if given else 'needs an upstream: write upstream = "NAME"'
    fault = KeyFault(
        (*path, "upstream"), f"{plugin.__name__} {message}", because=((*path, "plugin"),)
    )
    return [fault]
