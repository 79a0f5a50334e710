"""The recipes of docs/cookbook: their files, their docstrings, and each in a simulated proxy."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from vcproxy.config.options import read_options
from vcproxy.config.plugin_loader import FILTERS, PluginLoader
from vcproxy.testing.http import SimulatedHttp
from vcproxy.testing.proxy import SimulatedProxy

COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook"
RECIPES = sorted(COOKBOOK.glob("*.py"))
HTTP = [file for file in RECIPES if file.stem.startswith("http_")]
"""The recipes that are filters."""
OTHERS = [file for file in RECIPES if file not in HTTP]


def recipe(name: str, table: dict[str, Any] | None = None, **keywords: Any) -> SimulatedProxy:
    """Return a simulated proxy that runs a recipe with these options."""
    plugin = PluginLoader().find(str(COOKBOOK / f"{name}.py"))
    options, _ = read_options(plugin, table or {}, COOKBOOK)
    return SimulatedProxy(plugin, options=options, **keywords)


def http_recipe(name: str, table: dict[str, Any] | None = None, **keywords: Any) -> SimulatedHttp:
    """Return a simulated HTTP proxy with a recipe as its filter, with these options."""
    found = PluginLoader().find(str(COOKBOOK / f"{name}.py"), FILTERS)
    options, _ = read_options(found, table or {}, COOKBOOK)
    return SimulatedHttp(found(options), **keywords)


def configured(recipe: str, server: str, *binds: str, table: str = "") -> str:
    """Return a configuration whose listener "in" runs a recipe in front of a server.

    `table`: further lines of the listener's table.
    """
    addresses = ", ".join(f'"{each}"' for each in binds or ("tcp://127.0.0.1:0",))
    return f"""
[[listener]]
name = "in"
bind = [{addresses}]
plugin = "{COOKBOOK / recipe}.py"
upstream = "out"
{table}

[upstream.out]
servers = ["{server}"]
"""


def docstring(file: Path) -> str:
    """Return the docstring of a recipe."""
    text = ast.get_docstring(ast.parse(file.read_text()))
    assert text, f"{file.name} has no docstring"
    return text


def length(file: Path) -> int:
    """Return how many lines of code a recipe has: those after its docstring that are not blank."""
    docstring = ast.parse(file.read_text()).body[0]
    code = file.read_text().splitlines()[docstring.end_lineno :]
    return sum(bool(line.strip()) for line in code)
