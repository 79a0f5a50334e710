"""vcproxy.api: its names are those of the reference, and the proxy does not import it."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from vcproxy import api

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"
PROJECT = ROOT / "pyproject.toml"
MODULE_OF: dict[str, str] = vars(api)["_MODULE_OF"]


def test_the_reference_lists_every_name() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)) == sorted(
        api.__all__
    )


def test_the_imports_for_type_checkers_are_those_that_run() -> None:
    seen_by_checkers = {
        name.name: node.module
        for node in ast.walk(ast.parse(inspect.getsource(api)))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("vcproxy.")
        for name in node.names
    }
    assert seen_by_checkers.pop("Event") == api.Event.__module__
    assert seen_by_checkers == MODULE_OF
    assert {*MODULE_OF, "Event", "TIMEOUT"} == set(api.__all__)


@pytest.mark.parametrize("name", api.__all__)
def test_each_name_is_that_of_its_module(name: str) -> None:
    found = getattr(api, name)
    if name in MODULE_OF:
        assert found is getattr(import_module(MODULE_OF[name]), name)
    assert name in vars(api)  # the next use costs no call


def test_its_names_are_listed_before_they_are_loaded() -> None:
    script = (
        "import sys; from vcproxy import api; assert dir(api) == sorted(api.__all__); "
        "sys.exit('vcproxy.http.proxy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_unknown_name_is_refused_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match=r"module 'vcproxy\.api' has no attribute 'Sesion'"):
        api.Sesion  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match=r"cannot import name 'Sesion' from 'vcproxy\.api'"):
        exec("from vcproxy.api import Sesion")


def test_it_loads_only_what_the_lint_contracts_check() -> None:
    """import-linter ignores imports under TYPE_CHECKING, so this test checks those of the API."""
    contracts = tomllib.loads(PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    layers = [set(re.findall(r"vcproxy[\w.]*", each)) for each in contracts[0]["layers"]]
    below = set().union(*layers[layers.index({"vcproxy.api"}) + 1 :])
    deterministic = next(each for each in contracts if "deterministic" in each["name"])
    for module in MODULE_OF.values():
        package = ".".join(module.split(".")[:2])
        assert package in below, f"{module} is not below vcproxy.api"
        folder = module.rpartition(".")[0]
        assert {package, folder, module} & set(deterministic["source_modules"]), module


def test_the_proxy_starts_without_the_api() -> None:
    script = "import sys, vcproxy.app.server; sys.exit('vcproxy.api' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
