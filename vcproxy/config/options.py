"""A plugin's own options: a table of the file, read as the plugin's `Options`."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from vcproxy.config.place import KeyPath
from vcproxy.config.plugin import (
    FILTERS,
    Places,
    Plugin,
    PluginError,
    Plugins,
    Upstreams,
    failed,
    options_type,
)
from vcproxy.config.problem import KeyFault, OptionsError
from vcproxy.config.schema import FilterTable, NamedUpstream, as_json
from vcproxy.engine.address import Address


def read_options(
    plugin: type, table: dict[str, object], directory: Path
) -> tuple[object, dict[str, object]]:
    """Return a plugin's options, and the table that says the same with every default written out.

    The options are None for a plugin that has no `Options`. Raises OptionsError.
    """
    kind = options_type(plugin)
    if kind is None:
        if table:
            raise OptionsError(KeyFault((), f"{plugin.__name__} takes no options"))
        return None, {}
    if not (isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, BaseModel))):
        needed = f"Options of {plugin.__name__} must be a dataclass or a pydantic model"
        raise OptionsError(KeyFault((), needed))
    try:
        adapter = TypeAdapter(kind)
        options = adapter.validate_json(
            as_json(table), strict=True, extra="forbid", context={"directory": directory}
        )
        return options, adapter.dump_python(options, mode="json", exclude_none=True)
    except ValidationError as error:
        from vcproxy.config import explain

        raise OptionsError(*explain.faults(error, kind)) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever else an author's own validators raise
        raise OptionsError(KeyFault((), str(failed(error)))) from None


def with_places(plugin: type, options: object, code: Mapping[str, bytes] | None = None) -> Plugin:
    """Return a plugin with its options, and what it says that they mean.

    Raises OptionsError.
    """

    def places(hook: str) -> dict[str, tuple[Address, ...]]:
        ask = getattr(plugin, hook, None)
        named: Places = ask(options) if ask is not None else {}
        return {option: tuple(addresses) for option, addresses in named.items()}

    try:
        ask = getattr(plugin, "needs_bind", None)
        needs_bind = ask(options) if ask is not None else None
        ask = getattr(plugin, "upstreams", None)
        upstreams: Upstreams = ask(options) if ask is not None else {}
        named = dict(_upstreams(options, ())) | dict(upstreams)
        ask = getattr(plugin, "unused_methods", None)
        tell = getattr(plugin, "notes", None)
        notes = dict(tell(options)) if tell is not None else {}
        unused_methods = dict(ask(options)) if ask is not None else {}
        return Plugin(
            plugin,
            options,
            binds=places("binds"),
            connects=places("connects"),
            needs_bind=needs_bind,
            upstreams=named,
            notes=notes,
            code=code or {},
            unused_methods=unused_methods,
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever an author's own code raises
        raise OptionsError(KeyFault((), str(failed(error)))) from None


def _upstreams(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """The upstreams that a value names, and those that are in it."""
    if isinstance(value, NamedUpstream):
        yield path, value
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _upstreams(each, (*path, index))
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _upstreams(each, (*path, key))
    elif isinstance(value, BaseModel):
        yield from _upstreams(dict(value), path)
    elif is_dataclass(value):
        for each in fields(value):
            yield from _upstreams(getattr(value, each.name), (*path, each.name))


def read_filters(
    options: object, complete: dict[str, object], shelf: Plugins, directory: Path
) -> tuple[Plugin, ...]:
    """Return what a plugin's option `filters` names, if it has one of the type Filters.

    Their options are written out in the table `complete`, as the plugin's own are. Raises
    OptionsError.
    """
    named = getattr(options, "filters", ())
    if not (named and isinstance(named, tuple) and isinstance(named[0], FilterTable)):
        return ()
    found: list[Plugin] = []
    tables: list[dict[str, object]] = []
    faults: list[KeyFault] = []
    for index, each in enumerate(named):
        path: KeyPath = ("filters", index)
        try:
            cls = shelf.find(each.plugin, FILTERS)
            own, table = read_options(cls, each.options, directory)
            found.append(with_places(cls, own, shelf.code(each.plugin)))
        except PluginError as error:
            faults.append(KeyFault((*path, "plugin"), str(error)))
        except OptionsError as error:
            path = (*path, "options")
            faults += [KeyFault((*path, *fault.path), fault.message) for fault in error.faults]
        else:
            tables.append({"plugin": each.plugin, "options": table})
    if faults:
        raise OptionsError(*faults)
    complete["filters"] = tables
    return tuple(found)
