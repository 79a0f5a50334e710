"""Read a plugin's own options: a table of the file, converted to the plugin's `Options`.

Tested in tests/config/test_loader.py and test_problems.py.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from vcproxy.config.conversion import NONE, Conversion
from vcproxy.config.errors import KeyProblem, OptionsError
from vcproxy.config.file_content import ReadFile
from vcproxy.config.plugin import AddressesByOption, Plugin, Upstreams, options_type
from vcproxy.config.plugin_loader import FILTERS, PluginError, PluginLoader, failed
from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import as_json
from vcproxy.config.secret import Secret
from vcproxy.config.values import CommandLine, FilterTable, NamedUpstream
from vcproxy.engine.address import Address

T = TypeVar("T")


def read_plugin(
    cls: type,
    table: dict[str, object],
    directory: Path,
    loader: PluginLoader,
    conversion: Conversion = NONE,
) -> tuple[Plugin, dict[str, object]]:
    """Read a plugin's options and filters; return the plugin and the complete table of its options.

    Args:
        cls: the class of the plugin.
        table: its options as written in the file.
        directory: the base of relative paths in the options.
        loader: used to find the classes of the filters.
        conversion: which of the texts may become numbers.

    Raises OptionsError with every problem in the options; if they have none, in the filters.
    """
    options, complete = read_options(cls, table, directory, loader.read, conversion)
    plugin = _plugin(cls, options)
    filters, tables = _read_filters(options, directory, loader, conversion)
    if tables:
        complete["filters"] = tables
    return plugin.with_filters(filters), complete


def read_options(
    plugin: type,
    table: dict[str, object],
    directory: Path,
    read: ReadFile | None = None,
    conversion: Conversion = NONE,
) -> tuple[object, dict[str, object]]:
    """Return a plugin's options, and a table of the same options with every default.

    The options are None for a plugin that has no `Options`. `read`: reads the files that options
    name; None: as they are on disk. Raises OptionsError.
    """
    kind = options_type(plugin)
    if kind is None:
        if table:
            raise OptionsError(
                KeyProblem((), f"{plugin.__name__} has no options: remove this table")
            )
        return None, {}
    if not (isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, BaseModel))):
        needed = f"Options of {plugin.__name__} must be a dataclass or a pydantic model"
        raise OptionsError(KeyProblem((), needed))
    try:
        adapter = TypeAdapter(kind)
        options = conversion.validated(
            lambda: adapter.validate_json(
                as_json(table),
                strict=True,
                extra="forbid",
                context={"directory": directory, "read": read},
            ),
            table,
        )
        return options, adapter.dump_python(options, mode="json", exclude_none=True)
    except ValidationError as error:
        from vcproxy.config import explain

        raise OptionsError(*explain.key_problems(error, kind)) from None
    except PydanticSerializationError as error:  # a default is used as it is written
        why = f'a default is not of the type of its option, as Secret("") for a Secret: {error}'
        raise OptionsError(KeyProblem((), why)) from None
    except BaseException as error:  # raised by a validator of the plugin's author
        raise OptionsError(KeyProblem((), str(failed(error)))) from None


def _plugin(cls: type, options: object) -> Plugin:
    """Call the hooks of a plugin class with its options; return the Plugin. Raises OptionsError."""

    def addresses(hook: str) -> dict[str, tuple[Address, ...]]:
        declare = getattr(cls, hook, None)
        named: AddressesByOption = declare(options) if declare is not None else {}
        return {option: tuple(each) for option, each in named.items()}

    def declared(hook: str) -> dict[str, str]:
        declare = getattr(cls, hook, None)
        return dict(declare(options)) if declare is not None else {}

    _check_intervals(cls, options)
    try:
        needs_bind = getattr(cls, "needs_bind", None)
        upstreams = getattr(cls, "upstreams", None)
        named: Upstreams = upstreams(options) if upstreams is not None else {}
        return Plugin(
            cls,
            options,
            binds=addresses("binds"),
            connects=addresses("connects"),
            needs_bind=needs_bind(options) if needs_bind is not None else None,
            upstreams=dict(instances(NamedUpstream, options, ())) | dict(named),
            commands=dict(instances(CommandLine, options, ())),
            secrets=dict(instances(Secret, options, ())),
            notes=declared("notes"),
            unused_methods=declared("unused_methods"),
        )
    except BaseException as error:  # raised by a hook of the plugin's author
        raise OptionsError(KeyProblem((), str(failed(error)))) from None


def _check_intervals(cls: type, options: object) -> None:
    """Raise OptionsError if the options lack the interval of a periodic method."""
    if not getattr(cls, "periodic", False):
        return
    from vcproxy.machine.every import periodic_methods  # few plugins have periodic work

    for _, declared in periodic_methods(cls):
        try:
            declared.interval_s(options)
        except TypeError as mistake:
            key = (declared.option,) if declared.option else ()
            raise OptionsError(KeyProblem(key, str(mistake))) from None


def instances(kind: type[T], value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, T]]:
    """Yield every instance of a class inside a value, with its path."""
    if isinstance(value, kind):
        yield path, value
    elif isinstance(value, list | tuple | set | frozenset):
        for index, each in enumerate(value):
            yield from instances(kind, each, (*path, index))
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from instances(kind, each, (*path, key))
    elif isinstance(value, BaseModel):
        yield from instances(kind, dict(value), path)
    elif is_dataclass(value):
        for field in fields(value):
            yield from instances(kind, getattr(value, field.name), (*path, field.name))


def _read_filters(
    options: object, directory: Path, loader: PluginLoader, conversion: Conversion
) -> tuple[tuple[Plugin, ...], list[dict[str, object]]]:
    """Return the filters in the option `filters`, if it has the type Filters, and their tables.

    Raises OptionsError with the problems of all filters.
    """
    named = getattr(options, "filters", ())
    if not (named and isinstance(named, tuple) and isinstance(named[0], FilterTable)):
        return (), []
    found: list[Plugin] = []
    tables: list[dict[str, object]] = []
    problems: list[KeyProblem] = []
    for index, each in enumerate(named):
        path: KeyPath = ("filters", index)
        try:
            cls = loader.find(each.plugin, FILTERS)
            its = conversion.below(*path, "options")
            own, table = read_options(cls, each.options, directory, loader.read, its)
            found.append(replace(_plugin(cls, own), code=loader.code(each.plugin)))
            tables.append({"plugin": each.plugin, "options": table})
        except PluginError as error:
            problems.append(KeyProblem((*path, "plugin"), str(error)))
        except OptionsError as error:
            problems += [problem.below((*path, "options")) for problem in error.problems]
    if problems:
        raise OptionsError(*problems)
    return tuple(found), tables
