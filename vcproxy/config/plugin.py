"""Find the class that serves a listener: bundled, in a module, or in a file.

Files are loaded by their path, under a module name that no import statement can spell: what is
installed under the name `plugins` or `forward` is never taken for a plugin. Every load runs a
file's code anew, so that a reload serves what the file says now.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

import vcproxy
from vcproxy.config.place import KeyPath
from vcproxy.config.problem import did_you_mean
from vcproxy.config.schema import UpstreamTls, plugin_place
from vcproxy.engine.address import Address

Places = Mapping[str, Sequence[Address]]
"""Addresses, by the option that names them."""

Upstreams = Mapping[KeyPath, str | None]
"""Names of upstreams, by the path in the options that names them; None: the listener's is meant."""

BUNDLED = Path(vcproxy.__file__).parent / "plugins"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a class may be found as: how it is marked, and what that takes."""

    mark: str
    must_be: str

    def has(self, thing: object) -> TypeGuard[type]:
        """Whether a thing is a class of this kind."""
        return isinstance(thing, type) and bool(getattr(thing, self.mark, False))


LISTENERS = Kind("vcproxy_plugin", "a Session or a Program")
"""What may serve a listener."""

FILTERS = Kind("vcproxy_filter", "a Filter")
"""What may be one of the `filters` of a plugin's options."""


class PluginError(Exception):
    """A plugin cannot be used; the message says why."""


class NotOfKind(PluginError):
    """What was found is not of the kind that was asked for."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What serves a listener, or filters for it: a class, and its options (None if the class has no
    `Options`)."""

    cls: type
    options: object
    binds: Places = field(default_factory=dict)
    """Where else it listens."""
    connects: Places = field(default_factory=dict)
    """Where it connects to beside its upstream."""
    needs_bind: bool | None = None
    """True: its listener must have a `bind`; False: it must not; None: both are fine."""
    upstreams: Upstreams = field(default_factory=dict)
    """The upstreams that its options name."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What is worth knowing of its options, by the option."""
    code: Mapping[str, bytes] = field(default_factory=dict)
    """What it was loaded from, and its filters."""
    unused_methods: Mapping[str, str] = field(default_factory=dict)
    """The methods that are never called with these options, and why: its own, and those of its
    filters."""
    filters: "tuple[Plugin, ...]" = ()
    """Those that its options name, in their order."""

    def with_filters(self, filters: "tuple[Plugin, ...]") -> "Plugin":
        """Return it with these filters, and the upstreams that their options name."""
        named = {
            ("filters", index, "options", *path): name
            for index, each in enumerate(filters)
            for path, name in each.upstreams.items()
        }
        code = dict(self.code)
        for each in filters:
            code |= each.code
        return replace(self, filters=filters, upstreams={**self.upstreams, **named}, code=code)

    @property
    def tls(self) -> UpstreamTls:
        """How those of `connects` on tls:// are verified: the option `tls`, if there is one."""
        told = getattr(self.options, "tls", None)
        return told if isinstance(told, UpstreamTls) else UpstreamTls()

    @property
    def needs_tls(self) -> bool:
        """Whether one of `connects` is tls://."""
        return any(address.secure for places in self.connects.values() for address in places)


class Plugins:
    """The plugins of one configuration; listeners that name the same file share its module.

    `recorded`: their sources, by what stands before the ":Class", in place of those that are here.
    """

    def __init__(self, recorded: Mapping[str, bytes] | None = None) -> None:
        self.sources: dict[str, bytes] = {}
        """What they were loaded from, in the same form."""
        self._recorded = recorded
        self._files: dict[Path, ModuleType] = {}

    def find(self, spec: str, kind: Kind = LISTENERS) -> type:
        """Return the class that "name", "package.module:Class" or "path/file.py:Class" names.

        Without ":Class", it is the one plugin that the module defines itself, names that begin
        with an underscore aside. Raises PluginError.
        """
        found, place = self.named(spec, kind), plugin_place(spec)
        if not kind.has(found):
            name = spec[len(place) + 1 :]
            raise NotOfKind(f"{name} in {place} is not a plugin: it must be {kind.must_be}")
        if not steps_in(found):
            raise PluginError(
                f"{found.__name__} in {place} must step in somewhere: request_head(), or another "
                "phase"
            )
        return found

    def named(self, spec: str, kind: Kind = LISTENERS) -> object:
        """Return what a plugin is looked for under, whatever it is. Raises PluginError."""
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
        """What a plugin that was found was loaded from."""
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
                f'"{place}" is neither a name nor a module nor a file that ends in .py'
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
                raise PluginError(f"there is no module {error.name}") from None
            raise failed(error) from None
        except KeyboardInterrupt:
            raise  # of who starts the proxy: no signal has a handler yet
        except BaseException as error:
            raise failed(error) from None

    def _bundled(self, name: str) -> ModuleType:
        for path in (BUNDLED / f"{name}.py", BUNDLED / name / "__init__.py"):
            if path.is_file():
                return self._file(path, name)
        hint = did_you_mean(name, _bundled_names())
        own = '; your own are written "path/file.py:Class" or "package.module:Class"'
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
                raise PluginError(f"{place} has no source in the log")
            own_name = "" if bundled or place.endswith(".py") else place
            self._files[path] = _run(path, recorded[place], own_name)
        self.sources[place] = recorded[place]
        return self._files[path]


def options_type(plugin: type) -> type | None:
    """Return a plugin's `Options`, a dataclass or pydantic model, if it has any."""
    found: type | None = getattr(plugin, "Options", None)
    return found


def needs_upstream(plugin: type) -> bool | None:
    """Return True if a plugin needs an upstream, False if it takes none, None if both are fine."""
    needed: bool | None = getattr(plugin, "needs_upstream", None)
    return needed


def steps_in(plugin: type) -> bool:
    """Return whether a plugin does anything: a filter whose only phase is misspelt does not."""
    own_phases = getattr(plugin, "own_phases", None)
    return not FILTERS.has(plugin) or own_phases is None or bool(own_phases())


def overrides(plugin: type, method: str) -> bool:
    """Return whether a class has another method of that name than the first of its bases."""
    own = [vars(each)[method] for each in plugin.__mro__ if method in vars(each)]
    return len(own) > 1


def takes_datagrams(plugin: type) -> bool:
    """Return whether a plugin may listen at udp://."""
    return bool(getattr(plugin, "datagrams", False))


def alpn_refused(plugin: type) -> frozenset[str]:
    """Return the application protocols that a plugin does not speak, by their names in ALPN."""
    return frozenset(getattr(plugin, "alpn_refused", ()))


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
                f'{place} defines {", ".join(names)}: say which, as "{place}:{names[0]}"'
            )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PluginError(f"cannot read {path}: {error.strerror}") from None


def _run(path: Path, source: bytes, name: str = "") -> ModuleType:
    """Run a file as a module of its own; a package, if it is the __init__.py of a folder."""
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
    """Return a PluginError that says what a plugin's code raised, and on which line of it."""
    file, line = _scene(error)
    return PluginError(f"{type(error).__name__} at {file}:{line}: {_what(error)}")


def _what(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return error.msg
    return str(error) or "no message"


def _scene(error: BaseException) -> tuple[str, int]:
    """Return the file of the plugin that failed, and the last line in it that was being run."""
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
