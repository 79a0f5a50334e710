"""The man pages in packaging/man: vcproxy(1) from the parsers, vcproxy.toml(5) from the tables.

In the language of man(7), which groff and mandoc read. Tested in tests/packaging/test_man_pages.py.
"""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from vcproxy.app import cli
from vcproxy.config import reference

ROOT = Path(__file__).parents[2]
COMMAND, CONFIGURATION = (ROOT / "packaging/man" / name for name in ("vcproxy.1", "vcproxy.toml.5"))

_OPTION = re.compile(r"^\| `(.*?)` \| (.*?) ?\| (.*) \|$", re.MULTILINE)
"""A row of a table in Markdown: key, default, meaning."""

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

SIGNALS = {
    "SIGTERM, SIGINT": "Drain: accept no more, and end when all connections are closed, or after "
    "drain_timeout. A second one ends at once.",
    "SIGHUP": "Load the configuration again. If it has errors, the previous one stays in use.",
    "SIGUSR1": "Reopen the log and the access log, after they were moved.",
}

STATUSES = {
    "0": "Stopped by a signal, or done.",
    "1": "Could not start, or an error in the configuration.",
    "2": "An error in the command line.",
    "3": "Too many failures of workers, or of supervised programs.",
    "141": "The reader of its output has gone.",
}

VARIABLES = {
    "NOTIFY_SOCKET, WATCHDOG_USEC": "Set by a service manager that is to be notified, see "
    "sd_notify(3).",
    "LISTEN_FDS, LISTEN_PID": "Sockets that a service manager has bound, see sd_listen_fds(3).",
    "XDG_RUNTIME_DIR": "The folder in which the control sockets are, in vcproxy/; /run if it is "
    "not set.",
}

FILES = {
    "/etc/vcproxy/proxy.toml": "The configuration of the service.",
    "/run/vcproxy/PID.ctl.sock": "The socket for vcproxy ctl, of mode 0600.",
}


def command() -> str:
    """Return vcproxy(1)."""
    parsers = cli.parsers()
    main = parsers.pop("")
    return _page(
        "VCPROXY 1",
        "vcproxy \\- a programmable proxy\n",
        {
            "SYNOPSIS": "".join(_verbatim(_usage(main))),
            "DESCRIPTION": "".join(_description(main.description or "")),
            "OPTIONS": "".join(_arguments(main)),
            "COMMANDS": "".join(_commands(parsers)),
            "SIGNALS": _list(SIGNALS),
            "EXIT STATUS": _list(STATUSES),
            "ENVIRONMENT": _list(VARIABLES),
            "FILES": _list(FILES),
            "SEE ALSO": ".BR vcproxy.toml (5)\n",
        },
    )


def configuration(plugins: str) -> str:
    """Return vcproxy.toml(5). `plugins`: the page of the bundled plugins and their options."""
    introduction = reference.INTRODUCTION.partition("-->\n\n")[2]
    return _page(
        "VCPROXY.TOML 5",
        "vcproxy.toml \\- the configuration of vcproxy\n",
        {
            "DESCRIPTION": "".join(_description(introduction)),
            "TABLES": "".join(_table(*each) for each in reference.SECTIONS.items()),
            "OPTIONS OF PLUGINS": "".join(_plugins(plugins.partition("-->\n\n")[2])),
            "SEE ALSO": ".BR vcproxy (1)\n",
        },
    )


def _page(title: str, name: str, sections: dict[str, str]) -> str:
    comment = '.\\" Written by `make docs`.'
    head = f'{comment}\n.TH {title} "{_released()}" "vcproxy {VERSION}"\n.SH NAME\n{name}'
    return head + "".join(f".SH {title}\n{text}" for title, text in sections.items())


def _released() -> str:
    """Return the date of this version in the changelog; "" before its release."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    heading = rf"^## {re.escape(VERSION)} \(([-0-9]{{10}})\)$"
    found = re.search(heading, changelog, re.MULTILINE)
    return found[1] if found else ""


# -- the command line ----------------------------------------------------------------------------


def _commands(parsers: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    for name, parser in parsers.items():
        yield f".SS vcproxy {_text(name)}\n"
        yield from _verbatim(_usage(parser))
        yield ".PP\n"
        yield from _description(parser.description or "")
        yield from _arguments(parser)
        if parser.epilog:
            yield ".PP\n"
            yield from _description(parser.epilog)


def _usage(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=78)
    return parser.format_usage().removeprefix("usage: ").replace("\n       ", "\n")


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield an entry for each argument."""
    formatter = parser._get_formatter()
    for action in parser._actions:
        left_out = isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
        if not left_out and action.help != argparse.SUPPRESS:
            yield _entry(_invocation(action, formatter), _help(action, formatter))


def _invocation(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    """Return an argument as it is written; argparse's own form depends on the version."""
    if action.option_strings:
        names = ", ".join(action.option_strings)
        return f"{names} {formatter._format_args(action, _value(action))}".strip()
    value = action.metavar or _value(action)
    return value if isinstance(value, str) else ", ".join(value)


def _help(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    return formatter._expand_help(action) if action.help else ""


def _value(action: argparse.Action) -> str:
    """Return what stands for the value of an argument, as argparse shows it."""
    if action.choices is not None:
        return f"{{{','.join(map(str, action.choices))}}}"
    return action.dest.upper() if action.option_strings else action.dest


# -- the configuration ---------------------------------------------------------------------------


def _table(title: str, table: type[BaseModel]) -> str:
    rows = ""
    for key, kind, default, meaning in reference.rows(table):
        given = f"default: {default}" if default.startswith("`") else default
        about = ", ".join(filter(None, (kind, given)))
        rows += _entry(f"{key} ({about})".replace("`", ""), meaning)
    about = "".join(_description(inspect.getdoc(table) or ""))
    return f'.SS "{_text(title)}"\n{about}{rows}'


def _plugins(page: str) -> Iterator[str]:
    """Yield the sections of a page in Markdown, whose tables have the columns of _OPTION."""
    heads = True
    for paragraph in re.split(r"\n{2,}", page.strip()):
        rows = _OPTION.findall(paragraph)
        if paragraph.startswith("## "):
            yield f'.SS "plugin = \\(dq{_text(paragraph[3:])}\\(dq"\n'
        elif rows:
            for key, default, meaning in rows:
                about = f" (default: {default})" if default.startswith("`") else f" ({default})"
                heading = f"{key}{about if default else ''}".replace("`", "").replace("\\|", "|")
                yield _entry(heading, meaning)
        else:
            yield f"{'' if heads else '.PP'}\n{_filled(paragraph)}".lstrip("\n")
        heads = paragraph.startswith("## ")


# -- the language of man pages -------------------------------------------------------------------


def _list(entries: dict[str, str]) -> str:
    return "".join(_entry(*each) for each in entries.items())


def _entry(heading: str, meaning: str) -> str:
    return f".TP\n\\fB{_text(heading)}\\fR\n{_filled(meaning)}"


def _description(text: str) -> Iterator[str]:
    """Yield paragraphs; lines that begin with two blanks stay as they are."""
    for number, paragraph in enumerate(re.split(r"\n{2,}", text.strip("\n"))):
        if number and not paragraph.startswith("- "):
            yield ".PP\n"
        lines = paragraph.split("\n")
        plain = [line for line in lines if not line.startswith("  ")]
        if paragraph.startswith("- "):
            items = re.split(r"^- ", paragraph, flags=re.MULTILINE)[1:]
            for item in items:
                yield f".IP \\(bu 2\n{_filled(item)}"
        elif len(plain) == len(lines):
            yield _filled(paragraph)
        else:
            if plain:
                yield f"{_filled(' '.join(plain))}.PP\n"
            yield from _verbatim("\n".join(each for each in lines if each.startswith("  ")))


def _filled(text: str) -> str:
    """Return lines that are filled when they are shown."""
    lines = textwrap.wrap(text, 72, break_on_hyphens=False, break_long_words=False)
    return _bold("".join(f"{_escaped(line)}\n" for line in lines)) or "\\&\n"


def _verbatim(text: str) -> Iterable[str]:
    yield ".nf\n"
    for line in text.rstrip("\n").split("\n"):
        yield f"{_text(line)}\n" if line else "\\&\n"
    yield ".fi\n"


def _text(words: str) -> str:
    return _bold(_escaped(words))


def _escaped(line: str) -> str:
    """Return a line in which no character is a command."""
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _bold(text: str) -> str:
    """Return a text with **bold** and `code` in bold, also over the end of a line."""
    text = re.sub(r"\*\*([^*]+)\*\*", r"\\fB\1\\fR", text)
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)
