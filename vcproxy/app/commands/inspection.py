"""Inspection: `vcproxy plugin check` prints the properties of a plugin, or its errors.

The plugin is loaded as in the proxy, and its class is inspected; no session is started. Tested in
tests/app/test_plugin_command.py.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import tomli_w
from pydantic import TypeAdapter

from vcproxy.bus.dispatch.on_message import message_methods
from vcproxy.config.errors import OptionsError, did_you_mean
from vcproxy.config.options import read_options
from vcproxy.config.plugin import needs_upstream, options_type, with_options
from vcproxy.config.plugin_loader import FILTERS, NotOfKind, PluginError, PluginLoader
from vcproxy.config.secret import shown
from vcproxy.config.values import plugin_place
from vcproxy.http.filters import Filter, Phases
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.machine.every import periodic_methods
from vcproxy.machine.machine import Machine
from vcproxy.messages.splitter import Splitter
from vcproxy.messages.validator import Validator
from vcproxy.relay.relay import Relay
from vcproxy.sessions.program import Program
from vcproxy.sessions.session import Session

BASES = (Validator, Splitter, HttpProxy, Session, Relay, Program, Filter)
UPSTREAM = {True: "required", False: "none", None: "optional"}


def inspect_plugin(spec: str) -> str:
    """Return a text about the plugin: its class, then indented its states or phases and options.

    Raises PluginError with every problem, each with its file and line. If a problem has several
    lines, all but the first are indented.
    """
    try:
        plugin = _find(spec)
    except PluginError as error:
        raise PluginError(_indented(f"{spec}: {error}")) from None
    file = plugin_place(spec)
    if not file.endswith(".py"):
        file = inspect.getfile(plugin)
    place = f"{file}:{inspect.getsourcelines(plugin)[1]}"
    problems = [_indented(f"{place}: {problem}") for problem in _problems(plugin)]
    if problems:
        raise PluginError("\n".join(problems))
    return _indented("\n".join(_lines(plugin, place))) + "\n"


def _indented(text: str) -> str:
    """Indent all lines of a text except the first."""
    first, line_break, rest = text.partition("\n")
    return first + line_break + textwrap.indent(rest, "  ")


def _find(spec: str) -> type:
    loader = PluginLoader()
    try:
        return loader.find(spec)
    except NotOfKind as error:
        try:
            return loader.find(spec, FILTERS)
        except NotOfKind:
            raise error from None


def _problems(plugin: type) -> Iterator[str]:
    name = plugin.__name__
    if issubclass(plugin, Machine) and not plugin.states:
        yield f"{name} declares no states: declare one, or name a subclass that does"
    if issubclass(plugin, Validator) and plugin.check is Validator.check:
        yield f"{name} must define check(), which validates a message"
    if (
        issubclass(plugin, Program)
        and plugin.handle_event is Program.handle_event
        and not message_methods(plugin)
    ):
        yield f"{name} must define handle_event()"
    for key in ("framing", "replies"):
        framing = getattr(plugin, key, None)
        if framing is not None and not all(
            hasattr(framing, verb) for verb in ("decoder", "encode")
        ):
            yield f"{name}.{key} is {framing!r}, which is not a framing: write for example lines()"
    base = next(base for base in BASES if issubclass(plugin, base))
    yield from _uncallable(plugin, base)
    if needs_upstream(plugin) not in UPSTREAM:
        yield f"{name}.needs_upstream must be True, False or None"
    try:
        read_options(plugin, {}, Path())
    except OptionsError as error:
        wrong = [each for each in error.problems if not each.message.startswith("is missing")]
        if wrong:
            for problem in wrong:
                yield ": ".join([f"Options of {name}", *map(str, problem.path), problem.message])
            return
    yield from _unknown_intervals(plugin)


def _uncallable(plugin: type, base: type) -> Iterator[str]:
    """Report methods of the base that the plugin overrides with fewer or other parameters."""
    for key, expected in inspect.getmembers(base, inspect.isroutine):
        own = getattr(plugin, key)
        if key.startswith("_") or own is expected or not inspect.isroutine(own):
            continue
        needed = [
            each.name
            for each in inspect.signature(expected).parameters.values()
            if each.kind is each.POSITIONAL_OR_KEYWORD and each.default is each.empty
        ]
        takes = inspect.signature(own)
        try:
            takes.bind(*needed)
        except TypeError:
            method = f"{plugin.__name__}.{key}"
            yield f"{method}{takes} is called as {key}({', '.join(needed)}): take these parameters"


def _unknown_intervals(plugin: type) -> Iterator[str]:
    """Report periodic methods whose interval is an option that there is not."""
    kind = options_type(plugin)
    known = [] if kind is None else list(TypeAdapter(kind).json_schema().get("properties", {}))
    for name, each in periodic_methods(plugin):
        if each.option and each.option not in known:
            hint = did_you_mean(each.option, known)
            yield f'{name}: every(option="{each.option}"): Options has no such option{hint}'


def _lines(plugin: type, place: str) -> Iterator[str]:
    kind = next(base.__name__ for base in BASES if issubclass(plugin, base))
    documentation = (plugin.__doc__ or "").strip().partition("\n")[0]
    yield f"{place}: {plugin.__name__}, a {kind}: {documentation}".removesuffix(": ")
    if issubclass(plugin, Phases):
        yield f"phases: {', '.join(plugin.own_phases()) or 'none'}"
    if not issubclass(plugin, Filter):
        yield f"upstream: {UPSTREAM[needs_upstream(plugin)]}"
    machines = getattr(plugin, "machines", ())
    if issubclass(plugin, Machine):
        machines = (plugin, *plugin.parts)
    for machine in machines:
        yield f"states of {machine.__name__}: {', '.join(state.name for state in machine.states)}"
    if messages := [text for each in message_methods(plugin).values() for text in each.patterns]:
        yield f"messages: {', '.join(messages)}"
    if calls := [f"{name} every {each.shown}" for name, each in periodic_methods(plugin)]:
        yield f"periodic: {', '.join(calls)}"
    plugin = with_options(plugin)
    kind_of_options = options_type(plugin)
    if kind_of_options is None:
        yield "options: none"
        return
    schema = TypeAdapter(kind_of_options).json_schema()
    required = schema.get("required", [])
    try:
        defaults = read_options(plugin, {}, Path())[1]
    except OptionsError:  # some options are required
        defaults = {}
    yield "options:"
    for key, of in schema.get("properties", {}).items():
        default = defaults.get(key, of.get("default"))
        if key in required:
            yield f"  {key}: required"
        elif default is None:
            yield f"  {key}: optional"
        else:
            yield textwrap.indent(tomli_w.dumps({key: shown(default)}).rstrip(), "  ")
