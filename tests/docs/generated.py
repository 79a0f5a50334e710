"""Generate pages from the code: `python -m tests.docs.generated`.

Generated are most pages of docs/reference; the man pages; the table of phases; and, on any page,
the diagrams of machines: a Mermaid block below a comment with its command, such as
`<!-- vcproxy diagram forward -->`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import inspect
import io
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import tomli_w
from pydantic import TypeAdapter

from tests.docs import (
    access_log,
    bus_messages,
    log_lines,
    man_pages,
    metrics_page,
    questions_page,
)
from vcproxy.app import cli
from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.config.plugin import options_type, with_options
from vcproxy.config.plugin_loader import PluginLoader
from vcproxy.config.reference import docstrings
from vcproxy.config.reference import reference as configuration
from vcproxy.engine import event
from vcproxy.http.filters import FilterChain, Phases

ROOT = Path(__file__).parents[2]

_PICTURE = re.compile(
    r"(?P<before><!-- (?P<command>vcproxy diagram .*) -->\n\n```mermaid\n)[^`]*```"
)

_PHASES = re.compile(r"(?P<before><!-- phases -->\n\n\| .*\n\|---.*\n)(?:\|.*\n)*")

COMMAND_LINE = """\
# Command line

<!-- Written by `make docs` from vcproxy/app/cli.py. -->

```text
{help}```

## vcproxy diagram

```text
{diagram}```

How to read the diagrams: [machines](../design/machines.md).

## vcproxy replay

```text
{replay}```

What it is for: [record and replay](../how-to/record-and-replay.md), [what
if](../how-to/what-if.md).

## vcproxy plugin

```text
{new}
{check}```

How to write one: [write a plugin](../how-to/write-a-plugin.md).

## vcproxy log

```text
{logs}```

How to use them: [look at recordings](../how-to/logs.md).

## vcproxy machine

```text
{machines}```

The messages, files and exit statuses: [machine servers](machine.md).

## vcproxy signal

```text
{signal}```

How to use it: [send a message](../how-to/tools.md#send-a-message).

## vcproxy stop-process

```text
{stop}```

How to use it: [end a process](../how-to/tools.md#end-a-process).

## vcproxy check-certificate

```text
{certificate}```

How to use it: [check when a certificate
expires](../how-to/tools.md#check-when-a-certificate-expires).

## vcproxy completion

```text
{completion}```

## While it runs

Standard error gets one line `listening NAME URI` for each address, with its real port (for an
address in an option of the plugin, `listening NAME.OPTION URI`), then `ready`, then the log (unless
`[proxy] log` names a file). If the configuration has mistakes, the proxy does not start, and prints
all of them, each as `FILE:LINE:COLUMN: key.path: what is wrong`.

How to reload, drain and reopen logs: [reload and drain](../how-to/reload-and-drain.md).
"""

PLUGINS = """\
# Bundled plugins

<!-- Written by `make docs` from plugins/ and their Options. -->

A listener selects one with `plugin = "NAME"` and sets its options with `options = {{ ... }}`. An
option without a default in these tables is not set, unless it is required.

{sections}"""

EVENTS = """\
# Events

<!-- Written by `make docs` from vcproxy/engine/event.py. -->

The arguments of a continuation's `handle_event(key, data)`, and of a machine's receivers. The key
is a member of `vcproxy.engine.event.Event`; the data is the object that the event is about.

| key | data | meaning |
|---|---|---|
{rows}
Every event is queued, never delivered inline. COMPLETE, EOS and ERROR are the last event of their
VIO; at most one READY of a VIO is pending. After `do_io_close()` nothing is delivered for a VC.

Other keys are message classes, with an instance as data, and tags:

| key | from | meaning |
|---|---|---|
| `TunnelDone` | tunnels | the tunnel has ended, and returns its VCs to its owner |
| `SinkDone` | OneWayMultiTunnel | one sink has ended; the tunnel continues |
| `Message` | a session's client | one message has arrived |
| `FramingError` | a session's client | the framing is broken: a message is too long or incomplete |
| `Called` | `engine.call` | the result of a call on another thread, or its exception |
| `Launched`, `LaunchFailed` | `ChildProcess` | a program was executed, or why not |
| `ChildExited`, `ChildKilled` | `ChildProcess` | a child process has ended |
| `ChildStopped`, `ChildContinued` | `ChildProcess` | a signal has stopped or continued it |
| `Signal` | `Signals` | a signal to this process |
| `Bound`, `BindFailed` | `Datagrams` | the socket is bound, or why not |
| `Arrived` | `Datagrams` | a datagram has arrived |
| `BusReceived` | `BusMessages` | a message of the bus has arrived |
| `ReceivedMessage` | `MessageConnection`, `PermanentConnection`, `DatagramMessages` | the same |
| `ConnectionEnded` | `MessageConnection` | the connection has ended |
| `ConnectionUp`, `ConnectionLost` | `PermanentConnection` | it is connected, or down |
| `Replied`, `NoReply` | `PermanentConnection.wait` | a reply has come, or not in time |
| `Tick` | `Ticks` | a point of a grid in time is reached |
| `ThreadMessage` | `ThreadMessages`, `OwnThread` | another thread has posted a message |
| `ThreadDone` | `OwnThread` | the function on its own thread has returned, or failed |
| `FileChanged` | `FileChanges` | something happened to a watched file or directory |
| `ContentRead`, `ContentChanged` | `ContentWatch` | files were read first, or have other content |
| `Listening`, `NotListening` | `ListenerWatch` | whether a socket listens at an address |
| `UnixBound`, `BindFailed`, `UnixArrived` | `UnixDatagrams` | the same for a Unix socket |
"""


def command_line() -> str:
    """Return the help of the program and its commands, at the width of a page."""
    parsers = cli.parsers()
    for parser in parsers.values():
        parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, width=98)
    return COMMAND_LINE.format(
        help=parsers[""].format_help(),
        diagram=parsers["diagram"].format_help(),
        replay=parsers["replay"].format_help(),
        new=parsers["plugin new"].format_help(),
        check=parsers["plugin check"].format_help(),
        logs="\n".join(
            parser.format_help() for name, parser in parsers.items() if name.startswith("log ")
        ),
        machines="\n".join(
            parser.format_help() for name, parser in parsers.items() if name.startswith("machine")
        ),
        signal=parsers["signal"].format_help(),
        stop=parsers["stop-process"].format_help(),
        certificate=parsers["check-certificate"].format_help(),
        completion=parsers["completion"].format_help(),
    )


def events() -> str:
    """Return the page of events."""
    rows = (f"| `{name}` | {data} | {meaning} |\n" for name, data, meaning in _members())
    return EVENTS.format(rows="".join(rows))


def _members() -> Iterator[tuple[str, str, str]]:
    """Yield name, data and meaning of each member of Event, from the docstring below it."""
    (node,) = ast.parse(inspect.getsource(event.Event)).body
    assert isinstance(node, ast.ClassDef)
    for member, text in zip(node.body, node.body[1:], strict=False):
        match member, text:
            case (
                ast.Assign(targets=[ast.Name(name)]),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                data, _, meaning = " ".join(words.split()).partition(": ")
                yield name, data, meaning


def plugins() -> str:
    """Return the page of bundled plugins."""
    names = sorted(file.stem for file in (ROOT / "plugins").glob("[a-z]*.py"))
    return PLUGINS.format(sections="\n".join(map(_plugin, names)))


def _plugin(name: str) -> str:
    found = PluginLoader().find(name)
    about = (inspect.getdoc(inspect.getmodule(found)) or "").partition("\n\n")[0]
    plugin = with_options(found)
    options = options_type(plugin)
    if options is None:
        return f"## {name}\n\n{_sentence(about)} It has no options.\n"
    try:
        defaults = read_options(plugin, {}, ROOT)[1]
    except OptionsError:  # some are required
        defaults = {}
    document = TypeAdapter(options).json_schema(mode="serialization")
    parts = [f"## {name}\n\n{_sentence(about)}\n\n{_table(options, document, defaults)}"]
    tables = _tables(options, document)
    for table in dict.fromkeys(tables.values()):
        paths = " and ".join(f"`{path}`" for path, of in tables.items() if of is table)
        rows = _table(table, document["$defs"][table.__name__], {})
        parts.append(f"{paths}: {inspect.getdoc(table)}\n\n{rows}")
    return "\n".join(parts)


def _table(options: type, schema: dict[str, Any], defaults: dict[str, object]) -> str:
    """Return a table with a row for each option, from the JSON schema of its class."""
    meanings, needed = docstrings(options), schema.get("required", ())
    rows = (
        f"| `{key}` | {_default(of, defaults.get(key)) or 'required' * (key in needed)} "
        f"| {meanings.get(key, '')} |\n"
        for key, of in schema["properties"].items()
    )
    return f"| option | default | meaning |\n|---|---|---|\n{''.join(rows)}"


def _tables(options: type, document: dict[str, Any], path: str = "") -> dict[str, type]:
    """Return the classes of the tables within options, by their paths."""
    found: dict[str, type] = {}
    for key, hint in get_type_hints(options).items():
        for part in _parts(hint):
            if "properties" in document.get("$defs", {}).get(part.__name__, ()):
                found[f"{path}{key}"] = part
                found |= _tables(part, document, f"{path}{key}.")
    return found


def _parts(hint: Any) -> Iterator[type]:
    """Yield the classes in a type."""
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for inner in get_args(hint):
        yield from _parts(inner)


def _sentence(about: str) -> str:
    words = " ".join(about.partition(": ")[2].split())
    return words[0].upper() + words[1:]


def _default(of: dict[str, object], default: object) -> str:
    default = of.get("default") if default is None else default
    return "" if default in (None, {}) else f"`{_toml(default)}`"


def _toml(value: object) -> str:
    """Return a value as TOML; tables are inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(of)}" for key, of in value.items()) + " }"
    if isinstance(value, list | tuple):  # in one line, for a cell of a table
        return f"[{', '.join(map(_toml, value))}]"
    return tomli_w.dumps({"_": value})[4:].strip()


def pictured(page: Path) -> str:
    """Return a page with its diagrams of machines and its table of phases generated again."""
    return _PHASES.sub(_phases, _PICTURE.sub(_drawn, page.read_text()))


def _drawn(picture: re.Match[str]) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert cli.main(picture["command"].split()[1:]) == 0
    return f"{picture['before']}{output.getvalue()}```"


def _phases(table: re.Match[str]) -> str:
    """Return the table of phases: what each returns, and when it is called."""
    rows = [table["before"]]
    for name in FilterChain.phases():
        phase = getattr(Phases, name)
        returns = inspect.signature(phase).return_annotation.replace("|", "\\|")
        about = " ".join((inspect.getdoc(phase) or "").split("\n\n")[0].split())
        rows.append(f"| `{name}` | {returns} | {about} |\n")
    return "".join(rows)


PAGES: dict[Path, Callable[[], str]] = {
    ROOT / "docs/reference/access-log.md": access_log.page,
    ROOT / "docs/reference/bus-messages.md": bus_messages.page,
    ROOT / "docs/reference/questions.md": questions_page.page,
    ROOT / "docs/reference/command-line.md": command_line,
    ROOT / "docs/reference/configuration.md": configuration,
    ROOT / "docs/reference/events.md": events,
    log_lines.PAGE: log_lines.page,
    ROOT / "docs/reference/metrics.md": metrics_page.page,
    ROOT / "docs/reference/plugins.md": plugins,
    man_pages.COMMAND: man_pages.command,
    man_pages.CONFIGURATION: lambda: man_pages.configuration(plugins()),
} | {
    page: partial(pictured, page)
    for page in ROOT.glob("docs/**/*.md")
    if _PICTURE.search(page.read_text()) or _PHASES.search(page.read_text())
}

if __name__ == "__main__":
    for page, write in PAGES.items():
        page.write_text(write())
