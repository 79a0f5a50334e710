"""The cookbook as a whole: recipes load as documented, their machines are valid, and their lengths
are those listed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cookbook.recipes import COOKBOOK, HTTP, OTHERS, RECIPES, docstring, length
from vcproxy.app import cli
from vcproxy.config.plugin_loader import PluginLoader
from vcproxy.machine.machine import Machine
from vcproxy.sessions.program import Program
from vcproxy.testing.machines import check_machine, known_keys

INDEX = dict(
    re.findall(r"\| \[(\w+\.py)\]\(\1\) \| (\d+) \|", (COOKBOOK / "README.md").read_text())
)


def test_every_recipe_is_in_the_index_with_its_length() -> None:
    assert len(RECIPES) >= 10
    assert {file.name: str(length(file)) for file in RECIPES} == INDEX


@pytest.mark.parametrize(("name", "most"), [("orders", 15), ("batch", 25)])
def test_the_short_ones_are_short(name: str, most: int) -> None:
    assert length(COOKBOOK / f"{name}.py") <= most


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_the_docstring_holds_a_configuration(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(file, tmp_path)
    head, table, *_ = docstring(file).split("\n\n")
    assert re.match(rf"{file.stem}: .*\.$", head, re.DOTALL), (
        "the docstring begins with the name and the purpose"
    )
    assert len(table.splitlines()) <= 10
    copied = tmp_path / "proxy.toml"
    copied.write_text(table)
    status = cli.main(["-t", "-c", str(copied)])
    assert (status, *capsys.readouterr()) == (0, f"{copied}: the configuration is valid\n", "")


@pytest.mark.parametrize("file", OTHERS, ids=lambda file: file.stem)
def test_the_machines_are_sound(file: Path) -> None:
    plugin = PluginLoader().find(str(file))
    machines = plugin.machines if issubclass(plugin, Program) else (plugin,)
    for machine in machines:
        assert issubclass(machine, Machine)
        holes = check_machine(machine)
        assert len(holes) < len(machine.states) * len(known_keys(machine))


@pytest.mark.parametrize("file", HTTP, ids=lambda file: file.stem)
def test_filters_are_short(file: Path) -> None:
    assert 10 <= length(file) <= 40
