"""Find and load the class of a plugin: bundled, in a module, or in a file.

A file is loaded by its path, under a module name that is not valid in an import statement. So it
never conflicts with an installed package, such as one named `plugins` or `forward`. Every load runs
the file's code again, so that a reload uses the current content.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import current_thread, main_thread
from types import ModuleType
from typing import Final, TypeGuard

import vcproxy
from vcproxy.config.errors import did_you_mean
from vcproxy.config.file_content import read_file
from vcproxy.config.private_names import redefined
from vcproxy.config.values import plugin_place
from vcproxy.input_files import read_file as read_source

BUNDLED = Path(vcproxy.__file__).parent / "plugins"

CONTENT: Final = "content of "
"""What the place of a file begins with that an option names. No plugin has such a name."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of plugin: the attribute that marks its classes, and the required base as text."""

    mark: str
    must_be: str

    def has(self, thing: object) -> TypeGuard[type]:
        """Whether an object is a class of this kind."""
        return isinstance(thing, type) and bool(getattr(thing, self.mark, False))


LISTENERS = Kind("vcproxy_plugin", "a Session or a Program")
"""Classes that can serve a listener."""

FILTERS = Kind("vcproxy_filter", "a Filter")
"""Classes allowed in the option `filters` of a plugin."""


class PluginError(Exception):
    """A plugin cannot be used; the message gives the reason."""


class NotOfKind(PluginError):
    """A class is not of the requested kind, or a module has no class of it."""


class PluginLoader:
    """Loads the plugins of one configuration; listeners that name the same file share its module.

    Args:
        recorded: the source files to use instead of those on disk, by the plugin's name without
            ":Class".
    """

    def __init__(self, recorded: Mapping[str, bytes] | None = None) -> None:
        self.sources: dict[str, bytes] = {}
        """The source files loaded so far, by the plugin's name without ":Class"; and the files that
        options name, by CONTENT and their paths."""
        self.files: dict[Path, bytes] = {}
        """The content of the files that plugins and options name; b"" of one that cannot be read.
        A reload reads them again."""
        self.masked: dict[str, bytes] = {}
        """What a recording has in place of those of `sources` with secrets, by the same keys."""
        self._recorded = recorded
        self._files: dict[Path, ModuleType] = {}

    def find(self, spec: str, kind: Kind = LISTENERS) -> type:
        """Return the class of "name", "package.module:Class" or "path/file.py:Class".

        Without ":Class", the module itself must define exactly one plugin; names that begin with an
        underscore are not counted. Raises PluginError.
        """
        found, place = self.named(spec, kind), plugin_place(spec)
        if not kind.has(found):
            name = spec[len(place) + 1 :]
            raise NotOfKind(f"{name} in {place} is not a plugin: it must be {kind.must_be}")
        if not _has_a_phase(found):
            raise PluginError(
                f"{found.__name__} in {place} does nothing: define request_head() or another phase"
            )
        if taken := redefined(found):
            raise PluginError(
                f"{found.__name__} in {place} sets {taken[0]}, which {taken[1].__name__} uses "
                "itself: choose another name"
            )
        return found

    def named(self, spec: str, kind: Kind = LISTENERS) -> object:
        """Return the object with this name, even if it is not of this kind. Raises PluginError.

        Without ":Class" in the name, return the only class of this kind in the module.
        """
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

    def read(self, path: Path, recorded: Callable[[bytes], bytes] = bytes) -> bytes:
        """Return the content of a file that an option names: see FileContent. Raises ValueError."""
        place = f"{CONTENT}{path}"
        if self._recorded is not None:
            if place not in self._recorded:
                raise ValueError(f"the log has no content of {path}")
            content = self._recorded[place]
        else:
            self.files[path] = b""
            self.files[path] = content = read_file(path)
        self.sources[place] = content
        try:
            self.masked[place] = recorded(content)
        except ValueError:  # the content is refused anyway
            self.masked[place] = b""
        return content

    def code(self, spec: str) -> dict[str, bytes]:
        """Return the source files of a plugin returned by `find`."""
        place = plugin_place(spec)
        return {
            each: source
            for each, source in self.sources.items()
            if each == place or each.startswith(f"{place}:")
        }

    def _module(self, place: str, bundled: bool) -> ModuleType:
        if self._recorded is not None:
            return self._from_log(place, self._recorded, bundled)
        # The script of a machine process may have any name.
        if place.endswith(".py") or ("/" in place and Path(place).is_file()):
            self.files[Path(place)] = b""
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
            if path in self.files:
                self.files[path] = source
            self._files[path] = module = _run(path, source)
            for name, each in list(sys.modules.items()):  # the other modules of a package
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
    """Whether a filter defines a phase. It has none if the name of its only phase is misspelt."""
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
        return read_source(path)
    except OSError as error:
        raise PluginError(f"cannot read {path}: {error.strerror}") from None


def _run(path: Path, source: bytes, name: str = "") -> ModuleType:
    """Run a file as a module, or as a package if the file is an __init__.py; return the module."""
    package = [str(path.parent)] if path.name == "__init__.py" else None
    name = name or f"vcproxy plugin {path}".replace(".", "_")
    loader = SourceFileLoader(name, str(path))  # whatever the file is called
    spec = spec_from_file_location(name, path, loader=loader, submodule_search_locations=package)
    assert spec is not None
    module = module_from_spec(spec)
    for stale in [key for key in sys.modules if key.startswith(f"{name}.")]:
        del sys.modules[stale]
    sys.modules[name] = module  # needed by dataclasses
    try:
        # Do not use the loader of the spec: its bytecode cache is stale if an edit within the same
        # second keeps the length of the file.
        exec(compile(source, path, "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        raise failed(error) from None
    return module


def failed(error: BaseException) -> PluginError:
    """Return a PluginError with the exception raised by a plugin's code, and its file and line.

    Raises KeyboardInterrupt if it is one in the main thread: that is Ctrl-C, as signal handlers are
    not installed yet. In a reload, which has a thread of its own, the plugin has raised it.
    """
    if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
        raise error
    file, line = _failing_line(error)
    place = f"{file}:{line}: "
    text = f"{type(error).__name__} at {place}{_message(error).removeprefix(place)}"
    return PluginError(text + _hint(error, Path(file)))


def _hint(error: BaseException, file: Path) -> str:
    """Return what to do about a module that is not found, but stands beside the file."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if not name or not (file.parent / f"{name}.py").is_file():
        return ""
    return (
        f"; {name}.py stands beside it, but a folder of plugins is not searched: put both into a "
        f'package, whose __init__.py is the plugin, and write "from .{name} import ..."'
    )


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return error.msg
    return str(error) or "no message"


def _failing_line(error: BaseException) -> tuple[str, int]:
    """Return the plugin's file in the traceback, and the last line executed in it."""
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
