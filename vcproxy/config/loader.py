"""Load a configuration file: its settings and its plugins, or every problem in it at once.

It runs these steps once, in order. Each returns its result and the problems found:

    file -> documents (TOML) -> tables (schema) -> classes of plugins -> their options -> checks
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from vcproxy.config.certificate_files import certificate_files
from vcproxy.config.checks import check
from vcproxy.config.conversion import ALL, Conversion
from vcproxy.config.document import Document, parse_document, read_document
from vcproxy.config.documents import Documents, matches
from vcproxy.config.errors import KeyProblem, OptionsError, Problem
from vcproxy.config.key_warnings import key_warnings
from vcproxy.config.options import instances, read_plugin
from vcproxy.config.plugin import Plugin, with_options
from vcproxy.config.plugin_loader import CONTENT, PluginError, PluginLoader
from vcproxy.config.positions import KeyPath
from vcproxy.config.private_files import readable_by_all
from vcproxy.config.schema import Settings, as_json
from vcproxy.config.secret import Secret
from vcproxy.config.tables.process import RecordTable
from vcproxy.input_files import read_file


@dataclass(frozen=True, slots=True)
class Configuration:
    """The content of a file: its settings, and the plugin of each listener by the listener's name.

    The options in `settings` are complete, defaults included. Two configurations with equal
    settings are equal, even if they come from different files.
    """

    settings: Settings
    plugins: Mapping[str, Plugin] = field(compare=False)
    file: Path = field(compare=False)
    documents: Documents = field(compare=False)
    """The file and those that it includes, as they were read."""
    sources: Mapping[str, bytes] = field(compare=False)
    """The source files of the plugins, and the files that options name. See PluginLoader."""
    files: Mapping[Path, bytes] = field(compare=False)
    """The content of the files that a reload reads again: of the configuration, of plugins that
    are named by their files, and of files that options, variables and secrets name."""
    warnings: tuple[Problem, ...] = field(compare=False, default=())
    """What is not wrong, but probably not meant: see `vcproxy.config.key_warnings`."""
    masked: Mapping[str, bytes] = field(compare=False, default_factory=dict)
    """What a recording has instead of those of `sources` that have secrets."""

    @property
    def watched(self) -> tuple[Path, ...]:
        """What to watch for changes: the files, and the directories in which more may appear."""
        return tuple(dict.fromkeys((*self.files, *self.documents.watched)))

    def outdated(self) -> bool:
        """Whether one of `files` is another now, or there are more or less. It reads them."""
        return any(_content(path) != content for path, content in self.files.items()) or any(
            matches(pattern) != found for pattern, found in self.documents.patterns.items()
        )

    @property
    def contents(self) -> tuple[Path, ...]:
        """Those of `files` that options name: they are watched in any case."""
        named = (each for each in self.sources if each.startswith(CONTENT))
        return tuple(Path(each.removeprefix(CONTENT)) for each in named)

    def needs_reload(self) -> bool:
        """Whether a file that is watched is another now: one of `files`, or without `[proxy]
        watch` one of `contents`. It reads them."""
        if self.settings.proxy.watch:
            return self.outdated()
        return any(_content(path) != self.files.get(path) for path in self.contents)

    def recorded_to(self, log: Path) -> "Configuration":
        """Return the same configuration, with its run recorded to a log of that path."""
        before = self.settings.record
        record = (
            RecordTable.model_construct(file=log)
            if before is None
            else before.model_copy(update={"file": log})
        )
        return replace(self, settings=self.settings.model_copy(update={"record": record}))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A configuration from the log of a recorded run: its text, and the sources of its plugins.

    The text has no variables, and contains the files that were included. Files and addresses are
    not checked again: they were checked before the recording.
    """

    text: str
    sources: Mapping[str, bytes]


def load(
    file: Path, recorded: Recorded | None = None, *, text_of: Path | None = None
) -> Configuration:
    """Read and check a configuration file and its plugins, or load one that was recorded.

    `text_of`: another file, which is read in place of it, as if it stood there. Raises ConfigError
    with every problem at once.
    """
    documents = read_documents(file, recorded, text_of)
    loader = PluginLoader(None if recorded is None else recorded.sources)
    settings, invalid, conversions = _read_tables(documents, recorded is not None)
    classes, not_found = _find_plugins(settings, loader)
    plugins, options, refused = _read_options(settings, classes, documents, conversions, loader)
    secret_files = _secret_files(settings, plugins)
    wrong = check(settings, classes, plugins) if recorded is None else ()
    warned = _warnings(settings, plugins, documents) if recorded is None else []
    later = [*not_found, *refused, *wrong]
    if invalid or later:
        from vcproxy.config import recovery

        error = documents.error([*invalid, *recovery.independent(later, invalid)])
        error.warnings = documents.located(recovery.independent(warned, invalid))
        further = [each for each in documents.watched if each != file.absolute()]
        certificates = certificate_files(settings, plugins.values())
        error.files = (*loader.files, *certificates, *further, *secret_files)
        raise error
    listeners = tuple(
        listener.model_copy(update={"options": options[index]})
        for index, listener in enumerate(settings.listener)
    )
    return Configuration(
        settings.model_copy(update={"listener": listeners}),
        MappingProxyType({each.name: plugins[index] for index, each in enumerate(listeners)}),
        file,
        documents,
        loader.sources,
        {**documents.files, **loader.files, **secret_files},
        documents.located(warned),
        loader.masked,
    )


def _content(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError:
        return b""


def read_documents(
    file: Path, recorded: Recorded | None = None, text_of: Path | None = None
) -> Documents:
    """Return a file and those that it includes, unchecked: see `load`. Raises ConfigError."""
    main = read_document(file, text_of) if recorded is None else parse_document(file, recorded.text)
    if "include" not in main.tree:
        return Documents([main])
    from vcproxy.config import include  # most configurations are one file

    return include.with_included(main) if recorded is None else include.recorded(main)


def _read_tables(
    documents: Documents, recorded: bool
) -> tuple[Settings, list[KeyProblem], list[Conversion]]:
    """Read documents with the schema; if one has problems, read only its valid part.

    Return what each may convert, too.
    """
    problems = list(documents.twice())
    settings: list[Settings] = []
    conversions: list[Conversion] = []
    for number, document in enumerate(documents.all):
        conversion = ALL if recorded else Conversion(document.variable_paths)
        conversions.append(conversion)
        found, invalid = _read_table(document, conversion)
        settings.append(found)
        problems += [documents.whole_problem(number, each) for each in invalid]
    return documents.merged(settings), problems, conversions


def _read_table(document: Document, conversion: Conversion) -> tuple[Settings, list[KeyProblem]]:
    unset = document.variable_problems
    if not unset:
        try:
            return _validated(document.tree, document.directory, conversion), []
        except ValidationError as error:
            from vcproxy.config import explain

            invalid = explain.key_problems(error, Settings)
    from vcproxy.config import recovery

    if unset:
        known = recovery.valid_part(document.tree, unset)
        try:
            return _validated(known, document.directory, conversion), unset
        except ValidationError as error:
            from vcproxy.config import explain

            found = explain.key_problems(error, Settings)
            invalid = [*unset, *recovery.independent(found, unset)]
    valid = recovery.valid_part(document.tree, invalid)
    return _validated(valid, document.directory, conversion), invalid


def _validated(tree: dict[str, object], directory: Path, conversion: Conversion) -> Settings:
    return conversion.validated(
        lambda: Settings.model_validate_json(as_json(tree), context={"directory": directory}), tree
    )


def _find_plugins(
    settings: Settings, loader: PluginLoader
) -> tuple[dict[int, type], list[KeyProblem]]:
    """Return the class of each listener's plugin, by the listener's index, and the problems."""
    classes: dict[int, type] = {}
    problems: list[KeyProblem] = []
    for index, listener in enumerate(settings.listener):
        try:
            found = loader.find(listener.plugin)
            classes[index] = with_options(found) if listener.options else found
        except PluginError as error:
            problems.append(KeyProblem(("listener", index, "plugin"), str(error)))
    return classes, problems


def _read_options(
    settings: Settings,
    classes: Mapping[int, type],
    documents: Documents,
    conversions: Sequence[Conversion],
    loader: PluginLoader,
) -> tuple[dict[int, Plugin], dict[int, dict[str, object]], list[KeyProblem]]:
    """Read the options of each plugin; return plugins, complete option tables and problems."""
    plugins: dict[int, Plugin] = {}
    tables: dict[int, dict[str, object]] = {}
    problems: list[KeyProblem] = []
    for index, cls in classes.items():
        listener, path = settings.listener[index], ("listener", index, "options")
        number, there = documents.of(path)
        directory, conversion = documents.all[number].directory, conversions[number].below(*there)
        try:
            plugin, tables[index] = read_plugin(
                cls, listener.options, directory, loader, conversion
            )
        except OptionsError as error:
            within: KeyPath = path
            problems += [each.below(within) for each in error.problems]
        else:
            plugins[index] = replace(plugin, code=loader.code(listener.plugin) | dict(plugin.code))
    return plugins, tables, problems


def _secret_files(settings: Settings, plugins: Mapping[int, Plugin]) -> dict[Path, bytes]:
    """Return the content of the files with secrets, by the absolute path."""
    found = [secret for _, secret in instances(Secret, settings)]
    found += [secret for plugin in plugins.values() for secret in plugin.secrets.values()]
    sources = [secret.source for secret in found if secret.source is not None]
    return {file.absolute(): content for file, content in sources}


def _warnings(
    settings: Settings, plugins: Mapping[int, Plugin], documents: Documents
) -> list[KeyProblem]:
    """Return all warnings, and those of files that variables name."""
    found = list(key_warnings(settings, plugins))
    for number, document in enumerate(documents.all):
        for path, file in document.named_by:
            if text := readable_by_all(file):
                found.append(KeyProblem(documents.whole(number, path), text))
    return found
