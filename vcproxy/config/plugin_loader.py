"""Find and load the class of a plugin: bundled, in a module, or in a file.

Files are loaded by their path, under a module name that no import statement can contain: a package
installed under the name `plugins` or `forward` is never taken for a plugin. Every load runs a
file's code again, so that a reload uses the file as it is now.
"""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

import vcproxy
from vcproxy.config.errors import did_you_mean
from vcproxy.config.values import plugin_place

BUNDLED = Path(vcproxy.__file__).parent / "plugins"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of plugin: the attribute that marks its classes, and the bases it requires."""

    mark: str
    must_be: str

    def has(self, thing: object) -> TypeGuard[type]:
        """Return whether an object is a class of this kind."""
        return isinstance(thing, type) and bool(getattr(thing, self.mark, False))


LISTENERS = Kind("vcproxy_plugin", "a Session or a Program")
"""Classes that serve a listener."""

FILTERS = Kind("vcproxy_filter", "a Filter")
"""Classes for the `filters` of a plugin's options."""


class PluginError(Exception):
    """A plugin cannot be used; the message gives the reason."""


class NotOfKind(PluginError):
    """The class is not of the requested kind."""


class PluginLoader:
    """Loads the plugins of one configuration; listeners that name the same file share its module.

    Args:
        recorded: the source files to use instead of those on disk, by the plugin's name without
            ":Class".
    """

    def __init__(self, recorded: Mapping[str, bytes] | None = None) -> None:
        self.sources: dict[str, bytes] = {}
        """The source files that were loaded, by the same names."""
        self._recorded = recorded
        self._files: dict[Path, ModuleType] = {}

    def find(self, spec: str, kind: Kind = LISTENERS) -> type:
        """Return the class that "name", "package.module:Class" or "path/file.py:Class" names.

        Without ":Class", it is the only plugin that the module itself defines, not counting names
        that begin with an underscore. Raises PluginError.
        """
        found, place = self.named(spec, kind), plugin_place(spec)
        if not kind.has(found):
            name = spec[len(place) + 1 :]
            raise NotOfKind(f"{name} in {place} is not a plugin: it must be {kind.must_be}")
        if not _has_a_phase(found):
            raise PluginError(
                f"{found.__name__} in {place} does nothing: define request_head() or another phase"
            )
        return found

    def named(self, spec: str, kind: Kind = LISTENERS) -> object:
        """Return the object that a plugin's name stands for, of any kind. Raises PluginError."""
        place = plugin_place(spec)
        module = self._module(place, bundled=place == spec and "." not in place)
        if place == spec:
            return _only_plugin(module, place, kind)
        name = spec[len(place) + 1 :]
        found: object = getattr(module, name, None)
        if found is None:
            classes = [key for key, value in vars(module).items() if kind.has(value)]
            raise PluginError(f"{place} has no class {name}{did_you_mean(name, classes)}")
        return found

    def code(self, spec: str) -> dict[str, bytes]:
        """Return the source files of a plugin that was found."""
        place = plugin_place(spec)
        return {
            each: source
            for each, source in self.sources.items()
            if each == place or each.startswith(f"{place}:")
        }

    def _module(self, place: str, bundled: bool) -> ModuleType:
        if self._recorded is not None:
            return self._from_log(place, self._recorded, bundled)
        if place.endswith(".py"):
            return self._file(Path(place), place)
        if not all(part.isidentifier() for part in place.split(".")):
            raise PluginError(
                f'"{place}" is neither a bundled name nor a module nor a file that ends in .py'
            )
        if bundled:
            return self._bundled(place)
        try:
            module = importlib.import_module(place)
            if module.__file__ is not None and module.__file__.endswith(".py"):
                self.sources[place] = Path(module.__file__).read_bytes()
            return module
        except ModuleNotFoundError as error:
            if error.name and f"{place}.".startswith(f"{error.name}."):
                raise PluginError(
                    f"there is no module {error.name}: install it, or correct the name"
                ) from None
            raise failed(error) from None
        except KeyboardInterrupt:
            raise  # from the terminal: at this time no signal has a handler yet
        except BaseException as error:
            raise failed(error) from None

    def _bundled(self, name: str) -> ModuleType:
        for path in (BUNDLED / f"{name}.py", BUNDLED / name / "__init__.py"):
            if path.is_file():
                return self._file(path, name)
        hint = did_you_mean(name, _bundled_names())
        own = '; write your own as "path/file.py:Class" or "package.module:Class"'
        raise PluginError(f'there is no bundled plugin "{name}"{hint or own}')

    def _file(self, path: Path, place: str) -> ModuleType:
        if path not in self._files:
            self.sources[place] = source = _read(path)
            self._files[path] = module = _run(path, source)
            for name, each in list(sys.modules.items()):  # the rest of a package
                if name.startswith(f"{module.__name__}.") and each.__file__ is not None:
                    self.sources[f"{place}:{name}"] = _read(Path(each.__file__))
        return self._files[path]

    def _from_log(self, place: str, recorded: Mapping[str, bytes], bundled: bool) -> ModuleType:
        path = BUNDLED / f"{place}.py" if bundled else Path(place)
        if path not in self._files:
            if place not in recorded:
                raise PluginError(f"the log has no source of {place}")
            own_name = "" if bundled or place.endswith(".py") else place
            self._files[path] = _run(path, recorded[place], own_name)
        self.sources[place] = recorded[place]
        return self._files[path]


def _has_a_phase(plugin: type) -> bool:
    """Return whether a filter defines a phase, which it does not if the only one is misspelt."""
    own_phases = getattr(plugin, "own_phases", None)
    return not FILTERS.has(plugin) or own_phases is None or bool(own_phases())


def _bundled_names() -> list[str]:
    return [p.stem for p in BUNDLED.glob("*") if p.suffix == ".py" or (p / "__init__.py").is_file()]


def _only_plugin(module: ModuleType, place: str, kind: Kind) -> type:
    own = {
        name: value
        for name, value in vars(module).items()
        if kind.has(value)
        and f"{value.__module__}.".startswith(f"{module.__name__}.")
        and not name.startswith("_")
    }
    match list(own):
        case [name]:
            return own[name]
        case []:
            raise NotOfKind(f"{place} defines no plugin: no class in it is {kind.must_be}")
        case names:
            raise PluginError(
                f'{place} defines {", ".join(names)}: name one of them, as "{place}:{names[0]}"'
            )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PluginError(f"cannot read {path}: {error.strerror}") from None


def _run(path: Path, source: bytes, name: str = "") -> ModuleType:
    """Run a file as a module; a package, if it is the __init__.py of a folder."""
    package = [str(path.parent)] if path.name == "__init__.py" else None
    name = name or f"vcproxy plugin {path}".replace(".", "_")
    spec = spec_from_file_location(name, path, submodule_search_locations=package)
    assert spec is not None
    module = module_from_spec(spec)
    for stale in [key for key in sys.modules if key.startswith(f"{name}.")]:
        del sys.modules[stale]
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        # Not by the loader of the spec: its cache of bytecode misses an edit of the same length
        # within the same second.
        exec(compile(source, path, "exec", dont_inherit=True), vars(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise failed(error) from None
    return module


def failed(error: BaseException) -> PluginError:
    """Return a PluginError with the exception that a plugin's code raised, and its line."""
    file, line = _failing_line(error)
    return PluginError(f"{type(error).__name__} at {file}:{line}: {_message(error)}")


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return error.msg
    return str(error) or "no message"


def _failing_line(error: BaseException) -> tuple[str, int]:
    """Return the file of the plugin that failed, and the last line in it that was executed."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    lines: dict[str, int] = {}
    step = error.__traceback__
    while step is not None:
        code, module = step.tb_frame.f_code, step.tb_frame.f_globals.get("__name__", "")
        if module.split(".")[0] not in ("vcproxy", "importlib", "pydantic"):
            lines[code.co_filename] = step.tb_lineno
        step = step.tb_next
    return next(iter(lines.items()), ("?", 0))
