"""Scaffold: writes a new plugin and its test from a template, for `vcproxy plugin new`.

Tested in tests/app/test_plugin_command.py.
"""

from __future__ import annotations

import keyword
import sys
from contextlib import ExitStack
from pathlib import Path

from vcproxy.app.commands.templates import (
    filter,  # noqa: A004  the name of the template
    modbus_like,
    program,
    relay,
    session,
    splitter,
    validator,
)
from vcproxy.config.plugin_loader import PluginError
from vcproxy.output_files import Exists, refuse_existing, written

TEMPLATES = {
    "session": session,
    "validator": validator,
    "splitter": splitter,
    "modbus-like": modbus_like,
    "relay": relay,
    "filter": filter,
    "program": program,
}
"""The templates by name: PLUGIN and TEST of each. {name} is the module and {Name} the class."""


def new(name: str, template: str, directory: Path, force: bool = False) -> tuple[Path, Path]:
    """Write a plugin and a test that passes; return their paths.

    Raises PluginError if the name is invalid, or if a file exists and `force` is not given. Then
    nothing is written.
    """
    # ASCII: the name is a part of a metric's.
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        raise PluginError(f'"{name}" cannot be the name of a module: use letters, digits and _')
    if name in sys.stdlib_module_names or name == "vcproxy":
        raise PluginError(f'"{name}" would hide the module {name}: choose another name')
    files = directory / f"{name}.py", directory / f"test_{name}.py"
    title = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    try:
        with ExitStack() as both:
            for file in files:
                refuse_existing(file, force)
            chosen = TEMPLATES[template]
            for file, content in zip(files, (chosen.PLUGIN, chosen.TEST), strict=True):
                text = content.format(name=name, Name=title)
                both.enter_context(written(file, force)).write_text(text)
    except Exists as error:
        raise PluginError(str(error)) from None
    except OSError as error:
        raise PluginError(f"cannot write {error.filename}: {error.strerror}") from None
    return files
